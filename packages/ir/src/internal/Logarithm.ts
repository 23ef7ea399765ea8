/**
 * log, log1p, log2, log10, pow, asinh, acosh, atanh.
 *
 *   x = 2^k · m      r = m/c - 1      log x = k ln2 + log c + (r - r²/2 + r³/3 - …),  |r| < 0.0065
 *
 * 1/c has eleven bits, so r is exact in two parts; k ln2 + log c is exact in its leading part; r²/2 is kept in two parts. The
 * result is a sum of two numbers with a relative error near 2^-67, as pow needs.
 * Method: P. T. P. Tang, "Table-driven implementation of the logarithm function", 1990.
 */
import { exponentOf, productError, scale, significandOf, sumError, withSign } from "./Double.ts"
import { expOfSum } from "./Exponential.ts"
import * as FixedPoint from "./FixedPoint.ts"

const ln2High = FixedPoint.truncate(FixedPoint.ln2, 42)
const ln2Low = FixedPoint.residue(FixedPoint.ln2, ln2High)

const reciprocalOf = (value: bigint): { readonly high: number; readonly low: number } => {
  const reciprocal = FixedPoint.divide(FixedPoint.ratio(1n, 1n), value)
  const high = FixedPoint.toNumber(reciprocal)
  return { high, low: FixedPoint.residue(reciprocal, high) }
}
const perLn2 = reciprocalOf(FixedPoint.ln2)
const perLn10 = reciprocalOf(FixedPoint.ln10)

// By round(128 m), m in [√½, √2].
const inverses = new Float64Array(192)
const logsHigh = new Float64Array(192)
const logsLow = new Float64Array(192)
for (let index = 90; index <= 182; index++) {
  const inverse = Math.round((1024 * 128) / index)
  const log = FixedPoint.logOfRatio(1024n, BigInt(inverse))
  const high = FixedPoint.truncate(log, 42)
  inverses[index] = inverse / 1024
  logsHigh[index] = high
  logsLow[index] = FixedPoint.residue(log, high)
}

// The other result of `parts`, valid until the next call: a hot function returns no object.
let partsLow = 0

/** log((xh + xl) · 2^shift) = result + partsLow, for a positive finite xh and xl small beside it. */
const parts = (xh: number, xl: number, shift: number): number => {
  let [k, x, tail] = [shift, xh, xl]
  if (xh < 2 ** -1022) {
    x *= 2 ** 54
    tail *= 2 ** 54
    k -= 54
  }
  const exponent = exponentOf(x)
  let m = significandOf(x)
  k += exponent
  let ml = tail === 0 ? 0 : scale(tail, -exponent)
  if (m > Math.SQRT2) {
    m /= 2
    ml /= 2
    k += 1
  }
  const index = (m * 128 + 0.5) | 0
  const inverse = inverses[index] ?? 1
  const mh = Math.fround(m)
  const a = mh * inverse - 1
  const b = (m - mh) * inverse
  const r = a + b
  const rl = sumError(a, b, r) + ml * inverse
  const rh = Math.fround(r)
  const square = rh * rh * 0.5
  const squareLow = (r - rh) * (r + rh) * 0.5 + r * rl
  const series =
    r * r * r * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r * (1 / 6 - r * (1 / 7 - r * (1 / 8 - r * (1 / 9 - r / 10)))))))
  const base = k * ln2High + (logsHigh[index] ?? 0)
  const s = base + r
  const t = s - square
  const rest =
    sumError(base, r, s) + sumError(s, -square, t) + (rl - squareLow + series + (k * ln2Low + (logsLow[index] ?? 0)))
  const sum = t + rest
  partsLow = t - sum + rest
  return sum
}

const outside = (x: number): number => (x === 0 ? -Infinity : x > 0 ? Infinity : Number.NaN)

/** Natural logarithm. */
export const log = (x: number): number => (x > 0 && x < Infinity ? parts(x, 0, 0) : outside(x))

const scaled = (x: number, factor: number, factorLow: number): number => {
  const value = parts(x, 0, 0)
  const product = value * factor
  return product + (productError(value, factor, product) + value * factorLow + partsLow * factor)
}

/** Logarithm to base 2; exact for powers of two. */
export const log2 = (x: number): number => (x > 0 && x < Infinity ? scaled(x, perLn2.high, perLn2.low) : outside(x))

