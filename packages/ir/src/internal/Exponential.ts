/**
 * exp, expm1, sinh, cosh, tanh.
 *
 *   x = (64 m + j) ln2/64 + r      e^x = 2^m · 2^(j/64) · (1 + expm1(r)),  |r| < 0.0055
 *
 * 2^(j/64) is a table in two parts; expm1(r) is its Taylor polynomial, so that the sum is rounded nearly once.
 * Method: P. T. P. Tang, "Table-driven implementation of the exponential function", 1989.
 */
import { productError, scale, sumError, withSign } from "./Double.ts"
import * as FixedPoint from "./FixedPoint.ts"

const stepFixed = FixedPoint.ln2 / 64n
const stepHigh = FixedPoint.truncate(stepFixed, 42)
const stepLow = FixedPoint.residue(stepFixed, stepHigh)
const stepsPerUnit = FixedPoint.toNumber(FixedPoint.divide(FixedPoint.ratio(1n, 1n), stepFixed))

const powers = ((): { readonly high: Float64Array; readonly low: Float64Array } => {
  let root = FixedPoint.ratio(2n, 1n)
  for (let count = 0; count < 6; count++) root = FixedPoint.squareRoot(root)
  const [high, low] = [new Float64Array(64), new Float64Array(64)]
  let power = FixedPoint.ratio(1n, 1n)
  for (let index = 0; index < 64; index++) {
    const nearest = FixedPoint.toNumber(power)
    high[index] = nearest
    low[index] = FixedPoint.residue(power, nearest)
    power = FixedPoint.multiply(power, root)
  }
  return { high, low }
})()
const powersHigh = powers.high
const powersLow = powers.low

// Adding and taking away 1.5 * 2^52 rounds to an integer.
const rounding = 6755399441055744

// r + r²/2 + … + r⁶/720 without r.
const expm1Tail = (r: number): number => r * r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720)))))

/** e^x. */
export const exp = (x: number): number => {
  if (!(x <= 709.8 && x >= -745.2)) return x !== x ? x : x > 0 ? Infinity : 0
  const n = x * stepsPerUnit + rounding - rounding
  const r = x - n * stepHigh - n * stepLow
  const j = n & 63
  const t = powersHigh[j] ?? 1
  return scale(t + ((powersLow[j] ?? 0) + t * (r + expm1Tail(r))), n >> 6)
}

// The other results of `parts`, valid until the next call: a hot function returns no object.
let partsLow = 0
let partsExponent = 0

/** e^(h+l) = (result + partsLow) · 2^partsExponent to about 2^-60, for |h| ≤ 746. */
const parts = (h: number, l: number): number => {
  const n = h * stepsPerUnit + rounding - rounding
  const a = h - n * stepHigh
  const b = n * stepLow
  const r = a - b
  const rl = sumError(a, -b, r) + l
  const j = n & 63
  const t = powersHigh[j] ?? 1
  const rest = (powersLow[j] ?? 0) + t * (r + (rl * (1 + r) + expm1Tail(r)))
  const sum = t + rest
  partsLow = t - sum + rest
  partsExponent = n >> 6
  return sum
}

/** e^(h+l) for a sum of two numbers, the second small beside the first. */
export const expOfSum = (h: number, l: number): number => {
  if (h > 709.9) return Infinity
  if (h < -745.2) return 0
  const value = parts(h, l)
  return scale(value + partsLow, partsExponent)
}

/** e^x - 1. */
export const expm1 = (x: number): number => {
  if (x > 40 || x !== x) return exp(x)
  if (x < -40) return -1
  const size = Math.abs(x)
  if (size < 2 ** -54) return x
  if (size < 0.0625) {
    const x2 = x * x
    return (
      x +
      x2 *
        (1 / 2 +
          x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720 + x * (1 / 5040 + (x * (1 + x / 9)) / 40320))))))
    )
  }
  const value = parts(x, 0)
  const factor = scale(1, partsExponent)
  const large = value * factor
  const difference = large - 1
  return difference + (sumError(large, -1, difference) + partsLow * factor)
}

// sinh x for |x| ≤ 0.3, without x.
const sinhTail = (x: number): number => {
  const z = x * x
  return x * z * (1 / 6 + z * (1 / 120 + z * (1 / 5040 + z * (1 / 362880 + z * (1 / 39916800 + z * (1 / 6227020800))))))
}

/** (e^x - e^-x) / 2. */
export const sinh = (x: number): number => {
  const size = Math.abs(x)
  if (!(size > 0.3)) return size < 1e-9 ? x : x + sinhTail(x)
  if (size > 40) return withSign(halfOfExp(size), x)
  const a = parts(size, 0)
  const up = scale(0.5, partsExponent)
  const aLow = partsLow * up
  const b = parts(-size, 0)
  const down = scale(0.5, partsExponent)
  const difference = a * up - b * down
  return withSign(difference + (sumError(a * up, -b * down, difference) + (aLow - partsLow * down)), x)
}

/** (e^x + e^-x) / 2. */
export const cosh = (x: number): number => {
  const size = Math.abs(x)
  if (!(size <= 40)) return halfOfExp(size)
  const a = parts(size, 0)
  const up = scale(0.5, partsExponent)
  const aLow = partsLow * up
  const b = parts(-size, 0)
  const down = scale(0.5, partsExponent)
  const sum = a * up + b * down
  return sum + (sumError(a * up, b * down, sum) + (aLow + partsLow * down))
}

const halfOfExp = (size: number): number => {
  if (!(size <= 711)) return size > 711 ? Infinity : size
  const value = parts(size, 0)
  return scale((value + partsLow) / 2, partsExponent)
}

/** sinh x / cosh x. */
export const tanh = (x: number): number => {
  const size = Math.abs(x)
  if (size > 22) return withSign(1, x)
  if (!(size > 0.08)) {
    const z = x * x
    if (z < 1e-18 || x !== x) return x
    return (
      x -
      x *
        z *
        (1 / 3 -
          z *
            (2 / 15 -
              z *
                (17 / 315 - z * (62 / 2835 - z * (1382 / 155925 - z * (21844 / 6081075 - (z * 929569) / 638512875))))))
    )
  }
  const a = parts(size, 0)
  const up = scale(1, partsExponent)
  const aLow = partsLow * up
  const b = parts(-size, 0)
  const down = scale(1, partsExponent)
  const bLow = partsLow * down
  const top = a * up - b * down
  const topLow = sumError(a * up, -b * down, top) + (aLow - bLow)
  const bottom = a * up + b * down
  const bottomLow = sumError(a * up, b * down, bottom) + (aLow + bLow)
  const quotient = top / bottom
  const product = quotient * bottom
  const rest = top - product - productError(quotient, bottom, product) + topLow - quotient * bottomLow
  return withSign(quotient + rest / bottom, x)
}
