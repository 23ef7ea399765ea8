import { assert, describe, it } from "@effect/vitest"
import { f32, i64, run, values } from "./OneOperator.ts"

describe("NonMaxSuppression", () => {
  const boxes = f32([1, 3, 4], [0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 5, 1, 6])
  const scores = f32([1, 1, 3], [0.5, 0.9, 0.7])
  const node = { op: "NonMaxSuppression", opset: 11 }

  it("keeps the best of boxes that overlap", () => {
    const [found] = run(node, [boxes, scores, i64([1], [3]), f32([1], [0.5])])
    assert.deepStrictEqual(found?.shape, [2, 3])
    assert.deepStrictEqual(values(found), [0, 0, 1, 0, 0, 2])
  })

  it("keeps none when the number is left out", () => {
    assert.deepStrictEqual(run(node, [boxes, scores])[0]?.shape, [0, 3])
  })

  it("leaves out low scores", () => {
    const [found] = run(node, [boxes, scores, i64([1], [3]), f32([1], [1]), f32([1], [0.6])])
    assert.deepStrictEqual(values(found), [0, 0, 1, 0, 0, 2])
  })
})

describe("TfIdfVectorizer", () => {
  it("counts n-grams with skips, and weighs them", () => {
    // Single 1; pairs (1, 2) and (2, 1).
    const attributes = {
      mode: "TFIDF",
      min_gram_length: 1,
      max_gram_length: 2,
      max_skip_count: 1,
      ngram_counts: [0, 1],
      ngram_indexes: [2, 0, 1],
      pool_int64s: [1, 1, 2, 2, 1],
      weights: { floats: [10, 1, 0.5] }
    }
    const [found] = run({ op: "TfIdfVectorizer", opset: 9, attributes }, [i64([4], [1, 2, 1, 2])])
    // 1 twice; (1, 2) at 0 and 2 next to each other; (2, 1) once.
    assert.deepStrictEqual(values(found), [2, 0.5, 20])
  })
})

describe("Binarizer", () => {
  it("is 1 above the threshold", () => {
    const node = { op: "Binarizer", domain: "ai.onnx.ml", attributes: { threshold: { float: 1 } } }
    assert.deepStrictEqual(values(run(node, [f32([3], [0.5, 1, 2])])[0]), [0, 0, 1])
  })
})
