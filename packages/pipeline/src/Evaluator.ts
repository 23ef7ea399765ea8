/**
 * Evaluator: how good a model is, on labelled data, by a metric (top-1, F1, mean error, a user's function). An accuracy
 * budget is kept by asking it before and after.
 */
import type * as Tensor from "@anneal/ir/Tensor"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Identified } from "./Key.ts"
import type { Sample, SampleError } from "./Samples.ts"

/** A score that could not be computed. */
export class EvaluationError extends Schema.TaggedError<EvaluationError>()("EvaluationError", {
  evaluator: Schema.String,
  detail: Schema.String,
  retryable: Schema.optionalKey(Schema.Boolean),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `Evaluator ${this.evaluator} gives no score: ${this.detail}`
  }
}

/** A sample and what is right for it, in whatever form the metric takes. */
export interface LabelledSample {
  readonly inputs: Sample
  readonly label: unknown
}

/** What is scored: one run, by the user's names of inputs and outputs. */
export type Runner<E = never> = (inputs: Sample) => Effect.Effect<Readonly<Record<string, Tensor.Tensor>>, E>

export const Score = Schema.Struct({
  /** Name of the metric: `top-1`. */
  metric: Schema.String,
  value: Schema.Finite,
  higherIsBetter: Schema.Boolean,
  /** Samples that it was computed on. */
  count: Schema.Int
})
export type Score = typeof Score.Type

export interface EvaluatorService extends Identified {
  readonly name: string
  readonly count: number | undefined
  readonly samples: Stream.Stream<LabelledSample, SampleError>
  /** Runs all samples through `runner` and scores. Reports progress by `Progress.step("evaluated", n, count)`. */
  readonly score: <E>(runner: Runner<E>) => Effect.Effect<Score, E | EvaluationError | SampleError>
}

export class Evaluator extends Context.Service<Evaluator, EvaluatorService>()("@anneal/pipeline/Evaluator") {}
