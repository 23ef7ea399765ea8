/**
 * GemmTile: the register tile at the heart of every product: rows × vectors of sums, held in registers while k runs.
 *
 *   for k:  b₀ b₁ = load panel[k];  for each row: a = splat A[row, k];  sum[row, v] += a · b[v]
 *
 * A is read in place through splats, so its strides may be anything; each panel of b is read from begin to end.
 */
import type { Features } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32x4, i32, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"

/** Bytes or counts that are known, or in a local that nothing changes. */
export type Size = number | Local<"i32">

export const value = (f: FunctionBuilder, size: Size): I32 => (typeof size === "number" ? i32.const(size) : f.get(size))

/** `pointer + count · size`, count known. */
export const step = (f: FunctionBuilder, pointer: I32, count: number, size: Size): I32 => {
  if (count === 0 || size === 0) return pointer
  if (typeof size === "number") return i32.add(pointer, i32.const(count * size))
  return i32.add(pointer, count === 1 ? f.get(size) : i32.mul(f.get(size), i32.const(count)))
}

/** `pointer + index · size`, index at run time. */
export const offsetBy = (f: FunctionBuilder, pointer: I32, index: I32, size: Size): I32 =>
  size === 0 ? pointer : i32.add(pointer, i32.mul(index, value(f, size)))

export const advance = (f: FunctionBuilder, pointer: Local<"i32">, count: number, size: Size): void => {
  if (count !== 0 && size !== 0) f.set(pointer, step(f, f.get(pointer), count, size))
}

/** Whether multiples of it can stand in an instruction: known, and not negative. */
const isImmediate = (size: Size): size is number => typeof size === "number" && size >= 0

export interface Tile {
  readonly rows: number
  /** Vectors of four columns. */
  readonly vectors: number
  /** Sums are kept so many times, for k modulo phases, where few of them would wait for each other. */
  readonly phases: number
}

/** Registers that a tile's inner loop holds at once: 15 of x64's vector registers are free. */
export const registersOf = ({ phases, rows, vectors }: Tile): number =>
  rows * vectors * phases + Math.min(rows, vectors) + 1

/** One axis of k, outermost first. */
export interface Reduction {
  readonly extent: Size
  /** Bytes in A from one to the next. */
  readonly a: Size
}

export interface Panel {
  /** Bytes from one k to the next. */
  readonly step: Size
  /** How many of the last vector's columns may be read; 4 where the panel is padded. */
  readonly lastLanes: number
}

/** Vector locals of a function that its tiles share: none outlives its tile. */
export class Registers {
  readonly #f: FunctionBuilder
  readonly #locals: Array<Local<"v128">> = []

  constructor(f: FunctionBuilder) {
    this.#f = f
  }

  at(index: number): Local<"v128"> {
    while (this.#locals.length <= index) this.#locals.push(this.#f.local("v128"))
    const local = this.#locals[index]
    if (local === undefined) throw new RangeError(`there is no register ${index}`)
    return local
  }
}

export type Sums = ReadonlyArray<ReadonlyArray<Local<"v128">>>

/** a · b + c: rounded once where the host can, else twice. */
export const multiplyAdd = (features: Features, a: V128, b: V128, c: V128): V128 =>
  features.relaxed ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c)

/** As a constant of 128 bits: V8's revectorizer does not join splats of two zeros. */
export const zeros = v128.const(new Array<number>(16).fill(0))

/** The first `lanes` floats at an address; nothing behind them is touched. */
export const loadLanes = (address: I32, lanes: number, offset = 0): V128 => {
  switch (lanes) {
    case 1:
      return v128.load32_zero(address, offset)
    case 2:
      return v128.load64_zero(address, offset)
    case 3:
      return v128.load32_lane(address, v128.load64_zero(address, offset), 2, offset + 8)
    default:
      return v128.load(address, offset)
  }
}

/** Axes joined where one is the continuation of the next inner one; axes of extent 1 left out. */
export const joined = (axes: ReadonlyArray<Reduction>): ReadonlyArray<Reduction> => {
  const result: Array<Reduction> = []
  for (const axis of axes) {
    if (axis.extent === 1) continue
    const outer = result.at(-1)
    if (
      outer !== undefined &&
      typeof outer.extent === "number" &&
      typeof outer.a === "number" &&
      typeof axis.extent === "number" &&
      typeof axis.a === "number" &&
      outer.a === axis.a * axis.extent
    )
      result[result.length - 1] = { extent: outer.extent * axis.extent, a: axis.a }
    else result.push(axis)
  }
  return result
}

/** Steps of k in a row without a loop. */
const unrolled = 4
const fullyUnrolled = 12

