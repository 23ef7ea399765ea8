import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, run, values } from "./OneOperator.ts"

/** Element (y, x) is 10·y + x: bilinear samples are 10·y + x too. */
const ramp = f32(
  [1, 1, 8, 8],
  Array.from({ length: 64 }, (_, i) => 10 * Math.floor(i / 8) + (i % 8))
)

describe("RoiAlign", () => {
  it("samples at the centres of bins, half a pixel off", () => {
    const attributes = { output_height: 2, output_width: 2, sampling_ratio: 2 }
    const boxes = f32([1, 4], [1, 2, 5, 6])
    const [found] = run({ op: "RoiAlign", opset: 16, attributes }, [ramp, boxes, i64([1], [0])])
    // The box [0.5, 4.5] × [1.5, 5.5]: bins of 2, centres at 1.5, 3.5 and 2.5, 4.5.
    assert.isBelow(distance(values(found), [26.5, 28.5, 46.5, 48.5]), 1e-5)
  })

  it("takes as many samples as a bin has elements when none are given", () => {
    const boxes = f32([1, 4], [0, 0, 6, 6])
    const [found] = run({ op: "RoiAlign", opset: 10, attributes: { mode: "avg" } }, [ramp, boxes, i64([1], [0])])
    assert.isBelow(distance(values(found), [33]), 1e-5)
  })

  it("counts samples beyond the border as 0", () => {
    const boxes = f32([1, 4], [20, 20, 24, 24])
    const [found] = run({ op: "RoiAlign", opset: 16 }, [ramp, boxes, i64([1], [0])])
    assert.deepStrictEqual(values(found), [0])
  })
})

describe("MaxRoiPool", () => {
  it("takes the greatest element of each bin", () => {
    const boxes = f32([2, 5], [0, 2, 2, 5, 5, 0, 0, 0, 14, 2])
    const attributes = { pooled_shape: [2, 1], spatial_scale: { float: 1 } }
    const [found] = run({ op: "MaxRoiPool", opset: 22, attributes }, [ramp, boxes])
    assert.deepStrictEqual(values(found), [35, 55, 17, 27])
  })
})
