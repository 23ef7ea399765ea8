// Units are even in number, none is much smaller than the others, and two threads end together.
import { unitSize, wantedUnits } from "@anneal/wasm/kernels/UnitSize"
import { expect, it } from "vitest"

it("wants one unit of little work, else an even number, up to a limit", () => {
  expect([0, 7_999, 8_000, 13_000, 1e9].map((time) => wantedUnits(time))).toEqual([1, 1, 2, 2, 16])
  expect(wantedUnits(1e9, 4)).toBe(4)
})

it("takes the size with which two threads end together", () => {
  expect(unitSize(300, 12, 6)).toBe(30)
  expect(unitSize(240, 16)).toBe(20)
  expect(unitSize(100, 1)).toBe(100)
  expect(unitSize(5, 1, 4)).toBe(8)
})

it("covers everything with whole steps, and is within half of the best division", () => {
  for (let total = 1; total < 200; total++)
    for (const step of [1, 4, 6])
      for (const units of [1, 2, 4, 8, 16]) {
        const size = unitSize(total, units, step)
        expect(size % step).toBe(0)
        expect(size).toBeGreaterThan(0)
        const steps = Math.ceil(total / step)
        const busiest = (Math.ceil(total / size / 2) * size) / step
        if (units > 1 && steps >= 2 * units) expect(busiest).toBeLessThanOrEqual(1.5 * (steps / 2))
      }
})
