// Operators that join, cut and repeat: Concat, Split, Tile, Pad, Trilu, DepthToSpace, SpaceToDepth, ReverseSequence,
// CenterCropPad.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { TensorOperand } from "../Operand.ts"
import type { Context, Operator, Result } from "../Operator.ts"

export const concat: Operator = {
  name: "Concat",
  since: [1, 4, 11],
  translate: (c) => {
    const parts = Array.from({ length: c.count }, (_, index) => c.operand(index))
    const [first] = parts
    if (first === undefined) return c.fail("takes at least one input")
    const axis = c.axis(c.attribute.int("axis", c.opset < 4 ? 1 : undefined), first.type.shape.length)
    return joined(c, parts, axis)
  }
}

/** Parts along an axis; known when all are. */
export const joined = (c: Context, parts: ReadonlyArray<TensorOperand>, axis: number): Result => {
  const contents = parts.flatMap(({ content }) => (content === undefined ? [] : [content]))
  const known = contents.length < parts.length ? undefined : Content.concat(contents, axis)
  if (known !== undefined) return c.known(known)
  return c.e.concat(
    parts.map((part) => part.value()),
    axis
  )
}

/** Sizes of the parts of an axis of `extent`: given ones, else equal ones, the last the smallest. */
export const partSizes = (
  c: Context,
  extent: Dim.Dim,
  given: ReadonlyArray<Dim.Dim> | undefined,
  count: number
): ReadonlyArray<Dim.Dim> => {
  if (given !== undefined) return given
  const size = Dim.ceilDiv(extent, count)
  return Array.from({ length: count }, (_, i) => (i < count - 1 ? size : Dim.sub(extent, Dim.mul(size, count - 1))))
}

/** The sizes are an attribute before opset 13, an input since; `num_outputs` cuts equally. */
export const split: Operator = {
  name: "Split",
  since: [1, 2, 13, 18],
  translate: (c) => {
    const operand = c.operand(0)
    const { shape } = operand.type
    const axis = c.axis(c.attribute.int("axis", 0), shape.length)
    const given = c.opset < 13 ? c.attribute.ints("split") : c.has(1) ? c.dims(1) : undefined
    const sizes = partSizes(c, shape[axis] ?? 0, given, c.attribute.int("num_outputs", c.outputs))
    let start: Dim.Dim = 0
    return sizes.map((size) => {
      const from = start
      start = Dim.add(start, size)
      if (operand.content !== undefined && Dim.isStatic(size) && Dim.isStatic(from)) {
        const known = Content.slice(
          operand.content,
          shape.map((_, i) => (i === axis ? from : 0)),
          shape.map((dim, i) => (i === axis ? size : Number(dim))),
          shape.map(() => 1)
        )
        if (known !== undefined) return c.known(known)
      }
      return c.e.part(operand.value(), axis, from, size)
    })
  }
}

export const tile: Operator = {
  name: "Tile",
  since: [6],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const repeats = c.dims(1)
    const { shape } = x.type
    if (repeats.length !== shape.length) return c.fail(`${repeats.length} repeats for ${shape.length} axes`)
    const apart = e.reshape(
      x,
      shape.flatMap((dim): ReadonlyArray<Dim.Dim> => [1, dim])
    )
    const repeated = e.expand(
      apart,
      shape.flatMap((dim, axis) => [repeats[axis] ?? 1, dim])
    )
    return e.reshape(
      repeated,
      shape.map((dim, axis) => Dim.mul(dim, repeats[axis] ?? 1))
    )
  }
}

const modes = { constant: "constant", reflect: "reflect", edge: "edge", wrap: "wrap" } as const

/** Amounts as inputs since opset 11; negative ones cut. */
export const pad: Operator = {
  name: "Pad",
  since: [1, 2, 11, 18],
  translate: (c) => {
    const x = c.input(0)
    const rank = x.type.shape.length
    const given = c.attribute.string("mode", "constant")
    const mode = Object.values(modes).find((name) => name === given) ?? c.fail(`mode "${given}" is not known`)
    const amounts =
      c.opset < 11
        ? (c.attribute.ints("pads") ?? c.attribute.ints("paddings") ?? c.fail("the pads are missing"))
        : c.dims(1)
    const axes = (c.opset < 18 ? undefined : c.integers(3)?.map((axis) => c.axis(axis, rank))) ?? allAxes(rank)
    if (amounts.length !== 2 * axes.length) return c.fail(`${amounts.length} pads for ${axes.length} axes`)
    const before = allAxes(rank).map((axis) => amounts[axes.indexOf(axis)] ?? 0)
    const after = allAxes(rank).map((axis) =>
      axes.includes(axis) ? (amounts[axes.indexOf(axis) + axes.length] ?? 0) : 0
    )
    const value =
      mode !== "constant"
        ? undefined
        : c.opset < 11
          ? c.e.number(x, c.attribute.float("value", 0))
          : c.has(2)
            ? c.e.reshape(c.input(2), [])
            : undefined
    return padded(c, x, before, after, mode, value)
  }
}

const allAxes = (rank: number): ReadonlyArray<number> => Array.from({ length: rank }, (_, axis) => axis)

