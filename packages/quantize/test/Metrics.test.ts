import { assert, describe, it } from "@effect/vitest"
import * as Numbers from "@anneal/ir/Numbers"
import { Evaluator, type LabelledSample } from "@anneal/pipeline/Evaluator"
import * as Metrics from "@anneal/quantize/Metrics"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"

const vector = (...values: ReadonlyArray<number>) => Numbers.fromNumbers("f32", [values.length], values)
const data = (labels: ReadonlyArray<unknown>): ReadonlyArray<LabelledSample> =>
  labels.map((label, index) => ({ inputs: { x: vector(index, 1, 0) }, label }))

/** Scores the identity: the output is the input. */
const score = (layer: Layer.Layer<Evaluator>) =>
  Effect.provide(
    Effect.flatMap(Evaluator, (evaluator) => evaluator.score((inputs) => Effect.succeed(inputs))),
    layer
  )

describe("Metrics", () => {
  it.effect("top-1 is the share of right classes; ties go to the first", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* score(Metrics.layer(Metrics.top1, data([1, 0, 1, 0]))), {
        metric: "top-1",
        value: 0.75,
        higherIsBetter: true,
        count: 4
      })
    })
  )

  it.effect("the mean error is over all elements, lower is better", () =>
    Effect.gen(function* () {
      const found = yield* score(Metrics.layer(Metrics.meanError, data([vector(0, 1, 0), vector(1, 1, 6)])))
      assert.deepStrictEqual([found.value, found.higherIsBetter], [1, false])
    })
  )

  it.effect("F1 is the harmonic mean of precision and recall", () =>
    Effect.gen(function* () {
      // Said: [-, +, -] and [+, +, -]; is: [-, +, +] and [+, -, -]. Two hits, one wrong, one missed.
      const labels = [
        [false, true, true],
        [true, false, false]
      ]
      assert.strictEqual((yield* score(Metrics.layer(Metrics.f1(0.5), data(labels)))).value, 4 / 6)
    })
  )

  it.effect("a label of the wrong kind is refused, not scored", () =>
    Effect.gen(function* () {
      const wrong = yield* Effect.flip(score(Metrics.layer(Metrics.top1, data([1, "cat"]))))
      assert.include(wrong.message, 'the label of sample 1 is "cat", it must be the index of the right class')
      yield* Effect.flip(score(Metrics.layer(Metrics.meanError, data([3]))))
      yield* Effect.flip(score(Metrics.layer(Metrics.f1(0.5), data([[1, 0, 1]]))))
    })
  )

  it.effect("a function of one's own is a metric", () =>
    Effect.gen(function* () {
      const largest: Metrics.Metric<number, null> = {
        name: "largest",
        version: 1,
        higherIsBetter: true,
        isLabel: (label) => label === null,
        labels: "null",
        empty: -Infinity,
        add: (state, outputs) => Math.max(state, ...Numbers.toNumbers(outputs["x"] ?? vector(0))),
        value: (state) => state
      }
      assert.strictEqual((yield* score(Metrics.layer(largest, data([null, null, null])))).value, 2)
    })
  )

  it.effect("evaluators of other data have other identities", () =>
    Effect.gen(function* () {
      const identityOf = (labels: ReadonlyArray<number>) =>
        Effect.map(Effect.provide(Evaluator, Metrics.layer(Metrics.top1, data(labels))), ({ identity }) =>
          JSON.stringify(identity)
        )
      assert.strictEqual(yield* identityOf([1, 0]), yield* identityOf([1, 0]))
      assert.notStrictEqual(yield* identityOf([1, 0]), yield* identityOf([1, 1]))
    })
  )
})
