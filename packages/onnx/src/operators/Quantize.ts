// QuantizeLinear ⇒ quantize, DequantizeLinear ⇒ dequantize, and DynamicQuantizeLinear, whose scale the data decides.
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator } from "../Operator.ts"

const typeOf = (c: Context, name: string): DType | undefined => {
  const code = c.attribute.int(name, 0)
  if (code === 0) return undefined
  return ElementType.fromCode(code) ?? c.unsupported(`the type ${ElementType.nameOf(code)}`, "The IR has no such type.")
}

/** A scale or zero point of one element as a scalar. */
const parameter = (c: Context, index: number): Value | undefined => {
  const given = c.optional(index)
  return given !== undefined && given.type.shape.length === 1 && given.type.shape[0] === 1
    ? c.e.reshape(given, [])
    : given
}

/** Per tensor (a scalar scale), per axis, or in blocks along the axis. */
const placement = (c: Context, scale: Value): { readonly axis: number; readonly block: number } => {
  if (scale.type.shape.length === 0) return { axis: 0, block: 0 }
  return { axis: c.axis(c.attribute.int("axis", 1), c.rank(0)), block: c.attribute.int("block_size", 0) }
}

export const quantizeLinear: Operator = {
  name: "QuantizeLinear",
  since: [10, 13, 19, 21, 23, 24, 25],
  translate: (c) => {
    const scale = parameter(c, 1) ?? c.fail("the scale is missing")
    const zero = parameter(c, 2)
    const to = zero?.type.dtype ?? typeOf(c, "output_dtype") ?? "u8"
    const attributes = { ...placement(c, scale), to, saturate: c.attribute.flag("saturate", true) }
    return c.e.b.one(Ops.quantize, [c.input(0), scale, zero], attributes)
  }
}

export const dequantizeLinear: Operator = {
  name: "DequantizeLinear",
  since: [10, 13, 19, 21, 23, 24, 25],
  translate: (c) => {
    const scale = parameter(c, 1) ?? c.fail("the scale is missing")
    const to = typeOf(c, "output_dtype") ?? scale.type.dtype
    return c.e.b.one(Ops.dequantize, [c.input(0), scale, parameter(c, 2)], { ...placement(c, scale), to })
  }
}

export interface DynamicallyQuantized {
  /** u8. */
  readonly y: Value
  readonly scale: Value
  readonly point: Value
}

/** To u8, over the range of the elements and 0. */
export const dynamicallyQuantized = ({ e }: Context, x: Value): DynamicallyQuantized => {
  const axes = x.type.shape.map((_, axis) => axis)
  const zero = e.number(x, 0)
  const low = e.min(e.reduce(Ops.reduceMin, x, axes, false), zero)
  const high = e.max(e.reduce(Ops.reduceMax, x, axes, false), zero)
  const scale = e.div(e.sub(high, low), e.number(x, 255))
  // All elements 0: any divisor gives 0.
  const divisor = e.select(e.binary(Ops.equal, scale, zero), e.number(x, 1), scale)
  const level = e.round(e.neg(e.div(low, divisor)))
  const point = e.cast(e.b.one(Ops.clip, [level, zero, e.number(x, 255)], {}), "u8")
  const y = e.b.one(Ops.quantize, [x, divisor, point], { axis: 0, block: 0, to: "u8", saturate: true })
  return { y, scale, point }
}

export const dynamicQuantizeLinear: Operator = {
  name: "DynamicQuantizeLinear",
  since: [11],
  translate: (c) => {
    const { point, scale, y } = dynamicallyQuantized(c, c.input(0))
    return [y, scale, point]
  }
}

export const all: ReadonlyArray<Operator> = [quantizeLinear, dequantizeLinear, dynamicQuantizeLinear]
