// Col2Im and DeformConv: columns of windows back to an image, and a convolution whose windows move by given offsets.
//
// Col2Im(columns) ⇒ convTranspose with one-hot weights;  DeformConv(x, w, offset) ⇒ matmul(w, gridSample(x, positions))
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import { padded } from "./Concat.ts"
import * as Window from "./Window.ts"

const size = (extents: ReadonlyArray<number>): number => extents.reduce((product, extent) => product * extent, 1)

/** Columns are `[batch, channels · block, windows]`; overlapping windows add up. */
export const col2Im: Operator = {
  name: "Col2Im",
  since: [18],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const image = c.dims(1)
    const block = c.integers(2) ?? c.fail("the block's shape is missing")
    const ones = block.map(() => 1)
    const strides = c.attribute.ints("strides") ?? ones
    const dilations = c.attribute.ints("dilations") ?? ones
    const pads = c.attribute.ints("pads") ?? [...ones, ...ones].map(() => 0)
    const [batch = 1, rows = 1] = x.type.shape
    const channels = Dim.floorDiv(rows, size(block))
    const spans = block.map((extent, axis) => (extent - 1) * (dilations[axis] ?? 1) + 1)
    const counts = image.map((extent, axis) => {
      const room = Dim.sum([extent, pads[axis] ?? 0, pads[axis + block.length] ?? 0, -(spans[axis] ?? 1)])
      return Dim.add(Dim.floorDiv(room, strides[axis] ?? 1), 1)
    })
    // Element j of a window adds to position j of its block.
    const taps = size(block)
    const identity = Float64Array.from({ length: taps * taps }, (_, i) => (i % (taps + 1) === 0 ? 1 : 0))
    const weights = e.b.tensor(Numbers.fromNumbers(x.type.dtype, [taps, 1, ...block], identity))
    const columns = e.reshape(x, [Dim.mul(batch, channels), taps, ...counts])
    const full = e.b.one(Ops.convTranspose, [columns, weights], {
      strides,
      padsBegin: ones.map(() => 0),
      padsEnd: ones.map(() => 0),
      dilations,
      groups: 1,
      outputPadding: ones.map(() => 0)
    })
    const before = ones.map((_, axis) => -(pads[axis] ?? 0))
    const after = image.map((extent, axis) => Dim.sub(Dim.add(extent, pads[axis] ?? 0), full.type.shape[axis + 2] ?? 0))
    return e.reshape(padded(c, full, [0, 0, ...before], [0, 0, ...after], "constant"), [batch, channels, ...image])
  }
}

/** Where each tap of each window looks on an axis, less the offset: `[taps, 1 … extent … 1]`. */
const anchors = (c: Context, w: Window.Window, out: ReadonlyArray<Dim.Dim>, axis: number, like: Value): Value => {
  const { e } = c
  const dtype = like.type.dtype
  const inner = size(w.kernel.slice(axis + 1))
  const taps = size(w.kernel)
  const ofTap = Float64Array.from(
    { length: taps },
    (_, tap) => (Math.floor(tap / inner) % (w.kernel[axis] ?? 1)) * (w.dilations[axis] ?? 1)
  )
  const tap = e.b.tensor(Numbers.fromNumbers(dtype, [taps, ...out.map(() => 1)], ofTap))
  const start = e.mul(e.iota(out[axis] ?? 1, dtype), e.scalar(dtype, w.strides[axis] ?? 1))
  const shifted = e.sub(start, e.size(w.padsBegin[axis] ?? 0, dtype))
  return e.add(tap, e.along(shifted, out.length, axis))
}

export const deformConv: Operator = {
  name: "DeformConv",
  since: [19, 22],
  translate: (c) => {
    const { e } = c
    const [x, w, offset] = [c.input(0), c.input(1), c.input(2)]
    const [batch = 1, channels = 1, ...spatial] = x.type.shape
    const axes = spatial.length
    const window = Window.of(c, spatial, w.type.shape.slice(2))
    const taps = size(window.kernel)
    const groups = c.attribute.int("group", 1)
    const parts = c.attribute.int("offset_group", 1)
    const out = offset.type.shape.slice(2)
    const [features = 1, fan = 1] = w.type.shape
    const offsets = e.reshape(offset, [Dim.mul(batch, parts), taps, axes, ...out])
    // gridSample takes positions from −1 to 1, the last axis first.
    const [first = 1, ...rest] = out
    const positions = spatial.map((extent, axis) => {
      const moved = e.reshape(e.part(offsets, 2, axis, 1), [Dim.mul(batch, parts), taps, ...out])
      const at = e.add(moved, anchors(c, window, out, axis, offset))
      const doubled = e.add(e.mul(at, e.number(at, 2)), e.number(at, 1))
      const unit = e.sub(e.div(doubled, e.size(extent, at.type.dtype)), e.number(at, 1))
      return e.reshape(unit, [Dim.mul(batch, parts), Dim.mul(taps, first), ...rest, 1])
    })
    const grid = e.concat([...positions].reverse(), axes + 1)
    const own = Dim.floorDiv(channels, parts)
    const sampled = e.b.one(Ops.gridSample, [e.reshape(x, [Dim.mul(batch, parts), own, ...spatial]), grid], {
      mode: "linear",
      padding: "zeros",
      alignCorners: false
    })
    const area = Dim.product(out)
    let columns = e.reshape(sampled, [batch, parts, own, taps, area])
    const mask = c.optional(4)
    if (mask !== undefined) columns = e.mul(columns, e.reshape(mask, [batch, parts, 1, taps, area]))
    const depth = Dim.mul(fan, taps)
    const weights = e.reshape(w, [1, groups, Dim.floorDiv(features, groups), depth])
    const product = e.matmul(weights, e.reshape(columns, [batch, groups, depth, area]))
    const result = e.reshape(product, [batch, features, ...out])
    const bias = c.optional(3)
    return bias === undefined ? result : e.add(result, e.along(bias, axes + 2, 1))
  }
}

export const all: ReadonlyArray<Operator> = [col2Im, deformConv]
