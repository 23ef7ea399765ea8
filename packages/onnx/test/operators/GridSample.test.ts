import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, random, run, values } from "./OneOperator.ts"

describe("AffineGrid and GridSample", () => {
  const x = random([2, 3, 4, 5], 1)
  const identity = f32([2, 2, 3], [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0])

  for (const corners of [0, 1])
    it(`give the image back for the identity, align_corners ${corners}`, () => {
      const [grid] = run({ op: "AffineGrid", opset: 20, attributes: { align_corners: corners }, constants: [1] }, [
        identity,
        i64([4], [2, 3, 4, 5])
      ])
      assert.deepStrictEqual(grid?.shape, [2, 4, 5, 2])
      const [found] = run({ op: "GridSample", opset: 20, attributes: { align_corners: corners } }, [x, grid])
      assert.isBelow(distance(values(found), values(x)), 1e-5)
    })

  it("name modes as opset 16 did, and refuse others", () => {
    const grid = f32([2, 1, 1, 2], [0, 0, 0.5, 0.5])
    const node = (mode: string) => ({ op: "GridSample", opset: 16, attributes: { mode } })
    const [bilinear, linear] = ["bilinear", "linear"].map((mode) => values(run(node(mode), [x, grid])[0]))
    assert.deepStrictEqual(bilinear, linear)
    assert.notDeepEqual(values(run(node("bicubic"), [x, grid])[0]), bilinear)
    assert.throws(() => run(node("lanczos"), [x, grid]), /lanczos/)
  })
})
