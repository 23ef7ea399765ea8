import { assert, describe, it } from "@effect/vitest"
import * as Ops from "@anneal/ir/Ops"
import { f32, run, tensor } from "../OneNode.ts"

const base = {
  scales: [],
  mode: "linear" as const,
  coordinates: "halfPixel" as const,
  nearest: "roundPreferFloor" as const,
  cubicCoefficient: -0.75,
  excludeOutside: false,
  antialias: false,
  extrapolation: 0,
  region: []
}
const row = f32([4], [1, 2, 3, 4])

const closeTo = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>): void => {
  assert.strictEqual(found.length, expected.length)
  for (const [i, value] of found.entries()) assert.closeTo(value, expected[i] ?? NaN, 1e-6, `element ${i}`)
}

// Expected values are ONNX's own examples of Resize and GridSample, or computed by hand.
describe("resize", () => {
  it("interpolates linearly in every kind of coordinate", () => {
    closeTo(run(Ops.resize, [row], { ...base, shape: [8] }), [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4])
    closeTo(run(Ops.resize, [row], { ...base, shape: [7], coordinates: "alignCorners" }), [1, 1.5, 2, 2.5, 3, 3.5, 4])
    closeTo(run(Ops.resize, [row], { ...base, shape: [8], coordinates: "asymmetric" }), [1, 1.5, 2, 2.5, 3, 3.5, 4, 4])
    closeTo(run(Ops.resize, [row], { ...base, shape: [1], coordinates: "pytorchHalfPixel" }), [1])
  })
  it("takes the nearest by each rule", () => {
    const nearest = (rule: "roundPreferFloor" | "roundPreferCeil" | "floor" | "ceil") =>
      run(Ops.resize, [row], { ...base, mode: "nearest", nearest: rule, coordinates: "asymmetric", shape: [8] })
    assert.deepStrictEqual(nearest("floor"), [1, 1, 2, 2, 3, 3, 4, 4])
    assert.deepStrictEqual(nearest("ceil"), [1, 2, 2, 3, 3, 4, 4, 4])
    assert.deepStrictEqual(nearest("roundPreferFloor"), [1, 1, 2, 2, 3, 3, 4, 4])
    assert.deepStrictEqual(nearest("roundPreferCeil"), [1, 2, 2, 3, 3, 4, 4, 4])
    const integers = run(Ops.resize, [tensor("i64", [1, 2], [7, 8])], { ...base, mode: "nearest", shape: [2, 4] })
    assert.deepStrictEqual(integers, [7, 7, 8, 8, 7, 7, 8, 8])
  })
  it("interpolates by cubics that sum to 1, and leaves outsiders out", () => {
    const flat = f32([4], [5, 5, 5, 5])
    closeTo(
      run(Ops.resize, [flat], { ...base, mode: "cubic", shape: [7], excludeOutside: true }),
      [5, 5, 5, 5, 5, 5, 5]
    )
    // Half-way between 2 and 3: weights −0.09375, 0.59375, 0.59375, −0.09375.
    const odd = run(Ops.resize, [row], { ...base, mode: "cubic", shape: [7], coordinates: "alignCorners" })
    closeTo([odd[3] ?? 0], [2.5])
  })
  it("averages when it shrinks with antialias", () => {
    // Scale ½: a triangle of half-width 2, weights ¼ ¾ ¾ ¼ over 2, edges repeated.
    closeTo(run(Ops.resize, [row], { ...base, antialias: true, shape: [2] }), [1.625, 3.375])
  })
  it("fills what a crop leaves outside", () => {
    const crop = { ...base, coordinates: "cropAndResize" as const, region: [-1 / 3, 1], extrapolation: 9, shape: [5] }
    closeTo(run(Ops.resize, [row], crop), [9, 1, 2, 3, 4])
  })
  it("saturates integers where a cubic overshoots", () => {
    const edge = tensor("u8", [4], [0, 0, 255, 255])
    const result = run(Ops.resize, [edge], { ...base, mode: "cubic", shape: [16] })
    assert.isTrue(result.every((value) => value >= 0 && value <= 255))
    assert.strictEqual(result.at(-3), 255)
  })
})

describe("gridSample", () => {
  const image = f32([1, 1, 2, 2], [1, 2, 3, 4])
  const sample = (grid: ReadonlyArray<number>, options: object) =>
    run(Ops.gridSample, [image, f32([1, 1, grid.length / 2, 2], grid)], {
      mode: "linear",
      padding: "zeros",
      alignCorners: true,
      ...options
    })
  it("gives the last coordinate first", () => {
    closeTo(sample([-1, -1, 1, -1, -1, 1, 0, 0], {}), [1, 2, 3, 2.5])
  })
  it("pads with zeros, the border, or the reflection", () => {
    closeTo(sample([2, -1], {}), [1])
    closeTo(sample([3, -1], {}), [0])
    closeTo(sample([3, -1], { padding: "border" }), [2])
    closeTo(sample([3, -1], { padding: "reflection" }), [1])
    closeTo(sample([-1, -1], { alignCorners: false }), [0.25])
  })
  it("takes the nearest and cubics", () => {
    closeTo(sample([0.2, -0.9], { mode: "nearest" }), [2])
    closeTo(sample([-1, 1], { mode: "cubic" }), [3])
  })
})
