/**
 * Strategy: what a measuring tuner measures next. A pure function of what is known, so that a tuning that was killed goes
 * on from its journal as if nothing had happened.
 */
import type { Identity } from "@anneal/pipeline/Key"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import type { Ranked } from "./Timing.ts"

/** What is known of one choice. */
export interface View {
  readonly choice: Choice
  /** Fastest first. */
  readonly measured: ReadonlyArray<Ranked>
  /** Neither measured nor rejected, by what is predicted. */
  readonly open: ReadonlyArray<Candidate>
}

export interface Strategy {
  readonly identity: Identity
  /** Candidates of `open` to measure next, most promising first; none: enough is known. `all`: every choice's view. */
  readonly propose: (view: View, all: ReadonlyArray<View>) => ReadonlyArray<Candidate>
}
