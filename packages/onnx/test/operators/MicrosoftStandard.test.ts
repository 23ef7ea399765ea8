import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, random, run, tensor, values } from "./OneOperator.ts"

const domain = "com.microsoft"

describe("operators of com.microsoft that ai.onnx has too", () => {
  it("Unique gives the elements as they come, their places and counts", () => {
    const [found, places, counts] = run({ op: "Unique", domain, outputs: 3 }, [f32([5], [3, 1, 3, 2, 1])])
    assert.deepStrictEqual([found, places, counts].map(values), [
      [3, 1, 2],
      [0, 1, 0, 2, 1],
      [2, 2, 1]
    ])
  })

  it("BiasSoftmax adds, then takes all axes from its own on as one", () => {
    const [x, bias] = [random([2, 2, 3], 1), random([2, 1, 3], 2)]
    const sum = run({ op: "Add" }, [x, bias])[0]
    const wanted = values(run({ op: "Softmax", opset: 11, attributes: { axis: 1 } }, [sum])[0])
    const [y] = run({ op: "BiasSoftmax", domain, attributes: { axis: 1, is_inner_broadcast: 0 } }, [x, bias])
    assert.isBelow(distance(values(y), wanted), 1e-6)
  })

  it("IsAllFinite looks at every input", () => {
    const of = (value: number) =>
      values(run({ op: "IsAllFinite", domain }, [f32([2], [1, 2]), f32([2], [value, 0])])[0])
    assert.deepStrictEqual([1, Infinity, -Infinity, NaN].map(of), [[1], [0], [0], [0]])
  })

  it("GatherBlockQuantized takes rows of bytes with two numbers each", () => {
    const table = tensor("u8", [2, 2], [0x98, 0x0f, 0x21, 0x43])
    const scales = f32([2, 2], [1, 10, 100, 1000])
    const attributes = { bits: 4, block_size: 2, gather_axis: 0, quantize_axis: 1 }
    const node = { op: "GatherBlockQuantized", domain, attributes, constants: [0] }
    const [y] = run(node, [table, i64([2], [1, 0]), scales])
    // Less 8, the zero point of bytes with two numbers.
    assert.deepStrictEqual(values(y), [-700, -600, -5000, -4000, 0, 1, 70, -80])
  })

  it("QGemm adds integers before it scales, QLinearWhere chooses numbers", () => {
    const one = [f32([], [0.5]), tensor("u8", [], [1])]
    const product = [tensor("u8", [1, 2], [3, 5]), ...one, tensor("u8", [2, 1], [2, 4]), ...one]
    // (2 · 1 + 4 · 3 + 6) · 0.25
    const [y] = run({ op: "QGemm", domain }, [...product, tensor("i32", [1], [6])])
    assert.deepStrictEqual(values(y), [5])
    const chosen = [tensor("bool", [2], [1, 0]), tensor("u8", [2], [3, 5]), ...one, tensor("u8", [2], [9, 11]), ...one]
    const [z] = run({ op: "QLinearWhere", domain }, [...chosen, f32([], [0.25]), tensor("u8", [], [2])])
    assert.deepStrictEqual(values(z), [6, 22])
  })

  it("ExpandDims and Trilu", () => {
    assert.deepStrictEqual(
      run({ op: "ExpandDims", domain, constants: [1] }, [f32([2], [1, 2]), tensor("i32", [], [-1])])[0]?.shape,
      [2, 1]
    )
    assert.deepStrictEqual(values(run({ op: "Trilu", domain }, [f32([2, 2], [1, 2, 3, 4])])[0]), [1, 2, 0, 4])
  })
})
