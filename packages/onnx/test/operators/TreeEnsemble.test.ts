import { assert, describe, it } from "@effect/vitest"
import { f32, i64, run, values } from "./OneOperator.ts"

// Tree 0: x0 ≤ 1 ? (x1 > 2 ? 10 : 20) : 30, missing x0 to the left. Tree 1: x1 < 0 ? 1 : 2, to target 1 too.
const attributes = {
  nodes_treeids: [0, 0, 0, 0, 0, 1, 1, 1],
  nodes_nodeids: [0, 1, 2, 3, 4, 0, 1, 2],
  nodes_featureids: [0, 1, 0, 0, 0, 1, 0, 0],
  nodes_modes: { strings: ["BRANCH_LEQ", "BRANCH_GT", "LEAF", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF"] },
  nodes_values: { floats: [1, 2, 0, 0, 0, 0, 0, 0] },
  nodes_truenodeids: [1, 2, 0, 0, 0, 1, 0, 0],
  nodes_falsenodeids: [4, 3, 0, 0, 0, 2, 0, 0],
  nodes_missing_value_tracks_true: [1, 0, 0, 0, 0, 0, 0, 0],
  target_treeids: [0, 0, 0, 1, 1, 1],
  target_nodeids: [2, 3, 4, 1, 2, 2],
  target_ids: [0, 0, 0, 0, 0, 1],
  target_weights: { floats: [10, 20, 30, 1, 2, 5] },
  n_targets: 2
}
const node = { op: "TreeEnsembleRegressor", domain: "ai.onnx.ml", opset: 3 }
const x = f32([4, 2], [1, 3, 0, -1, 2, 0, Number.NaN, 2.5])

describe("TreeEnsembleRegressor", () => {
  it("adds up the leaves that each row reaches, trees of different depths", () => {
    assert.deepStrictEqual(values(run({ ...node, attributes }, [x])[0]), [12, 5, 21, 0, 32, 5, 12, 5])
  })

  it("adds base values, and takes averages, minima and maxima over the trees that have a say", () => {
    const found = (aggregate_function: string) =>
      values(
        run({ ...node, attributes: { ...attributes, aggregate_function, base_values: { floats: [0.5, 0] } } }, [x])[0]
      ).slice(0, 4)
    assert.deepStrictEqual(found("AVERAGE"), [6.5, 2.5, 11, 0])
    assert.deepStrictEqual(found("MIN"), [2.5, 5, 1.5, 0])
    assert.deepStrictEqual(found("MAX"), [10.5, 5, 20.5, 0])
  })

  it("takes integers, and follows a logistic transform", () => {
    const wanted = [12, 5].map((sum) => 1 / (1 + Math.exp(-sum)))
    const logistic = { ...node, attributes: { ...attributes, post_transform: "LOGISTIC" } }
    const found = values(run(logistic, [i64([1, 2], [1, 3])])[0])
    for (const [i, value] of found.entries()) assert.approximately(value, wanted[i] ?? 0, 1e-6)
  })

  it("refuses a tree with a missing node or a cycle", () => {
    const broken = (name: string, list: ReadonlyArray<number>) => () =>
      run({ ...node, attributes: { ...attributes, [name]: list } }, [x])
    assert.throws(broken("nodes_falsenodeids", [9, 3, 0, 0, 0, 2, 0, 0]), /tree 0 has no node 9/)
    assert.throws(broken("nodes_falsenodeids", [4, 1, 0, 0, 0, 2, 0, 0]), /cycle/)
  })
})

describe("TreeEnsembleClassifier", () => {
  const classifier = { op: "TreeEnsembleClassifier", domain: "ai.onnx.ml", opset: 3, outputs: 2 }
  // x0 ≤ 1 ? leaf 1 : leaf 2.
  const tree = {
    nodes_treeids: [0, 0, 0],
    nodes_nodeids: [0, 1, 2],
    nodes_featureids: [0, 0, 0],
    nodes_modes: { strings: ["BRANCH_LEQ", "LEAF", "LEAF"] },
    nodes_values: { floats: [1, 0, 0] },
    nodes_truenodeids: [1, 0, 0],
    nodes_falsenodeids: [2, 0, 0]
  }
  const rows = f32([2, 1], [0, 2])

  it("takes the class of the greatest score", () => {
    const attributes = {
      ...tree,
      class_treeids: [0, 0, 0, 0],
      class_nodeids: [1, 1, 2, 2],
      class_ids: [0, 2, 1, 2],
      class_weights: { floats: [0.75, 0.25, 0.5, 0.5] },
      classlabels_int64s: [10, 20, 30]
    }
    const [labels, scores] = run({ ...classifier, attributes }, [rows])
    assert.deepStrictEqual(values(labels), [10, 20])
    assert.deepStrictEqual(values(scores), [0.75, 0, 0.25, 0, 0.5, 0.5])
  })

  it("makes two classes of one score", () => {
    const binary = (weights: ReadonlyArray<number>, post_transform = "NONE") =>
      run(
        {
          ...classifier,
          attributes: {
            ...tree,
            class_treeids: [0, 0],
            class_nodeids: [1, 2],
            class_ids: [0, 0],
            class_weights: { floats: weights },
            classlabels_int64s: [3, 4],
            post_transform
          }
        },
        [rows]
      ).map(values)
    assert.deepStrictEqual(binary([0.25, 0.75]), [
      [3, 4],
      [0.75, 0.25, 0.25, 0.75]
    ])
    assert.deepStrictEqual(binary([-2, 1]), [
      [3, 4],
      [2, -2, -1, 1]
    ])
    const [, scores = []] = binary([-2, 1], "LOGISTIC")
    assert.approximately(scores[1] ?? 0, 1 / (1 + Math.exp(2)), 1e-6)
    assert.approximately(scores[2] ?? 0, 1 / (1 + Math.exp(1)), 1e-6)
  })
})
