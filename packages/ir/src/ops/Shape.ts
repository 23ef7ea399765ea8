// Between dims and data: `sizes` makes a tensor of dims, `readDims` names the integers in a tensor as dims. Everything
// that a model computes with shapes folds into dims where it can; these two are the doors for the rest. Also the ops
// whose result size depends on the data.
import * as Schema from "effect/Schema"
import * as Dims from "../Dim.ts"
import * as DTypes from "../DType.ts"
import * as Op from "../Op.ts"

const exact: Op.ErrorRule = { kind: "exact" }

/** i64 `[values.length]`, or a scalar of `values[0]` with `scalar`. */
export const sizes = Op.define({
  name: "sizes",
  summary: "dims as an i64 tensor",
  attributes: Schema.Struct({ values: Op.Dims, scalar: Schema.Boolean }),
  operands: [],
  error: exact,
  infer: ({ attributes: { scalar, values }, fail }) => {
    if (scalar && values.length !== 1) fail("a scalar has one value")
    return [{ dtype: "i64", shape: scalar ? [] : [values.length] }]
  }
})

/**
 * Passes an i32 or i64 scalar or vector on, and gives its elements names: `symbols[i]` is element i from here on.
 * Elements must not be negative, which running checks.
 */
export const readDims = Op.define({
  name: "readDims",
  summary: "names the integers in a tensor as unbacked dims",
  attributes: Schema.Struct({ symbols: Op.Dims }),
  operands: [{ name: "x" }],
  error: exact,
  binds: true,
  domain: () => ({ kind: "range", min: 1, max: 4 }),
  infer: ({ attributes: { symbols }, fail, input }) => {
    const { dtype, shape } = input(0)
    if (dtype !== "i64" && dtype !== "i32") fail("takes i32 or i64")
    if (shape.length > 1 || Dims.equal(Dims.product(shape), symbols.length) === false)
      fail(`${symbols.length} symbols for a tensor of shape [${shape.map(Dims.format).join()}]`)
    return [input(0)]
  }
})

/** `[0, 1, …, size − 1]` of a numeric dtype. */
export const iota = Op.define({
  name: "iota",
  summary: "0, 1, …, size − 1",
  attributes: Schema.Struct({ size: Op.DimSchema, dtype: Op.DTypeSchema }),
  operands: [],
  error: exact,
  infer: ({ attributes: { dtype, size }, fail }) => [
    dtype === "bool" ? fail("takes a numeric dtype") : { dtype, shape: [size] }
  ]
})

/** i64 `[rank, count]`, in row-major order of the elements. */
export const nonZero = Op.define({
  name: "nonZero",
  summary: "positions of the elements that are not zero",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }],
  error: { kind: "discontinuous" },
  binds: true,
  infer: ({ fresh, input }) => [{ dtype: "i64", shape: [input(0).shape.length, fresh()] }]
})

/** Sorted or in order of first occurrence. Results: values, first positions, inverse, counts (i64). */
export const unique = Op.define({
  name: "unique",
  summary: "distinct elements, or distinct slices along an axis",
  attributes: Schema.Struct({ axis: Schema.NullOr(Schema.Int), sorted: Schema.Boolean }),
  operands: [{ name: "x" }],
  error: { kind: "discontinuous" },
  binds: true,
  infer: ({ attributes: { axis }, fresh, input }) => {
    const { dtype, shape } = input(0)
    const count = fresh()
    const along = axis === null ? Dims.product(shape) : (shape[axis < 0 ? axis + shape.length : axis] ?? 1)
    const values =
      axis === null ? [count] : shape.map((dim, i) => (i === (axis + shape.length) % shape.length ? count : dim))
    return [
      { dtype, shape: values },
      { dtype: "i64", shape: [count] },
      { dtype: "i64", shape: [along] },
      { dtype: "i64", shape: [count] }
    ]
  }
})

/** `boxes [batch, n, 4]`, `scores [batch, classes, n]`; i64 `[count, 3]` of (batch, class, box). */
export const nonMaxSuppression = Op.define({
  name: "nonMaxSuppression",
  summary: "boxes that survive greedy suppression by overlap",
  attributes: Schema.Struct({
    /** `corner`: y1, x1, y2, x2; `center`: x, y, width, height. */
    format: Schema.Literals(["corner", "center"])
  }),
  operands: [
    { name: "boxes" },
    { name: "scores" },
    { name: "maxPerClass", optional: true },
    { name: "overlap", optional: true },
    { name: "minScore", optional: true }
  ],
  error: { kind: "discontinuous" },
  binds: true,
  infer: ({ fail, fresh, input }) => {
    if (!DTypes.isFloat(input(0).dtype) || input(0).shape.length !== 3 || input(1).shape.length !== 3)
      fail("boxes [batch, n, 4] and scores [batch, classes, n] of floats")
    return [{ dtype: "i64", shape: [fresh(), 3] }]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [sizes, readDims, iota, nonZero, unique, nonMaxSuppression]
