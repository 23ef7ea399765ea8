/**
 * Reduction: reduce and arg nodes as one stage of rows: what is combined, in which dtype, and what makes the result of it.
 *
 *   reduceMean f16 ⇒ sum of f32(x), then f16(total / count)
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import type { Combine } from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"

export interface Reduction {
  readonly combine: Combine
  /** Axes of the operand, ascending. */
  readonly axes: ReadonlyArray<number>
  /** What an element is combined as. */
  readonly prepare: (x: Scalar) => Scalar
  /** Dtype of the combination. */
  readonly dtype: DType
  /** The node's result, from the combination. */
  readonly finish: (total: Scalar) => Scalar
}

/** max and min of narrow floats are taken as f32, of bools as u8: both exact. */
const comparable = (dtype: DType): DType => (DTypes.isNarrowFloat(dtype) ? "f32" : dtype === "bool" ? "u8" : dtype)

/** The node as a reduction of its operand; undefined when it is none. */
export const ofNode = (node: Node, x: TensorType): Reduction | undefined => {
  const result = node.outputs[0]?.type.dtype ?? x.dtype
  const total = Op.accumulator(node.op, x.dtype)
  const same = (combine: Combine, axes: ReadonlyArray<number>, dtype: DType): Reduction => ({
    combine,
    axes,
    dtype,
    prepare: (element) => Scalars.cast(element, dtype),
    finish: (value) => Scalars.cast(value, result)
  })
  if (Graphs.isOp(node, Ops.reduceSum)) return same("sum", node.attributes.axes, total)
  if (Graphs.isOp(node, Ops.reduceProd)) return same("prod", node.attributes.axes, total)
  if (Graphs.isOp(node, Ops.reduceMax)) return same("max", node.attributes.axes, comparable(x.dtype))
  if (Graphs.isOp(node, Ops.reduceMin)) return same("min", node.attributes.axes, comparable(x.dtype))
  if (Graphs.isOp(node, Ops.reduceMean)) {
    const { axes } = node.attributes
    const count = Dim.product(axes.map((axis) => x.shape[axis] ?? 1))
    return {
      ...same("sum", axes, total),
      finish: (sum) => Scalars.cast(Scalars.binary("div", sum, Scalars.dim(count, total)), result)
    }
  }
  const isMax = Graphs.isOp(node, Ops.argMax)
  if (isMax || Graphs.isOp(node, Ops.argMin)) {
    const { axis, select } = node.attributes
    const [first, last] = isMax ? (["argMaxFirst", "argMaxLast"] as const) : (["argMinFirst", "argMinLast"] as const)
    return {
      combine: select === "first" ? first : last,
      axes: [axis < 0 ? axis + x.shape.length : axis],
      dtype: "i64",
      prepare: (element) => Scalars.cast(element, comparable(x.dtype)),
      finish: (index) => index
    }
  }
  return undefined
}
