// Windows over spatial axes: max and average pooling. `x [batch, channels, …spatial]`.
import * as Schema from "effect/Schema"
import type { Dim } from "../Dim.ts"
import * as Dims from "../Dim.ts"
import * as Op from "../Op.ts"
import type { TensorType } from "../Type.ts"
import { windowExtent } from "./Contract.ts"

const window = {
  kernel: Op.Ints,
  strides: Op.Ints,
  padsBegin: Op.Dims,
  padsEnd: Op.Dims,
  dilations: Op.Ints,
  /** Round the result's extent up; windows that start in the end padding are left out. */
  ceil: Schema.Boolean
}
const MaxAttributes = Schema.Struct({
  ...window,
  /** Order in which the flat index counts the last two axes; only for the second result. */
  indexOrder: Schema.Literals(["rowMajor", "columnMajor"])
})
const AverageAttributes = Schema.Struct({
  ...window,
  /** Padding counts as zeros in the mean. */ includePad: Schema.Boolean
})

interface Window {
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<Dim>
  readonly padsEnd: ReadonlyArray<Dim>
  readonly dilations: ReadonlyArray<number>
  readonly ceil: boolean
}

/** Windows that would start beyond the data and its left padding are dropped, as all frameworks do. */
const pooledExtent = (extent: Dim, axis: number, w: Window): Dim => {
  const [kernel, stride, dilation] = [w.kernel[axis] ?? 1, w.strides[axis] ?? 1, w.dilations[axis] ?? 1]
  const [before, after] = [w.padsBegin[axis] ?? 0, w.padsEnd[axis] ?? 0]
  const result = windowExtent(extent, kernel, stride, before, after, dilation, w.ceil)
  const span = dilation * (kernel - 1) + 1
  // Rounding up adds less than a stride: a window that reaches over it and the end padding starts within the data.
  if (!w.ceil || (typeof after === "number" && after + stride <= span)) return result
  return Dims.min(result, Dims.ceilDiv(Dims.add(extent, before), stride))
}

const pooled = (x: TensorType, w: Window, fail: (detail: string) => never): TensorType => {
  const rank = x.shape.length - 2
  if (rank < 1) fail("x is [batch, channels, …spatial]")
  for (const list of [w.kernel, w.strides, w.padsBegin, w.padsEnd, w.dilations])
    if (list.length !== rank) fail(`the window has ${list.length} entries for ${rank} spatial axes`)
  const spatial = x.shape.slice(2).map((extent, axis) => pooledExtent(extent, axis, w))
  return { dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...spatial] }
}

/** Second result: the flat index (i64) of each greatest element in x. */
export const maxPool = Op.define({
  name: "maxPool",
  summary: "greatest element of each window, and its flat index",
  attributes: MaxAttributes,
  operands: [{ name: "x" }],
  error: { kind: "run" },
  infer: ({ attributes, fail, input }) => {
    const result = pooled(input(0), attributes, fail)
    return [result, { dtype: "i64", shape: result.shape }]
  }
})

export const averagePool = Op.define({
  name: "averagePool",
  summary: "mean of each window",
  attributes: AverageAttributes,
  operands: [{ name: "x" }],
  error: { kind: "sum" },
  infer: ({ attributes, fail, input }) => [pooled(input(0), attributes, fail)]
})

export const all: ReadonlyArray<Op.OpDefinition> = [maxPool, averagePool]
