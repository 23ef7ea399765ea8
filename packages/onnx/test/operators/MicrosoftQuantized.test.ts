import { assert, describe, it } from "@effect/vitest"
import type { Tensor } from "@anneal/ir/Tensor"
import { distance, draws, f32, graphOf, random, run, tensor, values } from "./OneOperator.ts"

const domain = "com.microsoft"
const u8 = (shape: ReadonlyArray<number>, numbers: ReadonlyArray<number>): Tensor => tensor("u8", shape, numbers)
const scalar = (value: number): Tensor => f32([], [value])

describe("QLinear operators", () => {
  const [a, b] = [u8([3], [10, 130, 255]), u8([3], [7, 8, 9])]
  const point = (value: number): Tensor => u8([], [value])

  it("add what the numbers stand for", () => {
    const node = { op: "QLinearAdd", domain }
    const [found] = run(node, [a, scalar(0.5), point(10), b, scalar(1), point(8), scalar(1), point(3)])
    assert.strictEqual(found?.dtype, "u8")
    assert.deepStrictEqual(values(found), [2, 63, 124 + 3])
  })

  it("join parts of different scales", () => {
    const node = { op: "QLinearConcat", domain, attributes: { axis: 0 } }
    const [found] = run(node, [scalar(1), point(0), a, scalar(0.5), point(10), b, scalar(2), point(7)])
    assert.deepStrictEqual(values(found), [0, 60, 122, 0, 2, 4])
  })

  it("average over space, channels first or last", () => {
    const x = u8([1, 2, 2], [1, 3, 10, 20])
    const pooled = (last: number): ReadonlyArray<number> => {
      const node = { op: "QLinearGlobalAveragePool", domain, attributes: { channels_last: last } }
      return values(run(node, [x, scalar(1), point(0), scalar(1), point(0)])[0])
    }
    assert.deepStrictEqual(
      [pooled(0), pooled(1)],
      [
        [2, 15],
        [6, 12]
      ]
    )
  })
})

describe("products with quantised weights", () => {
  it("MatMulIntegerToFloat is exact in integers, scaled once, with a scale a column", () => {
    const a = u8([1, 2], [3, 5])
    const b = tensor("i8", [2, 2], [1, -2, 3, 4])
    const node = { op: "MatMulIntegerToFloat", domain }
    const [found] = run(node, [a, b, scalar(0.5), f32([2], [1, 10]), u8([], [1]), undefined, f32([2], [100, 0])])
    // (3 − 1, 5 − 1) · b = (14, 12)
    assert.deepStrictEqual(values(found), [107, 60])
  })

  it("DynamicQuantizeMatMul is near the product", () => {
    const x = random([2, 16], 1)
    const weight = draws(16 * 3, 2).map((value) => Math.round(value * 127))
    const node = { op: "DynamicQuantizeMatMul", domain }
    const found = run(node, [x, tensor("i8", [16, 3], weight), scalar(1 / 127)])[0]
    const real = f32(
      [16, 3],
      weight.map((value) => value / 127)
    )
    assert.isBelow(distance(values(found), values(run({ op: "MatMul", opset: 13 }, [x, real])[0])), 0.05)
  })

  const [rows, columns, block] = [3, 20, 16]
  const levels = draws(rows * 32, 3).map((value) => Math.floor((value + 1) * 8))
  const scales = random([rows, 2], 4)
  const x = random([2, columns], 5)
  /** Two numbers a byte, the first in the low bits. */
  const packed = (numbers: ReadonlyArray<number>, row: number): ReadonlyArray<number> => {
    const bytes: Array<number> = []
    for (let r = 0; r < numbers.length / row; r++)
      for (let i = 0; i < row; i += 2)
        bytes.push((numbers[r * row + i] ?? 0) | ((i + 1 < row ? (numbers[r * row + i + 1] ?? 0) : 0) << 4))
    return bytes
  }
  const expected = (zero: (row: number, block: number) => number): ReadonlyArray<number> =>
    [0, 1].flatMap((i) =>
      Array.from({ length: rows }, (_, n) => {
        let sum = 0
        for (let k = 0; k < columns; k++) {
          const part = Math.floor(k / block)
          const level = (levels[n * 32 + k] ?? 0) - zero(n, part)
          sum += (values(x)[i * columns + k] ?? 0) * level * (values(scales)[n * 2 + part] ?? 0)
        }
        return sum
      })
    )
  const node = {
    op: "MatMulNBits",
    domain,
    attributes: { K: columns, N: rows, bits: 4, block_size: block },
    constants: [1, 3]
  }
  const weight = u8([rows, 2, 8], packed(levels, 32))

  it("MatMulNBits keeps 4-bit weights as they are, and dequantises them in blocks", () => {
    const graph = graphOf(node, [x, weight, scales])
    const dequantize = graph.nodes.find(({ op }) => op.name === "dequantize")
    const constant = graph.constants.get(dequantize?.inputs[0] ?? "")?.constant
    assert.deepStrictEqual([constant?.dtype, constant?.shape], ["u4", [columns, rows]])
    const found = values(run(node, [x, weight, scales])[0])
    assert.isBelow(
      distance(
        found,
        expected(() => 8)
      ),
      1e-4
    )
  })

  it("MatMulNBits takes zero points, packed or as numbers", () => {
    const points = [1, 2, 3, 4, 5, 6]
    const wanted = expected((row, part) => points[row * 2 + part] ?? 0)
    const bytes = u8([rows], packed(points, 2))
    assert.isBelow(distance(values(run(node, [x, weight, scales, bytes])[0]), wanted), 1e-4)
    assert.isBelow(distance(values(run(node, [x, weight, scales, f32([rows, 2], points)])[0]), wanted), 1e-4)
  })

  it("MatMulNBits refuses what it cannot do", () => {
    assert.throws(() => graphOf({ ...node, constants: [] }, [x, weight, scales]), /no constants of the model/)
    const order = tensor(
      "i32",
      [columns],
      Array.from({ length: columns }, () => 0)
    )
    assert.throws(() => graphOf(node, [x, weight, scales, undefined, order]), /g_idx/)
  })
})
