// Order along an axis.
import * as Schema from "effect/Schema"
import { normalizeAxis } from "../Infer.ts"
import * as Op from "../Op.ts"

/** Results: values and their positions (i64). Equal elements: the earlier first. NaN counts as greatest. */
export const topK = Op.define({
  name: "topK",
  summary: "the k greatest or least along an axis, and where they are",
  attributes: Schema.Struct({
    k: Op.DimSchema,
    axis: Schema.Int,
    largest: Schema.Boolean,
    /** In order; otherwise in any order, which the oracle gives in order too. */
    sorted: Schema.Boolean
  }),
  operands: [{ name: "x" }],
  error: { kind: "run" },
  infer: ({ attributes, fail, input }) => {
    const { dtype, shape } = input(0)
    const axis = normalizeAxis(attributes.axis, shape.length, fail)
    const result = shape.map((dim, i) => (i === axis ? attributes.k : dim))
    return [
      { dtype, shape: result },
      { dtype: "i64", shape: result }
    ]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [topK]
