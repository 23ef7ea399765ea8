import { assert, describe, it } from "@effect/vitest"
import * as Dim from "@anneal/ir/Dim"
import { f32, graphOf, run, values } from "./OneOperator.ts"

const mean = (list: ReadonlyArray<number>): number => list.reduce((sum, value) => sum + value, 0) / list.length

describe("random tensors", () => {
  it("are uniform between the limits, the same each time", () => {
    const attributes = { shape: [4000], low: { float: -1 }, high: { float: 3 }, seed: { float: 5 } }
    const node = { op: "RandomUniform", attributes }
    const found = values(run(node, [])[0])
    assert.isAtLeast(Math.min(...found), -1)
    assert.isBelow(Math.max(...found), 3)
    assert.approximately(mean(found), 1, 0.1)
    assert.deepStrictEqual(values(run(node, [])[0]), found)
    const other = { ...node, attributes: { ...attributes, seed: { float: 6 } } }
    assert.notDeepEqual(values(run(other, [])[0]), found)
  })

  it("are normal with the mean and scale, of the shape and type of another", () => {
    const attributes = { mean: { float: 2 }, scale: { float: 3 }, dtype: 11 }
    const x = f32(
      [2, 2000],
      Array.from({ length: 4000 }, () => 0)
    )
    const node = { op: "RandomNormalLike", attributes, shapes: { 0: ["n", "m"] } }
    const [found] = run(node, [x])
    assert.deepStrictEqual([found?.dtype, found?.shape], ["f64", [2, 2000]])
    const list = values(found)
    assert.approximately(mean(list), 2, 0.2)
    assert.approximately(Math.sqrt(mean(list.map((value) => (value - 2) ** 2))), 3, 0.2)
    const shapes = graphOf(node, [x]).nodes.map(({ outputs }) => outputs[0]?.type.shape.map(Dim.format).join())
    assert.include(shapes, "n,m")
  })

  it("Bernoulli is 1 as often as the element says", () => {
    const x = f32(
      [3, 2000],
      Array.from({ length: 6000 }, (_, i) => [0, 0.25, 1][Math.floor(i / 2000)] ?? 0)
    )
    const found = values(run({ op: "Bernoulli", opset: 15 }, [x])[0])
    const rates = [0, 1, 2].map((row) => mean(found.slice(row * 2000, row * 2000 + 2000)))
    assert.deepStrictEqual([rates[0], rates[2]], [0, 1])
    assert.approximately(rates[1] ?? 0, 0.25, 0.04)
  })
})
