// The most that a WebAssembly kernel can reach on this machine's one core, in GFLOP/s: the loop of a register-tiled GEMM
// (broadcast a, load b, multiply and add) over values that never leave the first-level cache.
//
//   node --conditions=@anneal/source [--experimental-wasm-revectorize] bench/wasm/Ceiling.ts
//
//   registers 12   twelve sums, operands in registers: what the units for 128 bits take
//   6 x 8          six rows by two vectors, as the plain kernels
//   6 x 16         six rows by four vectors: pays only with 256-bit registers
//   4 x 24, 4 x 16 other shapes of as many registers
import * as Statistics from "./Statistics.ts"

const unsigned = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
const signed = (value: number): ReadonlyArray<number> => {
  const byte = value & 0x7f
  const rest = value >> 7
  return (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)
    ? [byte]
    : [byte | 0x80, ...signed(rest)]
}
const section = (id: number, bytes: ReadonlyArray<number>): ReadonlyArray<number> => [
  id,
  ...unsigned(bytes.length),
  ...bytes
]
const simd = (code: number, ...immediates: ReadonlyArray<number>): ReadonlyArray<number> => [
  0xfd,
  ...unsigned(code),
  ...immediates
]

const [getLocal, setLocal, teeLocal] = [0x20, 0x21, 0x22]
const at = (offset: number, align: number): ReadonlyArray<number> => [align, ...unsigned(offset)]
const relaxedMadd = simd(0x105)
const unroll = 4
/** Where things are, in bytes; `a` and `b` are passed as pointers, so that nothing is moved out of the loop. */
const [aAt, bAt, cAt] = [0, 4096, 16384]

interface Tile {
  readonly name: string
  readonly rows: number
  /** 16-byte vectors in a row. */
  readonly vectors: number
  readonly loads: boolean
}

/** `run(count, a, b)`: `count` times `unroll` steps of a tile. Sums live in locals, start and end in memory. */
const moduleOf = ({ loads, rows, vectors }: Tile): Uint8Array<ArrayBuffer> => {
  const [count, a, b, splat, firstB] = [0, 1, 2, 3, 4]
  const sum = (row: number, vector: number): number => firstB + vectors + row * vectors + vector
  const each = (f: (row: number, vector: number) => ReadonlyArray<number>): ReadonlyArray<number> =>
    Array.from({ length: rows * vectors }, (_, i) => f(Math.floor(i / vectors), i % vectors)).flat()
  const vectorLoads = (step: number): ReadonlyArray<number> =>
    Array.from({ length: vectors }, (_, vector) => [
      getLocal,
      b,
      ...simd(0, ...at((step * vectors + vector) * 16, 4)),
      setLocal,
      firstB + vector
    ]).flat()
  const splatLoad = (step: number, row: number): ReadonlyArray<number> => [
    getLocal,
    a,
    ...simd(9, ...at((row * unroll + step) * 4, 2)),
    setLocal,
    splat
  ]
  const step = (k: number): ReadonlyArray<number> => [
    ...(loads ? vectorLoads(k) : []),
    ...each((row, vector) => [
      ...(loads && vector === 0 ? splatLoad(k, row) : []),
      getLocal,
      splat,
      getLocal,
      firstB + vector,
      getLocal,
      sum(row, vector),
      ...relaxedMadd,
      setLocal,
      sum(row, vector)
    ])
  ]
  const place = (row: number, vector: number): ReadonlyArray<number> => at(cAt + (row * vectors + vector) * 16, 4)
  const body = [
    ...unsigned(1),
    ...unsigned(1 + vectors + rows * vectors),
    0x7b,
    ...(loads ? [] : [...vectorLoads(0), ...splatLoad(0, 0)]),
    ...each((row, vector) => [0x41, 0, ...simd(0, ...place(row, vector)), setLocal, sum(row, vector)]),
    0x03,
    0x40,
    ...Array.from({ length: unroll }, (_, k) => step(k)).flat(),
    getLocal,
    count,
    0x41,
    ...signed(-1),
    0x6a,
    teeLocal,
    count,
    0x0d,
    0,
    0x0b,
    ...each((row, vector) => [0x41, 0, getLocal, sum(row, vector), ...simd(11, ...place(row, vector))]),
    0x0b
  ]
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
  return Uint8Array.from([
    ...header,
    ...section(1, [1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body])
  ])
}

const tiles: ReadonlyArray<Tile> = [
  { name: "registers 12", rows: 12, vectors: 1, loads: false },
  { name: "6 x 8", rows: 6, vectors: 2, loads: true },
  { name: "6 x 16", rows: 6, vectors: 4, loads: true },
  { name: "4 x 24", rows: 4, vectors: 6, loads: true },
  { name: "4 x 16", rows: 4, vectors: 4, loads: true }
]

const steps = 20_000

for (const tile of tiles) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleOf(tile)))
  const { run } = exports
  if (typeof run !== "function") throw new Error("the module has no function run")
  const once = (): number => {
    const start = performance.now()
    run(steps, aAt, bAt)
    return performance.now() - start
  }
  const until = performance.now() + 300
  while (performance.now() < until) once()
  const operations = 2 * 4 * tile.rows * tile.vectors * unroll * steps
  const found = Statistics.spread(Array.from({ length: 400 }, once).map((time) => operations / time / 1e6))
  console.log(
    `${tile.name.padEnd(14)} median ${found.median.toFixed(1).padStart(6)} GFLOP/s, best tenth above ${found.p90.toFixed(1)}`
  )
}