interface Loop {
  readonly f: FunctionBuilder
  readonly features: Features
  readonly tile: Tile
  readonly panel: Panel
  readonly sums: ReadonlyArray<Sums>
  /** Pointers to A that the loop moves: one, with rows at known distances, or one a row. */
  readonly a: ReadonlyArray<Local<"i32">>
  readonly rowBytes: number
  readonly b: Local<"i32">
  readonly registers: Registers
  readonly zero: { pending: boolean }
}

/** One k: `offsetA` and `offsetB` are bytes past the pointers. */
const multiply = (loop: Loop, k: number, offsetA: number, offsetB: number): void => {
  const { a, b, f, features, panel, rowBytes, tile } = loop
  const sums = loop.sums[k % tile.phases] ?? []
  const first = loop.zero.pending && k < tile.phases
  const left = (row: number): V128 => {
    const single = a.length === 1
    const pointer = a[single ? 0 : row]
    if (pointer === undefined) throw new RangeError(`the tile has no row ${row}`)
    const offset = offsetA + (single ? row * rowBytes : 0)
    // A view that runs backwards: immediates cannot.
    return offset < 0
      ? v128.load32_splat(i32.add(f.get(pointer), i32.const(offset)))
      : v128.load32_splat(f.get(pointer), offset)
  }
  const right = (vector: number): V128 =>
    vector === tile.vectors - 1
      ? loadLanes(f.get(b), panel.lastLanes, offsetB + vector * 16)
      : v128.load(f.get(b), offsetB + vector * 16)
  const add = (row: number, vector: number, x: V128, y: V128): void => {
    const sum = sums[row]?.[vector]
    if (sum === undefined) throw new RangeError(`the tile has no sum ${row}, ${vector}`)
    f.set(sum, first ? f32x4.mul(x, y) : multiplyAdd(features, x, y, f.get(sum)))
  }
  const kept = (index: number, value: V128): Local<"v128"> => {
    const local = loop.registers.at(tile.rows * tile.vectors * tile.phases + index)
    f.set(local, value)
    return local
  }
  // The side with fewer vectors stays in registers.
  if (tile.rows >= tile.vectors) {
    const bs = Array.from({ length: tile.vectors }, (_, vector) => kept(vector, right(vector)))
    for (let row = 0; row < tile.rows; row++) {
      const x = kept(tile.vectors, left(row))
      bs.forEach((y, vector) => add(row, vector, f.get(x), f.get(y)))
    }
  } else {
    const xs = Array.from({ length: tile.rows }, (_, row) => kept(row, left(row)))
    for (let vector = 0; vector < tile.vectors; vector++) {
      const y = kept(tile.rows, right(vector))
      xs.forEach((x, row) => add(row, vector, f.get(x), f.get(y)))
    }
  }
}

/** `count` steps from k = `from` with everything in immediates, or moving the pointers where strides are not known. */
const run = (loop: Loop, count: number, stride: Size): void => {
  for (let k = 0; k < count; k++) {
    multiply(loop, k, isImmediate(stride) ? k * stride : 0, isImmediate(loop.panel.step) ? k * loop.panel.step : 0)
    if (!isImmediate(stride)) for (const pointer of loop.a) advance(loop.f, pointer, 1, stride)
    if (!isImmediate(loop.panel.step)) advance(loop.f, loop.b, 1, loop.panel.step)
  }
}

const move = (loop: Loop, count: number, stride: Size): void => {
  if (isImmediate(stride)) for (const pointer of loop.a) advance(loop.f, pointer, count, stride)
  if (isImmediate(loop.panel.step)) advance(loop.f, loop.b, count, loop.panel.step)
}

const settle = (loop: Loop): void => {
  if (!loop.zero.pending) return
  loop.zero.pending = false
  for (const phase of loop.sums) for (const row of phase) for (const sum of row) loop.f.set(sum, zeros)
}

