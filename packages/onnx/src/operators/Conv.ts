// Conv, ConvTranspose, and the integer convolutions, whose arithmetic is exact in i32.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import * as Window from "./Window.ts"

export const convolution = (c: Context, x: Value, w: Value, bias?: Value): Value => {
  const { dilations, padsBegin, padsEnd, strides } = Window.of(c, x.type.shape.slice(2), w.type.shape.slice(2))
  const groups = c.attribute.int("group", 1)
  return c.e.b.one(Ops.conv, [x, w, bias], { strides, padsBegin, padsEnd, dilations, groups })
}

export const conv: Operator = {
  name: "Conv",
  since: [1, 11],
  translate: (c) => convolution(c, c.input(0), c.input(1), c.optional(2))
}

/** x − zero point in i32. */
const centred = (c: Context, index: number, zero: number, axis: number): Value => {
  const x = c.e.cast(c.input(index), "i32")
  const given = c.optional(zero)
  if (given === undefined) return x
  const point = c.e.cast(given, "i32")
  const isVector = point.type.shape.length === 1 && point.type.shape[0] !== 1
  return c.e.sub(x, isVector ? c.e.along(point, x.type.shape.length, axis) : c.e.reshape(point, []))
}

export const convInteger: Operator = {
  name: "ConvInteger",
  since: [10],
  translate: (c) => convolution(c, centred(c, 0, 2, 1), centred(c, 1, 3, 0))
}

/** x, scale, zero, w, scale, zero, scale of the result, zero, bias. */
export const qlinearConv: Operator = {
  name: "QLinearConv",
  since: [10],
  translate: (c) => {
    const { e } = c
    const dequantized = (at: number, axis: number): Value =>
      e.b.one(Ops.dequantize, [c.input(at), flat(c, at + 1), flat(c, at + 2)], { axis, block: 0, to: "f32" })
    const [x, w] = [dequantized(0, 1), dequantized(3, 0)]
    const scale = e.mul(flat(c, 1), flat(c, 4))
    const bias = c.has(8) ? e.mul(e.cast(c.input(8), "f32"), scale) : undefined
    const result = convolution(c, x, w, bias)
    return e.b.one(Ops.quantize, [result, flat(c, 6), flat(c, 7)], {
      axis: 1,
      block: 0,
      to: c.type(7).dtype,
      saturate: true
    })
  }
}

/** A parameter of one element as a scalar. */
const flat = (c: Context, index: number): Value => {
  const given = c.input(index)
  return Dim.product(given.type.shape) === 1 ? c.e.reshape(given, []) : given
}

/** `output_shape` and `auto_pad` decide how much is cut from the full result. */
export const convTranspose: Operator = {
  name: "ConvTranspose",
  since: [1, 11],
  translate: (c) => {
    const [x, w] = [c.input(0), c.input(1)]
    const extents = x.type.shape.slice(2)
    const given = c.attribute.ints("kernel_shape") ?? w.type.shape.slice(2)
    const ones = extents.map(() => 1)
    const strides = c.attribute.ints("strides") ?? ones
    const dilations = c.attribute.ints("dilations") ?? ones
    const padding = c.attribute.ints("output_padding") ?? ones.map(() => 0)
    const mode = c.attribute.string("auto_pad", "NOTSET")
    const shape = c.attribute.ints("output_shape")?.slice(-extents.length)
    const pads = c.attribute.ints("pads") ?? [...ones, ...ones].map(() => 0)
    let [padsBegin, padsEnd]: ReadonlyArray<ReadonlyArray<Dim.Dim>> = [
      pads.slice(0, ones.length),
      pads.slice(ones.length)
    ]
    if (shape !== undefined || mode === "SAME_UPPER" || mode === "SAME_LOWER") {
      const totals = extents.map((extent, axis) => {
        const stride = strides[axis] ?? 1
        const span = Dim.add(Dim.mul(Dim.sub(given[axis] ?? 1, 1), dilations[axis] ?? 1), 1)
        const full = Dim.sum([Dim.mul(stride, Dim.sub(extent, 1)), padding[axis] ?? 0, span])
        return Dim.sub(full, shape?.[axis] ?? Dim.mul(extent, stride))
      })
      const less = totals.map((total) => Dim.floorDiv(total, 2))
      const more = totals.map((total, axis) => Dim.sub(total, less[axis] ?? 0))
      ;[padsBegin, padsEnd] = mode === "SAME_UPPER" ? [less, more] : [more, less]
    } else if (mode === "VALID") [padsBegin, padsEnd] = [ones.map(() => 0), ones.map(() => 0)]
    const attributes = { strides, dilations, groups: c.attribute.int("group", 1), outputPadding: padding }
    // A result larger than the full one: nothing is cut, the rest is bias alone.
    const cut = (dims: ReadonlyArray<Dim.Dim> = []): ReadonlyArray<Dim.Dim> =>
      dims.map((dim) => (Dim.isNonNegative(dim) === false ? 0 : dim))
    const wider = (dims: ReadonlyArray<Dim.Dim> = []): ReadonlyArray<Dim.Dim> =>
      dims.map((dim) => (Dim.isNonNegative(dim) === false ? Dim.neg(dim) : 0))
    const result = c.e.b.one(Ops.convTranspose, [x, w], {
      ...attributes,
      padsBegin: cut(padsBegin),
      padsEnd: cut(padsEnd)
    })
    const [before, after] = [wider(padsBegin), wider(padsEnd)]
    const whole = [...before, ...after].every((dim) => dim === 0)
      ? result
      : c.e.b.one(Ops.pad, [result], { before: [0, 0, ...before], after: [0, 0, ...after], mode: "constant" })
    const bias = c.optional(2)
    return bias === undefined ? whole : c.e.add(whole, c.e.along(bias, extents.length + 2, 1))
  }
}

export const all: ReadonlyArray<Operator> = [conv, convInteger, qlinearConv, convTranspose]
