/**
 * Exact pieces of float64 arithmetic: the error of a product, the exponent of a number, scaling by a power of two.
 *
 *   a * b = p + productError(a, b, p)
 *
 * Source: T. J. Dekker, "A floating-point technique for extending the available precision", 1971.
 */

// One number seen as its words. Scratch: nothing is kept in it between calls.
const double = new Float64Array(1)
const words = new Int32Array(double.buffer)
const high = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/** The unbiased exponent of a normal number; -1023 for zeros and subnormals, 1024 for infinities and NaN. */
export const exponentOf = (x: number): number => {
  double[0] = x
  return (((words[high] ?? 0) >>> 20) & 0x7ff) - 1023
}

/** A normal number with its exponent made 0: in [1, 2) by magnitude. */
export const significandOf = (x: number): number => {
  double[0] = x
  words[high] = ((words[high] ?? 0) & 0x800fffff) | 0x3ff00000
  return double[0] ?? 0
}

const powerOfTwo = (exponent: number): number => {
  words[high] = (exponent + 1023) << 20
  words[1 - high] = 0
  return double[0] ?? 0
}

/** `x * 2^exponent` for x near 1, rounded once; exponents from -1100 to 1024. */
export const scale = (x: number, exponent: number): number => {
  if (exponent > 1023) return x * 2 * powerOfTwo(exponent - 1)
  if (exponent < -1022) return x * powerOfTwo(exponent + 128) * 2 ** -128
  return x * powerOfTwo(exponent)
}

const splitter = 2 ** 27 + 1

/** `a * b - product` exactly, where `product` is the rounded `a * b` and nothing over- or underflows. */
export const productError = (a: number, b: number, product: number): number => {
  const ca = a * splitter
  const ah = ca - (ca - a)
  const al = a - ah
  const cb = b * splitter
  const bh = cb - (cb - b)
  const bl = b - bh
  return ah * bh - product + ah * bl + al * bh + al * bl
}

/** `a + b - sum` exactly, where `sum` is the rounded `a + b`. */
export const sumError = (a: number, b: number, sum: number): number => {
  const virtual = sum - a
  return a - (sum - virtual) + (b - virtual)
}

/** The value with the sign of `sign`, zeros included. */
export const withSign = (size: number, sign: number): number => (sign < 0 || Object.is(sign, -0) ? -size : size)