const reduce = (loop: Loop, axes: ReadonlyArray<Reduction>): void => {
  const { f, tile } = loop
  const [axis, ...inner] = axes
  if (axis === undefined) {
    run(loop, 1, 0)
    move(loop, 1, 0)
    return
  }
  const { a: stride, extent } = axis
  if (inner.length > 0) {
    settle(loop)
    const starts = loop.a.map((pointer) => f.let(f.get(pointer)))
    const round = (): void => {
      reduce(loop, inner)
      // The inner axes have moved the pointers: on from where they began.
      loop.a.forEach((pointer, row) => {
        const start = starts[row]
        if (start === undefined) throw new RangeError(`the tile has no row ${row}`)
        f.set(pointer, f.tee(start, step(f, f.get(start), 1, stride)))
      })
    }
    f.range(0, typeof extent === "number" ? extent : f.get(extent), 1, round)
    return
  }
  const unroll = Math.max(unrolled, tile.phases)
  if (typeof extent === "number") {
    const rounds = Math.floor(extent / unroll)
    const rest = extent - rounds * unroll
    if (rounds > 1) {
      settle(loop)
      f.range(0, rounds, 1, () => {
        run(loop, unroll, stride)
        move(loop, unroll, stride)
      })
    } else if (rounds === 1) {
      if (tile.phases > unroll) settle(loop)
      run(loop, unroll, stride)
      loop.zero.pending = false
      move(loop, unroll, stride)
    }
    if (rest > 0) {
      if (tile.phases > rest) settle(loop)
      run(loop, rest, stride)
      loop.zero.pending = false
      move(loop, rest, stride)
    }
    return
  }
  settle(loop)
  const k = f.let(i32.const(0))
  f.block((out) =>
    f.loop((again) => {
      f.brIf(out, i32.gt_s(i32.add(f.get(k), i32.const(unroll)), f.get(extent)))
      run(loop, unroll, stride)
      move(loop, unroll, stride)
      f.set(k, i32.add(f.get(k), i32.const(unroll)))
      f.br(again)
    })
  )
  f.range(f.get(k), f.get(extent), 1, () => {
    run(loop, 1, stride)
    move(loop, 1, stride)
  })
}

/** Every step of k in sequence with its offset in A, where there are few and all is known. */
const known = (axes: ReadonlyArray<Reduction>): ReadonlyArray<number> | undefined => {
  let offsets: ReadonlyArray<number> = [0]
  for (const { a, extent } of axes) {
    if (typeof extent !== "number" || !isImmediate(a) || offsets.length * extent > fullyUnrolled) return undefined
    offsets = offsets.flatMap((offset) => Array.from({ length: extent }, (_, index) => offset + index * a))
  }
  return offsets
}

export interface TileOperands {
  /** Points at A's row 0, k 0; is not changed. */
  readonly a: Local<"i32">
  /** Bytes in A from row to row. */
  readonly rowBytes: Size
  /** Points at the panel's first vector; is not changed. */
  readonly b: Local<"i32">
  readonly reduction: ReadonlyArray<Reduction>
  /** What the sums begin with, one phase; left out: zeros. `kept`: what the last tile of the same shape left. */
  readonly initial?: "kept" | ((row: number, vector: number) => V128)
}

/** Writes the loop over k; the sums. */
export const emitTile = (
  f: FunctionBuilder,
  features: Features,
  registers: Registers,
  tile: Tile,
  panel: Panel,
  operands: TileOperands
): Sums => {
  const axes = joined(operands.reduction)
  const offsets = known(axes)
  const sums = Array.from({ length: tile.phases }, (_, phase) =>
    Array.from({ length: tile.rows }, (__, row) =>
      Array.from({ length: tile.vectors }, (___, vector) =>
        registers.at((phase * tile.rows + row) * tile.vectors + vector)
      )
    )
  )
  const fixed = isImmediate(operands.rowBytes)
  const inPlace = offsets !== undefined && isImmediate(panel.step)
  const { initial } = operands
  if (initial !== undefined && tile.phases > 1) throw new RangeError("sums that begin with something have one phase")
  if (typeof initial === "function") sums[0]?.forEach((row, r) => row.forEach((sum, v) => f.set(sum, initial(r, v))))
  const loop: Loop = {
    f,
    features,
    tile,
    panel,
    sums,
    registers,
    a: fixed
      ? [inPlace ? operands.a : f.let(f.get(operands.a))]
      : Array.from({ length: tile.rows }, (_, row) => f.let(step(f, f.get(operands.a), row, operands.rowBytes))),
    rowBytes: isImmediate(operands.rowBytes) ? operands.rowBytes : 0,
    b: inPlace ? operands.b : f.let(f.get(operands.b)),
    zero: { pending: initial === undefined }
  }
  if (offsets !== undefined && isImmediate(panel.step)) {
    const bytes = panel.step
    if (offsets.length < tile.phases) settle(loop)
    offsets.forEach((offset, k) => multiply(loop, k, offset, k * bytes))
  } else reduce(loop, axes)
  // Phases are added up in pairs.
  for (let span = 1; span < tile.phases; span *= 2)
    for (let phase = 0; phase + span < tile.phases; phase += 2 * span)
      sums[phase]?.forEach((row, r) =>
        row.forEach((sum, v) => {
          const other = sums[phase + span]?.[r]?.[v]
          if (other !== undefined) f.set(sum, f32x4.add(f.get(sum), f.get(other)))
        })
      )
  return sums[0] ?? []
}
