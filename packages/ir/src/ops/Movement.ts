// Data movement: no arithmetic, elements change place. Shapes and offsets are attributes of symbolic dims; sizes that
// only the data decides enter through `readDims` (Shape.ts).
import * as Schema from "effect/Schema"
import * as Dims from "../Dim.ts"
import { normalizeAxis } from "../Infer.ts"
import * as Op from "../Op.ts"

const movement: Op.ErrorRule = { kind: "movement", data: "all" }
const firstOnly: Op.ErrorRule = { kind: "movement", data: [0] }

export const reshape = Op.define({
  name: "reshape",
  summary: "another shape of equally many elements",
  attributes: Schema.Struct({ shape: Op.Dims }),
  operands: [{ name: "x" }],
  error: movement,
  infer: ({ attributes: { shape }, constrain, input }) => {
    constrain(Dims.product(input(0).shape), Dims.product(shape), "number of elements")
    return [{ dtype: input(0).dtype, shape }]
  }
})

export const transpose = Op.define({
  name: "transpose",
  summary: "axes in another order",
  attributes: Schema.Struct({ /** Result axis i is operand axis permutation[i]. */ permutation: Op.Ints }),
  operands: [{ name: "x" }],
  error: movement,
  infer: ({ attributes: { permutation }, fail, input }) => {
    const { dtype, shape } = input(0)
    const sorted = [...permutation].sort((a, b) => a - b)
    if (sorted.length !== shape.length || sorted.some((axis, index) => axis !== index))
      fail(`[${permutation.join()}] is no permutation of ${shape.length} axes`)
    return [{ dtype, shape: permutation.map((axis) => shape[axis] ?? 1) }]
  }
})

/** numpy's broadcast_to: the operand's axes are aligned with the last ones of `shape`. */
export const expand = Op.define({
  name: "expand",
  summary: "repeat along axes of extent 1, and new leading ones",
  attributes: Schema.Struct({ shape: Op.Dims }),
  operands: [{ name: "x" }],
  error: movement,
  infer: ({ attributes: { shape }, constrain, fail, input }) => {
    const from = input(0).shape
    const offset = shape.length - from.length
    if (offset < 0) fail(`a rank of ${from.length} does not expand to one of ${shape.length}`)
    for (const [axis, dim] of from.entries())
      if (dim !== 1) constrain(dim, shape[axis + offset] ?? 1, `expanded axis ${axis + offset}`)
    return [{ dtype: input(0).dtype, shape }]
  }
})

/** On each axis: elements starts, starts + step, …, `sizes` of them. A negative step runs backwards. All in range. */
export const slice = Op.define({
  name: "slice",
  summary: "a box of elements, each axis with start, size and step",
  attributes: Schema.Struct({ starts: Op.Dims, sizes: Op.Dims, steps: Op.Ints }),
  operands: [{ name: "x" }],
  error: movement,
  infer: ({ attributes: { sizes, starts, steps }, fail, input }) => {
    const { dtype, shape } = input(0)
    for (const list of [starts, sizes, steps])
      if (list.length !== shape.length) fail(`${list.length} entries for ${shape.length} axes`)
    for (const [axis, extent] of shape.entries()) {
      const [start, size, step] = [starts[axis] ?? 0, sizes[axis] ?? 0, steps[axis] ?? 1]
      if (step === 0) fail("a step of 0")
      const last = Dims.add(start, Dims.mul(Dims.sub(size, 1), step))
      const inside = Dims.lessOrEqual(Dims.max(start, last), Dims.sub(extent, 1))
      const below = Dims.isNonNegative(Dims.min(start, last))
      if (size !== 0 && (inside === false || below === false) && Dims.isPositive(size) === true)
        fail(`axis ${axis}: [${Dims.format(start)}, ${Dims.format(last)}] leaves an extent of ${Dims.format(extent)}`)
    }
    return [{ dtype, shape: sizes }]
  }
})

