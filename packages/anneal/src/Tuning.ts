/**
 * Tuning on the command line: `--tune quick --tune-budget "2 minutes"` as a tuner.
 */
import type { Tuner } from "@anneal/pipeline/Tuner"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import type * as Layer from "effect/Layer"
import * as DurationOption from "./DurationOption.ts"
import { UsageError } from "./UsageError.ts"

export type Effort = "none" | "quick" | "full"

export interface Tuning {
  readonly effort: Effort
  /** Milliseconds for checking and timing; undefined: as long as it takes. */
  readonly budget: number | undefined
}

/** Milliseconds that `--tune quick` takes at most when nothing is said. */
const quickBudget = 20_000

/** Throws `UsageError` for options that contradict each other. */
export const parse = (given: {
  readonly tune: Effort
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
  return { effort: given.tune, budget: budget ?? (given.tune === "quick" ? quickBudget : undefined) }
}

/** The tuner that was asked for. */
export const layer = ({ effort }: Tuning): Layer.Layer<Tuner> => {
  if (effort !== "none") throw new UsageError({ detail: `--tune ${effort}: candidates cannot be measured yet` })
  return HeuristicTuner.layer
}
