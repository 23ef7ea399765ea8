// The most that a WebAssembly kernel can reach on this machine's one core, in 10⁹ operations (a multiplication and an
// addition are two) a second: the loop of a register-tiled GEMM (broadcast a, load b, multiply and add) over values that
// never leave the first-level cache.
//
//   node --conditions=@anneal/source [--experimental-wasm-revectorize] bench/wasm/Ceiling.ts
//
//   registers 12   twelve sums, operands in registers: what the units for 128 bits take
//   6 x 8          six rows by two vectors, as the plain kernels
//   6 x 16         six rows by four vectors: pays only with 256-bit registers
//   4 x 24, 4 x 16 other shapes of as many registers
//
// 32-bit floats; 16-bit integers (`i32x4.dot_i16x8_s`, added); bytes by seven bits in two ways: `dot` widened by a second
// product with ones (`i16x8.relaxed_dot_i8x16_i7x16_s`, `i32x4.dot_i16x8_s`, added), and `dot-add`
// (`i32x4.relaxed_dot_i8x16_i7x16_add_s`), which V8 makes one VPDPBUSD where the processor has AVX-VNNI, else three as `dot`.
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

/** What one vector of a and one of b add to a vector of sums. */
interface Arithmetic {
  readonly name: "f32" | "i16" | "dot" | "dot-add"
  /** Multiplications in a vector. */
  readonly products: number
  /** Puts sum + a · b on the stack, of three locals; the fourth holds 16-bit ones. */
  readonly code: (a: number, b: number, sum: number, ones: number) => ReadonlyArray<number>
}

const add = simd(0xae)
const dotWords = simd(0xba)
const locals = (...indices: ReadonlyArray<number>): ReadonlyArray<number> =>
  indices.flatMap((index) => [getLocal, index])

const f32: Arithmetic = { name: "f32", products: 4, code: (a, b, sum) => [...locals(a, b, sum), ...simd(0x105)] }
const i16: Arithmetic = {
  name: "i16",
  products: 8,
  code: (a, b, sum) => [...locals(sum, a, b), ...dotWords, ...add]
}
const dot: Arithmetic = {
  name: "dot",
  products: 16,
  code: (a, b, sum, ones) => [...locals(sum, a, b), ...simd(0x112), ...locals(ones), ...dotWords, ...add]
}
const dotAdd: Arithmetic = {
  name: "dot-add",
  products: 16,
  code: (a, b, sum) => [...locals(a, b, sum), ...simd(0x113)]
}

const unroll = 4
/** Where things are, in bytes; `a` and `b` are passed as pointers, so that nothing is moved out of the loop. */
const [aAt, bAt, cAt] = [0, 4096, 16384]

interface Tile {
  readonly arithmetic: Arithmetic
  readonly name: string
  readonly rows: number
  /** 16-byte vectors in a row. */
  readonly vectors: number
  readonly loads: boolean
}

/** `run(count, a, b)`: `count` times `unroll` steps of a tile. Sums live in locals, start and end in memory. */
const moduleOf = ({ arithmetic, loads, rows, vectors }: Tile): Uint8Array<ArrayBuffer> => {
  const [count, a, b, splat, firstB] = [0, 1, 2, 3, 4]
  const ones = firstB + vectors
  const sum = (row: number, vector: number): number => ones + 1 + row * vectors + vector
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
      ...arithmetic.code(splat, firstB + vector, sum(row, vector), ones),
      setLocal,
      sum(row, vector)
    ])
  ]
  const place = (row: number, vector: number): ReadonlyArray<number> => at(cAt + (row * vectors + vector) * 16, 4)
  const body = [
    ...unsigned(1),
    ...unsigned(2 + vectors + rows * vectors),
    0x7b,
    0x41,
    1,
    ...simd(0x10),
    setLocal,
    ones,
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

const shapes: ReadonlyArray<readonly [arithmetic: Arithmetic, rows: number, columns: number]> = [
  [f32, 6, 8],
  [f32, 6, 16],
  [f32, 4, 24],
  [f32, 4, 16],
  [i16, 3, 12],
  [i16, 5, 8],
  [i16, 5, 16],
  [dot, 4, 8],
  [dot, 2, 16],
  [dot, 4, 16],
  [dotAdd, 6, 8],
  [dotAdd, 4, 12],
  [dotAdd, 3, 16],
  [dotAdd, 6, 16],
  [dotAdd, 4, 24],
  [dotAdd, 3, 32]
]

const tiles: ReadonlyArray<Tile> = [
  ...[f32, i16, dot, dotAdd].map((arithmetic): Tile => ({
    arithmetic,
    name: "registers 12",
    rows: 12,
    vectors: 1,
    loads: false
  })),
  ...shapes.map(([arithmetic, rows, columns]): Tile => ({
    arithmetic,
    name: `${rows} x ${columns}`,
    rows,
    vectors: columns / 4,
    loads: true
  }))
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
  const until = performance.now() + 200
  while (performance.now() < until) once()
  const operations = 2 * tile.arithmetic.products * tile.rows * tile.vectors * unroll * steps
  const found = Statistics.spread(Array.from({ length: 200 }, once).map((time) => operations / time / 1e6))
  console.log(
    `${tile.arithmetic.name.padEnd(8)} ${tile.name.padEnd(14)} median ${found.median.toFixed(1).padStart(6)} Gop/s, best tenth above ${found.p90.toFixed(1)}`
  )
}