/** `value` (a scalar) fills mode `constant`; `reflect` leaves the edge out, `edge` repeats it, `wrap` goes round. */
export const pad = Op.define({
  name: "pad",
  summary: "more elements before and after each axis",
  attributes: Schema.Struct({
    before: Op.Dims,
    after: Op.Dims,
    mode: Schema.Literals(["constant", "reflect", "edge", "wrap"])
  }),
  operands: [{ name: "x" }, { name: "value", optional: true }],
  error: movement,
  infer: ({ attributes: { after, before, mode }, fail, input, inputs }) => {
    const { dtype, shape } = input(0)
    if (before.length !== shape.length || after.length !== shape.length) fail("one pad before and after each axis")
    for (const amount of [...before, ...after])
      if (Dims.isNonNegative(amount) === false) fail(`negative padding ${Dims.format(amount)}; slice instead`)
    const value = inputs[1]
    if (value !== undefined && (value.dtype !== dtype || value.shape.length !== 0))
      fail("the value is a scalar of x's dtype")
    if (value !== undefined && mode !== "constant") fail(`mode ${mode} takes no value`)
    return [{ dtype, shape: shape.map((dim, axis) => Dims.sum([before[axis] ?? 0, dim, after[axis] ?? 0])) }]
  }
})

export const concat = Op.define({
  name: "concat",
  summary: "operands one after another along an axis",
  attributes: Schema.Struct({ axis: Schema.Int }),
  operands: [{ name: "parts", variadic: true }],
  error: movement,
  infer: ({ attributes, constrain, fail, input, inputs }) => {
    const first = input(0)
    const axis = normalizeAxis(attributes.axis, first.shape.length, fail)
    const shape = [...first.shape]
    for (const [position, part] of inputs.entries()) {
      if (position === 0) continue
      if (part === undefined) return fail(`part ${position} is missing`)
      if (part.dtype !== first.dtype || part.shape.length !== shape.length) fail("parts of one dtype and rank")
      for (const [other, dim] of part.shape.entries())
        shape[other] =
          other === axis
            ? Dims.add(shape[other] ?? 0, dim)
            : constrain(shape[other] ?? 1, dim, `axis ${other} of the parts`)
    }
    return [{ dtype: first.dtype, shape }]
  }
})

export const reverse = Op.define({
  name: "reverse",
  summary: "elements of some axes in opposite order",
  attributes: Schema.Struct({ axes: Op.Ints }),
  operands: [{ name: "x" }],
  error: movement,
  infer: ({ attributes: { axes }, fail, input }) => {
    for (const axis of axes) normalizeAxis(axis, input(0).shape.length, fail)
    return [input(0)]
  }
})

/** `data [d0 … dn]`, any `indices` shape: axis `axis` is replaced by the indices' axes. Negative count from the end. */
export const gather = Op.define({
  name: "gather",
  summary: "slices of data along an axis, chosen by index",
  attributes: Schema.Struct({ axis: Schema.Int }),
  operands: [{ name: "data" }, { name: "indices" }],
  error: firstOnly,
  domain: (operand, types, { axis }) => {
    const shape = types[0]?.shape ?? []
    const extent = shape[axis < 0 ? axis + shape.length : axis] ?? 1
    return operand === 1 ? { kind: "index", extent, negative: true } : Op.any
  },
  infer: ({ attributes, fail, input }) => {
    const [data, indices] = [input(0), input(1)]
    const axis = normalizeAxis(attributes.axis, data.shape.length, fail)
    if (indices.dtype !== "i64" && indices.dtype !== "i32") fail("indices are i32 or i64")
    return [
      { dtype: data.dtype, shape: [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)] }
    ]
  }
})

/** `out[i][j][k] = data[indices[i][j][k]][j][k]` for axis 0. */
export const gatherElements = Op.define({
  name: "gatherElements",
  summary: "single elements chosen by index along an axis",
  attributes: Schema.Struct({ axis: Schema.Int }),
  operands: [{ name: "data" }, { name: "indices" }],
  error: firstOnly,
  domain: (operand, types, { axis }) => {
    const shape = types[0]?.shape ?? []
    const extent = shape[axis < 0 ? axis + shape.length : axis] ?? 1
    return operand === 1 ? { kind: "index", extent, negative: true } : Op.any
  },
  infer: ({ attributes, fail, input }) => {
    const [data, indices] = [input(0), input(1)]
    normalizeAxis(attributes.axis, data.shape.length, fail)
    if (indices.shape.length !== data.shape.length) fail("indices have data's rank")
    if (indices.dtype !== "i64" && indices.dtype !== "i32") fail("indices are i32 or i64")
    return [{ dtype: data.dtype, shape: indices.shape }]
  }
})

