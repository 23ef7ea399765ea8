import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, run, values } from "./OneOperator.ts"

const scores = f32([3, 2], [1, 2, 0, 0, 3, 1])
const labels = i64([3], [1, 0, -1])
const logarithm = (row: number, label: number): number => {
  const [a = 0, b = 0] = values(scores).slice(2 * row, 2 * row + 2)
  return (label === 0 ? a : b) - Math.log(Math.exp(a) + Math.exp(b))
}

describe("SoftmaxCrossEntropyLoss", () => {
  const node = { op: "SoftmaxCrossEntropyLoss", opset: 13 }

  it("weighs classes and leaves the ignored label out of the mean", () => {
    const weights = f32([2], [0.5, 2])
    const [loss] = run({ ...node, attributes: { ignore_index: -1 } }, [scores, labels, weights])
    const wanted = -(2 * logarithm(0, 1) + 0.5 * logarithm(1, 0)) / 2.5
    assert.deepStrictEqual(loss?.shape, [])
    assert.isBelow(distance(values(loss), [wanted]), 1e-6)
  })

  it("gives losses one by one, and the logarithms", () => {
    const attributes = { reduction: "none", ignore_index: -1 }
    const [loss, logarithms] = run({ ...node, attributes, outputs: 2 }, [scores, labels])
    assert.isBelow(distance(values(loss), [-logarithm(0, 1), -logarithm(1, 0), 0]), 1e-6)
    assert.isBelow(distance(values(logarithms).slice(0, 2), [logarithm(0, 0), logarithm(0, 1)]), 1e-6)
  })
})

describe("NegativeLogLikelihoodLoss", () => {
  it("adds up over positions of more axes", () => {
    const x = f32([1, 2, 2], [-1, -2, -3, -4])
    const node = { op: "NegativeLogLikelihoodLoss", opset: 13, attributes: { reduction: "sum" } }
    assert.deepStrictEqual(values(run(node, [x, i64([1, 2], [1, 0])])[0]), [3 + 2])
  })
})
