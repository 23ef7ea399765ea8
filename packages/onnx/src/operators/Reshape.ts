// Operators that only change the shape: Reshape, Flatten, Squeeze, Unsqueeze, Expand, Transpose.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { Context, Operator, Result } from "../Operator.ts"

/** The operand under another shape: known content stays known. */
export const reshaped = (c: Context, shape: ReadonlyArray<Dim.Dim>): Result => {
  const operand = c.operand(0)
  const extents = shape.filter(Dim.isStatic)
  const known =
    operand.content === undefined || extents.length < shape.length
      ? undefined
      : Content.reshape(operand.content, extents)
  if (known !== undefined && Content.dims(known) !== undefined) return c.known(known)
  return c.e.reshape(operand.value(), shape)
}

/** 0 copies the operand's extent (unless `allowzero`), −1 takes what is left. */
export const reshape: Operator = {
  name: "Reshape",
  since: [1, 5, 14],
  translate: (c) => {
    const wanted = c.opset < 5 ? (c.attribute.ints("shape") ?? c.fail('the attribute "shape" is missing')) : target(c)
    const from = c.type(0).shape
    const copies = !c.attribute.flag("allowzero", false)
    const copied = wanted.map((dim, axis) =>
      dim === 0 && copies ? (from[axis] ?? c.fail(`no axis ${axis} to copy`)) : dim
    )
    if (copied.filter((dim) => dim === -1).length > 1) return c.fail("more than one extent is -1")
    const rest = Dim.product(copied.filter((dim) => dim !== -1))
    const total = Dim.product(from)
    return reshaped(
      c,
      copied.map((dim) => (dim !== -1 ? dim : rest === 0 ? 0 : Dim.floorDiv(total, rest)))
    )
  }
}

const target = (c: Context): ReadonlyArray<Dim.Dim> => (c.content(1) === undefined ? computed(c) : c.dims(1))

/** A shape that only the data knows: 0 and −1 are resolved by arithmetic before it is read. */
const computed = (c: Context): ReadonlyArray<Dim.Dim> => {
  const { e } = c
  const from = c.type(0).shape
  const [rank] = c.type(1).shape
  if (rank === undefined || !Dim.isStatic(rank)) return c.unsupported("a result whose rank is not known before it runs")
  let wanted: Value = e.cast(c.input(1), "i64")
  if (!c.attribute.flag("allowzero", false)) {
    const own = Array.from({ length: rank }, (_, axis) => from[axis] ?? 0)
    const copied = c.known(Content.vector(own)).value()
    wanted = e.select(e.binary(Ops.equal, wanted, e.scalar("i64", 0)), copied, wanted)
  }
  const isRest = e.binary(Ops.less, wanted, e.scalar("i64", 0))
  const rest = e.reduce(Ops.reduceProd, e.select(isRest, e.scalar("i64", 1), wanted), [0], false)
  const total = e.size(Dim.product(from), "i64")
  const divisor = e.max(rest, e.scalar("i64", 1))
  return c.read(e.select(isRest, e.div(total, divisor), wanted))
}

export const flatten: Operator = {
  name: "Flatten",
  since: [1, 11],
  translate: (c) => {
    const { shape } = c.type(0)
    const given = c.attribute.int("axis", 1)
    const axis = given < 0 ? given + shape.length : given
    if (axis < 0 || axis > shape.length) return c.fail(`axis ${given} is outside a rank of ${shape.length}`)
    return reshaped(c, [Dim.product(shape.slice(0, axis)), Dim.product(shape.slice(axis))])
  }
}

/** Axes from an attribute before opset 13, an input since. */
const axes = (c: Context): ReadonlyArray<number> | undefined =>
  c.opset < 13 ? c.attribute.ints("axes") : c.integers(1)

export const squeeze: Operator = {
  name: "Squeeze",
  since: [1, 13],
  translate: (c) => {
    const { shape } = c.type(0)
    const given = axes(c)?.map((axis) => c.axis(axis, shape.length))
    const symbolic = shape.find((dim) => !Dim.isStatic(dim))
    if (given === undefined && symbolic !== undefined)
      return c.unsupported(
        `squeezing every axis of extent 1 while ${Dim.format(symbolic)} is not known`,
        "Give the axes, or pin the size with --shapes."
      )
    const dropped = given ?? shape.flatMap((dim, axis) => (dim === 1 ? [axis] : []))
    for (const axis of dropped)
      if (Dim.equal(shape[axis] ?? 0, 1) === false)
        return c.fail(`axis ${axis} has extent ${Dim.format(shape[axis] ?? 0)}, not 1`)
    return reshaped(
      c,
      shape.filter((_, axis) => !dropped.includes(axis))
    )
  }
}

export const unsqueeze: Operator = {
  name: "Unsqueeze",
  since: [1, 13],
  translate: (c) => {
    const { shape } = c.type(0)
    const given = axes(c) ?? c.fail("the axes are missing")
    const rank = shape.length + given.length
    const added = new Set(given.map((axis) => c.axis(axis, rank)))
    const rest = [...shape]
    return reshaped(
      c,
      Array.from({ length: rank }, (_, axis): Dim.Dim => (added.has(axis) ? 1 : (rest.shift() ?? 1)))
    )
  }
}

/** Broadcast both ways: an extent of 1 in the wanted shape keeps the operand's. */
export const expand: Operator = {
  name: "Expand",
  since: [8],
  translate: (c) => {
    const operand = c.operand(0)
    const from = operand.type.shape
    const wanted = c.dims(1)
    const rank = Math.max(from.length, wanted.length)
    const shape = Array.from({ length: rank }, (_, axis): Dim.Dim => {
      const own = from[axis - rank + from.length] ?? 1
      const other = wanted[axis - rank + wanted.length] ?? 1
      // Two different sizes can only be meant to be equal; a number of 2 or more says which.
      return other === 1 || (typeof own === "number" && own !== 1 && typeof other !== "number") ? own : other
    })
    const extents = shape.filter(Dim.isStatic)
    const known =
      operand.content === undefined || extents.length < rank ? undefined : Content.expand(operand.content, extents)
    return known === undefined ? c.e.expand(operand.value(), shape) : c.known(known)
  }
}

export const transpose: Operator = {
  name: "Transpose",
  since: [1],
  translate: (c) => {
    const operand = c.operand(0)
    const rank = operand.type.shape.length
    const permutation = c.attribute.ints("perm") ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis)
    const known = operand.content === undefined ? undefined : Content.transpose(operand.content, permutation)
    return known === undefined ? c.e.transpose(operand.value(), permutation) : c.known(known)
  }
}

export const all: ReadonlyArray<Operator> = [reshape, flatten, squeeze, unsqueeze, expand, transpose]
