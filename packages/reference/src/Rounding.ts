/**
 * Rounding: the pieces that error bounds are made of.
 *
 *   gamma(k, u) = k·u / (1 − k·u)     the error of k roundings, relative to the sum of magnitudes
 *
 * Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, chapter 3.
 */
import type { DType } from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"

/** Unit roundoff of float64. */
export const float64 = 2 ** -53

/** k·u/(1 − k·u); Infinity from k·u = 1 on. */
export const gamma = (k: number, unit: number): number => (k * unit < 1 ? (k * unit) / (1 - k * unit) : Infinity)

/** The greatest relative error of one rounding of a normal number. */
export const unitRoundoff = (dtype: Float.Float): number => Float.unitRoundoff(dtype)

// A float64 seen as its words. Scratch: nothing is kept in it between calls.
const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
const high = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/** Half a unit in the last place, by the biased exponent of a finite float64. */
const halfUlpTable = (dtype: Float.Float): Float64Array =>
  Float64Array.from({ length: 2047 }, (_, biased) => Float.ulp(2 ** Math.max(-1074, biased - 1023), dtype) / 2)

/** Each is made when it is first asked for. */
const halfUlpTables = new Map<Float.Float, Float64Array>()

/** Half the spacing of a dtype's numbers at each exponent: `halfUlp` looks up in it. */
export const halfUlps = (dtype: Float.Float): Float64Array => {
  const made = halfUlpTables.get(dtype) ?? halfUlpTable(dtype)
  halfUlpTables.set(dtype, made)
  return made
}

/** Half a unit in the last place of a finite number, from the table of its dtype. */
export const halfUlp = (table: Float64Array, value: number): number => {
  double[0] = value
  return table[((words[high] ?? 0) >>> 20) & 0x7ff] ?? 0
}

/** Whether the dtype is a float, as a type. */
export const isFloat = (dtype: DType): dtype is Float.Float => dtype in Float.formats

/**
 * Errors with the rounding to the dtype added: half a unit in the last place of each result. A result that is not finite
 * can be off by anything, unless it has no error at all. Writes to `errors`.
 */
export const addHalfUlp = (errors: Float64Array, results: Float64Array, dtype: DType): Float64Array => {
  if (!isFloat(dtype)) return errors
  const table = halfUlps(dtype)
  for (let i = 0; i < errors.length; i++) {
    const error = errors[i] ?? 0
    const result = results[i] ?? 0
    if (error !== error) errors[i] = Infinity
    else if (Number.isFinite(result)) errors[i] = error + halfUlp(table, result)
    else if (error !== 0) errors[i] = Infinity
  }
  return errors
}
