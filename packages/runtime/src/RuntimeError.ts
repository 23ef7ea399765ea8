/**
 * Why an engine is not loaded or a run is not made. All problems of a kind at once.
 */
import * as Schema from "effect/Schema"

export const InputProblem = Schema.Struct({
  reason: Schema.Literals(["Missing", "Unknown", "DType", "Rank", "Shape", "OutsideProfiles"]),
  /** The input, by the user's name. */
  input: Schema.String,
  detail: Schema.String
})
export type InputProblem = typeof InputProblem.Type

/** Inputs that do not fit the engine. */
export class InputError extends Schema.TaggedError<InputError>()("InputError", {
  engine: Schema.String,
  problems: Schema.Array(InputProblem)
}) {
  override get message(): string {
    return `${this.engine} does not take these inputs:\n${this.problems.map(({ detail }) => `  ${detail}`).join("\n")}`
  }
}

/** No variant of the engine runs here. */
export class TargetError extends Schema.TaggedError<TargetError>()("TargetError", {
  engine: Schema.String,
  /** Targets of the variants, with their features. */
  has: Schema.Array(Schema.String),
  /** Targets at hand, with the features of this machine. */
  offers: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.engine} is built for ${this.has.join(", ")}; this process offers ${this.offers.join(", ") || "no target"}. Build it with --target for one of these, or provide the target's executor.`
  }
}

/** A memory limit that does not hold the model. Figures in bytes. */
export class MemoryError extends Schema.TaggedError<MemoryError>()("MemoryError", {
  engine: Schema.String,
  limit: Schema.Finite,
  weights: Schema.Finite,
  /** The most that values need at one time. */
  peak: Schema.Finite,
  /** The node where that is. */
  at: Schema.String,
  /** For which shapes. */
  shapes: Schema.String
}) {
  override get message(): string {
    return `${this.engine} needs ${this.weights + this.peak} bytes for ${this.shapes} (weights ${this.weights}, values ${this.peak} at ${this.at}), the limit is ${this.limit}. Raise the limit, or build with a profile of smaller shapes.`
  }
}

/** The target could not run the graph. `node` is the path in the user's model. */
export class ExecutionError extends Schema.TaggedError<ExecutionError>()("ExecutionError", {
  engine: Schema.String,
  target: Schema.String,
  detail: Schema.String,
  node: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `${this.engine} failed on ${this.target}${this.node === undefined ? "" : ` at ${this.node}`}: ${this.detail}`
  }
}
