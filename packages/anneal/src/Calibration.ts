/**
 * Data for calibration and evaluation on the command line: a folder of cases, or a module of the user's.
 *
 * A module for `--calibrate` has as default export a `Layer` of `Samples`, or an array of samples. One for `--evaluate`
 * has a `Layer` of `Evaluator`. Either may be a function that gives it, or a promise of it.
 */
import { Calibrator } from "@anneal/pipeline/Calibrator"
import { Evaluator } from "@anneal/pipeline/Evaluator"
import type { Sample } from "@anneal/pipeline/Samples"
import * as Samples from "@anneal/pipeline/Samples"
import * as EntropyCalibrator from "@anneal/quantize/EntropyCalibrator"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as MseCalibrator from "@anneal/quantize/MseCalibrator"
import * as PercentileCalibrator from "@anneal/quantize/PercentileCalibrator"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Cases from "./Cases.ts"
import * as Modules from "./Modules.ts"
import { UsageError } from "./UsageError.ts"
import type { NpyError } from "@anneal/runtime/NpyError"

/** Calibrators by their name on the command line. */
export const calibrators = {
  entropy: EntropyCalibrator.layer,
  minmax: MinMaxCalibrator.layer,
  mse: MseCalibrator.layer,
  percentile: PercentileCalibrator.layer()
} as const satisfies Record<string, Layer.Layer<Calibrator>>

const isSample = Schema.is(
  Schema.Record(
    Schema.String,
    Schema.Struct({ dtype: Schema.String, shape: Schema.Array(Schema.Int), data: Schema.Unknown })
  )
)

const isSamples = (value: unknown): value is ReadonlyArray<Sample> =>
  Array.isArray(value) && value.every((one) => isSample(one))

/** A module's default export, called when it is a function, waited for when it is a promise. */
const loaded = (option: string, name: string): Effect.Effect<unknown, UsageError> =>
  Effect.flatMap(Modules.load(option, name), (exported) =>
    Effect.tryPromise({
      try: async (): Promise<unknown> => (typeof exported === "function" ? exported() : exported),
      catch: (cause) =>
        new UsageError({ detail: `${option} ${name}: ${cause instanceof Error ? cause.message : String(cause)}` })
    })
  )

/** Builds a layer of the user's and takes one service from it; anything else is refused. */
const serviceOf = <A>(
  option: string,
  name: string,
  layer: Layer.Any,
  what: string,
  get: Effect.Effect<A, never, unknown>
): Effect.Effect<A, UsageError> => {
  // A layer from a module has unknown types: it must need nothing, and it may fail with anything.
  const build = Effect.provide(get as Effect.Effect<A>, layer as Layer.Layer<never, unknown>)
  return Effect.catchCause(build, () =>
    Effect.fail(new UsageError({ detail: `${option} ${name}: its layer gives no ${what}, or needs something else` }))
  )
}

/** The samples of `--calibrate`. */
export const samples = (
  name: string,
  inputs: ReadonlyArray<string>
): Effect.Effect<Layer.Layer<Samples.Samples>, UsageError | NpyError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (Modules.isModule(name)) {
      const value = yield* loaded("--calibrate", name)
      if (Layer.isLayer(value)) {
        const service = yield* serviceOf("--calibrate", name, value, "Samples", Samples.Samples)
        return Layer.succeed(Samples.Samples, service)
      }
      if (isSamples(value)) return Samples.layerArray(value)
      return yield* new UsageError({
        detail: `--calibrate ${name}: its default export must be a Layer of Samples or an array of { input: tensor }`
      })
    }
    const found: Array<Sample> = []
    for (const one of yield* Cases.list(name)) found.push(yield* Cases.read(one.inputs, inputs, "input"))
    return Samples.layerArray(found)
  })

/** The evaluator of `--evaluate`. */
export const evaluator = (name: string): Effect.Effect<Layer.Layer<Evaluator>, UsageError> =>
  Effect.gen(function* () {
    const value = yield* loaded("--evaluate", name)
    if (!Layer.isLayer(value))
      return yield* new UsageError({ detail: `--evaluate ${name}: its default export must be a Layer of Evaluator` })
    return Layer.succeed(Evaluator, yield* serviceOf("--evaluate", name, value, "Evaluator", Evaluator))
  })
