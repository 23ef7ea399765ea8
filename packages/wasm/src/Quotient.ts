/**
 * Quotient: x / s of floats by a constant s, rounded to a small integer, without dividing.
 *
 *   round(x / s)  ⇒  round(fma(x, high, x · low))        high + low = 1 / s, to 48 bits
 *
 * A division takes as long as ten multiplications. The two differ at most where a quotient lies at the border between two
 * integers, k + ½: whether they do is tried for all floats beside each border that counts. Where sums of products are rounded
 * twice (hosts without fused multiply-add) a quotient just beside a border may fall on its other side.
 *
 * Source: N. Brisebarre, J.-M. Muller, Correctly rounded multiplication by arbitrary precision constants, 2008.
 */

/** 1 / s as a sum of two floats. */
export interface Reciprocal {
  readonly high: number
  /** Not negative; 0: `high` is the reciprocal. */
  readonly low: number
}

const words = new DataView(new ArrayBuffer(4))

/** The float `by` places behind a positive one. */
const neighbour = (x: number, by: number): number => {
  words.setFloat32(0, x)
  words.setInt32(0, words.getInt32(0) + by)
  return words.getFloat32(0)
}

/** x · high + c, rounded once to a float; undefined where doubles do not tell. */
const fused = (x: number, high: number, c: number): number | undefined => {
  const product = x * high
  const sum = product + c
  const back = sum - product
  if (product - (sum - back) + (c - back) === 0) return Math.fround(sum)
  const [below, above] = [Math.fround(sum * (1 - 2 ** -52)), Math.fround(sum * (1 + 2 ** -52))]
  return below === above ? below : undefined
}

/** To the nearest integer, halves to even ones. */
const rounded = (x: number): number => {
  const floor = Math.floor(x)
  const rest = x - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

/**
 * The reciprocal of a float by which all quotients of floats round to the same integers as by division, as far as these are at
 * most `limit` in size; undefined where some would not.
 */
export const reciprocal = (s: number, limit: number): Reciprocal | undefined => {
  if (Math.fround(s) !== s || !(s >= 2 ** -60 && s <= 2 ** 60)) return undefined
  // Not more than 1 / s: the rest is not negative, and infinite x stay what they are.
  const nearest = Math.fround(1 / s)
  const high = nearest * s > 1 ? neighbour(nearest, -1) : nearest
  const low = Math.fround((1 - high * s) / s)
  if (low === 0) return { high, low }
  for (let k = 0; k <= limit; k++) {
    const border = Math.fround((k + 0.5) * s)
    // Floats two places away are past the border in either way.
    for (let by = -1; by <= 1; by++) {
      const x = neighbour(border, by)
      const quotient = fused(x, high, Math.fround(x * low))
      if (quotient === undefined || rounded(quotient) !== rounded(Math.fround(x / s))) return undefined
    }
  }
  return { high, low }
}