/** The last axis of `indices` holds positions in data's axes after the first `batchDims`. */
export const gatherNd = Op.define({
  name: "gatherNd",
  summary: "elements or slices chosen by tuples of indices",
  attributes: Schema.Struct({ batchDims: Schema.Int }),
  operands: [{ name: "data" }, { name: "indices" }],
  error: firstOnly,
  domain: (operand, types, { batchDims }) => {
    const shape = types[0]?.shape ?? []
    const width = Number(types[1]?.shape.at(-1) ?? 1)
    const extent = shape
      .slice(batchDims, batchDims + width)
      .reduce<Dims.Dim>((a, b) => Dims.min(a, b), shape[batchDims] ?? 1)
    return operand === 1 ? { kind: "index", extent, negative: true } : Op.any
  },
  infer: ({ attributes: { batchDims }, fail, input }) => {
    const [data, indices] = [input(0), input(1)]
    const width = indices.shape.at(-1)
    if (typeof width !== "number" || width + batchDims > data.shape.length)
      return fail("the last axis of the indices is static, and at most data's rank less the batch axes")
    if (indices.dtype !== "i64" && indices.dtype !== "i32") fail("indices are i32 or i64")
    return [{ dtype: data.dtype, shape: [...indices.shape.slice(0, -1), ...data.shape.slice(batchDims + width)] }]
  }
})

const Reduction = Schema.Literals(["none", "add", "mul", "max", "min"])
const scatterDomain = (operand: number, extent: Dims.Dim): Op.Domain =>
  operand === 1 ? { kind: "index", extent, negative: true } : Op.any

/** `result = data; result[indices[i][j]][j] op= updates[i][j]` for axis 0. */
export const scatterElements = Op.define({
  name: "scatterElements",
  summary: "data with single elements replaced or combined",
  attributes: Schema.Struct({ axis: Schema.Int, reduction: Reduction }),
  operands: [{ name: "data" }, { name: "indices" }, { name: "updates" }],
  error: { kind: "run" },
  domain: (operand, types, { axis }) => {
    const shape = types[0]?.shape ?? []
    return scatterDomain(operand, shape[axis < 0 ? axis + shape.length : axis] ?? 1)
  },
  infer: ({ attributes, fail, input }) => {
    const [data, indices, updates] = [input(0), input(1), input(2)]
    normalizeAxis(attributes.axis, data.shape.length, fail)
    if (indices.shape.length !== data.shape.length || updates.shape.length !== data.shape.length)
      fail("one rank for all")
    if (updates.dtype !== data.dtype) fail("updates have data's dtype")
    return [data]
  }
})

export const scatterNd = Op.define({
  name: "scatterNd",
  summary: "data with elements or slices at tuples of indices replaced or combined",
  attributes: Schema.Struct({ reduction: Reduction }),
  operands: [{ name: "data" }, { name: "indices" }, { name: "updates" }],
  error: { kind: "run" },
  domain: (operand, types) => {
    const shape = types[0]?.shape ?? []
    const width = Number(types[1]?.shape.at(-1) ?? 1)
    return scatterDomain(
      operand,
      shape.slice(0, width).reduce<Dims.Dim>((a, b) => Dims.min(a, b), shape[0] ?? 1)
    )
  },
  infer: ({ fail, input }) => {
    const [data, indices, updates] = [input(0), input(1), input(2)]
    const width = indices.shape.at(-1)
    if (typeof width !== "number" || width > data.shape.length)
      return fail("the last axis of the indices is static, and at most data's rank")
    const rank = indices.shape.length - 1 + data.shape.length - width
    if (updates.shape.length !== rank || updates.dtype !== data.dtype)
      fail(`updates have rank ${rank} and data's dtype`)
    return [data]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [
  reshape,
  transpose,
  expand,
  slice,
  pad,
  concat,
  reverse,
  gather,
  gatherElements,
  gatherNd,
  scatterElements,
  scatterNd
]
