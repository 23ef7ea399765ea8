/**
 * sin, cos, tan, and their inverses.
 *
 *   x = n π/2 + r, |r| ≤ π/4, r in two parts      atan(y/x) = atan c + atan((y - c x)/(x + c y)), c a multiple of 1/64
 *
 * Up to about 1.6 million π/2 is taken away in exact pieces (W. J. Cody, W. Waite, 1980); beyond that x · 2/π is an exact
 * integer product with 1200 bits of 2/π (M. H. Payne, R. N. Hanek, 1983). The kernels are Taylor polynomials.
 */
import { exponentOf, productError, scale, sumError, withSign } from "./Double.ts"
import * as FixedPoint from "./FixedPoint.ts"

const halfPi = FixedPoint.pi >> 1n
// 33 bits each, so that their products with n < 2^20 are exact.
const piece1 = FixedPoint.truncate(halfPi, 32)
const piece2 = FixedPoint.truncate(halfPi - BigInt(piece1 * 2 ** 256), 65)
const piece12 = BigInt(piece1 * 2 ** 256) + BigInt(piece2 * 2 ** 256)
const piece3 = FixedPoint.truncate(halfPi - piece12, 98)
const piece4 = FixedPoint.toNumber(halfPi - piece12 - BigInt(piece3 * 2 ** 256))
const perHalfPi = FixedPoint.toNumber(FixedPoint.divide(FixedPoint.ratio(1n, 1n), halfPi))
const halfPiHigh = FixedPoint.toNumber(halfPi)
const halfPiLow = FixedPoint.residue(halfPi, halfPiHigh)

const fractionBits = 1200
const twoPerPi = (1n << BigInt(2 * fractionBits + 1)) / FixedPoint.piTo(fractionBits)

const rounding = 6755399441055744

// The remainder of the last reduction: a hot function returns no object.
let restHigh = 0
let restLow = 0

/** The quadrant, 0..3, of a finite number; the remainder, within ±π/4, is left in restHigh + restLow. */
const reduce = (x: number): number => {
  if (Math.abs(x) <= 0.7853981633974483) {
    restHigh = x
    restLow = 0
    return 0
  }
  if (Math.abs(x) > 1_600_000) return reduceLarge(x)
  const n = x * perHalfPi + rounding - rounding
  const a = x - n * piece1
  const b = n * piece2
  const c = n * piece3
  const first = a - b
  const second = first - c
  const low = sumError(a, -b, first) + sumError(first, -c, second) - n * piece4
  restHigh = second + low
  restLow = second - restHigh + low
  return n & 3
}

const reduceLarge = (x: number): number => {
  const size = Math.abs(x)
  // Beyond 1.6 million no bit is below 2^-32.
  const [integer, shift] = size < 2 ** 60 ? [BigInt(size * 2 ** 32), 32] : [BigInt(size), 0]
  const unit = BigInt(fractionBits + shift)
  const turns = integer * twoPerPi
  const n = (turns + (1n << (unit - 1n))) >> unit
  const kept = BigInt(FixedPoint.bits)
  const fraction = (turns - (n << unit)) >> (unit - kept)
  const rest = (fraction * halfPi) >> kept
  restHigh = FixedPoint.toNumber(rest)
  restLow = FixedPoint.residue(rest, restHigh)
  const quadrant = Number(n & 3n)
  if (x > 0) return quadrant
  restHigh = -restHigh
  restLow = -restLow
  return (4 - quadrant) & 3
}

// sin(h + l) - h and cos(h + l) - 1 + h²/2, for |h| ≤ π/4.
const sineTail = (h: number, l: number): number => {
  const z = h * h
  const series =
    -1 / 6 +
    z *
      (1 / 120 +
        z *
          (-1 / 5040 +
            z *
              (1 / 362880 +
                z * (-1 / 39916800 + z * (1 / 6227020800 + z * (-1 / 1307674368000 + z / 355687428096000))))))
  return h * z * series + l * (1 - z / 2 + (z * z) / 24)
}

