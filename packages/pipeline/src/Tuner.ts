/**
 * Tuner: chooses one candidate for each decision of a build. What is decided goes into the lock file; how it was
 * measured does not. The reference layer takes the only candidate and refuses to guess between several.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Identified } from "./Key.ts"

/** A way to do what is to be decided. `config` is the tactic's own (tile sizes, layout). */
export const Candidate = Schema.Struct({ name: Schema.String, config: Schema.Json })
export type Candidate = typeof Candidate.Type

/** One thing to decide. `key` says all that a decision depends on: ops, dtypes, layouts, bucket, target features. */
export const Choice = Schema.Struct({
  key: Schema.String,
  /** Path of the region in the user's model. */
  node: Schema.String,
  candidates: Schema.Array(Candidate)
})
export type Choice = typeof Choice.Type

export const Decision = Schema.Struct({ key: Schema.String, candidate: Candidate })
export type Decision = typeof Decision.Type

/** Nothing could be decided. */
export class TunerError extends Schema.TaggedError<TunerError>()("TunerError", {
  reason: Schema.Literals(["NoCandidate", "Undecided"]),
  node: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.node}: ${this.detail}`
  }
}

export interface TunerService extends Identified {
  readonly name: string
  /** One decision a choice, in the same order. */
  readonly decide: (space: ReadonlyArray<Choice>) => Effect.Effect<ReadonlyArray<Decision>, TunerError>
}

export class Tuner extends Context.Service<Tuner, TunerService>()("@anneal/pipeline/Tuner") {}

const only = ({ key, node, candidates }: Choice): Effect.Effect<Decision, TunerError> => {
  const [candidate, ...others] = candidates
  if (candidate === undefined) {
    return Effect.fail(new TunerError({ reason: "NoCandidate", node, detail: "the target offers no kernel for it" }))
  }
  if (others.length > 0) {
    const names = candidates.map(({ name }) => name).join(", ")
    const detail = `${candidates.length} candidates (${names}), and the reference tuner does not measure: provide a measuring tuner's layer`
    return Effect.fail(new TunerError({ reason: "Undecided", node, detail }))
  }
  return Effect.succeed({ key, candidate })
}

/** Takes the only candidate. */
export const layerReference: Layer.Layer<Tuner> = Layer.succeed(Tuner, {
  name: "reference",
  identity: { name: "reference", version: 1, config: {} },
  decide: (space) => Effect.forEach(space, only)
})
