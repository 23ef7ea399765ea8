// Between tensors and JavaScript numbers: exact reading, one correct rounding when writing.
import type { DType } from "./DType.ts"
import * as DTypes from "./DType.ts"
import * as Float from "./Float.ts"
import * as Tensor from "./Tensor.ts"

/** Element values as float64: a copy. 64-bit integers beyond 2⁵³ are rounded. */
export const toNumbers = (tensor: Tensor.Tensor): Float64Array => {
  const { data, dtype } = tensor
  if (DTypes.isNarrowFloat(dtype)) return Float64Array.from(Float.decodeArray(dtype, narrowBits(data)))
  if (!(data instanceof BigInt64Array || data instanceof BigUint64Array)) return new Float64Array(data)
  const numbers = new Float64Array(data.length)
  for (let i = 0; i < data.length; i++) numbers[i] = Number(data[i])
  return numbers
}

const narrowBits = (data: DTypes.TypedArray): Uint16Array | Uint8Array =>
  data instanceof Uint16Array || data instanceof Uint8Array ? data : Uint8Array.from([])

/**
 * A tensor of the given values, each rounded once to the nearest of the dtype (ties to even); integers are truncated
 * and wrap, bools are `value ≠ 0`.
 */
export const fromNumbers = (dtype: DType, shape: ReadonlyArray<number>, values: ArrayLike<number>): Tensor.Tensor => {
  if (dtype === "f64") return Tensor.make(dtype, shape, Float64Array.from(values))
  if (dtype === "f32") return Tensor.make(dtype, shape, Float32Array.from(values))
  if (DTypes.isNarrowFloat(dtype)) return Tensor.make(dtype, shape, Float.encodeArray(dtype, Float64Array.from(values)))
  const data = DTypes.allocate(dtype, values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    if (dtype === "bool") data[i] = value !== 0 ? 1 : 0
    else if (DTypes.isBig(dtype)) data[i] = BigInt(Math.trunc(value))
    else if (dtype === "i4") data[i] = ((Math.trunc(value) & 0xf) << 28) >> 28
    else if (dtype === "u4") data[i] = Math.trunc(value) & 0xf
    else data[i] = Math.trunc(value)
  }
  return Tensor.make(dtype, shape, data)
}

/** A scalar of a dtype. */
export const scalar = (dtype: DType, value: number): Tensor.Tensor => fromNumbers(dtype, [], [value])

/** An i64 vector. */
export const integers = (values: ReadonlyArray<number>): Tensor.Tensor => fromNumbers("i64", [values.length], values)
