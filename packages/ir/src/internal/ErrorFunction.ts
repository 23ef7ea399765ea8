/**
 * The error function, 2/√π ∫₀ˣ e^(-t²) dt.
 *
 *   erf(c + d) = erf c + d (a₁ + a₂ d + …), c a multiple of 1/16, |d| ≤ 1/32
 *
 * erf c is a table in two parts. The Taylor coefficients come from the differential equation f'' = -2x f', which is
 * (n+2)(n+1) aₙ₊₂ = -2c (n+1) aₙ₊₁ - 2n aₙ.
 */
import { withSign } from "./Double.ts"
import * as FixedPoint from "./FixedPoint.ts"

const points = 97
const degree = 12

const valuesHigh = new Float64Array(points)
const valuesLow = new Float64Array(points)
const coefficients = new Float64Array(points * degree)

const twoPerRootPi = FixedPoint.divide(FixedPoint.ratio(2n, 1n), FixedPoint.squareRoot(FixedPoint.pi))

// erf c = 2/√π e^(-c²) Σ 2ⁿ c^(2n+1) / (2n+1)!!, all of whose terms are positive.
const erfOver = (index: bigint): bigint => {
  let term = FixedPoint.ratio(index, 16n)
  let total = 0n
  for (let n = 3n; term !== 0n; n += 2n) {
    total += term
    term = (term * 2n * index * index) / (256n * n)
  }
  return total
}

{
  const step = FixedPoint.expOfNegativeRatio(1n, 256n)
  const stepSquare = FixedPoint.multiply(step, step)
  // e^(-c²) and the factor that takes it to the next point.
  let [gaussian, factor] = [FixedPoint.ratio(1n, 1n), step]
  for (let index = 0; index < points; index++) {
    const slope = FixedPoint.multiply(twoPerRootPi, gaussian)
    const value = FixedPoint.multiply(slope, erfOver(BigInt(index)))
    const high = FixedPoint.toNumber(value)
    valuesHigh[index] = high
    valuesLow[index] = FixedPoint.residue(value, high)
    const c = index / 16
    let [before, current] = [0, FixedPoint.toNumber(slope)]
    for (let n = 1; n <= degree; n++) {
      coefficients[index * degree + n - 1] = current
      const next = (-2 * c * n * current - 2 * (n - 1) * before) / ((n + 1) * n)
      before = current
      current = next
    }
    gaussian = FixedPoint.multiply(gaussian, factor)
    factor = FixedPoint.multiply(factor, stepSquare)
  }
}

const slopeAtZero = FixedPoint.toNumber(twoPerRootPi - FixedPoint.ratio(1n, 1n))
// 2/√π (-1)ⁿ / (n! (2n+1)) for n from 12 down to 1.
const series = ((): ReadonlyArray<number> => {
  const found: Array<number> = []
  let factorial = 1
  for (let n = 1; n <= 12; n++) {
    factorial *= n
    found.push(((n % 2 === 0 ? 1 : -1) * (1 + slopeAtZero)) / (factorial * (2 * n + 1)))
  }
  return found.reverse()
})()

/** The error function, from -1 to 1. */
export const erf = (x: number): number => {
  const size = Math.abs(x)
  if (size < 0.28125) {
    const z = x * x
    let total = 0
    for (const coefficient of series) total = total * z + coefficient
    return x + x * (slopeAtZero + z * total)
  }
  if (!(size < 6)) return x !== x ? x : withSign(1, x)
  const index = (size * 16 + 0.5) | 0
  const d = size - index / 16
  const first = index * degree
  let total = 0
  for (let n = first + degree - 1; n >= first; n--) total = total * d + (coefficients[n] ?? 0)
  return withSign((valuesHigh[index] ?? 0) + ((valuesLow[index] ?? 0) + d * total), x)
}
