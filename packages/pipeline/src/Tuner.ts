/**
 * Tuner: chooses one candidate for each decision of a build. What is decided goes into the lock file; how it was
 * measured does not. The reference layer takes the only candidate and refuses to guess between several.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Key from "./Key.ts"

/** A way to do what is to be decided. `config` is the tactic's own (tile sizes, layout); name and config are what is decided. */
export const Candidate = Schema.Struct({
  name: Schema.String,
  config: Schema.Json,
  /** Predicted nanoseconds of one run. Absent: not predicted, and so after all that are. */
  cost: Schema.optionalKey(Schema.Finite),
  /** What a cost model may learn from beside `config`: operations, bytes, tiles, remainders. */
  features: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite))
})
export type Candidate = typeof Candidate.Type

/** One thing to decide. `key` says all that a decision depends on: ops, dtypes, layouts, bucket, target features, generator. */
export const Choice = Schema.Struct({
  key: Schema.String,
  /** Path of the region in the user's model. */
  node: Schema.String,
  candidates: Schema.Array(Candidate),
  /** Its predicted share of an inference, in any unit that all choices share: where a short budget goes first. */
  weight: Schema.optionalKey(Schema.Finite)
})
export type Choice = typeof Choice.Type

/** `candidate` is the one offered, as it was offered. */
export const Decision = Schema.Struct({ key: Schema.String, candidate: Candidate })
export type Decision = typeof Decision.Type

/** Who a candidate is, as text: `gemm {"mr":6,"nr":8}`. What was predicted of it is no part of it. Throws `KeyError`. */
export const identify = ({ name, config }: Pick<Candidate, "name" | "config">): string =>
  `${name} ${Key.canonical(config)}`

/** Least predicted cost first, then by name and configuration: the same order on every machine. */
export const byPrediction = (a: Candidate, b: Candidate): number => {
  const [left, right] = [a.cost ?? Infinity, b.cost ?? Infinity]
  if (left !== right) return left < right ? -1 : 1
  const [first, second] = [identify(a), identify(b)]
  return first < second ? -1 : first > second ? 1 : 0
}

/** Why one choice could not be made. */
export const Problem = Schema.Struct({
  reason: Schema.Literals([
    "NoCandidate",
    /** Several candidates and a tuner that does not choose. */
    "Undecided",
    /** Not one candidate is right. */
    "AllRejected",
    /** Two choices with one key and different candidates. */
    "Ambiguous",
    /** Candidates can't be checked or timed here at all. */
    "Measurer"
  ]),
  key: Schema.String,
  node: Schema.String,
  detail: Schema.String
})
export type Problem = typeof Problem.Type

/** Something could not be decided: everything that could not. */
export class TunerError extends Schema.TaggedError<TunerError>()("TunerError", { problems: Schema.Array(Problem) }) {
  override get message(): string {
    return this.problems.map(({ node, detail }) => `${node}: ${detail}`).join("\n")
  }
}

/** A choice that a lock does not settle. */
export const Miss = Schema.Struct({
  reason: Schema.Literals([
    /** The lock has no decision for it. */
    "Absent",
    /** The lock's decision is none of the candidates that the target offers. */
    "NotOffered",
    /** The lock is of another target, of other features or of another generator. */
    "OtherTarget"
  ]),
  key: Schema.String,
  node: Schema.String,
  detail: Schema.String
})
export type Miss = typeof Miss.Type

/** A build that may not choose met choices that its lock does not settle: all of them. */
export class LockMiss extends Schema.TaggedError<LockMiss>()("LockMiss", { misses: Schema.Array(Miss) }) {
  override get message(): string {
    const lines = this.misses.map(({ node, detail }) => `  ${node}: ${detail}`)
    const count = `${lines.length} ${lines.length === 1 ? "decision is" : "decisions are"}`
    return `${count} not in the lock:\n${lines.join("\n")}\nBuild without --frozen to make the missing ones, and keep the new lock.`
  }
}

export interface TunerService extends Key.Identified {
  readonly name: string
  /** One decision a choice, in the same order. */
  readonly decide: (space: ReadonlyArray<Choice>) => Effect.Effect<ReadonlyArray<Decision>, TunerError | LockMiss>
}

export class Tuner extends Context.Service<Tuner, TunerService>()("@anneal/pipeline/Tuner") {}

/** The problem of a choice that the reference tuner can't settle. */
const problemOf = ({ key, node, candidates }: Choice): ReadonlyArray<Problem> => {
  if (candidates.length === 1) return []
  if (candidates.length === 0) return [noCandidate({ key, node })]
  const names = candidates.map(({ name }) => name).join(", ")
  const detail = `${candidates.length} candidates (${names}), and the reference tuner does not measure: provide a measuring tuner's layer`
  return [{ reason: "Undecided", key, node, detail }]
}

/** A choice without candidates. */
export const noCandidate = ({ key, node }: Pick<Choice, "key" | "node">): Problem => ({
  reason: "NoCandidate",
  key,
  node,
  detail: "the target offers no kernel for it"
})

/** Takes the only candidate. */
export const layerReference: Layer.Layer<Tuner> = Layer.succeed(Tuner, {
  name: "reference",
  identity: { name: "reference", version: 1, config: {} },
  decide: (space) => {
    const problems = space.flatMap(problemOf)
    if (problems.length > 0) return Effect.fail(new TunerError({ problems }))
    return Effect.succeed(space.flatMap(({ key, candidates }) => candidates.map((candidate) => ({ key, candidate }))))
  }
})
