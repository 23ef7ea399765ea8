import { assert, describe, it } from "@effect/vitest"
import type { Tensor } from "@anneal/ir/Tensor"
import { distance, f32, graphOf, random, run, values } from "./OneOperator.ts"

/** The sum over all labels, element by element. */
const expected = (equation: string, operands: ReadonlyArray<Tensor>): ReadonlyArray<number> => {
  const [inputs = "", output = ""] = equation.split("->")
  const texts = inputs.split(",")
  const extents = new Map<string, number>()
  for (const [index, text] of texts.entries())
    for (const [axis, label] of Array.from(text).entries()) extents.set(label, operands[index]?.shape[axis] ?? 1)
  const labels = [...Array.from(output), ...[...extents.keys()].filter((label) => !output.includes(label))]
  const total = labels.reduce((product, label) => product * (extents.get(label) ?? 1), 1)
  const kept = Array.from(output).reduce((product, label) => product * (extents.get(label) ?? 1), 1)
  const result = Array.from({ length: kept }, () => 0)
  for (let flat = 0; flat < total; flat++) {
    const at = new Map<string, number>()
    let rest = flat
    for (const label of labels.toReversed()) {
      at.set(label, rest % (extents.get(label) ?? 1))
      rest = Math.floor(rest / (extents.get(label) ?? 1))
    }
    const product = texts.reduce((sum, text, index) => {
      const place = Array.from(text).reduce(
        (position, label) => position * (extents.get(label) ?? 1) + (at.get(label) ?? 0),
        0
      )
      return sum * (values(operands[index])[place] ?? 0)
    }, 1)
    const to = Math.floor(flat / (total / kept))
    result[to] = (result[to] ?? 0) + product
  }
  return result
}

const einsum = (equation: string, operands: ReadonlyArray<Tensor>): Tensor | undefined =>
  run({ op: "Einsum", opset: 12, attributes: { equation } }, operands)[0]

describe("Einsum", () => {
  const cases: ReadonlyArray<readonly [equation: string, ...shapes: ReadonlyArray<ReadonlyArray<number>>]> = [
    ["bhqd,bhkd->bhqk", [2, 3, 4, 5], [2, 3, 6, 5]],
    ["bhqk,bkhd->bqhd", [2, 3, 4, 6], [2, 6, 3, 5]],
    ["ij,jk,kl->il", [2, 3], [3, 4], [4, 5]],
    ["i,j->ij", [3], [4]],
    ["ijk,kj->i", [2, 3, 4], [4, 3]],
    ["iij->j", [3, 3, 2]],
    ["abc,cd->dab", [2, 3, 4], [4, 5]],
    ["ab,ab->", [2, 3], [2, 3]]
  ]
  for (const [equation, ...shapes] of cases)
    it(equation, () => {
      const operands = shapes.map((shape, seed) => random(shape, seed + 1))
      assert.isBelow(distance(values(einsum(equation, operands)), expected(equation, operands)), 1e-5)
    })

  it("broadcasts what an ellipsis stands for", () => {
    const [a, b] = [random([1, 2, 3], 1), random([5, 3, 4], 2)]
    const found = einsum("...ij,...jk->...ik", [a, b])
    assert.deepStrictEqual(found?.shape, [5, 2, 4])
    assert.isBelow(distance(values(found), values(run({ op: "MatMul", opset: 13 }, [a, b])[0])), 1e-6)
  })

  it("orders results by label when there is no arrow", () => {
    assert.deepStrictEqual(einsum("ba", [random([2, 3])])?.shape, [3, 2])
  })

  it("is a matrix product, not a sum of products", () => {
    const graph = graphOf({ op: "Einsum", opset: 12, attributes: { equation: "bij,bjk->bik" } }, [
      random([2, 3, 4]),
      random([2, 4, 5])
    ])
    assert.include(
      graph.nodes.map(({ op }) => op.name),
      "matmul"
    )
  })
})

describe("Det", () => {
  it("exchanges rows for a pivot, and is 0 for a singular matrix", () => {
    const det = (...rows: ReadonlyArray<number>): number => {
      const side = Math.sqrt(rows.length)
      return values(run({ op: "Det", opset: 11 }, [f32([side, side], rows)])[0])[0] ?? Number.NaN
    }
    assert.approximately(det(0, 2, 3, 1, 1, 1, 2, 0, 5), -12, 1e-5)
    assert.strictEqual(det(1, 2, 2, 4), 0)
    assert.strictEqual(det(-7), -7)
  })
})
