/**
 * Data for calibration and evaluation on the command line: a folder of cases, or a module of the user's.
 *
 * A module for `--calibrate` has as default export a `Layer` of `Samples`, or an array of samples. One for `--evaluate`
 * has a `Layer` of `Evaluator`, or `{ metric: "top-1", samples: [{ inputs, label }, …] }`. Either may be a function that
 * gives it, or a promise of it.
 */
import { Calibrator } from "@anneal/pipeline/Calibrator"
import * as Bind from "@anneal/ir/Bind"
import * as DTypes from "@anneal/ir/DType"
import type * as IR from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import { Evaluator, type LabelledSample } from "@anneal/pipeline/Evaluator"
import type { Sample } from "@anneal/pipeline/Samples"
import * as Samples from "@anneal/pipeline/Samples"
import * as EntropyCalibrator from "@anneal/quantize/EntropyCalibrator"
import * as Metrics from "@anneal/quantize/Metrics"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as MseCalibrator from "@anneal/quantize/MseCalibrator"
import * as PercentileCalibrator from "@anneal/quantize/PercentileCalibrator"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
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

const isTensor = (value: unknown): value is Tensor =>
  Predicate.hasProperty(value, "dtype") &&
  DTypes.is(value.dtype) &&
  Predicate.hasProperty(value, "shape") &&
  Array.isArray(value.shape) &&
  Predicate.hasProperty(value, "data") &&
  ArrayBuffer.isView(value.data)

const isSample = (value: unknown): value is Sample =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isTensor)

const isSamples = (value: unknown): value is ReadonlyArray<Sample> => Array.isArray(value) && value.every(isSample)

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

/** What keeps a sample from the model: inputs that it lacks, other element types, other shapes. */
const misfits = (model: IR.Graph, sample: Sample): ReadonlyArray<string> => {
  const missing = model.inputs.filter(({ name }) => sample[name] === undefined).map(({ name }) => `${name} is missing`)
  const typed = model.inputs.flatMap(({ name, type }) => {
    const dtype = sample[name]?.dtype
    return dtype === undefined || dtype === type.dtype ? [] : [`${name} is ${dtype}, the model takes ${type.dtype}`]
  })
  if (missing.length > 0 || typed.length > 0) return [...missing, ...typed]
  try {
    const shapes = model.inputs.map(({ name }) => sample[name]?.shape)
    Bind.bind(model, shapes)
    return []
  } catch (error) {
    if (error instanceof Bind.BindError) return error.problems
    throw error
  }
}

/** The samples of `--calibrate`. Those of a folder are held against the model's inputs, so that the case is named. */
export const samples = (
  name: string,
  model?: IR.Graph
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
    const inputs = model?.inputs.map((input) => input.name) ?? []
    for (const one of yield* Cases.list(name)) {
      const sample = yield* Cases.read(one.inputs, inputs, "input")
      const problems = model === undefined ? [] : misfits(model, sample)
      if (problems.length > 0)
        return yield* new UsageError({ detail: `--calibrate ${name}: case ${one.name}: ${problems.join("; ")}` })
      found.push(sample)
    }
    return Samples.layerArray(found)
  })

const LabelledData = Schema.Struct({
  metric: Schema.Literals(["top-1", "mean-error"]),
  samples: Schema.Array(Schema.Struct({ inputs: Schema.Unknown, label: Schema.Unknown }))
})
const isLabelledData = Schema.is(LabelledData)

/** The evaluator of `--evaluate`. */
export const evaluator = (name: string): Effect.Effect<Layer.Layer<Evaluator>, UsageError> =>
  Effect.gen(function* () {
    const value = yield* loaded("--evaluate", name)
    if (Layer.isLayer(value))
      return Layer.succeed(Evaluator, yield* serviceOf("--evaluate", name, value, "Evaluator", Evaluator))
    if (!isLabelledData(value))
      return yield* new UsageError({
        detail: `--evaluate ${name}: its default export must be a Layer of Evaluator, or { metric, samples } with the metric top-1 or mean-error and samples of { inputs, label }`
      })
    const samples: Array<LabelledSample> = []
    for (const { inputs, label } of value.samples) {
      if (!isSample(inputs))
        return yield* new UsageError({
          detail: `--evaluate ${name}: sample ${samples.length} has inputs that are no tensors`
        })
      samples.push({ inputs, label })
    }
    return value.metric === "top-1" ? Metrics.layer(Metrics.top1, samples) : Metrics.layer(Metrics.meanError, samples)
  })
