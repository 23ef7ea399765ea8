import { assert, describe, it } from "@effect/vitest"
import * as Ops from "@anneal/ir/Ops"
import { draws, f32, graphOf, run, runCells, tensor, values } from "../OneNode.ts"

const align = { height: 2, width: 3, mode: "average", samples: 2, spatialScale: 1, halfPixel: true } as const
const boxes = f32([2, 4], [0.5, 1, 4, 5, 2, 2, 5.5, 3.5])
const batch = tensor("i64", [2], [1, 0])
const x = f32([2, 2, 6, 6], draws(144))

describe("roiAlign", () => {
  it("gives a constant for a constant, and 0 for what lies outside", () => {
    const seven = f32(
      [1, 1, 6, 6],
      Array.from({ length: 36 }, () => 7)
    )
    const inside = run(Ops.roiAlign, [seven, f32([1, 4], [1, 1, 4, 4]), tensor("i64", [1], [0])], align)
    for (const value of inside) assert.approximately(value, 7, 1e-6)
    const outside = run(Ops.roiAlign, [seven, f32([1, 4], [20, 20, 24, 24]), tensor("i64", [1], [0])], align)
    assert.deepStrictEqual(outside, [0, 0, 0, 0, 0, 0])
  })

  it("refuses a batch that x does not have", () => {
    assert.throws(() => run(Ops.roiAlign, [x, boxes, tensor("i64", [2], [0, 2])], align), /batch 2, x has 2/)
  })

  for (const mode of ["average", "maximum"] as const)
    it(`keeps the ${mode} of elements with errors within its bounds`, () => {
      const attributes = { ...align, mode }
      const graph = graphOf(Ops.roiAlign, [x, boxes, batch], attributes)
      const error = 1e-3
      const cells = [
        { tensor: x, bound: new Float64Array(144).fill(error) },
        { tensor: boxes, bound: undefined },
        { tensor: batch, bound: undefined }
      ]
      const [cell] = runCells(graph, cells, "contract")
      const bound = cell?.bound
      assert.isDefined(bound)
      const signs = draws(144, 9)
      const moved = f32(
        [2, 2, 6, 6],
        values(x).map((value, i) => value + ((signs[i] ?? 0) < 0 ? -error : error))
      )
      const near = run(Ops.roiAlign, [moved, boxes, batch], attributes)
      const exact = values(cell?.tensor)
      assert.isAbove(Math.max(...near.map((value, i) => Math.abs(value - (exact[i] ?? 0)))), error / 100)
      for (const [i, value] of near.entries()) {
        assert.isAtMost(Math.abs(value - (exact[i] ?? 0)), bound?.[i] ?? 0)
        assert.isAtMost(bound?.[i] ?? Infinity, 2 * error)
      }
    })

  it("knows nothing where the boxes have errors", () => {
    const graph = graphOf(Ops.roiAlign, [x, boxes, batch], align)
    const cells = [
      { tensor: x, bound: undefined },
      { tensor: boxes, bound: new Float64Array(8).fill(1e-3) },
      { tensor: batch, bound: undefined }
    ]
    assert.isTrue(runCells(graph, cells, "contract")[0]?.bound?.every((value) => value === Infinity))
  })
})

describe("maxRoiPool", () => {
  it("gives 0 for an empty bin, and carries the largest error of a bin's elements", () => {
    const grid = { height: 1, width: 2, spatialScale: 1 }
    const plane = f32([1, 1, 1, 4], [1, 2, 3, 4])
    const regions = f32([2, 5], [0, 0, 0, 3, 0, 0, 4, 0, 7, 0])
    assert.deepStrictEqual(run(Ops.maxRoiPool, [plane, regions], grid), [2, 4, 0, 0])
    const cells = [
      { tensor: plane, bound: Float64Array.of(0.5, 0, 0.25, 0) },
      { tensor: regions, bound: undefined }
    ]
    const [cell] = runCells(graphOf(Ops.maxRoiPool, [plane, regions], grid), cells, "contract")
    assert.deepStrictEqual([...(cell?.bound ?? [])], [0.5, 0.25, 0, 0])
  })
})
