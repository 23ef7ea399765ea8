import { assert, describe, it } from "@effect/vitest"
import { f32, graphOf, run, tensor, values } from "./OneOperator.ts"

const x = f32([2, 4], [-1, 0, 1, 300, 2, 4, 6, -300])

describe("QuantizeLinear and DequantizeLinear", () => {
  it("take the type of the zero point, and one scale for all as a scalar", () => {
    const node = { op: "QuantizeLinear", opset: 21 }
    const [q] = run(node, [x, f32([1], [2]), tensor("i8", [1], [3])])
    assert.strictEqual(q?.dtype, "i8")
    assert.deepStrictEqual(values(q), [3, 3, 3, 127, 4, 5, 6, -128])
    assert.deepStrictEqual(values(run(node, [x, f32([], [2])])[0]), [0, 0, 0, 150, 1, 2, 3, 0])
  })

  it("divide in f32: a quotient that rounds to a tie is one", () => {
    const scale = Math.fround(5 / 255)
    assert.isBelow(0.5 / scale, 25.5)
    const [q] = run({ op: "QuantizeLinear", opset: 21 }, [f32([1], [0.5]), f32([], [scale])])
    assert.deepStrictEqual(values(q), [26])
  })

  it("go along an axis, counted from the end too", () => {
    const node = { op: "QuantizeLinear", opset: 21, attributes: { axis: -2, output_dtype: 5 } }
    const graph = graphOf(node, [x, f32([2], [1, 2])])
    assert.deepStrictEqual(graph.nodes[0]?.attributes, { axis: 0, block: 0, to: "i16", saturate: true })
    assert.deepStrictEqual(values(run(node, [x, f32([2], [1, 2])])[0]), [-1, 0, 1, 300, 1, 2, 3, -150])
  })

  it("share scales in blocks", () => {
    const q = tensor("u4", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    const node = { op: "DequantizeLinear", opset: 21, attributes: { axis: 1, block_size: 2 } }
    const [found] = run(node, [q, f32([2, 2], [1, 10, 2, 0.5]), tensor("u4", [2, 2], [0, 1, 0, 0])])
    assert.deepStrictEqual(values(found), [1, 2, 20, 30, 10, 12, 3.5, 4])
  })
})

describe("DynamicQuantizeLinear", () => {
  it("spans the elements and 0", () => {
    const [y, scale, zero] = run({ op: "DynamicQuantizeLinear", outputs: 3 }, [f32([3], [-1, 0, 1.55])])
    assert.strictEqual(y?.dtype, "u8")
    assert.deepStrictEqual(values(zero), [100])
    assert.approximately(values(scale)[0] ?? 0, 0.01, 1e-7)
    assert.deepStrictEqual(values(y), [0, 100, 255])
  })

  it("gives zeros for zeros", () => {
    const [y, , zero] = run({ op: "DynamicQuantizeLinear", outputs: 3 }, [f32([2], [0, 0])])
    assert.deepStrictEqual([values(y), values(zero)], [[0, 0], [0]])
  })
})
