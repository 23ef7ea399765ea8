// Operators of ai.onnx.ml on rows of features: Scaler, Normalizer, Imputer, FeatureVectorizer, LinearRegressor.
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

const domain = "ai.onnx.ml"

const row = (c: Context, values: ReadonlyArray<number>): Value =>
  c.e.b.tensor(Numbers.fromNumbers("f32", [values.length], values))

export const scaler: Operator = {
  name: "Scaler",
  domain,
  since: [1],
  translate: (c) => {
    const offset = c.attribute.floats("offset") ?? [0]
    const scale = c.attribute.floats("scale") ?? [1]
    return c.e.mul(c.e.sub(c.e.cast(c.input(0), "f32"), row(c, offset)), row(c, scale))
  }
}

/** Rows divided by their greatest element, sum of magnitudes or length; a row of zeros stays. */
export const normalizer: Operator = {
  name: "Normalizer",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = e.cast(c.input(0), "f32")
    const axes = [x.type.shape.length - 1]
    const norm = c.attribute.string("norm", "MAX")
    const size =
      norm === "MAX"
        ? e.reduce(Ops.reduceMax, x, axes, true)
        : norm === "L1"
          ? e.sum(e.abs(x), axes, true)
          : norm === "L2"
            ? e.sqrt(e.sum(e.mul(x, x), axes, true))
            : c.fail(`norm "${norm}" is not known`)
    return e.div(x, e.select(e.binary(Ops.equal, size, e.number(size, 0)), e.number(size, 1), size))
  }
}

/** One value (NaN too) replaced, by the same for all features or one for each. */
export const imputer: Operator = {
  name: "Imputer",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const isFloat = DTypes.isFloat(x.type.dtype)
    const values = isFloat ? c.attribute.floats("imputed_value_floats") : c.attribute.ints("imputed_value_int64s")
    if (values === undefined) return c.fail("the imputed values are missing")
    const replaced = isFloat ? c.attribute.float("replaced_value_float", 0) : c.attribute.int("replaced_value_int64", 0)
    const isGone = Number.isNaN(replaced) ? e.unary(Ops.isNaN, x) : e.binary(Ops.equal, x, e.number(x, replaced))
    return e.select(isGone, e.b.tensor(Numbers.fromNumbers(x.type.dtype, [values.length], values)), x)
  }
}

/** Features of all inputs beside each other. */
export const featureVectorizer: Operator = {
  name: "FeatureVectorizer",
  domain,
  since: [1],
  translate: (c) => {
    const parts = Array.from({ length: c.count }, (_, index) => {
      const x = c.e.cast(c.input(index), "f32")
      return x.type.shape.length === 1 ? c.e.reshape(x, [1, ...x.type.shape]) : x
    })
    return c.e.concat(parts, 1)
  }
}

export const linearRegressor: Operator = {
  name: "LinearRegressor",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = e.cast(c.input(0), "f32")
    const targets = c.attribute.int("targets", 1)
    const coefficients = c.attribute.floats("coefficients") ?? c.fail("the coefficients are missing")
    if (c.attribute.string("post_transform", "NONE") !== "NONE") return c.unsupported("a post_transform")
    const features = coefficients.length / targets
    const weights = e.b.tensor(Numbers.fromNumbers("f32", [targets, features], coefficients))
    const product = e.matmul(x, e.transpose(weights, [1, 0]))
    const intercepts = c.attribute.floats("intercepts")
    return intercepts === undefined ? product : e.add(product, row(c, intercepts))
  }
}

export const all: ReadonlyArray<Operator> = [scaler, normalizer, imputer, featureVectorizer, linearRegressor]
