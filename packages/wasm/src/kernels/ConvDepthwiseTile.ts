/**
 * ConvDepthwiseTile: the register tile of a depthwise convolution: pixels of a row × vectors of channels. Each input column is
 * loaded once for all taps of a kernel's row that use it; taps on padding are left out.
 */
import type { Features } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { i32, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type * as GemmEpilogue from "./GemmEpilogue.ts"
import type { Registers, Size } from "./GemmTile.ts"
import { advance, loadLanes, multiplyAdd, step, value, zeros } from "./GemmTile.ts"

export const [groupAxis, firstSpatial] = [1, 3]

/** An axis of space, with sizes that code can use. */
export interface SpaceAxis {
  readonly out: Size
  readonly source: Size
  readonly bytes: Size
  readonly pad: Size
  readonly kernel: number
  readonly stride: number
  readonly dilation: number
  readonly views: ReadonlyArray<Size>
}

export interface Context {
  readonly f: FunctionBuilder
  readonly features: Features
  readonly registers: Registers
  readonly epilogue: GemmEpilogue.EpilogueCode
  readonly axes: ReadonlyArray<SpaceAxis>
  readonly last: SpaceAxis
  readonly channelViews: ReadonlyArray<Size>
  readonly memory: Local<"i32"> | undefined
  readonly vectors: number
}

/** Taps of an outer axis that hit the input: their bounds, and the input's place of the first. */
export interface Bounds {
  readonly count: Local<"i32">
  /** Bytes into the weights of one step along the axis. */
  readonly weightBytes: number
  readonly inputBytes: Size
  readonly dilation: number
}

export interface Row {
  /** Points at column 0 of the row of the first tap that hits the input. */
  readonly input: Local<"i32">
  readonly weights: Local<"i32">
  readonly bounds: ReadonlyArray<Bounds>
  readonly views: ReadonlyArray<Local<"i32">>
  readonly indices: ReadonlyMap<number, I32>
}

export const ceilDivide = (f: FunctionBuilder, x: I32, by: number): I32 =>
  by === 1 ? x : i32.div_s(i32.add(x, i32.const(by - 1)), i32.const(by))

export const atLeast = (f: FunctionBuilder, x: I32, low: I32): Local<"i32"> => {
  const local = f.let(x)
  f.if(i32.lt_s(f.get(local), low), () => f.set(local, low))
  return local
}

export const atMost = (f: FunctionBuilder, local: Local<"i32">, high: I32): void =>
  f.if(i32.gt_s(f.get(local), high), () => f.set(local, high))

/** First tap and number of taps of an axis whose input index begin + tap · d lies in the input. */
export const tapBounds = (
  f: FunctionBuilder,
  axis: SpaceAxis,
  begin: Local<"i32">
): { readonly first: Local<"i32">; readonly count: Local<"i32"> } => {
  const first = atLeast(f, ceilDivide(f, i32.sub(i32.const(0), f.get(begin)), axis.dilation), i32.const(0))
  atMost(f, first, i32.const(axis.kernel))
  const end = atLeast(
    f,
    ceilDivide(f, atLeastZero(f, i32.sub(value(f, axis.source), f.get(begin))), axis.dilation),
    f.get(first)
  )
  atMost(f, end, i32.const(axis.kernel))
  atLeastInPlace(f, end, f.get(first))
  return { first, count: f.let(i32.sub(f.get(end), f.get(first))) }
}

const atLeastZero = (f: FunctionBuilder, x: I32): I32 => f.get(atLeast(f, x, i32.const(0)))
const atLeastInPlace = (f: FunctionBuilder, local: Local<"i32">, low: I32): void =>
  f.if(i32.lt_s(f.get(local), low), () => f.set(local, low))

/** Where a tile's pixels begin: at a column that is known, or at one in a local of which only the pointer is of use. */
interface Columns {
  /** Input columns of pixel 0, tap 0, from what the pointer points at. */
  readonly first: number
  /** Columns that exist, from the pointer; undefined: all do. */
  readonly limit: number | undefined
}

const loadVector = (
  f: FunctionBuilder,
  address: I32,
  vector: number,
  lanes: number,
  last: boolean,
  offset: number
): V128 => loadLanes(address, last ? lanes : 4, offset + vector * 16)

/** Whether a row's weights are held beside the sums; they are loaded for each pixel's product otherwise. */
export const staysInRegisters = (taps: number, pixels: number, vectors: number, { wide }: Features): boolean =>
  (taps + 1) * vectors + pixels * vectors <= (wide && vectors % 2 === 0 ? 30 : 15)

/** The taps of one row of the kernel, for all pixels of a tile. */
export const rowOfTaps = (
  context: Context,
  sums: GemmSums,
  input: Local<"i32">,
  weights: Local<"i32">,
  columns: Columns,
  lanes: number
): void => {
  const { f, features, last, registers, vectors: width } = context
  const pixels = sums.length
  const vectors = sums[0]?.length ?? 0
  const base = pixels * vectors
  const exists = (column: number): boolean => columns.limit === undefined || (column >= 0 && column < columns.limit)
  const columnOf = (pixel: number, tap: number): number => columns.first + pixel * last.stride + tap * last.dilation
  const keptTaps = staysInRegisters(last.kernel, pixels, vectors, features)
  const weight = (tap: number, vector: number): V128 => v128.load(f.get(weights), (tap * width + vector) * 16)
  const at = (column: number, vector: number): V128 => {
    const isLast = vector === vectors - 1
    if (typeof last.bytes === "number" && column * last.bytes >= 0)
      return loadVector(f, f.get(input), vector, lanes, isLast, column * last.bytes)
    return loadVector(f, f.get(f.let(step(f, f.get(input), column, last.bytes))), vector, lanes, isLast, 0)
  }
  const add = (pixel: number, vector: number, x: V128, w: V128): void => {
    const sum = sums[pixel]?.[vector]
    if (sum === undefined) throw new RangeError(`the tile has no sum ${pixel}, ${vector}`)
    f.set(sum, multiplyAdd(features, x, w, f.get(sum)))
  }
  const kept = (index: number, made: V128): Local<"v128"> => {
    const local = registers.at(base + index)
    f.set(local, made)
    return local
  }
  if (!keptTaps) {
    for (let tap = 0; tap < last.kernel; tap++)
      for (let vector = 0; vector < vectors; vector++) {
        const w = kept(0, weight(tap, vector))
        for (let pixel = 0; pixel < pixels; pixel++)
          if (exists(columnOf(pixel, tap))) add(pixel, vector, at(columnOf(pixel, tap), vector), f.get(w))
      }
    return
  }
  const ws = Array.from({ length: last.kernel }, (_, tap) =>
    Array.from({ length: vectors }, (__, vector) => kept(tap * vectors + vector, weight(tap, vector)))
  )
  const users = new Map<number, Array<readonly [pixel: number, tap: number]>>()
  for (let pixel = 0; pixel < pixels; pixel++)
    for (let tap = 0; tap < last.kernel; tap++) {
      const column = columnOf(pixel, tap)
      if (!exists(column)) continue
      const list = users.get(column) ?? []
      list.push([pixel, tap])
      users.set(column, list)
    }
  for (const [column, list] of [...users].sort(([x], [y]) => x - y)) {
    const xs = Array.from({ length: vectors }, (_, vector) => kept(last.kernel * vectors + vector, at(column, vector)))
    for (const [pixel, tap] of list)
      xs.forEach((x, vector) => {
        const w = ws[tap]?.[vector]
        if (w !== undefined) add(pixel, vector, f.get(x), f.get(w))
      })
  }
}

type GemmSums = ReadonlyArray<ReadonlyArray<Local<"v128">>>

/** Loops over the taps of the outer axes that hit the input; `inner` is given pointers to input and weights. */
export const outerTaps = (
  f: FunctionBuilder,
  row: Row,
  level: number,
  input: Local<"i32">,
  weights: Local<"i32">,
  inner: (input: Local<"i32">, weights: Local<"i32">) => void
): void => {
  const bounds = row.bounds[level]
  if (bounds === undefined) return inner(input, weights)
  const x = f.let(f.get(input))
  const w = f.let(f.get(weights))
  f.range(0, f.get(bounds.count), 1, () => {
    outerTaps(f, row, level + 1, x, w, inner)
    advance(f, x, bounds.dilation, bounds.inputBytes)
    advance(f, w, 1, bounds.weightBytes)
  })
}

export const finish = (
  context: Context,
  row: Row,
  sums: GemmSums,
  channels: number,
  views: ReadonlyArray<Local<"i32">>,
  pixel: I32
): void => {
  const { axes, channelViews, epilogue, last, memory } = context
  const rowDomain = firstSpatial + axes.length - 1
  epilogue.tile({
    sums,
    width: channels,
    views,
    rowBytes: last.views,
    rowDomain,
    columnBytes: channelViews,
    columnDomain: groupAxis,
    indices: new Map([...row.indices, [rowDomain, pixel]]),
    memory
  })
}

export const clearedSums = (context: Context, pixels: number, vectors: number): GemmSums =>
  Array.from({ length: pixels }, (_, pixel) =>
    Array.from({ length: vectors }, (__, vector) => {
      const local = context.registers.at(pixel * vectors + vector)
      context.f.set(local, zeros)
      return local
    })
  )

/** One tile. `input` points at what `columns` counts from; `pixel` is the index of its first pixel. */
export const tile = (
  context: Context,
  row: Row,
  pixels: number,
  channels: number,
  input: Local<"i32">,
  columns: Columns,
  views: ReadonlyArray<Local<"i32">>,
  pixel: I32
): void => {
  const sums = clearedSums(context, pixels, Math.ceil(channels / 4))
  const lanes = channels % 4 === 0 ? 4 : channels % 4
  outerTaps(context.f, row, 0, input, row.weights, (x, w) => rowOfTaps(context, sums, x, w, columns, lanes))
  finish(context, row, sums, channels, views, pixel)
}
