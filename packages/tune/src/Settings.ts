/**
 * Settings: how long, how often and how exactly candidates are timed.
 */
import type { Inputs } from "@anneal/pipeline/Measurer"

export interface Settings {
  /** Nanoseconds that each candidate is run for before it is sampled. */
  readonly warmUp: number
  /** Nanoseconds of a batch; a sample is the least of three (of one, where a single run takes four times as long). */
  readonly batch: number
  /** Fewest rounds for what stays to the end, and most. */
  readonly rounds: { readonly least: number; readonly most: number }
  /** Differences below this share are none. */
  readonly tolerance: number
  /** So many times slower than the fastest while warming up: not sampled. */
  readonly hopeless: number
  readonly inputs: Inputs
}

const MILLISECOND = 1e6
export const quick: Settings = {
  warmUp: 5 * MILLISECOND,
  batch: 0.3 * MILLISECOND,
  rounds: { least: 7, most: 20 },
  tolerance: 0.02,
  hopeless: 4,
  inputs: "warm"
}
export const full: Settings = {
  warmUp: 20 * MILLISECOND,
  batch: MILLISECOND,
  rounds: { least: 11, most: 60 },
  tolerance: 0.01,
  hopeless: 8,
  inputs: "warm"
}
