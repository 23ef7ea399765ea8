import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, random, run, values } from "./OneOperator.ts"

describe("DeformConv", () => {
  const x = random([2, 4, 5, 6], 1)
  const w = random([6, 2, 3, 3], 2)
  const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 1], group: 2 }
  const out = [3, 6]

  it("is a convolution when nothing moves", () => {
    const offsets = f32(
      [2, 36, ...out],
      Array.from({ length: 2 * 36 * 18 }, () => 0)
    )
    const bias = random([6], 3)
    const deformed = run({ op: "DeformConv", opset: 22, attributes: { ...attributes, offset_group: 2 } }, [
      x,
      w,
      offsets,
      bias
    ])
    const plain = run({ op: "Conv", opset: 22, attributes }, [x, w, bias])
    assert.deepStrictEqual(deformed[0]?.shape, plain[0]?.shape)
    assert.isBelow(distance(values(deformed[0]), values(plain[0])), 1e-5)
  })

  it("moves windows by whole elements: rows by 1", () => {
    const offsets = f32(
      [2, 18, ...out],
      Array.from({ length: 2 * 18 * 18 }, (_, i) => (Math.floor(i / 18) % 2 === 0 ? 1 : 0))
    )
    const deformed = run({ op: "DeformConv", opset: 22, attributes }, [x, w, offsets])
    const moved = run({ op: "Conv", opset: 22, attributes: { ...attributes, pads: [0, 1, 2, 1] } }, [x, w])
    assert.isBelow(distance(values(deformed[0]), values(moved[0])), 1e-5)
  })
})

describe("Col2Im", () => {
  it("adds overlapping windows, and cuts the padding off", () => {
    // Two windows of 3 over an image of 3 padded by 1 on each side: [p a b] and [b c p] with stride 2.
    const columns = f32([1, 3, 2], [1, 4, 2, 5, 3, 6])
    const node = { op: "Col2Im", opset: 18, attributes: { strides: [2], pads: [1, 1] }, constants: [1, 2] }
    assert.deepStrictEqual(values(run(node, [columns, i64([1], [3]), i64([1], [3])])[0]), [2, 3 + 4, 5])
  })

  it("leaves elements that no window reaches at 0", () => {
    const node = { op: "Col2Im", opset: 18, attributes: { strides: [2] }, constants: [1, 2] }
    assert.deepStrictEqual(
      values(run(node, [f32([1, 2, 2], [1, 3, 2, 4]), i64([1], [5]), i64([1], [2])])[0]),
      [1, 2, 3, 4, 0]
    )
  })
})
