/**
 * Rules: what a target says about itself before any grouping is made: the dtypes and operations of its loops, the kinds of
 * region it has kernels for, the nodes that it takes whole, the layouts that it likes. What it does not say yes to runs on
 * the host.
 */
import type { DType } from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import type { Region } from "./Region.ts"
import type { Binary, Unary } from "./ScalarOp.ts"

/** What a scalar operation is named in a question about it. */
export type ScalarOp = Unary | Binary | "select" | "cast" | "load" | "index"

export interface Rules {
  /** Name and version, for the keys of what is made by them. */
  readonly name: string
  readonly version: number
  /** Whether loops, rows and epilogues compute this operation on elements of the dtype (of its operands; for cast, of its result). */
  readonly computes: (op: ScalarOp, dtype: DType) => boolean
  /** Whether there is a kernel for regions of this kind on operands of this dtype. */
  readonly has: (kind: Exclude<Region["kind"], "whole">, dtype: DType) => boolean
  /** Whether the target computes this node whole, by a kernel of its own. Types of the operands, then of the results. */
  readonly claims: (node: Node, types: ReadonlyArray<TensorType | undefined>) => boolean
  /** Why a node must run on the host although it is of a kind that there are kernels for; undefined: it need not. */
  readonly refuses?: (node: Node) => string | undefined
  /** How convolutions and windows like their activations. */
  readonly activations: "channelsLast" | "rowMajor"
  /** Whether an input of the graph may be read by a convolution as it lies, rather than copied to the liked layout first. */
  readonly readsBoundary: boolean
}

/** Everything in loops, all dtypes, every kind of region, nothing whole: for tests and for a look at what is possible. */
export const everything: Rules = {
  name: "everything",
  version: 1,
  computes: () => true,
  has: () => true,
  claims: () => false,
  activations: "channelsLast",
  readsBoundary: true
}
