/**
 * Choices from a seed: the same on every machine. Mulberry32 (Tommy Ettinger): a counter, mixed.
 */
import * as Key from "@anneal/pipeline/Key"

export interface Seeded {
  /** Uniform in [0, 1). */
  readonly next: () => number
  /** Uniform among 0 … count − 1. */
  readonly below: (count: number) => number
  /** Normal, mean 0, deviation 1. */
  readonly normal: () => number
}

/** Made of anything that has canonical JSON. */
export const make = (...seed: ReadonlyArray<string | number>): Seeded => {
  let state = Number.parseInt(Key.digest(seed).slice(0, 8), 16)
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    below: (count) => Math.floor(next() * count),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  }
}