const cosineTail = (h: number, l: number): number => {
  const z = h * h
  const series =
    1 / 24 +
    z *
      (-1 / 720 +
        z *
          (1 / 40320 +
            z *
              (-1 / 3628800 +
                z * (1 / 479001600 + z * (-1 / 87178291200 + z * (1 / 20922789888000 - z / 6402373705728000))))))
  return z * z * series - h * l * (1 - z / 6)
}

const sineOfRest = (): number => restHigh + sineTail(restHigh, restLow)

const cosineOfRest = (): number => {
  const half = (restHigh * restHigh) / 2
  const leading = 1 - half
  return leading + (1 - leading - half + cosineTail(restHigh, restLow))
}

/** Sine of an angle in radians. */
export const sin = (x: number): number => {
  if (!(Math.abs(x) < Infinity)) return Number.NaN
  if (Math.abs(x) < 1e-9) return x
  const quadrant = reduce(x)
  const value = quadrant % 2 === 0 ? sineOfRest() : cosineOfRest()
  return quadrant < 2 ? value : -value
}

/** Cosine of an angle in radians. */
export const cos = (x: number): number => {
  if (!(Math.abs(x) < Infinity)) return Number.NaN
  const quadrant = reduce(x)
  const value = quadrant % 2 === 0 ? cosineOfRest() : sineOfRest()
  return quadrant === 0 || quadrant === 3 ? value : -value
}

/** Tangent of an angle in radians. */
export const tan = (x: number): number => {
  if (!(Math.abs(x) < Infinity)) return Number.NaN
  if (Math.abs(x) < 1e-9) return x
  const quadrant = reduce(x)
  const tail = sineTail(restHigh, restLow)
  const sine = restHigh + tail
  const sineLow = restHigh - sine + tail
  const square = restHigh * restHigh
  const leading = 1 - square / 2
  const rest = 1 - leading - square / 2 + (cosineTail(restHigh, restLow) - productError(restHigh, restHigh, square) / 2)
  const cosine = leading + rest
  const cosineLow = leading - cosine + rest
  return quadrant % 2 === 0
    ? quotientOfSums(sine, sineLow, cosine, cosineLow)
    : -quotientOfSums(cosine, cosineLow, sine, sineLow)
}

const quotientOfSums = (a: number, al: number, b: number, bl: number): number => {
  const quotient = a / b
  const product = quotient * b
  return quotient + (a - product - productError(quotient, b, product) + al - quotient * bl) / b
}

// atan(i/64) in two parts.
const arcsHigh = new Float64Array(65)
const arcsLow = new Float64Array(65)
{
  let arc = 0n
  for (let index = 1; index <= 64; index++) {
    arc += FixedPoint.atanOfRatio(64n, BigInt(4096 + index * (index - 1)))
    const high = FixedPoint.toNumber(arc)
    arcsHigh[index] = high
    arcsLow[index] = FixedPoint.residue(arc, high)
  }
}

/**
 * offset + sign * atan(y/x), for 0 ≤ y ≤ x in two parts each, x from 2^-30 to 2^64, and an offset in units of
 * π/2.
 */
const arc = (y: number, yl: number, x: number, xl: number, quarters: number, sign: number): number => {
  const ratio = y / x
  const index = ratio < 0.0625 ? 0 : (ratio * 64 + 0.5) | 0
  const c = index / 64
  // c has seven bits: its products with the halves of x are exact.
  const xh = Math.fround(x)
  const a = y - c * xh
  const b = c * (x - xh)
  const top = a - b
  const topLow = sumError(a, -b, top) + (yl - c * xl)
  const cy = c * y
  const bottom = x + cy
  const bottomLow = sumError(x, cy, bottom) + (productError(c, y, cy) + xl + c * yl)
  const t = top / bottom
  const product = t * bottom
  const tl = (top - product - productError(t, bottom, product) + topLow - t * bottomLow) / bottom
  const z = t * t
  const series =
    z *
    (-1 / 3 + z * (1 / 5 + z * (-1 / 7 + z * (1 / 9 + z * (-1 / 11 + z * (1 / 13 + z * (-1 / 15 + z * (1 / 17))))))))
  const offset = quarters * halfPiHigh
  const table = sign * (arcsHigh[index] ?? 0)
  const base = offset + table
  const baseLow = sumError(offset, table, base) + (quarters * halfPiLow + sign * (arcsLow[index] ?? 0))
  const leading = base + sign * t
  return leading + (sumError(base, sign * t, leading) + (baseLow + sign * (tl + t * series)))
}

