import { assert, describe, it } from "@effect/vitest"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Evaluator } from "@anneal/pipeline/Evaluator"
import * as Samples from "@anneal/pipeline/Samples"
import * as Metrics from "@anneal/quantize/Metrics"
import * as Saturation from "@anneal/quantize/Saturation"
import * as Effect from "effect/Effect"
import { labelled, model, samples } from "./Model.ts"
import * as TestOracle from "./TestOracle.ts"

const found = (max: number, evaluationScale: number) =>
  Effect.gen(function* () {
    const [source, evaluator] = [yield* Samples.Samples, yield* Evaluator]
    const ranges = { x: { min: -max, max } }
    const [, reports] = yield* Diagnostic.collect(Saturation.warn(model, ranges, source, evaluator, TestOracle.service))
    return reports
  }).pipe(
    Effect.provide([Samples.layerArray(samples(40)), Metrics.layer(Metrics.top1, labelled(40, 9, evaluationScale))])
  )

describe("Saturation", () => {
  it.effect("says nothing when evaluation data stays inside", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* found(10, 1), [])
    })
  )

  it.effect("warns when it goes where calibration never was", () =>
    Effect.gen(function* () {
      const [report, ...more] = yield* found(6, 10)
      assert.deepStrictEqual(more, [])
      assert.strictEqual(report?.code, "not-representative")
      assert.match(report?.message ?? "", /outside the calibrated ranges of 1 values \(%x [1-9]\d*\.\d\d %\)/)
    })
  )

  it.effect("a clip on purpose is no finding: calibration data saturates as much", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* found(1, 1), [])
    })
  )
})
