import { assert, describe, it } from "@effect/vitest"
import { f32, i64, run, values } from "./OneOperator.ts"

const counted = (n: number) =>
  f32(
    [n],
    Array.from({ length: n }, (_, i) => i + 1)
  )

describe("Pad", () => {
  it("crops where a size that is open turns out so", () => {
    // Pads of [1, -2] are a constant, those of the axis are exact at any size.
    for (const n of [3, 5, 8]) {
      const node = { op: "Pad", opset: 19, constants: [1], shapes: { 0: ["n"] } }
      const [y] = run(node, [counted(n), i64([2], [1, -2])])
      assert.deepStrictEqual(values(y), [0, ...values(counted(n - 2))])
    }
  })
})

describe("CenterCropPad", () => {
  it("crops or pads an axis whose size is open", () => {
    const of = (n: number) =>
      values(
        run({ op: "CenterCropPad", opset: 18, constants: [1], shapes: { 0: ["n"] } }, [counted(n), i64([1], [5])])[0]
      )
    assert.deepStrictEqual(of(5), [1, 2, 3, 4, 5])
    assert.deepStrictEqual(of(8), [2, 3, 4, 5, 6])
    assert.deepStrictEqual(of(7), [2, 3, 4, 5, 6])
    assert.deepStrictEqual(of(2), [0, 1, 2, 0, 0])
  })
})