/** Arc tangent, within ±π/2. */
export const atan = (x: number): number => {
  const size = Math.abs(x)
  if (size < 1e-9 || x !== x) return x
  if (size > 2 ** 64) return withSign(halfPiHigh, x)
  return withSign(size <= 1 ? arc(size, 0, 1, 0, 0, 1) : arc(1, 0, size, 0, 1, -1), x)
}

/** The angle of the point (x, y), within ±π, with IEEE 754's values at zeros and infinities. */
export const atan2 = (y: number, x: number): number => {
  if (x !== x || y !== y) return Number.NaN
  const isLeft = x < 0 || Object.is(x, -0)
  return withSign(angle(Math.abs(y), Math.abs(x), isLeft), y)
}

const angle = (y: number, x: number, isLeft: boolean): number => {
  const far = isLeft ? 2 * halfPiHigh : 0
  if (y === 0) return far
  if (y === Infinity) return x === Infinity ? (isLeft ? 3 : 1) * (halfPiHigh / 2) : halfPiHigh
  if (x === Infinity) return far
  const ratio = y / x
  if (ratio > 2 ** 64) return halfPiHigh
  if (ratio < 2 ** -64) return isLeft ? far : ratio
  // The greater of the two is brought into [1, 2): neither products nor float32 parts leave their range.
  const greater = y > x ? y : x
  const raise = greater < 2 ** -400 ? 2 ** 600 : 1
  const exponent = exponentOf(greater * raise)
  const [sy, sx] = [scale(y * raise, -exponent), scale(x * raise, -exponent)]
  if (sy <= sx) return isLeft ? arc(sy, 0, sx, 0, 2, -1) : arc(sy, 0, sx, 0, 0, 1)
  return isLeft ? arc(sx, 0, sy, 0, 1, 1) : arc(sx, 0, sy, 0, 1, -1)
}

// √(1 - x²); the second part is left in rootLow.
let rootLow = 0
const cosineOfSine = (x: number): number => {
  const square = x * x
  const rest = 1 - square
  const restLow = sumError(1, -square, rest) - productError(x, x, square)
  const root = Math.sqrt(rest)
  const product = root * root
  rootLow = (rest - product - productError(root, root, product) + restLow) / (2 * root)
  return root
}

/** Arc sine, within ±π/2; NaN beyond ±1. */
export const asin = (x: number): number => {
  const size = Math.abs(x)
  if (size < 1e-9) return x
  if (!(size < 1)) return size === 1 ? withSign(halfPiHigh, x) : Number.NaN
  const root = cosineOfSine(size)
  return withSign(size <= root ? arc(size, 0, root, rootLow, 0, 1) : arc(root, rootLow, size, 0, 1, -1), x)
}

/** Arc cosine, 0 to π; NaN beyond ±1. */
export const acos = (x: number): number => {
  const size = Math.abs(x)
  if (!(size < 1)) return x === 1 ? 0 : x === -1 ? 2 * halfPiHigh : Number.NaN
  if (size < 1e-20) return halfPiHigh
  const root = cosineOfSine(size)
  if (size <= root) return arc(size, 0, root, rootLow, 1, x < 0 ? 1 : -1)
  return x < 0 ? arc(root, rootLow, size, 0, 2, -1) : arc(root, rootLow, size, 0, 0, 1)
}
