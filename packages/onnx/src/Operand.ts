// What a name of an ONNX graph stands for while it is imported: a tensor (a value, a constant, or known content that is
// not yet in the graph), a sequence of tensors, an absent optional, or the result of a node that could not be imported.
import type { Constant } from "@anneal/ir/Constant"
import type { Value } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import type * as Content from "./Content.ts"

export interface TensorOperand {
  readonly kind: "tensor"
  readonly type: TensorType
  /** The elements, where import knows them. */
  readonly content: Content.Content | undefined
  /** The weights, when it is a constant of the model. */
  readonly constant: Constant | undefined
  /** The initializer's name, when it is one. */
  readonly name?: string
  /** The value in the graph that is being built; made when first asked for. */
  readonly value: () => Value
}

/** A sequence whose length is known: its elements one by one. */
export interface SequenceOperand {
  readonly kind: "sequence"
  readonly items: ReadonlyArray<TensorOperand>
}

/** An optional without a value. */
export interface NoneOperand {
  readonly kind: "none"
}

/** Something with no counterpart in the IR, `what` says what it is; or a result of such. */
export interface UnknownOperand {
  readonly kind: "unknown"
  readonly what: string
}

export type Operand = TensorOperand | SequenceOperand | NoneOperand | UnknownOperand

export const none: NoneOperand = { kind: "none" }
export const unknown = (what: string): UnknownOperand => ({ kind: "unknown", what })
