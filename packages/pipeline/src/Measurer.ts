/**
 * Measurer: how a target lets its candidates be checked and timed. Only what was checked can be timed:
 *
 *   check(choice, candidate) ⇒ Checked (with `run`), or Rejected with why
 *
 * A target says how to prepare a candidate, check it and run it; `make` puts these in order. There is no other way to a
 * `Checked`, so no tuner can time what is not known to be right. Checks may run side by side; while something is timed
 * (`alone`), nothing else of this measurer runs.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Identified } from "./Key.ts"
import type { Candidate, Choice } from "./Tuner.ts"

/** What can be wrong with a candidate. */
export const RejectionReason = Schema.Literals([
  /** Its result differs from the oracle's by more than the bound. */
  "Wrong",
  /** NaN or an infinity where the oracle has none. */
  "NotFinite",
  /** It stopped by itself: unreachable, out of bounds, division by zero, an exception. */
  "Trap",
  /** It did not end in its time and was terminated. */
  "Hang",
  /** It cannot be generated, compiled or bound here. */
  "Refused",
  /** It wrote where nothing of it belongs. */
  "StrayWrite"
])
export type RejectionReason = typeof RejectionReason.Type

/** A candidate that must not be used. `evidence`: what shows it, in the measurer's terms (case, index, expected, found). */
export class Rejected extends Schema.TaggedError<Rejected>()("Rejected", {
  reason: RejectionReason,
  detail: Schema.String,
  evidence: Schema.Json
}) {
  override get message(): string {
    return `${this.reason}: ${this.detail}`
  }
}

/** Nothing can be checked or timed here: no worker can be started, no memory. It is not the candidate's fault. */
export class MeasurerError extends Schema.TaggedError<MeasurerError>()("MeasurerError", {
  detail: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `candidates cannot be measured: ${this.detail} (${this.action})`
  }
}

/**
 * How a candidate finds its inputs. `warm`: the same each time, as inside a loop that reuses them. `rotated`: each run
 * takes the next of copies that are together larger than the last cache, as in a model whose other regions ran meanwhile.
 */
export const Inputs = Schema.Literals(["warm", "rotated"])
export type Inputs = typeof Inputs.Type

export interface Batch {
  readonly iterations: number
  readonly inputs: Inputs
}

/** Nanoseconds for a batch of runs, measured as near to the runs as possible, at least 1. */
export type Run = (batch: Batch) => Effect.Effect<number, Rejected | MeasurerError>

/** A candidate made ready by a target: generated, compiled, bound to inputs. Released with its scope. */
export interface Prepared {
  /** Compares with the oracle on random, edge and recorded inputs, watches for stray writes, ends what does not end. */
  readonly check: Effect.Effect<void, Rejected | MeasurerError>
  /**
   * A run that traps or does not end must fail here too: inputs of a later run may find what the check did not. Code that
   * becomes faster by being run (tiers of a JIT) should be so by now, as far as the target can bring that about.
   */
  readonly run: Run
}

const proof: unique symbol = Symbol("@anneal/pipeline/Measurer/Checked")

/** A candidate that passed its check. */
export interface Checked {
  readonly [proof]: true
  readonly choice: Choice
  readonly candidate: Candidate
  readonly run: Run
}

export interface MeasurerService extends Identified {
  readonly name: string
  /** Name and version of what makes the candidates: `wasm@3`. Measurements and rejections hold for it alone. */
  readonly generator: string
  /** What timings depend on beside the processor: `relaxed-simd`, `revectorize`, `threads=2`; sorted. */
  readonly features: ReadonlyArray<string>
  readonly check: (
    choice: Choice,
    candidate: Candidate
  ) => Effect.Effect<Checked, Rejected | MeasurerError, Scope.Scope>
  /** Runs `effect` while no check of this measurer and no timing of any runs. */
  readonly alone: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * A piece of work that never changes (while `identity` is the same), run where the candidates run: what measurements of
   * different hours are compared by. Undefined: a loop in this thread.
   */
  readonly yardstick: Run | undefined
}

export class Measurer extends Context.Service<Measurer, MeasurerService>()("@anneal/pipeline/Measurer") {}

/** Whose turn it is to time: one in this process, whatever its measurer, since variants of an engine are built side by side. */
const Turn = Context.Reference<Semaphore.Semaphore>("@anneal/pipeline/Measurer/Turn", {
  defaultValue: () => Semaphore.makeUnsafe(1)
})

export interface MeasurerOptions extends Identified {
  readonly name: string
  readonly generator: string
  readonly features: ReadonlyArray<string>
  /** Checks that may run side by side; at least 1. */
  readonly parallel: number
  readonly prepare: (
    choice: Choice,
    candidate: Candidate
  ) => Effect.Effect<Prepared, Rejected | MeasurerError, Scope.Scope>
  readonly yardstick?: Run | undefined
}

/** A measurer of a target's way to prepare candidates. */
export const make = (options: MeasurerOptions): Effect.Effect<MeasurerService> =>
  Effect.map(Semaphore.make(Math.max(1, Math.floor(options.parallel))), (places) => ({
    name: options.name,
    identity: options.identity,
    generator: options.generator,
    features: options.features.toSorted(),
    yardstick: options.yardstick,
    check: (choice, candidate) =>
      options.prepare(choice, candidate).pipe(
        Effect.tap(({ check }) => check),
        Effect.map(({ run }): Checked => ({ [proof]: true, choice, candidate, run })),
        Semaphore.withPermits(places, 1)
      ),
    alone: (effect) =>
      Effect.flatMap(Turn, (turn) =>
        Semaphore.withPermit(turn, Semaphore.withPermits(places, Math.max(1, Math.floor(options.parallel)), effect))
      )
  }))
