// Parameters of quantised operators: inputs in threes, the numbers with their scale and zero point.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context } from "../Operator.ts"

/** A parameter of one element as a scalar. */
export const flat = (c: Context, index: number): Value | undefined => {
  const given = c.optional(index)
  return given !== undefined && given.type.shape.length > 0 && Dim.equal(Dim.product(given.type.shape), 1) === true
    ? c.e.reshape(given, [])
    : given
}

/** The quantised tensor, scale and zero point at `index` and the two after it, as numbers; vectors go along `axis`. */
export const real = (c: Context, index: number, axis = 0): Value =>
  c.e.b.one(Ops.dequantize, [c.input(index), flat(c, index + 1), flat(c, index + 2)], { axis, block: 0, to: "f32" })

/** Numbers by the scale and zero point at `index`. */
export const quantised = (c: Context, x: Value, index: number, otherwise: DType): Value => {
  const zero = flat(c, index + 1)
  const to = zero?.type.dtype ?? otherwise
  return c.e.b.one(Ops.quantize, [x, flat(c, index), zero], { axis: 0, block: 0, to, saturate: true })
}
