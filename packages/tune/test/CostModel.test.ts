import { describe, expect, it } from "vitest"
import * as CostModel from "@anneal/tune/CostModel"
import * as Features from "@anneal/tune/Features"
import * as Seeded from "@anneal/tune/Seeded"

const grid = [1, 2, 3, 4, 5, 6].flatMap((a) => [1, 2, 3, 4, 5, 6].map((b) => [a, b]))

describe("CostModel", () => {
  it("learns thresholds and products, and orders what it never saw", () => {
    const truth = ([a = 0, b = 0]: CostModel.Row) => (a * b > 12 ? 1 + 0.1 * (a * b - 12) : 1 / a + 1 / b)
    const random = Seeded.make("rows")
    const rows = Array.from({ length: 24 }, () => grid[random.below(grid.length)] ?? [])
    const { predict, error } = CostModel.fit(rows, rows.map(truth))
    let [right, pairs] = [0, 0]
    for (const x of grid) {
      for (const y of grid) {
        if (truth(x) > 1.3 * truth(y)) {
          pairs++
          if (predict(x) > predict(y)) right++
        }
      }
    }
    expect(right / pairs).toBeGreaterThan(0.85)
    expect(error()).toBeLessThan(0.6)
  })

  it("is the same for the same rows, and knows when it knows nothing", () => {
    const random = Seeded.make("noise")
    const targets = grid.map(() => random.normal())
    const [one, two] = [CostModel.fit(grid, targets), CostModel.fit(grid, targets)]
    expect(grid.map(one.predict)).toEqual(grid.map(two.predict))
    expect(one.error()).toBeGreaterThan(0.7)
    expect(CostModel.fit([], []).predict([1, 2])).toBe(0)
    expect(CostModel.fit([[1]], [3]).predict([1])).toBeCloseTo(3)
    expect(CostModel.fit(grid.slice(0, 7), targets.slice(0, 7)).error()).toBe(Infinity)
  })
})

describe("Features", () => {
  it("a configuration as numbers by path, on a scale of doublings; text and flags as 0 and 1", () => {
    const candidate = {
      name: "gemm",
      config: { tile: { mr: 7, nr: -3 }, order: ["k", "m"], packed: true, note: null },
      cost: 8,
      features: { bytes: 1023 }
    }
    const named = Features.named(candidate)
    expect(Object.fromEntries(named)).toEqual({
      "is gemm": 1,
      "tile.mr": 3,
      "tile.nr": -2,
      "order.0=k": 1,
      "order.1=m": 1,
      packed: 1,
      "feature bytes": 10,
      predicted: 3
    })
    const columns = Features.columns([named, Features.named({ name: "direct", config: 3 })])
    expect(columns.slice(0, 3)).toEqual(["", "feature bytes", "is direct"])
    expect(Features.row(Features.named({ name: "direct", config: 3 }), columns).slice(0, 4)).toEqual([2, 0, 1, 0])
  })
})
