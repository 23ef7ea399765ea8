import { assert, describe, it } from "@effect/vitest"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Histogram from "@anneal/quantize/Histogram"
import * as Schema from "effect/Schema"

const of = (...values: ReadonlyArray<number>): Histogram.Histogram =>
  Histogram.observe(Histogram.empty, Numbers.fromNumbers("f64", [values.length], values))

const total = ({ counts }: Histogram.Histogram): number => counts.reduce((a, b) => a + b, 0)

/** The bin that a value is in, from its definition. */
const countAt = (histogram: Histogram.Histogram, value: number): number =>
  histogram.counts[Histogram.half + Math.floor(value / Histogram.width(histogram))] ?? 0

describe("Histogram", () => {
  it("covers what it saw with the least power of two", () => {
    const histogram = of(-3, 1, 2)
    assert.strictEqual(Histogram.width(histogram), 2 ** -9)
    assert.deepStrictEqual([histogram.min, histogram.max, histogram.count], [-3, 2, 3])
    for (const value of [-3, 1, 2]) assert.strictEqual(countAt(histogram, value), 1)
    assert.strictEqual(Histogram.width(of(4)), 2 ** -8, "4 is no longer below 2,048 bins of 2⁻⁹")
    assert.strictEqual(Histogram.width(of(-4)), 2 ** -9, "−4 is the start of the first bin")
  })

  it("keeps NaN and infinities out of the bins, and counts them", () => {
    const histogram = of(1, NaN, Infinity, -Infinity)
    assert.deepStrictEqual([histogram.count, histogram.notFinite, total(histogram)], [1, 3, 1])
    assert.deepStrictEqual([histogram.min, histogram.max], [1, 1])
  })

  it("has no width while it saw zeros only", () => {
    const zeros = of(0, -0)
    assert.deepStrictEqual([zeros.exponent, zeros.count, Histogram.width(zeros)], [-Infinity, 2, 0])
    assert.isTrue(Object.is(of(0, -0).min, of(-0, 0).min), "the sign of zero does not depend on the order")
    const grown = Histogram.merge(zeros, of(8))
    assert.strictEqual(grown.counts[Histogram.half], 2)
  })

  it("rounds down on both sides of zero: a bin has its lower edge, not its upper one", () => {
    // Bins are 2⁻⁹ wide.
    const bin = 2 ** -9
    const histogram = of(-3, -2 * bin, -1.5 * bin, -bin, -0.5 * bin, -1e-300, -0, 0, 0.5 * bin, bin, 1.5 * bin, 2 * bin)
    assert.strictEqual(Histogram.width(histogram), bin)
    const around = [-3, -2, -1, 0, 1, 2, 3].map((i) => histogram.counts[Histogram.half + i])
    assert.deepStrictEqual(around, [0, 2, 3, 3, 2, 1, 0])
  })

  it("counts more equal values than it has lanes for, and elements of every remainder", () => {
    for (const count of [1, 2, 3, 4, 5, 1023]) {
      const histogram = of(...Array.from({ length: count }, () => 2))
      assert.deepStrictEqual([countAt(histogram, 2), total(histogram)], [count, count])
    }
  })

  it("takes the whole range of float64", () => {
    const tiny = Number.MIN_VALUE
    const big = of(Number.MAX_VALUE, -tiny, tiny)
    assert.strictEqual(big.counts[Histogram.half - 1], 1, "a negative value lost in the scaling is below zero")
    assert.deepStrictEqual(big, Histogram.merge(of(-tiny, tiny), of(Number.MAX_VALUE)))
  })

  it("reads narrow floats and leaves integers alone", () => {
    const half = Numbers.fromNumbers("f16", [2], [0.5, -2])
    assert.deepStrictEqual(Histogram.observe(Histogram.empty, half), of(0.5, -2))
    assert.strictEqual(Histogram.observe(Histogram.empty, Tensor.zeros("i32", [3])).count, 0)
  })

  it("folds negative bins onto positive ones", () => {
    const histogram = of(-1.001, 1.001, 0)
    const folded = Histogram.magnitudes(histogram)
    assert.strictEqual(folded[Math.floor(1.001 / Histogram.width(histogram))], 2)
    assert.strictEqual(folded[0], 1)
  })

  const Values = Schema.Array(Schema.Finite)
  it.prop(
    "merging is associative and commutative, and equals observing all, to the bit",
    [Values, Values, Values],
    ([a, b, c]) => {
      const [x, y, z] = [of(...a), of(...b), of(...c)]
      const whole = of(...a, ...b, ...c)
      assert.deepStrictEqual(Histogram.merge(Histogram.merge(x, y), z), whole)
      assert.deepStrictEqual(Histogram.merge(x, Histogram.merge(y, z)), whole)
      assert.deepStrictEqual(Histogram.merge(z, Histogram.merge(y, x)), whole)
      assert.strictEqual(total(whole), a.length + b.length + c.length)
    }
  )
})
