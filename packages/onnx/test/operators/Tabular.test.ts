import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, run, values } from "./OneOperator.ts"

const domain = "ai.onnx.ml"
const x = f32([2, 2], [3, 4, 0, 0])

describe("rows of features", () => {
  it("Scaler moves and scales each feature", () => {
    const attributes = { offset: { floats: [1, 2] }, scale: { floats: [2, 0.5] } }
    assert.deepStrictEqual(values(run({ op: "Scaler", domain, attributes }, [i64([1, 2], [3, 4])])[0]), [4, 1])
  })

  it("Normalizer divides rows, and leaves zeros", () => {
    const found = (norm: string) => values(run({ op: "Normalizer", domain, attributes: { norm } }, [x])[0])
    assert.isBelow(distance(found("L1"), [3 / 7, 4 / 7, 0, 0]), 1e-6)
    assert.isBelow(distance(found("L2"), [0.6, 0.8, 0, 0]), 1e-6)
    assert.isBelow(distance(found("MAX"), [0.75, 1, 0, 0]), 1e-6)
    assert.throws(() => found("L3"), /L3/)
  })

  it("Imputer replaces what is missing", () => {
    const attributes = { imputed_value_floats: { floats: [7, 8] }, replaced_value_float: { float: Number.NaN } }
    const gaps = f32([2, 2], [Number.NaN, 1, 2, Number.NaN])
    assert.deepStrictEqual(values(run({ op: "Imputer", domain, attributes }, [gaps])[0]), [7, 1, 2, 8])
    const integers = { imputed_value_int64s: [5], replaced_value_int64: 0 }
    assert.deepStrictEqual(values(run({ op: "Imputer", domain, attributes: integers }, [i64([2], [0, 3])])[0]), [5, 3])
  })

  it("FeatureVectorizer and LinearRegressor", () => {
    const [joined] = run({ op: "FeatureVectorizer", domain }, [x, i64([2, 1], [1, 2])])
    assert.deepStrictEqual(values(joined), [3, 4, 1, 0, 0, 2])
    const attributes = {
      coefficients: { floats: [1, 0, 0, 0, 1, 10] },
      intercepts: { floats: [0.5, -1] },
      targets: 2
    }
    assert.deepStrictEqual(values(run({ op: "LinearRegressor", domain, attributes }, [joined])[0]), [3.5, 13, 0.5, 19])
  })
})
