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

/** Whether the dtype is a float, as a type. */
export const isFloat = (dtype: DType): dtype is Float.Float => dtype in Float.formats

/**
 * Errors with the rounding to the dtype added: half a unit in the last place of each result. A result that is not finite
 * can be off by anything, unless it has no error at all. Writes to `errors`.
 */
export const addHalfUlp = (errors: Float64Array, results: Float64Array, dtype: DType): Float64Array => {
  if (!isFloat(dtype)) return errors
  for (let i = 0; i < errors.length; i++) {
    const error = errors[i] ?? 0
    const result = results[i] ?? 0
    if (error !== error) errors[i] = Infinity
    else if (Number.isFinite(result)) errors[i] = error + Float.ulp(result, dtype) / 2
    else if (error !== 0) errors[i] = Infinity
  }
  return errors
}
