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
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import type { Blocks } from "./ConvDepthwiseRow.ts"
import { anyRow, knownRow } from "./ConvDepthwiseRow.ts"
import type { Bounds, Context, Row, SpaceAxis } from "./ConvDepthwiseTile.ts"
import { atMost, firstSpatial, groupAxis, staysInRegisters, tapBounds } from "./ConvDepthwiseTile.ts"
import { isPlain } from "./ConvGemm.ts"
import { callNanoseconds, epilogueCyclesOf, nanosecondsPerCycle, typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { toFloat32 } from "./GemmPack.ts"
import { byteStride, evenly, viewsOf } from "./GemmProduct.ts"
import { unitLoop } from "./UnitLoop.ts"
import { unitSize, wantedUnits } from "./UnitSize.ts"
import type { Size } from "./GemmTile.ts"
import { advance, offsetBy, Registers, value } from "./GemmTile.ts"

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
      const wanted = Math.ceil(wantedUnits(cycles * nanosecondsPerCycle) / batch)
      const isLine = out.length === 1
      const first = sizes[0] ?? 1
      const rows = isLine ? 1 : unitSize(first, Math.min(first, wanted))
      const chunk = isLine ? unitSize(blocks, Math.min(blocks, wanted)) : blocks
      const config: Config = { pixels, vectors, rows, blocks: chunk }
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
