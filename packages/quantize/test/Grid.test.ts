import { assert, describe, it } from "@effect/vitest"
import * as Float from "@anneal/ir/Float"
import * as Grid from "@anneal/quantize/Grid"
import * as Schema from "effect/Schema"

describe("Grid", () => {
  it("symmetric: zero point 0, as many levels on both sides", () => {
    const grid = Grid.fromRange({ min: -1, max: 2.54 }, { bits: 8, symmetric: true })
    assert.deepStrictEqual(grid, { scale: Math.fround(0.02), zeroPoint: 0, low: -127, high: 127, dtype: "i8" })
    assert.strictEqual(Grid.fromRange({ min: -7, max: 7 }, { bits: 4, symmetric: true }).dtype, "i4")
  })

  it("otherwise unsigned, with a zero point", () => {
    const grid = Grid.fromRange({ min: -1, max: 1.55 }, { bits: 8, symmetric: false })
    assert.deepStrictEqual(grid, { scale: Math.fround(0.01), zeroPoint: 100, low: 0, high: 255, dtype: "u8" })
    // A range on one side of zero is stretched to it: zero is always on the grid.
    assert.strictEqual(Grid.fromRange({ min: 1, max: 2.55 }, { bits: 8, symmetric: false }).zeroPoint, 0)
    assert.strictEqual(Grid.fromRange({ min: -2.55, max: -1 }, { bits: 8, symmetric: false }).zeroPoint, 255)
  })

  it("uses as many bits as it is told", () => {
    const [min, max] = [-6.3, 2]
    const seven = Grid.fromRange({ min, max }, { bits: 8, usedBits: 7, symmetric: true })
    assert.deepStrictEqual(seven, { scale: Math.fround(0.1), zeroPoint: 0, low: -63, high: 63, dtype: "i8" })
    assert.closeTo(Grid.roundTrip(seven, min), min, 1e-6)
    const unsigned = Grid.fromRange({ min: -2.7, max: 10 }, { bits: 8, usedBits: 7, symmetric: false })
    assert.deepStrictEqual([unsigned.zeroPoint, unsigned.low, unsigned.high, unsigned.dtype], [27, 0, 127, "u8"])
  })

  it("has a positive normal scale whatever the range", () => {
    for (const scale of ["f32", "f16", "bf16"] as const)
      for (const max of [0, 1e-320, 1e-30, 1, 1e30, Number.MAX_VALUE]) {
        const found = Grid.fromRange({ min: -max, max }, { bits: 8, symmetric: true, scale }).scale
        assert.isAtLeast(found, 2 ** Float.formats[scale].minExponent)
        assert.isAtMost(found, Float.formats[scale].max)
        assert.strictEqual(Float.round(scale, found), found)
      }
  })

  it("rounds ties to even", () => {
    assert.deepStrictEqual([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.6].map(Grid.roundHalfEven), [-2, -2, 0, 0, 2, 2, 3])
  })

  it.prop(
    "a value in the range is off by a step at most (half of one inside), one outside is clipped",
    [Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: -1000, maximum: 1000 }))), Schema.Boolean],
    ([value, symmetric]) => {
      const grid = Grid.fromRange({ min: -10, max: 20 }, { bits: 8, symmetric })
      const found = Grid.roundTrip(grid, value)
      if (value >= -10 && value <= 20) assert.isAtMost(Math.abs(found - value), 1.000001 * grid.scale)
      if (value >= -9 && value <= 19) assert.isAtMost(Math.abs(found - value), 0.500001 * grid.scale)
      if (value >= -9 && value <= 19) assert.isAtMost(Math.abs(found - value), 0.500001 * grid.scale)
      assert.isAtMost(found, (grid.high - grid.zeroPoint) * grid.scale)
      assert.isAtLeast(found, (grid.low - grid.zeroPoint) * grid.scale)
      assert.strictEqual(Grid.roundTrip(grid, found), found)
    }
  )
})
