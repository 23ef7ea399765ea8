// The lossy steps that a quantised graph shows: q = saturate(round(x / scale) + zeroPoint), and back.
//
// The scale is a scalar (per tensor), a vector along `axis` (per axis), or, with `block` > 0, of x's rank with axis
// `axis` divided into blocks. Rounding is to nearest, ties to even.
import * as Schema from "effect/Schema"
import * as DTypes from "../DType.ts"
import * as Op from "../Op.ts"

const placement = {
  axis: Schema.Int,
  /** Elements that share a scale along `axis`; 0: one scale an index (or one for all). */
  block: Schema.Int
}

export const quantize = Op.define({
  name: "quantize",
  summary: "to an integer or fp8 grid: round(x / scale) + zeroPoint, saturated",
  attributes: Schema.Struct({ ...placement, to: Op.DTypeSchema, saturate: Schema.Boolean }),
  operands: [{ name: "x" }, { name: "scale" }, { name: "zeroPoint", optional: true }],
  error: { kind: "discontinuous" },
  domain: (operand) => (operand === 1 ? { kind: "range", min: 1e-3, max: 1 } : Op.any),
  infer: ({ attributes: { to }, fail, input, inputs }) => {
    if (!DTypes.isFloat(input(0).dtype) && input(0).dtype !== "i32") fail("x is a float (or i32)")
    const zero = inputs[2]
    if (zero !== undefined && zero.dtype !== to) fail(`the zero point has dtype ${to}`)
    return [{ dtype: to, shape: input(0).shape }]
  }
})

export const dequantize = Op.define({
  name: "dequantize",
  summary: "(q − zeroPoint) · scale",
  attributes: Schema.Struct({ ...placement, to: Op.DTypeSchema }),
  operands: [{ name: "q" }, { name: "scale" }, { name: "zeroPoint", optional: true }],
  error: { kind: "run" },
  domain: (operand) => (operand === 1 ? { kind: "range", min: 1e-3, max: 1 } : Op.any),
  infer: ({ attributes: { to }, fail, input, inputs }) => {
    if (!DTypes.isFloat(to)) fail("gives floats")
    const zero = inputs[2]
    if (zero !== undefined && zero.dtype !== input(0).dtype) fail("the zero point has q's dtype")
    return [{ dtype: to, shape: input(0).shape }]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [quantize, dequantize]
