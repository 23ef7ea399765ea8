/**
 * Samples: representative inputs of the model, for calibration. A source may be slow or flaky: an error that says
 * `retryable: true` is tried again by the stage's policy.
 */
import * as Tensor from "@anneal/ir/Tensor"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Identified, Identity } from "./Key.ts"
import * as Key from "./Key.ts"

/** A sample that could not be had. `index` counts from 0. */
export class SampleError extends Schema.TaggedError<SampleError>()("SampleError", {
  detail: Schema.String,
  index: Schema.optionalKey(Schema.Int),
  /** Whether asking again may help (a network that dropped out), or not (a file of the wrong shape). */
  retryable: Schema.Boolean,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${this.index === undefined ? "The samples" : `Sample ${this.index}`} could not be read: ${this.detail}`
  }
}

/** One run's inputs, by the user's names, batch dimension included. */
export type Sample = Readonly<Record<string, Tensor.Tensor>>

export interface SamplesService extends Identified {
  /** How many there are; undefined when the source does not know. */
  readonly count: number | undefined
  /** All of them, in the same order each time. */
  readonly stream: Stream.Stream<Sample, SampleError>
}

export class Samples extends Context.Service<Samples, SamplesService>()("@anneal/pipeline/Samples") {}

/** The identity of samples in memory: the digest of every tensor. */
export const identityOf = (samples: ReadonlyArray<Sample>): Identity => ({
  name: "samples",
  version: 1,
  config: samples.map((sample) =>
    Object.entries(sample)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { dtype, shape, data }]) => [
        name,
        dtype,
        [...shape],
        Key.digestBytes(Tensor.toBytes({ dtype, shape, data }))
      ])
  )
})

/** Samples in memory. */
export const layerArray = (samples: ReadonlyArray<Sample>): Layer.Layer<Samples> =>
  Layer.sync(Samples, () => ({
    identity: identityOf(samples),
    count: samples.length,
    stream: Stream.fromIterable(samples)
  }))

/** Samples from a source that says who it is; `identity` must change when the data does. */
export const layerStream = (
  stream: Stream.Stream<Sample, SampleError>,
  options?: { readonly identity?: Identity; readonly count?: number }
): Layer.Layer<Samples> => Layer.succeed(Samples, { identity: options?.identity, count: options?.count, stream })

/** The first `n` samples, or all. */
export const take = (n: number): Effect.Effect<ReadonlyArray<Sample>, SampleError, Samples> =>
  Effect.flatMap(Samples, ({ stream }) => Stream.runCollect(Stream.take(stream, n)))
