// Whether the evaluation data goes beyond the ranges that calibration found: then the calibration set does not represent
// what the model will see, and the user should know.
//
// A calibrator may clip on purpose, so a value saturates on calibration samples too; what counts is how much more the
// evaluation data does.
import type * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import type { Range } from "@anneal/pipeline/Calibrator"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import type { EvaluatorService } from "@anneal/pipeline/Evaluator"
import type { InferenceService } from "@anneal/pipeline/Inference"
import type { Sample, SampleError, SamplesService } from "@anneal/pipeline/Samples"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Calibrate from "./Calibrate.ts"

/** Share of a value's elements outside its range, beyond what calibration itself left out, that is worth a warning. */
export const threshold = 0.001

/** Samples of each set that are looked at. */
const looked = 32

/** Share of elements outside its range, by value id, over the first samples of a stream. */
export const measure = (
  graph: Graph.Graph,
  ranges: Readonly<Record<string, Range>>,
  samples: Stream.Stream<Sample, SampleError>,
  inference: InferenceService
) =>
  Effect.gen(function* () {
    const watched = new Set(Object.keys(ranges))
    const totals = new Map<string, { readonly outside: number; readonly count: number }>()
    const watch = (id: string, tensor: Tensor.Tensor): void => {
      const range = ranges[id]
      if (range === undefined) return
      let outside = 0
      for (const value of Numbers.toNumbers(tensor)) if (value < range.min || value > range.max) outside++
      const before = totals.get(id) ?? { outside: 0, count: 0 }
      totals.set(id, { outside: before.outside + outside, count: before.count + tensor.data.length })
    }
    yield* Stream.runForEach(Stream.take(samples, looked), (sample) =>
      Calibrate.observe(graph, sample, inference, watch, watched)
    )
    return new Map([...totals].map(([id, { count, outside }]) => [id, count === 0 ? 0 : outside / count] as const))
  })

/** Reports `not-representative` when evaluation data saturates ranges more than calibration data does. */
export const warn = (
  graph: Graph.Graph,
  ranges: Readonly<Record<string, Range>>,
  samples: SamplesService,
  evaluator: EvaluatorService,
  inference: InferenceService
) =>
  Effect.gen(function* () {
    const evaluated = Stream.map(evaluator.samples, ({ inputs }) => inputs)
    const shares = yield* measure(graph, ranges, evaluated, inference)
    if ([...shares.values()].every((share) => share <= threshold)) return
    const expected = yield* measure(graph, ranges, samples.stream, inference)
    const worst = [...shares]
      .filter(([id, share]) => share > threshold + 2 * (expected.get(id) ?? 0))
      .toSorted((a, b) => b[1] - a[1])
    if (worst.length === 0) return
    const listed = worst.slice(0, 3).map(([id, share]) => `%${id} ${(100 * share).toFixed(2)} %`)
    yield* Diagnostic.report({
      severity: "warning",
      code: "not-representative",
      message: `evaluation data lies outside the calibrated ranges of ${worst.length} values (${listed.join(", ")})`,
      action: "calibrate on samples like those that are evaluated"
    })
  })
