/**
 * ConvDepthwise: convolutions with a channel to a group, over vectors of neighbouring channels.
 *
 *   out[y, x, c] = epilogue(Σ_{ky, kx} in[y · s + ky · d − pad, x · s + kx · d − pad, c] · w[c, ky, kx])
 *
 * A tile is several pixels of a row by one or more vectors of channels; each input column is loaded once for all taps that
 * use it. Taps that fall on padding are left out: by code where the row's width is known, by bounds of loops elsewhere.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution, Region } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { i32, v128 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { isPlain } from "./ConvGemm.ts"
import { callNanoseconds, epilogueCyclesOf, nanosecondsPerCycle, typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { toFloat32 } from "./GemmPack.ts"
import { byteStride, evenly, viewsOf } from "./GemmProduct.ts"
import { unitLoop } from "./UnitLoop.ts"
import type { Size } from "./GemmTile.ts"
import { advance, loadLanes, multiplyAdd, offsetBy, Registers, step, value, zeros } from "./GemmTile.ts"

const groupAxis = 1
const firstSpatial = 3

interface Shape {
  readonly pixels: number
  readonly vectors: number
}

interface Config extends Shape {
  /** Of the first spatial axis, in a unit. */
  readonly rows: number
  /** Blocks of channels in a unit. */
  readonly blocks: number
}

/** Weights as [block of channels][tap][channel of the block], padded with zeros. */
const packWeights = (region: Convolution, vectors: number): Packed => {
  const width = vectors * 4
  const taps = region.weight.shape.slice(firstSpatial).reduce<number>((count, extent) => count * Number(extent), 1)
  const blocks = Math.ceil(region.groups / width)
  return {
    read: 1,
    layout: `depthwise ${width}`,
    bytes: blocks * taps * width * 4,
    pack: (elements) => {
      const source = toFloat32(elements)
      const target = new Float32Array(blocks * taps * width)
      const channels = Tensor.size(elements.shape) / taps
      for (let channel = 0; channel < channels; channel++)
        for (let tap = 0; tap < taps; tap++)
          target[(Math.floor(channel / width) * taps + tap) * width + (channel % width)] =
            source[channel * taps + tap] ?? 0
      return new Uint8Array(target.buffer)
    }
  }
}

/** An axis of space, with sizes that code can use. */
interface SpaceAxis {
  readonly out: Size
  readonly source: Size
  readonly bytes: Size
  readonly pad: Size
  readonly kernel: number
  readonly stride: number
  readonly dilation: number
  readonly views: ReadonlyArray<Size>
}

