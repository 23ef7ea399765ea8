/**
 * Tuning on the command line: `--tune quick --tune-budget "2 minutes"` as a level and a time.
 */
import type { TuneLevel } from "@anneal/tune/TuneLevel"
import type { Decided } from "./Compiling.ts"
import * as DurationOption from "./DurationOption.ts"
import { UsageError } from "./UsageError.ts"

/** The machine's own journal in the cache folder: what builds without a lock measured. */
export const journalName = "tuning.journal"

export interface Tuning {
  readonly level: TuneLevel
  /** Milliseconds for checking and timing; undefined: the level's own. */
  readonly budget: number | undefined
}

/** Throws `UsageError` for options that contradict each other. */
export const parse = (given: {
  readonly tune: TuneLevel
  readonly budget: string | undefined
  readonly lock: string | undefined
  readonly frozen: boolean
  readonly target: string
}): Tuning => {
  const refuse = (detail: string): never => {
    throw new UsageError({ detail })
  }
  const budget = given.budget === undefined ? undefined : DurationOption.parse("--tune-budget", given.budget)
  if (budget !== undefined && given.tune === "none")
    refuse("--tune-budget says how long to measure: give --tune quick or full")
  if (given.frozen && given.tune !== "none") refuse(`--frozen decides nothing: leave --tune ${given.tune} away`)
  if (given.frozen && given.lock === undefined) refuse("--frozen builds what a lock says: give it with --lock FILE")
  if (given.target === "reference" && (given.tune !== "none" || given.lock !== undefined))
    refuse("--target reference has nothing to tune or to lock: it runs the graph as it is")
  return { level: given.tune, budget }
}

/** `12 decisions: 9 fastest, 3 locked; 84 candidates timed, 1 found wrong`. */
export const summary = ({ checked, rejected, timed, why }: Decided): string => {
  const count = Object.values(why).reduce((sum, one) => sum + one, 0)
  const reasons = Object.entries(why).map(([name, count]) => `${count} ${name}`)
  const held = checked === 0 ? "" : `; ${checked} kernels checked`
  const measured = timed === 0 && rejected.length === 0 ? "" : `; ${timed} candidates timed`
  const wrong = rejected.length === 0 ? "" : `, ${rejected.length} found wrong`
  return `${count} decisions: ${reasons.join(", ") || "none"}${held}${measured}${wrong}`
}
