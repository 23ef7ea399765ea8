/**
 * Elementary functions with 300 bits, from their series over integers: what the float64 ones are measured against.
 *
 * A value is a BigInt in units of 2^-bits.
 */
const bits = 300n
const one = 1n << bits

/** A finite float64, exactly where its last bit is at least 2^-300. */
export const fromNumber = (x: number): bigint => {
  let [value, exponent] = [x, 0]
  while (!Number.isInteger(value)) {
    value *= 2
    exponent++
  }
  return (BigInt(value) << bits) >> BigInt(exponent)
}

/** How far `found` is from `exact`, in units of the last place of `exact`. */
export const ulps = (found: number, exact: bigint): number => {
  const near = Math.abs(Number(exact)) / 2 ** Number(bits)
  const unit = 2 ** (Math.floor(Math.log2(near)) - 52)
  return Math.abs(Number(fromNumber(found) - exact)) / 2 ** Number(bits) / unit
}

const times = (a: bigint, b: bigint): bigint => (a * b) >> bits

const series = (first: bigint, next: (term: bigint, n: bigint) => bigint): bigint => {
  let total = 0n
  let term = first
  for (let n = 1n; term > 1n || term < -1n; n++) {
    total += term
    term = next(term, n)
  }
  return total
}

/** e^x for |x| up to 50. */
export const exp = (x: bigint): bigint => {
  let value = series(one, (term, n) => times(term, x >> 8n) / n)
  for (let count = 0; count < 8; count++) value = times(value, value)
  return value
}

/** Logarithm of x in 1e-9..1e9, by Newton's iteration on exp. */
export const log = (x: bigint): bigint => {
  let y = fromNumber(Math.log(Number(x) / 2 ** Number(bits)))
  for (let count = 0; count < 4; count++) y += times(x, exp(-y)) - one
  return y
}

/** Sine, by its series; |x| up to 60. */
export const sin = (x: bigint): bigint => series(x, (term, n) => -times(times(term, x), x) / (2n * n * (2n * n + 1n)))

/** Cosine, by its series; |x| up to 60. */
export const cos = (x: bigint): bigint => series(one, (term, n) => -times(times(term, x), x) / ((2n * n - 1n) * 2n * n))

/** Arc tangent, by Newton's iteration on sine and cosine. */
export const atan = (x: bigint): bigint => {
  let y = fromNumber(Math.atan(Number(x) / 2 ** Number(bits)))
  for (let count = 0; count < 4; count++) y += times(times(x, cos(y)) - sin(y), cos(y))
  return y
}

/** Error function; |x| up to 6. */
export const erf = (x: bigint): bigint => {
  const square = times(x, x)
  const sum = series(x, (term, n) => (2n * times(term, square)) / (2n * n + 1n))
  return times(times(sum, exp(-square)), (2n * one * one) / squareRoot(4n * atan(one)))
}

export const squareRoot = (x: bigint): bigint => {
  let root = (x + one) >> 1n
  for (;;) {
    const next = (root + (x << bits) / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

export const quotient = (a: bigint, b: bigint): bigint => (a << bits) / b
