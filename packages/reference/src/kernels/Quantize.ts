// Kernels of quantize and dequantize: x / scale rounded to nearest, ties to even, plus the zero point, saturated; and back.
// The quotient of f32 elements is an f32 first, as on every target: 0.5 / 0.019607844 is 25.5, a tie.
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"
import { roundHalfEven } from "./Unary.ts"

/** For each element of x, which entry of the scale it takes. */
export const scaleIndex = (
  shape: ReadonlyArray<number>,
  scale: Tensor,
  { axis, block }: { readonly axis: number; readonly block: number },
  fail: (detail: string) => never
): Int32Array => {
  const normal = Strided.normalAxis(axis, shape.length)
  const { extent, inner, outer } = Strided.around(shape, normal)
  const result = new Int32Array(outer * extent * inner)
  if (scale.data.length === 1) return result
  const blocks = block > 0 ? Math.ceil(extent / block) : 0
  const wanted = block > 0 ? outer * blocks * inner : extent
  if (scale.data.length !== wanted)
    fail(
      `a scale of [${scale.shape.join()}] for [${shape.join()}] along axis ${axis}${block > 0 ? ` in blocks of ${block}` : ""}`
    )
  for (let o = 0; o < outer; o++)
    for (let e = 0; e < extent; e++)
      for (let i = 0; i < inner; i++)
        result[(o * extent + e) * inner + i] = block > 0 ? (o * blocks + Math.floor(e / block)) * inner + i : e
  return result
}

const limits = (dtype: DType): readonly [number, number] => {
  const { max, min } = DTypes.integerRange(dtype)
  return [Number(min), Number(max)]
}

const quantize = Kernel.define(Ops.quantize, (call) => {
  const [x, scale, zero] = [call.input(0), call.input(1), call.inputs[2]]
  const { saturate, to } = call.attributes
  const index = scaleIndex(x.shape, scale, call.attributes, call.fail)
  const [values, scales] = [Elements.numbers(x), Elements.numbers(scale)]
  const zeros = zero === undefined ? undefined : Elements.numbers(zero)
  const result = new Float64Array(values.length)
  const float = DTypes.isFloat(to)
  const [low, high] = float ? [0, 0] : limits(to)
  const isSingle = x.dtype === "f32" && scale.dtype === "f32"
  for (let i = 0; i < result.length; i++) {
    const which = index[i] ?? 0
    const quotient = (values[i] ?? 0) / (scales[which] ?? 1)
    const steps = isSingle ? Math.fround(quotient) : quotient
    const shift = zeros === undefined ? 0 : (zeros[zeros.length === 1 ? 0 : which] ?? 0)
    result[i] = float ? steps + shift : Math.min(high, Math.max(low, roundHalfEven(steps) + shift))
  }
  return [Elements.fromNumbers(to, x.shape, result, saturate)]
})

const dequantize = Kernel.define(Ops.dequantize, (call) => {
  const [q, scale, zero] = [call.input(0), call.input(1), call.inputs[2]]
  const index = scaleIndex(q.shape, scale, call.attributes, call.fail)
  const [values, scales] = [Elements.numbers(q), Elements.numbers(scale)]
  const zeros = zero === undefined ? undefined : Elements.numbers(zero)
  const result = new Float64Array(values.length)
  for (let i = 0; i < result.length; i++) {
    const which = index[i] ?? 0
    const shift = zeros === undefined ? 0 : (zeros[zeros.length === 1 ? 0 : which] ?? 0)
    result[i] = ((values[i] ?? 0) - shift) * (scales[which] ?? 1)
  }
  return [Elements.fromNumbers(call.attributes.to, q.shape, result)]
})

export const all: ReadonlyArray<Entry> = [quantize, dequantize]
