import * as Constant from "@anneal/ir/Constant"
import * as DType from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import { assert, describe, it } from "@effect/vitest"

describe("tensors", () => {
  it("rows are batches of one over the same storage", () => {
    const all = Numbers.fromNumbers("i32", [3, 2], [1, 2, 3, 4, 5, 6])
    const parts = Tensor.rows(all)
    assert.deepStrictEqual(
      parts.map(({ data, shape }) => [shape, [...data]]),
      [
        [
          [1, 2],
          [1, 2]
        ],
        [
          [1, 2],
          [3, 4]
        ],
        [
          [1, 2],
          [5, 6]
        ]
      ]
    )
    assert.strictEqual(parts[1]?.data.buffer, all.data.buffer)
    assert.deepStrictEqual(Tensor.rows(Tensor.zeros("f32", [0, 4])), [])
  })

  it("keep every dtype's values through bytes and back", () => {
    for (const dtype of DType.all) {
      const values = dtype === "bool" ? [0, 1, 1, 0, 1] : DType.isSigned(dtype) ? [-3, 0, 1, 2, -1] : [3, 0, 1, 2, 7]
      const tensor = Numbers.fromNumbers(dtype, [5], values)
      const bytes = Tensor.toBytes(tensor)
      assert.strictEqual(bytes.byteLength, DType.byteLength(dtype, 5), dtype)
      const shifted = new Uint8Array(bytes.byteLength + 1)
      shifted.set(bytes, 1)
      const back = Tensor.fromBytes(dtype, [5], shifted.subarray(1))
      assert.deepStrictEqual([...Numbers.toNumbers(back)], values, dtype)
    }
  })

  it("read unaligned bytes of a Node Buffer", () => {
    const buffer = Buffer.alloc(9)
    buffer.writeFloatLE(1.5, 1)
    assert.strictEqual(Tensor.fromBytes("f32", [1], buffer.subarray(1, 5)).data[0], 1.5)
  })

  it("refuse lengths and storage that do not fit", () => {
    assert.throws(() => Tensor.make("f32", [2], new Float32Array(3)), /needs 2 elements/)
    assert.throws(() => Tensor.make("f16", [2], new Float32Array(2)), /cannot be held/)
    assert.throws(() => Tensor.fromBytes("i32", [2], new Uint8Array(7)), /takes 8 bytes/)
  })

  it("round once to the nearest of the dtype, ties to even", () => {
    // 1 + 2⁻¹¹ + 2⁻³⁰ lies above the middle of two halves; through f32 it would become the tie and round down.
    const value = 1 + 2 ** -11 + 2 ** -30
    assert.strictEqual(Numbers.toNumbers(Numbers.scalar("f16", value))[0], 1 + 2 ** -10)
    assert.strictEqual(Numbers.toNumbers(Numbers.scalar("i8", 130))[0], -126)
    assert.strictEqual(Numbers.toNumbers(Numbers.scalar("u4", 18))[0], 2)
  })
})

describe("constants", () => {
  it("have the digest of their bytes, whatever their shape", () => {
    const flat = Constant.fromTensor(Numbers.fromNumbers("f32", [4], [1, 2, 3, 4]))
    const square = Constant.fromTensor(Numbers.fromNumbers("f32", [2, 2], [1, 2, 3, 4]))
    assert.strictEqual(flat.digest, square.digest)
    assert.deepStrictEqual(Constant.reshaped(flat, [2, 2]).shape, [2, 2])
    assert.throws(() => Constant.reshaped(flat, [3]), /no shape/)
  })

  it("refuse a source of another length", () => {
    const short = Constant.lazy("0".repeat(64), "f32", [2], () => new Uint8Array(4))
    assert.throws(() => Constant.load(short), /takes 8 bytes/)
  })
})
