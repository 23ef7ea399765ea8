/**
 * Constants of analysis from integer arithmetic alone, for the tables of the elementary functions.
 *
 *   ln 2 = 2 atanh(1/3)      π = 16 atan(1/5) - 4 atan(1/239)      atan a - atan b = atan((a-b)/(1+ab))
 *
 * A value is a BigInt in units of 2^-bits. Only + − × ÷ of integers is used, so each machine gets the same tables.
 */

/** The precision of the tables. */
export const bits = 256

const one = 1n << BigInt(bits)

/** `numerator / denominator` as a fixed-point value. */
export const ratio = (numerator: bigint, denominator: bigint): bigint => (numerator * one) / denominator

export const multiply = (a: bigint, b: bigint): bigint => (a * b) >> BigInt(bits)

export const divide = (a: bigint, b: bigint): bigint => (a << BigInt(bits)) / b

/** Nearest float64. */
export const toNumber = (value: bigint): number => Number(value) / 2 ** bits

/** What is left of a value after a float64 that is near to it, as a float64. */
export const residue = (value: bigint, near: number): number => toNumber(value - BigInt(near * 2 ** bits))

/** The value rounded down to a multiple of 2^-fractionBits: few enough bits that its products stay exact. */
export const truncate = (value: bigint, fractionBits: number): number =>
  Number(value >> BigInt(bits - fractionBits)) / 2 ** fractionBits

// Σ ±(n/d)^(2k+1) / (2k+1), at any precision.
const oddSeries = (numerator: bigint, denominator: bigint, alternating: boolean, precision: number): bigint => {
  let power = (numerator << BigInt(precision)) / denominator
  let total = 0n
  for (let k = 1n; power !== 0n; k += 2n) {
    total += alternating && k % 4n === 3n ? -power / k : power / k
    power = (power * numerator * numerator) / (denominator * denominator)
  }
  return total
}

/** Arc tangent of a ratio that is well below 1. */
export const atanOfRatio = (numerator: bigint, denominator: bigint): bigint =>
  oddSeries(numerator, denominator, true, bits)

/** Natural logarithm of a ratio that is not far from 1. */
export const logOfRatio = (numerator: bigint, denominator: bigint): bigint =>
  2n * oddSeries(numerator - denominator, numerator + denominator, false, bits)

/** π in units of 2^-precision. */
export const piTo = (precision: number): bigint => {
  const guarded = precision + 32
  return (16n * oddSeries(1n, 5n, true, guarded) - 4n * oddSeries(1n, 239n, true, guarded)) >> 32n
}

export const ln2: bigint = logOfRatio(2n, 1n)
export const ln10: bigint = 3n * ln2 + logOfRatio(5n, 4n)
export const pi: bigint = piTo(bits)

/** `√value` for a value ≥ 0, by Newton's iteration from above. */
export const squareRoot = (value: bigint): bigint => {
  const target = value << BigInt(bits)
  let root = 1n << BigInt((target.toString(2).length >> 1) + 1)
  for (;;) {
    const next = (root + target / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** e^(-n/d) for a ratio from 0 to 1. */
export const expOfNegativeRatio = (numerator: bigint, denominator: bigint): bigint => {
  let term = one
  let total = 0n
  for (let k = 1n; term !== 0n; k++) {
    total += k % 2n === 1n ? term : -term
    term = (term * numerator) / (denominator * k)
  }
  return total
}
