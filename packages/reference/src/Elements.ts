/**
 * Elements: between the storage of tensors and the arrays that kernels compute in.
 *
 *   fromNumbers("f16", [1], Float64Array.of(0.1))   rounded once, from float64 straight to f16
 *
 * Kernels compute in float64, which holds every element of every dtype but i64 and u64 exactly; those two are computed as
 * BigInt. Rounding is to nearest, ties to even; integers wrap.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import type { Tensor } from "@anneal/ir/Tensor"

export type BigArray = BigInt64Array | BigUint64Array

/** Element values; not a copy for f64, so never to be written to. i64 and u64 beyond 2⁵³ are rounded. */
export const numbers = (tensor: Tensor): Float64Array => {
  const { data, dtype } = tensor
  if (data instanceof Float64Array) return data
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const result = new Float64Array(data.length)
    for (let i = 0; i < data.length; i++) result[i] = Number(data[i])
    return result
  }
  if (DTypes.isNarrowFloat(dtype) && (data instanceof Uint16Array || data instanceof Uint8Array))
    return new Float64Array(Float.decodeArray(dtype, data))
  return new Float64Array(data)
}

/** Arrays of numbers that arithmetic reads as they are. */
export type Reals = Float32Array | Float64Array

/** Element values as numbers, without a copy for f32 and f64: never to be written to. */
export const reals = (tensor: Tensor): Reals => (tensor.data instanceof Float32Array ? tensor.data : numbers(tensor))

/** Zeros to compute a float result into: each is rounded to f32 as it is written, or kept in float64 to be rounded later. */
export const allocateReals = (dtype: DType, length: number): Reals =>
  dtype === "f32" ? new Float32Array(length) : new Float64Array(length)

/** A tensor of what was computed into `allocateReals`. `saturate` as in `fromNumbers`. */
export const fromReals = (dtype: DType, shape: ReadonlyArray<number>, values: Reals, saturate = true): Tensor =>
  values instanceof Float32Array ? { dtype, shape, data: values } : fromNumbers(dtype, shape, values, saturate)

/** Element values that compare as the elements do: BigInts of 64-bit integers, else numbers. Never to be written to. */
export const keys = (tensor: Tensor): Float64Array | BigArray =>
  tensor.data instanceof BigInt64Array || tensor.data instanceof BigUint64Array ? tensor.data : numbers(tensor)

/** The storage of 64-bit integers; undefined for other dtypes. */
export const bigs = (tensor: Tensor): BigArray | undefined =>
  tensor.data instanceof BigInt64Array || tensor.data instanceof BigUint64Array ? tensor.data : undefined

export const allocateBig = (dtype: DType, length: number): BigArray =>
  dtype === "u64" ? new BigUint64Array(length) : new BigInt64Array(length)

/**
 * A tensor of the values, which it may keep: each rounded once to a float dtype, truncated and wrapped to an integer one
 * (NaN and infinities: 0), `≠ 0` to bool. `saturate` is about fp8.
 */
export const fromNumbers = (
  dtype: DType,
  shape: ReadonlyArray<number>,
  values: Float64Array,
  saturate = true
): Tensor => ({ dtype, shape, data: store(dtype, values, saturate) })

const store = (dtype: DType, values: Float64Array, saturate: boolean): DTypes.TypedArray => {
  if (DTypes.isNarrowFloat(dtype)) return Float.encodeArray(dtype, values, saturate)
  switch (dtype) {
    case "f64":
      return values
    case "f32":
      return new Float32Array(values)
    case "i8":
      return new Int8Array(values)
    case "i16":
      return new Int16Array(values)
    case "i32":
      return new Int32Array(values)
    case "u8":
      return new Uint8Array(values)
    case "u16":
      return new Uint16Array(values)
    case "u32":
      return new Uint32Array(values)
    case "i4": {
      const data = new Int8Array(values)
      for (let i = 0; i < data.length; i++) data[i] = ((data[i] ?? 0) << 28) >> 28
      return data
    }
    case "u4": {
      const data = new Uint8Array(values)
      for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) & 0xf
      return data
    }
    case "bool": {
      const data = new Uint8Array(values.length)
      for (let i = 0; i < data.length; i++) data[i] = values[i] === 0 ? 0 : 1
      return data
    }
    default:
      return storeBig(dtype, values)
  }
}

const storeBig = (dtype: DType, values: Float64Array): BigArray => {
  const data = allocateBig(dtype, values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    data[i] = Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n
  }
  return data
}

/** An i64 tensor of safe integers. */
export const integers = (shape: ReadonlyArray<number>, values: ArrayLike<number>): Tensor<"i64"> => {
  const data = new BigInt64Array(values.length)
  for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i] ?? 0)
  return { dtype: "i64", shape, data }
}

/** A bool tensor. */
export const bools = (shape: ReadonlyArray<number>, data: Uint8Array): Tensor<"bool"> => ({
  dtype: "bool",
  shape,
  data
})

/** A 64-bit integer as the nearest number of a float dtype: sticky low bits, so that it is rounded only once. */
export const roundBig = (value: bigint, dtype: DType): number => {
  if (dtype === "f64") return Number(value)
  const size = value < 0n ? -value : value
  if (size < 1n << 53n) return Number(value)
  const drop = BigInt(size.toString(2).length - 53)
  const kept = size >> drop
  const odd = kept << drop === size ? kept : kept | 1n
  const rounded = Number(odd << drop)
  return value < 0n ? -rounded : rounded
}

/** The least and greatest value of a dtype as numbers; ±Infinity for floats that have infinities. */
export const extremes = (dtype: DType): readonly [number, number] => {
  if (dtype === "f8e4m3") return [-448, 448]
  if (DTypes.isFloat(dtype)) return [-Infinity, Infinity]
  const { max, min } = DTypes.integerRange(dtype)
  return [Number(min), Number(max)]
}
