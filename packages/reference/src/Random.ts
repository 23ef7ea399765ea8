/**
 * Random numbers from a seed and a counter: Philox4x32-10.
 *
 *   uniform(seed, index)   normal(seed, index)      the same numbers on every engine, in any order
 *
 * Element `index` of stream `seed` needs no other element, so a tensor can be filled in parts. Seeds and indices are integers
 * from 0 to 2^53 - 1.
 * Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
 */
import * as DeterministicMath from "./Math.ts"

const multiplier0 = 0xd2511f53
const multiplier1 = 0xcd9e8d57
const weyl0 = 0x9e3779b9
const weyl1 = 0xbb67ae85

/** The upper 32 bits of a product of two unsigned 32-bit integers. */
const multiplyHigh = (a: number, b: number): number => {
  const [ah, al, bh, bl] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff]
  const middle = ah * bl + ((al * bl) >>> 16)
  const middle2 = al * bh + (middle & 0xffff)
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(middle2 / 65536)) >>> 0
}

/** The four 32-bit outputs for a counter of four words and a key of two, after ten rounds. */
export const philox = (
  counter: readonly [number, number, number, number],
  key: readonly [number, number]
): readonly [number, number, number, number] => {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(multiplier0, c0)
    const high1 = multiplyHigh(multiplier1, c2)
    const low0 = Math.imul(multiplier0, c0) >>> 0
    const low1 = Math.imul(multiplier1, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + weyl0) >>> 0
    k1 = (k1 + weyl1) >>> 0
  }
  return [c0, c1, c2, c3]
}

const wordsOf = (value: number, what: string): readonly [number, number] => {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`a random ${what} is an integer from 0 to 2^53 - 1, found ${value}`)
  }
  return [value >>> 0, Math.floor(value / 2 ** 32)]
}

// Elements 2n and 2n + 1 come from the same block.
const block = (seed: number, index: number): readonly [number, number, number, number] => {
  const [low, high] = wordsOf(index, "index")
  return philox([((high & 1) * 2 ** 31 + (low >>> 1)) >>> 0, high >>> 1, 0, 0], wordsOf(seed, "seed"))
}

const fraction = (high: number, low: number): number => ((high >>> 5) * 2 ** 26 + (low >>> 6)) * 2 ** -53

/** Element `index` of the uniform numbers of `seed`: in [0, 1), a multiple of 2^-53. */
export const uniform = (seed: number, index: number): number => {
  const [a, b, c, d] = block(seed, index)
  return index % 2 === 0 ? fraction(a, b) : fraction(c, d)
}

/** Element `index` of the standard normal numbers of `seed`: Box and Muller's cosine (even) and sine (odd). */
export const normal = (seed: number, index: number): number => {
  const [a, b, c, d] = block(seed, index)
  const radius = Math.sqrt(-2 * DeterministicMath.log(1 - fraction(a, b)))
  const angle = 2 * Math.PI * fraction(c, d)
  return radius * (index % 2 === 0 ? DeterministicMath.cos(angle) : DeterministicMath.sin(angle))
}

/** The first `length` uniform numbers of `seed`. */
export const uniforms = (seed: number, length: number): Float64Array => fill(seed, length, uniform)

/** The first `length` standard normal numbers of `seed`. */
export const normals = (seed: number, length: number): Float64Array => fill(seed, length, normal)

const fill = (seed: number, length: number, at: (seed: number, index: number) => number): Float64Array => {
  const values = new Float64Array(length)
  for (let index = 0; index < length; index++) values[index] = at(seed, index)
  return values
}
