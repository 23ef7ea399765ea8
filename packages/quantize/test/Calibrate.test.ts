import { assert, describe, it } from "@effect/vitest"
import * as Artefact from "@anneal/pipeline/Artefact"
import * as Calibrator from "@anneal/pipeline/Calibrator"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Progress from "@anneal/pipeline/Progress"
import { Ranges } from "@anneal/pipeline/Ranges"
import * as Samples from "@anneal/pipeline/Samples"
import { layerReference } from "@anneal/pipeline/Target"
import * as Calibrate from "@anneal/quantize/Calibrate"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { model, sampleOf, samples } from "./Model.ts"
import * as TestOracle from "./TestOracle.ts"

const calibrated = (
  source: Layer.Layer<Samples.Samples>,
  config: Parameters<typeof Calibrate.calibrate>[0] = { limit: null }
) =>
  Effect.map(
    Pipeline.on(GraphTag).through(Calibrate.calibrate(config)).build(),
    ({ known, ledger }) => [Pipeline.get(known, Ranges), ledger.flatMap(({ diagnostics }) => diagnostics)] as const
  ).pipe(
    Effect.provide([Layer.succeed(GraphTag, model), source, MinMaxCalibrator.layer, TestOracle.layer, layerReference])
  )

describe("calibrate", () => {
  it.effect("gives the ranges of what products read, whatever the order of the samples", () =>
    Effect.gen(function* () {
      const data = samples(20)
      const [ranges] = yield* calibrated(Samples.layerArray(data))
      assert.deepStrictEqual(Object.keys(ranges.of), ["x", "r"])
      const xs = data.flatMap(({ x }) => (x === undefined ? [] : [...x.data].map(Number)))
      assert.deepStrictEqual(ranges.of["x"], { min: Math.min(...xs), max: Math.max(...xs) })
      assert.strictEqual(ranges.of["r"]?.min, 0)
      assert.strictEqual(ranges.measuredOn, yield* Artefact.digestOf(GraphTag, model))
      const [again] = yield* calibrated(Samples.layerArray(data.toReversed()))
      assert.deepStrictEqual(again, ranges)
    })
  )

  it.effect("watches every float value when asked", () =>
    Effect.gen(function* () {
      const [ranges] = yield* calibrated(Samples.layerArray(samples(5)), { limit: null, watch: "all" })
      assert.deepStrictEqual(Object.keys(ranges.of), ["x", "h", "r", "y"])
    })
  )

  it.effect("warns of fewer than 500 samples, and not of 500", () =>
    Effect.gen(function* () {
      const [, few] = yield* calibrated(Samples.layerArray(samples(499)))
      assert.deepStrictEqual(
        few.map(({ code }) => code),
        ["few-calibration-samples"]
      )
      assert.include(few[0]?.message, "499 samples")
      const [, enough] = yield* calibrated(Samples.layerArray(samples(500)))
      assert.deepStrictEqual(enough, [])
      const [, limited] = yield* calibrated(Samples.layerArray(samples(500)), { limit: 10 })
      assert.include(limited[0]?.message, "10 samples")
    })
  )

  it.effect("tells progress sample by sample", () =>
    Effect.gen(function* () {
      const [, events] = yield* Progress.collect(calibrated(Samples.layerArray(samples(3))))
      const steps = events.flatMap((event) =>
        event._tag === "Step" ? [`${event.what} ${event.done}/${event.total}`] : []
      )
      assert.deepStrictEqual(steps, ["samples 1/3", "samples 2/3", "samples 3/3"])
    })
  )

  it.effect("asks a flaky source again, and gives up on one that stays away", () =>
    Effect.gen(function* () {
      let failures = 2
      const flaky = Stream.suspend(() => {
        const good = Stream.fromIterable(samples(4))
        if (failures-- <= 0) return good
        return Stream.concat(
          Stream.take(good, 2),
          Stream.fail(new Samples.SampleError({ detail: "the network dropped out", retryable: true }))
        )
      })
      const run = yield* Effect.forkChild(calibrated(Samples.layerStream(flaky)))
      yield* TestClock.adjust("1 minute")
      const [ranges] = yield* Fiber.join(run)
      const [expected] = yield* calibrated(Samples.layerArray(samples(4)))
      assert.deepStrictEqual(ranges, expected, "the samples of a failed attempt count once")
      assert.strictEqual(failures, -1)
      let asked = 0
      const gone = Stream.suspend(() => {
        asked++
        return Stream.fail(new Samples.SampleError({ detail: "gone", retryable: true }))
      })
      const hopeless = yield* Effect.forkChild(Effect.flip(calibrated(Samples.layerStream(gone))))
      yield* TestClock.adjust("5 minutes")
      assert.include((yield* Fiber.join(hopeless)).message, "gone")
      assert.strictEqual(asked, 6)
    })
  )

  it.effect("does not ask again for what will not get better: a missing input, no samples", () =>
    Effect.gen(function* () {
      const wrong = yield* Effect.flip(calibrated(Samples.layerArray([{ y: sampleOf([1, 2, 3])["x"] ?? missing() }])))
      assert.include(wrong.message, "no value for input x (it has y)")
      const none = yield* Effect.flip(calibrated(Samples.layerArray([])))
      assert.include(none.message, "no sample at all")
    })
  )

  it.effect("says which values were never finite", () =>
    Effect.gen(function* () {
      const [ranges, found] = yield* calibrated(Samples.layerArray([sampleOf([NaN, NaN, NaN])]))
      assert.deepStrictEqual(ranges.of, {})
      assert.include(
        found.map(({ code }) => code),
        "no-finite-values"
      )
    })
  )

  it.effect("a calibrator of one's own takes part like the built-in ones", () =>
    Effect.gen(function* () {
      const { known } = yield* Pipeline.on(GraphTag)
        .through(Calibrate.calibrate({ limit: null }))
        .build()
      assert.deepStrictEqual(Pipeline.get(known, Ranges).of["x"], { min: 0, max: 7 })
    }).pipe(
      Effect.provide([
        Layer.succeed(GraphTag, model),
        Samples.layerArray(samples(7)),
        Layer.succeed(
          Calibrator.Calibrator,
          Calibrator.make({
            name: "counting",
            identity: { name: "counting", version: 1, config: {} },
            calibration: {
              empty: 0,
              observe: (n: number) => n + 1,
              merge: (a, b) => a + b,
              finish: (n) => ({ min: 0, max: n })
            }
          })
        ),
        TestOracle.layer,
        layerReference
      ])
    )
  )
})

const missing = (): never => {
  throw new TypeError("no sample")
}
