// The integer grid of a range: scale and zero point, and what a value becomes on it.
import type { DType } from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import type { Range, RangeScheme } from "@anneal/pipeline/Calibrator"

/** What the integers are, and the type that their scale is kept in (f32 when not said). */
export interface GridScheme extends RangeScheme {
  readonly scale?: "f32" | "f16" | "bf16"
  /** Bits that values use of `bits`; all of them when not said. */
  readonly usedBits?: number
}

export interface Grid {
  /** Real value of one step; positive, a normal number of the scale's type. */
  readonly scale: number
  readonly zeroPoint: number
  /** Least and greatest integer. */
  readonly low: number
  readonly high: number
  readonly dtype: DType
}

/**
 * Symmetric: signed, zero point 0, [−(2ᵇ⁻¹ − 1), 2ᵇ⁻¹ − 1], b the bits that are used. Otherwise unsigned with a zero
 * point. Zero is always exactly on the grid, since padding and relu make it.
 */
export const fromRange = (
  range: Range,
  { bits, scale: dtype = "f32", symmetric, usedBits = bits }: GridScheme
): Grid => {
  if (symmetric) {
    const high = 2 ** (usedBits - 1) - 1
    const scale = positive(Math.max(-range.min, range.max) / high, dtype)
    return { scale, zeroPoint: 0, low: -high, high, dtype: bits === 4 ? "i4" : "i8" }
  }
  const high = 2 ** usedBits - 1
  const [min, max] = [Math.min(range.min, 0), Math.max(range.max, 0)]
  const scale = positive((max - min) / high, dtype)
  const zeroPoint = Math.min(high, Math.max(0, roundHalfEven(-min / scale)))
  return { scale, zeroPoint, low: 0, high, dtype: bits === 4 ? "u4" : "u8" }
}

/** A scale must be a positive normal number; a range of nothing but zeros (or of smaller numbers still) gets 1. */
const positive = (scale: number, dtype: "f32" | "f16" | "bf16"): number => {
  const { max, minExponent } = Float.formats[dtype]
  const rounded = Float.round(dtype, scale)
  if (rounded > max) return max
  return rounded >= 2 ** minExponent ? rounded : 1
}

/** To the nearest integer, ties to even. */
export const roundHalfEven = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest < 0.5) return floor
  if (rest > 0.5) return floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/** Dequantised quantised value. */
export const roundTrip = ({ high, low, scale, zeroPoint }: Grid, value: number): number =>
  (Math.min(high, Math.max(low, roundHalfEven(value / scale) + zeroPoint)) - zeroPoint) * scale
