import { assert, describe, it } from "@effect/vitest"
import * as Dim from "@anneal/ir/Dim"
import { f32, graphOf, i64, random, run, values } from "./OneOperator.ts"

const line = f32([1, 1, 1, 4], [1, 2, 3, 4])
const scales = f32([4], [1, 1, 1, 2])

describe("Resize", () => {
  it("interpolates between centres of elements", () => {
    const node = { op: "Resize", opset: 19, attributes: { mode: "linear" }, constants: [2] }
    assert.deepStrictEqual(values(run(node, [line, undefined, scales])[0]), [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4])
  })

  it("in opset 10 took x / scale, rounded down", () => {
    const half = f32([4], [1, 1, 1, 1.5])
    assert.deepStrictEqual(
      values(run({ op: "Resize", opset: 10, constants: [1] }, [line, half])[0]),
      [1, 1, 2, 3, 3, 4]
    )
  })

  it("rounds tf_half_pixel_for_nn as TensorFlow does", () => {
    const attributes = { coordinate_transformation_mode: "tf_half_pixel_for_nn", nearest_mode: "floor" }
    const node = { op: "Resize", opset: 11, attributes, constants: [2] }
    assert.deepStrictEqual(values(run(node, [line, undefined, f32([4], [1, 1, 1, 0.5])])[0]), [2, 4])
  })

  it("keeps the aspect ratio", () => {
    const attributes = { axes: [2, 3], keep_aspect_ratio_policy: "not_larger" }
    const node = { op: "Resize", opset: 19, attributes, constants: [3] }
    const found = run(node, [random([1, 1, 4, 6]), undefined, undefined, i64([2], [8, 8])])
    assert.deepStrictEqual(found[0]?.shape, [1, 1, 5, 8])
  })

  it("follows sizes that are only named", () => {
    const node = { op: "Resize", opset: 19, constants: [2], shapes: { 0: ["n", 1, "h", "w"] } }
    const graph = graphOf(node, [line, undefined, f32([4], [1, 1, 2, 1.5])])
    const [output] = graph.nodes.at(-1)?.outputs ?? []
    assert.deepStrictEqual(output?.type.shape.map(Dim.format), ["n", "1", "2*h", "floor(w/2)+w"])
    assert.deepStrictEqual(run(node, [line, undefined, f32([4], [1, 1, 2, 1.5])])[0]?.shape, [1, 1, 2, 6])
  })

  it("is Upsample's successor", () => {
    const node = { op: "Upsample", opset: 9, constants: [1] }
    assert.deepStrictEqual(values(run(node, [line, scales])[0]), [1, 1, 2, 2, 3, 3, 4, 4])
  })
})