/** Padding with any signs: negative amounts become slices. */
export const padded = (
  c: Context,
  x: Value,
  before: ReadonlyArray<Dim.Dim>,
  after: ReadonlyArray<Dim.Dim>,
  mode: keyof typeof modes,
  value?: Value
): Value => {
  const negative = (dims: ReadonlyArray<Dim.Dim>): ReadonlyArray<Dim.Dim> => dims.map((dim) => Dim.max(0, Dim.neg(dim)))
  const positive = (dims: ReadonlyArray<Dim.Dim>): ReadonlyArray<Dim.Dim> => dims.map((dim) => Dim.max(0, dim))
  const [cutBefore, cutAfter, more, rest] = [negative(before), negative(after), positive(before), positive(after)]
  const less = x.type.shape.map((dim, axis) => Dim.sub(dim, Dim.add(cutBefore[axis] ?? 0, cutAfter[axis] ?? 0)))
  const isKept = [...cutBefore, ...cutAfter].every((dim) => dim === 0)
  const inner = isKept ? x : c.e.slice(x, cutBefore, less)
  if ([...more, ...rest].every((dim) => dim === 0)) return inner
  const whole = c.e.b.one(Ops.pad, [inner, value], { before: more, after: rest, mode })
  // max(0, n) - max(0, -n) is n, which dims do not know.
  return isKept
    ? whole
    : c.e.reshape(
        whole,
        x.type.shape.map((dim, axis) => Dim.sum([dim, before[axis] ?? 0, after[axis] ?? 0]))
      )
}

/** The upper or lower triangle of the last two axes, the other elements 0. */
export const trilu: Operator = {
  name: "Trilu",
  since: [14],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const [rows, columns] = x.type.shape.slice(-2)
    if (rows === undefined || columns === undefined) return c.fail("takes matrices")
    const shift = c.has(1) ? e.cast(e.reshape(c.input(1), []), "i64") : e.scalar("i64", 0)
    const diagonal = e.add(e.reshape(e.iota(rows, "i64"), [rows, 1]), shift)
    const keep = e.binary(
      c.attribute.flag("upper", true) ? Ops.greaterOrEqual : Ops.lessOrEqual,
      e.iota(columns, "i64"),
      diagonal
    )
    return e.select(keep, x, e.number(x, 0))
  }
}

export const depthToSpace: Operator = {
  name: "DepthToSpace",
  since: [1, 11],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const size = c.attribute.int("blocksize")
    const [n = 1, depth = 1, h = 1, w = 1] = x.type.shape
    const out = Dim.floorDiv(depth, size * size)
    const isColumnFirst = c.attribute.string("mode", "DCR") === "CRD"
    const apart = e.reshape(x, isColumnFirst ? [n, out, size, size, h, w] : [n, size, size, out, h, w])
    const moved = e.transpose(apart, isColumnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2])
    return e.reshape(moved, [n, out, Dim.mul(h, size), Dim.mul(w, size)])
  }
}

export const spaceToDepth: Operator = {
  name: "SpaceToDepth",
  since: [1, 13],
  translate: (c) => {
    const { e } = c
    const size = c.attribute.int("blocksize")
    const [n = 1, depth = 1, h = 1, w = 1] = c.type(0).shape
    const [rows, columns] = [Dim.floorDiv(h, size), Dim.floorDiv(w, size)]
    const apart = e.reshape(c.input(0), [n, depth, rows, size, columns, size])
    return e.reshape(e.transpose(apart, [0, 3, 5, 1, 2, 4]), [n, Dim.mul(depth, size * size), rows, columns])
  }
}

/** The first `lengths[b]` steps of each batch in opposite order, the rest as they are. */
export const reverseSequence: Operator = {
  name: "ReverseSequence",
  since: [10],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const { shape } = x.type
    const [time, batch] = [c.attribute.int("time_axis", 0), c.attribute.int("batch_axis", 1)]
    const steps = e.along(e.iota(shape[time] ?? 1, "i64"), shape.length, time)
    const lengths = e.along(e.cast(c.input(1), "i64"), shape.length, batch)
    const mirrored = e.sub(e.sub(lengths, e.scalar("i64", 1)), steps)
    const at = e.select(e.binary(Ops.less, steps, lengths), mirrored, steps)
    return e.b.one(Ops.gatherElements, [x, e.expand(at, shape)], { axis: time })
  }
}

/** Each of the axes cropped or padded with zeros around its centre. */
export const centerCropPad: Operator = {
  name: "CenterCropPad",
  since: [18],
  translate: (c) => {
    const x = c.input(0)
    const { shape } = x.type
    const wanted = c.dims(1)
    const axes = (c.attribute.ints("axes") ?? allAxes(shape.length)).map((axis) => c.axis(axis, shape.length))
    const change = shape.map((dim, axis) =>
      Dim.sub(axes.includes(axis) ? (wanted[axes.indexOf(axis)] ?? dim) : dim, dim)
    )
    // Half of what is padded, or of what is cropped, rounded down.
    const half = (amount: Dim.Dim): Dim.Dim => Dim.floorDiv(Dim.max(0, amount), 2)
    const before = change.map((amount) => Dim.sub(half(amount), half(Dim.neg(amount))))
    const after = change.map((amount, axis) => Dim.sub(amount, before[axis] ?? 0))
    return padded(c, x, before, after, "constant")
  }
}

export const all: ReadonlyArray<Operator> = [
  concat,
  split,
  tile,
  pad,
  trilu,
  depthToSpace,
  spaceToDepth,
  reverseSequence,
  centerCropPad
]
