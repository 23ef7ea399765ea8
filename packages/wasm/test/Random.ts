/** Random: numbers from a seed, the same on every machine. Source: T. Ettinger, mulberry32 (2017). */

/** In [0, 1). */
export const fractions = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** In [−1, 1). */
export const signed = (seed: number): (() => number) => {
  const next = fractions(seed)
  return () => next() * 2 - 1
}

/** Integers from `least` to `greatest`, both included. */
export const integers = (seed: number): ((least: number, greatest: number) => number) => {
  const next = fractions(seed)
  return (least, greatest) => least + Math.floor(next() * (greatest - least + 1))
}