/** Logarithm to base 10; exact for powers of ten. */
export const log10 = (x: number): number => (x > 0 && x < Infinity ? scaled(x, perLn10.high, perLn10.low) : outside(x))

/** log(1 + x). */
export const log1p = (x: number): number => {
  if (!(x > -1 && x < Infinity)) return outside(x + 1)
  if (Math.abs(x) < 2 ** -54) return x
  const sum = 1 + x
  return parts(sum, sumError(1, x, sum), 0)
}

/** x^y with the special values of C and IEEE 754: 1^NaN = NaN^0 = (-1)^±Infinity = 1. */
export const pow = (x: number, y: number): number => {
  if (y === 0 || x === 1) return 1
  if (x !== x || y !== y) return Number.NaN
  const size = Math.abs(x)
  const isInteger = Math.floor(y) === y
  const isNegative = (x < 0 || Object.is(x, -0)) && isInteger && Math.abs(y) < 2 ** 53 && y % 2 !== 0
  return isNegative ? -powOfSize(size, y) : x < 0 && size < Infinity && !isInteger ? Number.NaN : powOfSize(size, y)
}

const powOfSize = (size: number, y: number): number => {
  if (size === 1) return 1
  if (size === 0 || size === Infinity) return (size === 0) === y > 0 ? 0 : Infinity
  if (Math.abs(y) > 2 ** 64) return size > 1 === y > 0 ? Infinity : 0
  const value = parts(size, 0, 0)
  const product = value * y
  return expOfSum(product, productError(value, y, product) + partsLow * y)
}

/** log(x + √(x² + 1)). */
export const asinh = (x: number): number => {
  const size = Math.abs(x)
  if (!(size < Infinity) || size < 1e-9) return x
  if (size > 2 ** 30) return withSign(parts(size, 0, 1), x)
  const square = x * x
  if (size < 0.125) return x - x * square * asinhSeries(square)
  return withSign(logOfRootSum(size, square, productError(x, x, square), 1), x)
}

// Σ (-1)^n (2n-1)!! / ((2n)!! (2n+1)) z^(n-1) with the sign of its first term taken out.
const asinhCoefficients = ((): ReadonlyArray<number> => {
  const coefficients: Array<number> = []
  let [numerator, denominator] = [1, 2]
  for (let n = 1; n <= 11; n++) {
    coefficients.push((n % 2 === 1 ? numerator : -numerator) / (denominator * (2 * n + 1)))
    numerator *= 2 * n + 1
    denominator *= 2 * n + 2
  }
  return coefficients.reverse()
})()

const asinhSeries = (z: number): number => {
  let total = 0
  for (const coefficient of asinhCoefficients) total = total * z + coefficient
  return total
}

/** log(x + √(x² + addend)), given x² in two parts. */
const logOfRootSum = (x: number, square: number, squareLow: number, addend: number): number => {
  const sum = square + addend
  const sumLow = sumError(square, addend, sum) + squareLow
  const root = Math.sqrt(sum)
  if (root === 0) return 0
  const product = root * root
  const rootLow = (sum - product - productError(root, root, product) + sumLow) / (2 * root)
  const total = x + root
  return parts(total, sumError(x, root, total) + rootLow, 0)
}

/** log(x + √(x² - 1)), ≥ 0; NaN below 1. */
export const acosh = (x: number): number => {
  if (!(x >= 1)) return Number.NaN
  if (x > 2 ** 30) return x === Infinity ? x : parts(x, 0, 1)
  const square = x * x
  return logOfRootSum(x, square, productError(x, x, square), -1)
}

/** log((1 + x) / (1 - x)) / 2; ±Infinity at ±1, NaN beyond. */
export const atanh = (x: number): number => {
  const size = Math.abs(x)
  if (!(size < 1)) return size === 1 ? x * Infinity : Number.NaN
  if (size < 1e-9) return x
  if (size < 0.125) {
    const z = x * x
    let total = 0
    for (let n = 27; n >= 3; n -= 2) total = total * z + 1 / n
    return x + x * z * total
  }
  const [top, bottom] = [1 + size, 1 - size]
  const quotient = top / bottom
  const product = quotient * bottom
  const rest =
    top -
    product -
    productError(quotient, bottom, product) +
    sumError(1, size, top) -
    quotient * sumError(1, -size, bottom)
  return withSign(parts(quotient, rest / bottom, 0) / 2, x)
}