interface Context {
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
interface Bounds {
  readonly count: Local<"i32">
  /** Bytes into the weights of one step along the axis. */
  readonly weightBytes: number
  readonly inputBytes: Size
  readonly dilation: number
}

interface Row {
  /** Points at column 0 of the row of the first tap that hits the input. */
  readonly input: Local<"i32">
  readonly weights: Local<"i32">
  readonly bounds: ReadonlyArray<Bounds>
  readonly views: ReadonlyArray<Local<"i32">>
  readonly indices: ReadonlyMap<number, I32>
}

const ceilDivide = (f: FunctionBuilder, x: I32, by: number): I32 =>
  by === 1 ? x : i32.div_s(i32.add(x, i32.const(by - 1)), i32.const(by))

const atLeast = (f: FunctionBuilder, x: I32, low: I32): Local<"i32"> => {
  const local = f.let(x)
  f.if(i32.lt_s(f.get(local), low), () => f.set(local, low))
  return local
}

const atMost = (f: FunctionBuilder, local: Local<"i32">, high: I32): void =>
  f.if(i32.gt_s(f.get(local), high), () => f.set(local, high))

/** First tap and number of taps of an axis whose input index begin + tap · d lies in the input. */
const tapBounds = (
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
const staysInRegisters = (taps: number, pixels: number, vectors: number, { wide }: Features): boolean =>
  (taps + 1) * vectors + pixels * vectors <= (wide && vectors % 2 === 0 ? 30 : 15)

/** The taps of one row of the kernel, for all pixels of a tile. */
const rowOfTaps = (
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
const outerTaps = (
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

const finish = (
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

const clearedSums = (context: Context, pixels: number, vectors: number): GemmSums =>
  Array.from({ length: pixels }, (_, pixel) =>
    Array.from({ length: vectors }, (__, vector) => {
      const local = context.registers.at(pixel * vectors + vector)
      context.f.set(local, zeros)
      return local
    })
  )

/** One tile. `input` points at what `columns` counts from; `pixel` is the index of its first pixel. */
const tile = (
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

/** Runs code for each block of channels, the pointers moved to it. Pixels stay: their neighbours' channels follow. */
type Blocks = (
  input: Local<"i32">,
  row: Row,
  views: ReadonlyArray<Local<"i32">>,
  body: (input: Local<"i32">, row: Row, views: ReadonlyArray<Local<"i32">>, channels: number) => void
) => void

/** A row whose width and padding are known: tiles at the borders leave taps out. */
const knownRow = (
  context: Context,
  blocks: Blocks,
  row: Row,
  out: number,
  source: number,
  pad: number,
  pixels: number
): void => {
  const { f, last } = context
  const reach = (last.kernel - 1) * last.dilation
  const isInside = (begin: number, size: number): boolean =>
    begin * last.stride - pad >= 0 && (begin + size - 1) * last.stride - pad + reach < source
  const sizes = evenly(out, pixels).flatMap(({ count, size }) => new Array<number>(count).fill(size))
  const views = row.views.map((pointer) => f.let(f.get(pointer)))
  let begin = 0
  let at = 0
  while (at < sizes.length) {
    const size = sizes[at] ?? 1
    // Tiles of one size with no tap on padding are rounds of one loop.
    let rounds = 0
    while (sizes[at + rounds] === size && isInside(begin + rounds * size, size)) rounds++
    const first = begin * last.stride - pad
    if (rounds > 1 && typeof last.bytes === "number") {
      const input = f.let(step(f, f.get(row.input), first, last.bytes))
      const index = f.let(i32.const(begin))
      f.range(0, rounds, 1, () => {
        blocks(input, row, views, (x, here, own, channels) =>
          tile(context, here, size, channels, x, { first: 0, limit: undefined }, own, f.get(index))
        )
        advance(f, input, size * last.stride, last.bytes)
        views.forEach((pointer, view) => advance(f, pointer, size, last.views[view] ?? 0))
        f.set(index, i32.add(f.get(index), i32.const(size)))
      })
    } else {
      rounds = 1
      const index = i32.const(begin)
      blocks(row.input, row, views, (x, here, own, channels) =>
        tile(context, here, size, channels, x, { first, limit: source }, own, index)
      )
      views.forEach((pointer, view) => advance(f, pointer, size, last.views[view] ?? 0))
    }
    begin += rounds * size
    at += rounds
  }
}

/** A pixel whose taps may fall on padding: those that do not, in a loop. */
const borderPixel = (
  context: Context,
  row: Row,
  begin: Local<"i32">,
  input: Local<"i32">,
  views: ReadonlyArray<Local<"i32">>,
  channels: number,
  pixel: I32
): void => {
  const { f, last, vectors: width } = context
  const lanes = channels % 4 === 0 ? 4 : channels % 4
  const sums = clearedSums(context, 1, Math.ceil(channels / 4))
  const { count, first } = tapBounds(f, last, begin)
  const start = f.let(i32.add(f.get(begin), i32.mul(f.get(first), i32.const(last.dilation))))
  const x = f.let(offsetBy(f, f.get(input), f.get(start), last.bytes))
  const w = f.let(offsetBy(f, f.get(row.weights), f.get(first), width * 16))
  outerTaps(f, row, 0, x, w, (from, weights) => {
    const [xs, ws] = [f.let(f.get(from)), f.let(f.get(weights))]
    f.range(0, f.get(count), 1, () => {
      rowOfTaps({ ...context, last: { ...last, kernel: 1 } }, sums, xs, ws, { first: 0, limit: undefined }, lanes)
      advance(f, xs, last.dilation, last.bytes)
      advance(f, ws, 1, width * 16)
    })
  })
  finish(context, row, sums, channels, views, pixel)
}

/** A row of any width: pixels at the borders one by one. */
const anyRow = (context: Context, blocks: Blocks, row: Row, pixels: number): void => {
  const { f, last } = context
  const views = row.views.map((pointer) => f.let(f.get(pointer)))
  const index = f.let(i32.const(0))
  const begin = f.let(i32.sub(i32.const(0), value(f, last.pad)))
  const reach = (last.kernel - 1) * last.dilation
  const next = (count: number): void => {
    views.forEach((pointer, view) => advance(f, pointer, count, last.views[view] ?? 0))
    f.set(index, i32.add(f.get(index), i32.const(count)))
    f.set(begin, i32.add(f.get(begin), i32.const(count * last.stride)))
  }
  const border = (until: I32): void =>
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.ge_s(f.get(index), until))
        blocks(row.input, row, views, (x, here, own, channels) =>
          borderPixel(context, here, begin, x, own, channels, f.get(index))
        )
        next(1)
        f.br(again)
      })
    )
  const out = value(f, last.out)
  // Pixels before which a tap falls on the padding, and the first behind which one does.
  const left = atLeast(f, ceilDivide(f, value(f, last.pad), last.stride), i32.const(0))
  atMost(f, left, out)
  const room = f.let(i32.add(i32.sub(value(f, last.source), i32.const(reach + 1)), value(f, last.pad)))
  const right = f.let(i32.const(0))
  f.if(i32.ge_s(f.get(room), i32.const(0)), () =>
    f.set(right, i32.add(i32.div_s(f.get(room), i32.const(last.stride)), i32.const(1)))
  )
  atMost(f, right, out)
  border(f.get(left))
  const inside = (count: number): void =>
    f.block((stop) =>
      f.loop((again) => {
        f.brIf(stop, i32.gt_s(i32.add(f.get(index), i32.const(count)), f.get(right)))
        const input = f.let(offsetBy(f, f.get(row.input), f.get(begin), last.bytes))
        blocks(input, row, views, (x, here, own, channels) =>
          tile(context, here, count, channels, x, { first: 0, limit: undefined }, own, f.get(index))
        )
        next(count)
        f.br(again)
      })
    )
  inside(pixels)
  if (pixels > 1) inside(1)
  border(out)
}

const emitDepthwise = (emission: Emission, name: string, region: Convolution, config: Config, units: Dim.Dim): Func => {
  const { epilogue, groups, input, out, padsBegin, strides, dilations, weight } = region
  const views = viewsOf(epilogue)
  const parameters = 2 + views.length + 4
  const rank = out.length
  const kernel = weight.shape.slice(firstSpatial).map(Number)
  return unitLoop(emission, name, parameters, units, (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
    const axes = out.map((extent, axis): SpaceAxis => ({
      out: size(extent),
      source: size(input.shape[firstSpatial + axis] ?? 1),
      bytes: size(byteStride(input, firstSpatial + axis)),
      pad: size(padsBegin[axis] ?? 0),
      kernel: kernel[axis] ?? 1,
      stride: strides[axis] ?? 1,
      dilation: dilations[axis] ?? 1,
      views: views.map((view) => size(byteStride(view, firstSpatial + axis)))
    }))
    const last = axes.at(-1)
    if (last === undefined) throw new RangeError("a convolution has a spatial axis")
    const batchBytes = { a: size(byteStride(input, 0)), views: views.map((view) => size(byteStride(view, 0))) }
    const channelViews = views.map((view) => size(byteStride(view, groupAxis)))
    const width = config.vectors * 4
    const taps = kernel.reduce((count, extent) => count * extent, 1)
    const memory = GemmEpilogue.needsMemory(epilogue, true) ? parameter(parameters - 3) : undefined
    const context: Context = {
      f,
      features: emission.features,
      registers: new Registers(f),
      epilogue: GemmEpilogue.epilogueCode(f, emission, epilogue),
      axes,
      last,
      channelViews,
      memory,
      vectors: config.vectors
    }
    const allBlocks = Math.ceil(groups / width)
    const chunks = Math.ceil(allBlocks / config.blocks)
    const rowBlocks = rank > 1 ? size(Dim.ceilDiv(out[0] ?? 1, config.rows)) : 1

    /** One row of pixels. */
    const row = (
      source: Local<"i32">,
      weightsBegin: Local<"i32">,
      pointers: ReadonlyArray<Local<"i32">>,
      bounds: ReadonlyArray<Bounds>,
      indices: ReadonlyMap<number, I32>,
      chunk: Local<"i32"> | undefined
    ): void => {
      const blocks: Blocks = (input1, base, views1, body) => {
        const x = f.let(f.get(input1))
        const w = f.let(f.get(weightsBegin))
        const own = views1.map((pointer) => f.let(f.get(pointer)))
        const first = f.let(
          chunk === undefined ? i32.const(0) : i32.mul(f.get(chunk), i32.const(config.blocks * width))
        )
        const here: Row = { ...base, input: x, weights: w, indices: new Map([...indices, [groupAxis, f.get(first)]]) }
        const block = (channels: number): void => body(x, here, own, channels)
        const next = (): void => {
          advance(f, x, 1, width * 4)
          advance(f, w, 1, taps * width * 4)
          own.forEach((pointer, view) => advance(f, pointer, width, channelViews[view] ?? 0))
          f.set(first, i32.add(f.get(first), i32.const(width)))
        }
        const whole = Math.floor(groups / width)
        const rest = groups % width
        if (chunk === undefined) {
          f.range(0, whole, 1, () => {
            block(width)
            if (whole > 1 || rest > 0) next()
          })
          if (rest > 0) block(rest)
          return
        }
        const end = f.let(i32.add(f.get(first), i32.const(config.blocks * width)))
        const stop = f.let(i32.const(whole * width))
        atMost(f, stop, f.get(end))
        f.range(f.get(first), f.get(stop), width, () => {
          block(width)
          next()
        })
        if (rest > 0) f.if(i32.gt_s(f.get(end), i32.const(whole * width)), () => block(rest))
      }
      const base: Row = { input: source, weights: weightsBegin, bounds, views: pointers, indices }
      if (typeof last.out === "number" && typeof last.source === "number" && typeof last.pad === "number")
        knownRow(context, blocks, base, last.out, last.source, last.pad, config.pixels)
      else anyRow(context, blocks, base, config.pixels)
    }

    /** Outer axes of space from `axis` on. */
    const space = (
      axis: number,
      begin: I32,
      end: I32,
      source: Local<"i32">,
      weightsBegin: Local<"i32">,
      pointers: ReadonlyArray<Local<"i32">>,
      bounds: ReadonlyArray<Bounds>,
      indices: ReadonlyMap<number, I32>,
      chunk: Local<"i32"> | undefined
    ): void => {
      const own = axes[axis]
      if (own === undefined || axis === rank - 1) return row(source, weightsBegin, pointers, bounds, indices, chunk)
      const moving = pointers.map((pointer, view) => f.let(offsetBy(f, f.get(pointer), begin, own.views[view] ?? 0)))
      const weightBytes = kernel.slice(axis + 1).reduce((bytes, extent) => bytes * extent, width * 4)
      f.range(begin, end, 1, (index) => {
        const at = f.let(i32.sub(i32.mul(f.get(index), i32.const(own.stride)), value(f, own.pad)))
        const { count, first } = tapBounds(f, own, at)
        const hit = i32.add(f.get(at), i32.mul(f.get(first), i32.const(own.dilation)))
        const x = f.let(offsetBy(f, f.get(source), hit, own.bytes))
        const w = f.let(offsetBy(f, f.get(weightsBegin), f.get(first), weightBytes))
        const inner = axes[axis + 1]
        space(
          axis + 1,
          i32.const(0),
          inner === undefined ? i32.const(1) : value(f, inner.out),
          x,
          w,
          moving,
          [...bounds, { count, weightBytes, inputBytes: own.bytes, dilation: own.dilation }],
          new Map([...indices, [firstSpatial + axis, f.get(index)]]),
          chunk
        )
        moving.forEach((pointer, view) => advance(f, pointer, 1, own.views[view] ?? 0))
      })
    }

    return (unit) => {
      const rest = f.let(f.get(unit))
      const taken = (along: Size): Local<"i32"> | undefined => {
        if (along === 1) return undefined
        const index = f.let(i32.rem_u(f.get(rest), value(f, along)))
        f.set(rest, i32.div_u(f.get(rest), value(f, along)))
        return index
      }
      const chunk = taken(chunks)
      const rowBlock = taken(rowBlocks)
      const source = f.let(offsetBy(f, f.get(parameter(0)), f.get(rest), batchBytes.a))
      const weights = f.let(f.get(parameter(2 + views.length)))
      const pointers = views.map((_, view) =>
        f.let(offsetBy(f, f.get(parameter(2 + view)), f.get(rest), batchBytes.views[view] ?? 0))
      )
      if (chunk !== undefined) {
        const blocks = i32.mul(f.get(chunk), i32.const(config.blocks))
        f.set(source, offsetBy(f, f.get(source), blocks, width * 4))
        f.set(weights, offsetBy(f, f.get(weights), blocks, taps * width * 4))
        pointers.forEach((pointer, view) =>
          f.set(pointer, offsetBy(f, f.get(pointer), i32.mul(blocks, i32.const(width)), channelViews[view] ?? 0))
        )
      }
      const [first] = axes
      const all = first === undefined ? i32.const(1) : value(f, first.out)
      const begin =
        rowBlock === undefined ? i32.const(0) : f.get(f.let(i32.mul(f.get(rowBlock), i32.const(config.rows))))
      const end = f.let(rowBlock === undefined ? all : i32.add(begin, i32.const(config.rows)))
      atMost(f, end, all)
      space(0, begin, f.get(end), source, weights, pointers, [], new Map([[0, f.get(rest)]]), chunk)
    }
  })
}

const plainShapes: ReadonlyArray<Shape> = [
  { pixels: 8, vectors: 1 },
  { pixels: 6, vectors: 1 },
  { pixels: 10, vectors: 1 },
  { pixels: 3, vectors: 2 },
  { pixels: 4, vectors: 1 },
  { pixels: 2, vectors: 2 }
]
const wideShapes: ReadonlyArray<Shape> = [
  { pixels: 7, vectors: 2 },
  { pixels: 5, vectors: 2 },
  { pixels: 4, vectors: 2 },
  { pixels: 3, vectors: 4 }
]

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (!isPlain(region) || region.transposed) return []
  const { groups, input, out, weight } = region
  if (weight.shape[1] !== 1 || weight.shape[2] !== 1 || input.strides[groupAxis] !== 1) return []
  if (groups < 2 || typeof out.length !== "number") return []
  const sizes = out.map((extent) => typicalSize(extent, typical))
  const batch = typicalSize(region.batch, typical)
  const kernel = weight.shape.slice(firstSpatial).map(Number)
  const outerTapCount = kernel.slice(0, -1).reduce((count, extent) => count * extent, 1)
  const taps = kernel.at(-1) ?? 1
  const width = sizes.at(-1) ?? 1
  const lines = batch * sizes.slice(0, -1).reduce((count, extent) => count * extent, 1)
  const stride = region.strides.at(-1) ?? 1
  return [...(features.wide ? wideShapes : []), ...plainShapes]
    .filter(({ vectors }) => vectors === 1 || groups >= vectors * 4)
    .map(({ pixels, vectors }): Kernel => {
      const blocks = Math.ceil(groups / (vectors * 4))
      const pairs = features.wide && vectors % 2 === 0 ? vectors / 2 : vectors
      const perRow = evenly(width, pixels).reduce((cycles, { count, size }) => {
        const columns = (size - 1) * stride + taps
        const loads = staysInRegisters(taps, size, vectors, features) ? columns + taps : taps * (size + 1)
        const arithmetic = (size * taps * pairs) / (features.relaxed ? 2 : 1.6)
        const one = Math.max(arithmetic, (loads * pairs) / 2, 4 * taps)
        return (
          cycles +
          count * (outerTapCount * (one + 3) + 8 + size * vectors * epilogueCyclesOf(region.epilogue, groupAxis))
        )
      }, 0)
      const cycles = lines * (blocks * (perRow + 6) + 20)
      // Work of 50 microseconds or more in a unit.
      const wanted = Math.max(1, Math.min(16, Math.floor((cycles * nanosecondsPerCycle) / 40_000)))
      const isLine = out.length === 1
      const first = sizes[0] ?? 1
      const rowBlocks = isLine ? 1 : Math.max(1, Math.min(first, Math.ceil(wanted / batch)))
      const rows = isLine ? 1 : Math.ceil(first / rowBlocks)
      const chunks = isLine ? Math.max(1, Math.min(blocks, Math.ceil(wanted / batch))) : 1
      const config: Config = { pixels, vectors, rows, blocks: Math.ceil(blocks / chunks) }
      const rowUnits = isLine ? 1 : Dim.ceilDiv(out[0] ?? 1, rows)
      const units = Dim.product([region.batch, rowUnits, Math.ceil(blocks / config.blocks)])
      return {
        name: "conv-depthwise",
        config: { pixels, vectors, rows, blocks: config.blocks },
        cost: callNanoseconds + cycles * nanosecondsPerCycle,
        packed: [packWeights(region, vectors)],
        scratch: GemmEpilogue.needsMemory(region.epilogue, true) ? pixels * vectors * 16 : 0,
        units,
        emit: (emission, name) => emitDepthwise(emission, name, region, config, units)
      }
    })
    .sort((x, y) => x.cost - y.cost)
    .slice(0, 4)
}
