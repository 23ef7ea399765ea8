// Reductions over axes, running sums, and arg max/min.
import * as Schema from "effect/Schema"
import type { Dim } from "../Dim.ts"
import * as DTypes from "../DType.ts"
import { normalizeAxis } from "../Infer.ts"
import * as Op from "../Op.ts"

const ReduceAttributes = Schema.Struct({
  /** Axes to reduce, each once, in [0, rank), ascending. Empty: nothing is reduced. */
  axes: Op.Ints,
  /** Keep reduced axes with extent 1. */
  keepDims: Schema.Boolean
})

const reducedShape = (
  shape: ReadonlyArray<Dim>,
  axes: ReadonlyArray<number>,
  keepDims: boolean,
  fail: (detail: string) => never
): ReadonlyArray<Dim> => {
  for (const [position, axis] of axes.entries()) {
    if (axis < 0 || axis >= shape.length) fail(`axis ${axis} is outside a rank of ${shape.length}`)
    if (position > 0 && axis <= (axes[position - 1] ?? -1)) fail(`axes ${axes.join()} are not ascending`)
  }
  return shape.flatMap((dim, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [dim]))
}

const reduce = (name: string, summary: string, error: Op.ErrorRule): Op.OpDefinition<typeof ReduceAttributes.Type> =>
  Op.define({
    name,
    summary,
    attributes: ReduceAttributes,
    operands: [{ name: "x" }],
    error,
    infer: ({ attributes: { axes, keepDims }, fail, input }) => {
      const { dtype, shape } = input(0)
      if (dtype === "bool" && name !== "reduceMax" && name !== "reduceMin") fail("takes numbers")
      return [{ dtype, shape: reducedShape(shape, axes, keepDims, fail) }]
    }
  })

export const reduceSum = reduce("reduceSum", "sum over axes; 0 over none", { kind: "sum" })
export const reduceMean = reduce("reduceMean", "mean over axes", { kind: "sum" })
export const reduceProd = reduce("reduceProd", "product over axes; 1 over none", { kind: "run" })
export const reduceMax = reduce("reduceMax", "greatest over axes (or, for bool)", { kind: "selection" })
export const reduceMin = reduce("reduceMin", "least over axes (and, for bool)", { kind: "selection" })

const ArgAttributes = Schema.Struct({
  axis: Schema.Int,
  keepDims: Schema.Boolean,
  /** Which of several equal extremes. */
  select: Schema.Literals(["first", "last"])
})
const argReduce = (name: string, summary: string): Op.OpDefinition<typeof ArgAttributes.Type> =>
  Op.define({
    name,
    summary,
    attributes: ArgAttributes,
    operands: [{ name: "x" }],
    error: { kind: "discontinuous" },
    infer: ({ attributes: { axis, keepDims }, fail, input }) => {
      const normal = normalizeAxis(axis, input(0).shape.length, fail)
      return [{ dtype: "i64", shape: reducedShape(input(0).shape, [normal], keepDims, fail) }]
    }
  })
export const argMax = argReduce("argMax", "index of the greatest along an axis, i64")
export const argMin = argReduce("argMin", "index of the least along an axis, i64")

const CumulativeAttributes = Schema.Struct({
  axis: Schema.Int,
  /** Leave the element itself out. */
  exclusive: Schema.Boolean,
  /** Run from the end. */
  reverse: Schema.Boolean
})
const cumulative = (
  name: string,
  summary: string,
  error: Op.ErrorRule
): Op.OpDefinition<typeof CumulativeAttributes.Type> =>
  Op.define({
    name,
    summary,
    attributes: CumulativeAttributes,
    operands: [{ name: "x" }],
    error,
    infer: ({ attributes, fail, input }) => {
      normalizeAxis(attributes.axis, input(0).shape.length, fail)
      if (!DTypes.isFloat(input(0).dtype) && !DTypes.isInteger(input(0).dtype)) fail("takes numbers")
      return [input(0)]
    }
  })
export const cumulativeSum = cumulative("cumulativeSum", "running sum along an axis", { kind: "run" })
export const cumulativeProduct = cumulative("cumulativeProduct", "running product along an axis", { kind: "run" })

export const all: ReadonlyArray<Op.OpDefinition> = [
  reduceSum,
  reduceMean,
  reduceProd,
  reduceMax,
  reduceMin,
  argMax,
  argMin,
  cumulativeSum,
  cumulativeProduct
]
