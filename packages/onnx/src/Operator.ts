// What a translation is, and what it gets. Each file of operators/ declares some; Operators.ts lists them all.
//
//   export const sigmoid: Operator = { name: "Sigmoid", since: [1], translate: (c) => c.e.unary(Ops.sigmoid, c.input(0)) }
import type * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import type { Reader } from "./Attributes.ts"
import type * as Content from "./Content.ts"
import type { Emit } from "./Emit.ts"
import type { GraphProto, TensorProto } from "./gen/onnx_pb.ts"
import type { Operand, SequenceOperand, TensorOperand } from "./Operand.ts"

/** A result: a value of the graph, or an operand (known content, an operand passed on, a sequence). */
export type Result = Value | Operand

/** An isolated sub-graph: its inputs are the given ones, then one for each captured value. */
export interface Isolated {
  readonly graph: Graph
  /** Values of the enclosing graph, in the order of the inputs after the given ones. */
  readonly captured: ReadonlyArray<Value>
  readonly results: ReadonlyArray<TensorType>
}

export interface Context {
  /** Path of the node in the user's model. */
  readonly path: string
  /** Version of the node's operator set. */
  readonly opset: number
  readonly e: Emit
  /** Number of inputs, those left out in the middle too. */
  readonly count: number
  /** Whether an input is given (and is no absent optional). */
  readonly has: (index: number) => boolean
  /** A tensor input; fails when it is left out or is a sequence. */
  readonly operand: (index: number) => TensorOperand
  /** Any input; undefined when left out. */
  readonly any: (index: number) => Operand | undefined
  readonly sequence: (index: number) => SequenceOperand
  /** The value of an input; fails when it is left out. */
  readonly input: (index: number) => Value
  readonly optional: (index: number) => Value | undefined
  readonly type: (index: number) => TensorType
  readonly rank: (index: number) => number
  /** The axis in [0, rank); fails outside. */
  readonly axis: (axis: number, rank: number) => number
  /** Elements of an input that import knows. */
  readonly content: (index: number) => Content.Content | undefined
  /** Elements of a small integer input as sizes: known ones, else read from the data when the graph runs (then ≥ 0). */
  readonly dims: (index: number) => ReadonlyArray<Dim.Dim>
  /** Names for the elements of a non-negative i64 vector or scalar of this graph. */
  readonly read: (value: Value) => ReadonlyArray<Dim.Dim>
  /** Elements of an input that must be known numbers (axes, steps); undefined when it is left out. */
  readonly integers: (index: number) => ReadonlyArray<number> | undefined
  /** Elements of an input that must be known numbers, of any type. */
  readonly numbers: (index: number) => ReadonlyArray<number> | undefined
  /** The data of a constant input; undefined when it is no constant. */
  readonly constant: (index: number) => Tensor | undefined
  /** Whether a result is used. */
  readonly wanted: (index: number) => boolean
  /** Number of results the node names. */
  readonly outputs: number
  readonly attribute: Reader
  readonly known: (content: Content.Content) => TensorOperand
  readonly ofValue: (value: Value) => TensorOperand
  /** A TensorProto of an attribute as a constant. */
  readonly tensor: (proto: TensorProto) => TensorOperand
  /** The node breaks its operator's rules. */
  readonly fail: (detail: string) => never
  /** The node is legal, but this use of it has no translation. */
  readonly unsupported: (detail: string, help?: string) => never
  /** Adds a sub-graph's nodes here; inputs bound to the given operands. */
  readonly inline: (proto: GraphProto, name: string, inputs?: ReadonlyArray<Operand>) => ReadonlyArray<Operand>
  /** A sub-graph of its own. */
  readonly isolate: (proto: GraphProto, name: string, inputs: ReadonlyArray<TensorType>) => Isolated
  /** Notes that two sizes must be equal for the graph to be what the model says; binding checks it. */
  readonly constrain: (left: Dim.Dim, right: Dim.Dim, what: string) => void
  /** A size that only the data decides. */
  readonly unbacked: () => Dim.Dim
}

export interface Operator {
  readonly name: string
  /** "" is ai.onnx. */
  readonly domain?: string
  /** Versions of the operator set since when it has each of the meanings that the translation tells apart. */
  readonly since: ReadonlyArray<number>
  readonly translate: (context: Context) => Result | ReadonlyArray<Result>
}
