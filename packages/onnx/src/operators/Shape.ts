// Operators that ask for or make shapes: Shape, Size, ConstantOfShape, Range, Constant, Identity, EyeLike.
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import * as Constants from "@anneal/ir/Constant"
import * as Content from "../Content.ts"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator, Result } from "../Operator.ts"

export const shape: Operator = {
  name: "Shape",
  since: [1, 15],
  translate: (c) => {
    const dims = c.type(0).shape
    const clamp = (end: number): number => Math.min(dims.length, Math.max(0, end < 0 ? end + dims.length : end))
    const [start, end] = [clamp(c.attribute.int("start", 0)), clamp(c.attribute.int("end", dims.length))]
    return c.known(Content.vector(dims.slice(start, Math.max(start, end))))
  }
}

export const size: Operator = {
  name: "Size",
  since: [1],
  translate: (c) => c.known(Content.scalar(Dim.product(c.type(0).shape)))
}

export const identity: Operator = { name: "Identity", since: [1], translate: (c) => c.any(0) ?? c.operand(0) }

export const constant: Operator = {
  name: "Constant",
  since: [1, 12],
  translate: (c) => {
    const { attribute } = c
    const tensor = attribute.tensor("value")
    if (tensor !== undefined) return c.tensor(tensor)
    const floats = attribute.has("value_float") ? [attribute.float("value_float")] : attribute.floats("value_floats")
    const ints = attribute.has("value_int") ? [attribute.int("value_int")] : attribute.ints("value_ints")
    const values = floats ?? ints
    if (values === undefined)
      return c.unsupported(
        "a constant that is no dense tensor of numbers",
        "Strings and sparse constants have no IR type."
      )
    const dims = attribute.has("value_float") || attribute.has("value_int") ? [] : [values.length]
    const made = Numbers.fromNumbers(floats === undefined ? "i64" : "f32", dims, values)
    const content = Content.fromTensor(made)
    return content === undefined ? c.e.b.tensor(made) : c.known(content)
  }
}

export const constantOfShape: Operator = {
  name: "ConstantOfShape",
  since: [9],
  translate: (c) => {
    const proto = c.attribute.tensor("value")
    const given = proto === undefined ? undefined : c.tensor(proto)
    const fill =
      given?.constant === undefined ? Numbers.scalar("f32", 0) : Tensors.reshaped(Constants.load(given.constant), [])
    const dims = c.dims(0)
    const content = Content.fromTensor(fill)
    const extents = dims.filter(Dim.isStatic)
    const known = content === undefined || extents.length < dims.length ? undefined : Content.expand(content, extents)
    if (known !== undefined) return c.known(known)
    return c.e.expand(c.e.b.tensor(fill), dims)
  }
}

/** start, start + delta, … up to limit. Its size is ⌈(limit − start) / delta⌉. */
export const range: Operator = {
  name: "Range",
  since: [11],
  translate: (c) => knownRange(c) ?? computedRange(c)
}

const knownRange = (c: Context): Result | undefined => {
  const { e } = c
  const { dtype } = c.type(0)
  const [start, limit, delta] = [0, 1, 2].map((index) => c.content(index)?.elements[0])
  if (start === undefined || limit === undefined || typeof delta !== "number" || delta === 0) return undefined
  if (typeof start === "number" && typeof limit === "number") {
    const count = Math.max(0, Math.ceil((limit - start) / delta))
    const elements = count > Content.maxSize ? [] : Array.from({ length: count }, (_, i) => start + i * delta)
    const known = count > Content.maxSize ? undefined : Content.make(dtype, [count], elements)
    if (known !== undefined && DTypes.isInteger(dtype)) return c.known(known)
    return filled(c, count)
  }
  if (!Number.isInteger(delta)) return undefined
  const ends = Content.dims({ dtype, shape: [2], elements: [start, limit] })
  const [from, to] = ends ?? []
  if (from === undefined || to === undefined) return undefined
  const room = delta > 0 ? Dim.sub(to, from) : Dim.sub(from, to)
  const count = Dim.ceilDiv(room, Math.abs(delta))
  const size = Dim.isNonNegative(count) === true ? count : Dim.max(count, 0)
  const base = e.mul(e.iota(size, dtype), e.scalar(dtype, delta))
  return from === 0 ? (delta === 1 ? e.iota(size, dtype) : base) : e.add(base, e.size(from, dtype))
}

const filled = (c: Context, count: Dim.Dim): Value => {
  const { e } = c
  const { dtype } = c.type(0)
  const [start, delta] = [e.reshape(c.input(0), []), e.reshape(c.input(2), [])]
  // Narrow floats count in f32: their own grid has too few integers.
  const wide = DTypes.isNarrowFloat(dtype) ? "f32" : dtype
  const steps = e.mul(e.iota(count, wide), e.cast(delta, wide))
  return e.cast(e.add(e.cast(start, wide), steps), dtype)
}

const computedRange = (c: Context): Result => {
  const { e } = c
  const { dtype } = c.type(0)
  const wide = DTypes.isFloat(dtype) ? "f64" : "f64"
  const [start, limit, delta] = [0, 1, 2].map((index) => e.cast(e.reshape(c.input(index), []), wide))
  if (start === undefined || limit === undefined || delta === undefined) return c.fail("takes three scalars")
  const count = e.max(e.unary(Ops.ceil, e.div(e.sub(limit, start), delta)), e.scalar(wide, 0))
  const [size] = c.read(e.cast(count, "i64"))
  return filled(c, size ?? 0)
}

export const eyeLike: Operator = {
  name: "EyeLike",
  since: [9],
  translate: (c) => {
    const { e } = c
    const { dtype, shape: dims } = c.type(0)
    const [rows, columns] = dims
    if (rows === undefined || columns === undefined || dims.length !== 2) return c.fail("takes a matrix")
    const code = c.attribute.int("dtype", 0)
    const to =
      code === 0 ? dtype : (ElementType.fromCode(code) ?? c.unsupported(`a result of ${ElementType.nameOf(code)}`))
    const row = e.reshape(e.add(e.iota(rows, "i64"), e.scalar("i64", c.attribute.int("k", 0))), [rows, 1])
    return e.cast(e.binary(Ops.equal, e.iota(columns, "i64"), row), to)
  }
}

export const all: ReadonlyArray<Operator> = [shape, size, identity, constant, constantOfShape, range, eyeLike]
