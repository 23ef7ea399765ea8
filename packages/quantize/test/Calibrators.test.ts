// What all calibrators keep, and what each finds in distributions whose answer is known.
import { assert, describe, it } from "@effect/vitest"
import type { Calibrator, Range } from "@anneal/pipeline/Calibrator"
import * as EntropyCalibrator from "@anneal/quantize/EntropyCalibrator"
import * as Grid from "@anneal/quantize/Grid"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as MseCalibrator from "@anneal/quantize/MseCalibrator"
import * as PercentileCalibrator from "@anneal/quantize/PercentileCalibrator"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { int8, normal, rangeOf, rangeOfPieces, uint8, uniform } from "./Distributions.ts"

const all: Readonly<Record<string, Layer.Layer<Calibrator>>> = {
  minMax: MinMaxCalibrator.layer,
  percentile: PercentileCalibrator.layer({ percentile: 90 }),
  mse: MseCalibrator.layer,
  entropy: EntropyCalibrator.layer
}

const need = (range: Range | undefined): Range => {
  if (range === undefined) throw new TypeError("no range")
  return range
}

/** Σ(x − quantised x)². */
const squaredError = (values: ReadonlyArray<number>, range: Range, scheme = int8): number => {
  const grid = Grid.fromRange(range, scheme)
  return values.reduce((sum, value) => sum + (value - Grid.roundTrip(grid, value)) ** 2, 0)
}

for (const [name, layer] of Object.entries(all)) {
  describe(name, () => {
    it.effect.prop(
      "does not depend on order, batches or the tree of merges, to the bit",
      [Schema.Array(Schema.Finite), Schema.Int, Schema.Boolean],
      ([some, seed, symmetric]) =>
        Effect.gen(function* () {
          const values = [...some, ...normal(40, seed)]
          const scheme = symmetric ? int8 : uint8
          const whole = need(yield* rangeOf(layer, values, scheme))
          const pieces = need(yield* rangeOfPieces(layer, values, seed, scheme))
          assert.isTrue(Object.is(whole.min, pieces.min) && Object.is(whole.max, pieces.max))
        }),
      { arbitrary: { runs: 30 } }
    )

    it.effect("gives a range inside what was seen, and none when nothing finite was", () =>
      Effect.gen(function* () {
        const values = normal(2000, 7)
        const { max, min } = need(yield* rangeOf(layer, values))
        assert.isAtLeast(min, Math.min(...values))
        assert.isAtMost(max, Math.max(...values))
        assert.isBelow(min, max)
        assert.isUndefined(yield* rangeOf(layer, [NaN, Infinity]))
        assert.isUndefined(yield* rangeOf(layer, []))
        assert.deepStrictEqual(yield* rangeOf(layer, [0, 0]), { min: 0, max: 0 })
      })
    )

    it.effect("keeps a sign that is not there out of the range", () =>
      Effect.gen(function* () {
        const positive = normal(500, 3).map(Math.abs)
        assert.isAtLeast(need(yield* rangeOf(layer, positive, uint8)).min, 0)
        const negative = positive.map((value) => -value)
        assert.isAtMost(need(yield* rangeOf(layer, negative, uint8)).max, 0)
      })
    )
  })
}

describe("min–max", () => {
  it.effect("is exact", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* rangeOf(MinMaxCalibrator.layer, [0.1, -1e9, 3]), { min: -1e9, max: 3 })
    })
  )
})

describe("percentile", () => {
  it.effect("leaves the wanted share out", () =>
    Effect.gen(function* () {
      const next = uniform(5)
      const values = Array.from({ length: 20000 }, () => 2 * next() - 1)
      const { max, min } = need(yield* rangeOf(PercentileCalibrator.layer({ percentile: 90 }), values))
      const outside = values.filter((value) => value < min || value > max).length / values.length
      assert.closeTo(outside, 0.1, 0.01)
      assert.isAtMost(outside, 0.1)
      assert.closeTo(min, -0.9, 0.02)
      assert.closeTo(max, 0.9, 0.02)
      const positive = values.map(Math.abs)
      const one = need(yield* rangeOf(PercentileCalibrator.layer({ percentile: 90 }), positive))
      assert.closeTo(one.max, 0.9, 0.02)
    })
  )

  it.effect("100 leaves out nothing; a lone outlier goes at 99.9", () =>
    Effect.gen(function* () {
      const values = [...normal(10000, 2), 1000]
      assert.strictEqual(need(yield* rangeOf(PercentileCalibrator.layer({ percentile: 100 }), values)).max, 1000)
      assert.isBelow(need(yield* rangeOf(PercentileCalibrator.layer({ percentile: 99.9 }), values)).max, 8)
    })
  )

  it("refuses what is no percentage", () => {
    for (const percentile of [0, -1, 100.1, NaN])
      assert.throws(() => PercentileCalibrator.layer({ percentile }), /is not in \(0, 100\]/)
  })
})

describe("mse", () => {
  it.effect("beats the full range where a few values are far out, and no clip of the grid beats it by much", () =>
    Effect.gen(function* () {
      const values = [...normal(20000, 11), 30, -30]
      const range = need(yield* rangeOf(MseCalibrator.layer, values))
      const found = squaredError(values, range)
      assert.isBelow(found, squaredError(values, { min: -30, max: 30 }))
      for (let limit = 1; limit <= 30; limit += 0.5)
        assert.isAtMost(found, 1.02 * squaredError(values, { min: -limit, max: limit }))
    })
  )

  it.effect("leaves a uniform distribution alone", () =>
    Effect.gen(function* () {
      const next = uniform(9)
      const values = Array.from({ length: 20000 }, () => 2 * next() - 1)
      assert.isAbove(need(yield* rangeOf(MseCalibrator.layer, values)).max, 0.97)
    })
  )
})

describe("entropy", () => {
  it.effect("cuts a long thin tail, and keeps a uniform distribution nearly whole", () =>
    Effect.gen(function* () {
      const next = uniform(4)
      const body = normal(50000, 13)
      const tail = Array.from({ length: 50 }, () => 6 + 94 * next())
      const { max } = need(yield* rangeOf(EntropyCalibrator.layer, [...body, ...tail]))
      assert.isAbove(max, 3)
      assert.isBelow(max, 50)
      const flat = Array.from({ length: 50000 }, () => 2 * next() - 1)
      assert.isAbove(need(yield* rangeOf(EntropyCalibrator.layer, flat)).max, 0.95)
    })
  )

  it.effect("does not let exact zeros decide", () =>
    Effect.gen(function* () {
      const values = normal(20000, 17).map(Math.abs)
      const alone = yield* rangeOf(EntropyCalibrator.layer, values, uint8)
      const padded = yield* rangeOf(EntropyCalibrator.layer, [...values, ...new Array<number>(50000).fill(0)], uint8)
      assert.strictEqual(need(padded).max, need(alone).max)
    })
  )
})
