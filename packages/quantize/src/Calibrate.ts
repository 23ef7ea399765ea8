// Calibration: runs the samples (on what `Inference` provides, or else on the oracle), watches the values that quantisation will read, and gives the range
// of each. Streaming: one sample's values at a time; the result does not depend on order or batching.
import * as DType from "@anneal/ir/DType"
import * as Graph from "@anneal/ir/Graph"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Calibrator, type Range } from "@anneal/pipeline/Calibrator"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Inference from "@anneal/pipeline/Inference"
import type { InferenceService } from "@anneal/pipeline/Inference"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Progress from "@anneal/pipeline/Progress"
import { Ranges } from "@anneal/pipeline/Ranges"
import { Samples, SampleError, type Sample } from "@anneal/pipeline/Samples"
import * as Stage from "@anneal/pipeline/Stage"
import { Target } from "@anneal/pipeline/Target"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as InsertQuantization from "./InsertQuantization.ts"
import * as Placement from "./Placement.ts"

/** Fewer samples than this are reported: ranges from few samples are guesses. */
export const advisedSamples = 500

/** A sample's tensors in the order of the graph's inputs; a typed error that names what is missing. */
export const inputsOf = (
  graph: Graph.Graph,
  sample: Sample
): Effect.Effect<ReadonlyArray<Tensor.Tensor>, SampleError> =>
  Effect.suspend(() => {
    const missing = graph.inputs.filter(({ name }) => sample[name] === undefined).map(({ name }) => name)
    if (missing.length > 0) {
      const given = Object.keys(sample).join(", ")
      const detail = `no value for input ${missing.join(", ")} (it has ${given === "" ? "nothing" : given})`
      return Effect.fail(new SampleError({ detail, retryable: false }))
    }
    return Effect.succeed(graph.inputs.flatMap(({ name }) => sample[name] ?? []))
  })

/** Ids of all float values but constants, in the graph's order. */
const floats = (graph: Graph.Graph): ReadonlyArray<string> =>
  [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].flatMap(({ id, type }) =>
    DType.isFloat(type.dtype) ? [id] : []
  )

/**
 * Runs a sample and shows every value of the graph, inputs first, each once. Gives the outputs.
 */
export const observe = (
  graph: Graph.Graph,
  sample: Sample,
  oracle: InferenceService,
  onValue: (id: string, tensor: Tensor.Tensor) => void,
  watch?: ReadonlySet<string>
) =>
  Effect.gen(function* () {
    const inputs = yield* inputsOf(graph, sample)
    for (const [position, { id }] of graph.inputs.entries()) {
      const tensor = inputs[position]
      if (tensor !== undefined) onValue(id, tensor)
    }
    const given = new Set(graph.inputs.map(({ id }) => id))
    return yield* oracle.observe(
      graph,
      inputs,
      (id, tensor) => {
        if (!given.has(id)) onValue(id, tensor)
      },
      watch === undefined ? {} : { watch }
    )
  })

/** The policy for a sample source that drops out: tried again up to five times, from 100 milliseconds on. */
export const sampleRetry = Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 5 }))

export const calibrate = Stage.make({
  name: "calibrate",
  version: 1,
  config: Schema.Struct({
    /** At most so many samples; null for all. */
    limit: Schema.NullOr(Schema.Int),
    /** `quantized` (default): the values that quantisation reads. `all`: every float value; narrowing asks for them. */
    watch: Schema.optionalKey(Schema.Literals(["quantized", "all"]))
  }),
  needs: [GraphTag, Calibrator, Samples, Oracle, Target],
  may: [Inference.Inference],
  output: Ranges,
  retry: sampleRetry,
  run: Effect.fnUntraced(function* ({ limit, watch: which }) {
    const graph = yield* GraphTag
    const calibrator = yield* Calibrator
    const samples = yield* Samples
    const inference = yield* Inference.current
    const target = yield* Target
    const scheme = InsertQuantization.activationScheme(target.quantization) ?? { bits: 8, symmetric: true }
    const watched = which === "all" ? floats(graph) : [...Placement.place(graph).groups.keys()]
    const total = limit === null ? samples.count : Math.min(limit, samples.count ?? limit)
    const stream = limit === null ? samples.stream : Stream.take(samples.stream, limit)
    const { count, ranges, unusable } = yield* calibrator.with((calibration) => {
      const summaries = new Map(watched.map((id) => [id, calibration.empty] as const))
      const wanted = new Set(watched)
      const watch = (id: string, tensor: Tensor.Tensor): void => {
        const before = summaries.get(id)
        if (before !== undefined) summaries.set(id, calibration.observe(before, tensor))
      }
      return Effect.gen(function* () {
        let done = 0
        yield* Stream.runForEach(stream, (sample) =>
          Effect.gen(function* () {
            yield* observe(graph, sample, inference, watch, wanted)
            done++
            yield* Progress.step("samples", done, total)
          })
        )
        const found: Array<readonly [string, Range]> = []
        const missing: Array<string> = []
        for (const [id, summary] of summaries) {
          const range = calibration.finish(summary, scheme)
          if (range === undefined) missing.push(id)
          else found.push([id, range])
        }
        return { count: done, ranges: Object.fromEntries(found), unusable: missing }
      })
    })
    if (count === 0)
      return yield* new SampleError({
        detail: "the source gave no sample at all; calibration needs some",
        retryable: false
      })
    if (count < advisedSamples)
      yield* Diagnostic.report({
        severity: "warning",
        code: "few-calibration-samples",
        message: `${count} samples calibrate; ranges from fewer than ${advisedSamples} may not be representative`,
        action: `give ${advisedSamples} to 1000 samples of real data`
      })
    if (unusable.length > 0)
      yield* Diagnostic.report({
        severity: "warning",
        code: "no-finite-values",
        message: `no finite value was seen of ${unusable.slice(0, 5).join(", ")}${unusable.length > 5 ? ", …" : ""}`,
        action: "what reads them stays in float"
      })
    return { measuredOn: yield* Artefact.digestOf(GraphTag, graph), of: ranges }
  })
})
