// What the export of an op is, and what it gets. Each file of exports/ declares some; Export.ts lists them.
import type * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Graph, Node, Value } from "@anneal/ir/Graph"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import type { GraphProto } from "./gen/onnx_pb.ts"

/** An attribute of an ONNX node: integers are INT, floats must be wrapped. */
export type AttributeValue =
  | number
  | string
  | ReadonlyArray<number>
  | ReadonlyArray<string>
  | { readonly float: number }
  | { readonly floats: ReadonlyArray<number> }
  | { readonly tensor: Tensor }
  | { readonly graph: GraphProto }

/** Undefined ones are left out. */
export type NodeAttributes = Readonly<Record<string, AttributeValue | undefined>>

export interface ExportContext {
  /** Names of the operands in the ONNX graph; "" for one left out. */
  readonly inputs: ReadonlyArray<string>
  readonly types: ReadonlyArray<TensorType | undefined>
  readonly type: (index: number) => TensorType
  readonly outputs: ReadonlyArray<Value>
  readonly graphs: Readonly<Record<string, Graph>>
  /** Whether a result is used. */
  readonly wanted: (index: number) => boolean
  /** Adds a node with one result of a new name, and gives the name. */
  readonly add: (operator: string, inputs: ReadonlyArray<string>, attributes?: NodeAttributes) => string
  /** Adds the node whose results are the op's. */
  readonly result: (
    operator: string,
    inputs: ReadonlyArray<string>,
    attributes?: NodeAttributes,
    count?: number
  ) => void
  /** A constant of the ONNX graph. */
  readonly constant: (tensor: Tensor) => string
  readonly integers: (values: ReadonlyArray<number>) => string
  readonly scalar: (dtype: DType, value: number) => string
  /** Dims as an int64 vector. */
  readonly dims: (dims: ReadonlyArray<Dim.Dim>) => string
  /** A dim as an int64 scalar. */
  readonly dim: (dim: Dim.Dim) => string
  /** Dims that ONNX wants as plain integers; fails on a symbolic one. */
  readonly static: (dims: ReadonlyArray<Dim.Dim>, what: string) => ReadonlyArray<number>
  /** The graph needs this version of ai.onnx at least. */
  readonly require: (opset: number) => void
  /** Exports a sub-graph: its inputs after the first `own` are the given outer names. */
  readonly subgraph: (graph: Graph, own: number, captured: ReadonlyArray<string>) => GraphProto
  readonly fail: (detail: string) => never
}

export interface Export {
  readonly op: OpDefinition
  readonly write: (context: ExportContext, node: Node) => void
}

/** The declared export, with the attributes of the op's own type. */
export const define = <A extends Attributes>(
  op: OpDefinition<A>,
  write: (context: ExportContext, attributes: A) => void
): Export => ({
  op,
  // A node's op decides the type of its attributes; the table is looked up by that op.
  write: (context, node) => write(context, node.attributes as A)
})
