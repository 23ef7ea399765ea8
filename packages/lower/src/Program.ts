/**
 * Program: what a target makes code from. Buffers and the steps that fill them, in order. A pure function of the space and
 * the decisions; nothing in it is decided later.
 */
import type { Constant } from "@anneal/ir/Constant"
import type { DType } from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import type { Graph, Node } from "@anneal/ir/Graph"
import type { Candidate } from "@anneal/pipeline/Tuner"
import type { Region } from "./Region.ts"
import type { View } from "./View.ts"

/** Storage of its own. Offsets in the arena are for the memory plan. */
export interface Buffer {
  readonly id: string
  readonly dtype: DType
  /** Elements. */
  readonly size: Dim
  readonly kind:
    | "input"
    | "output"
    | "constant"
    /** Written once, by the steps of `prepare`, and only read by runs. */
    | "prepared"
    | "arena"
  /** For `constant`: the bytes. */
  readonly constant?: Constant
  /** For `input` and `output`: the user's name. */
  readonly name?: string
}

/** Nodes computed by one region rather than several, or a value that is not moved: what was decided, and why. */
export interface Fusion {
  /** Stable: made of the ids of the values that it joins. */
  readonly id: string
  readonly kind: FusionKind
  /** Ids of the values: producer first. */
  readonly members: ReadonlyArray<string>
  readonly taken: boolean
  readonly reason: string
  /** Bytes of memory traffic saved (or that would have been). */
  readonly saving: Dim
}

export type FusionKind =
  /** An elementwise node joins the loop that makes its operand. */
  | "elementwise"
  /** A reduction joins the loop that makes its operand, or an elementwise node the rows that make its operand. */
  | "rows"
  /** An elementwise node joins the contraction, convolution or window that makes its operand. */
  | "epilogue"
  /** Loops that do not depend on each other and share a domain. */
  | "horizontal"
  /** A part of a concat or the inside of a pad is written where it belongs. */
  | "inPlace"
  /** A product with a one-hot matrix is a gather. */
  | "oneHot"
  /** What is done to gathered elements of a constant is done to the constant, once. */
  | "table"
  /** Movement that is only another view. Only those are listed that take a copy after all, with its price. */
  | "view"
  /** What nobody reads is not computed. */
  | "demand"
  /** Integers stay integers between dequantise, product and quantise. */
  | "integer"

export type Step =
  | { readonly kind: "region"; readonly region: Region; readonly tactic: Candidate }
  /** The IR's `if`: the branches write the same buffers. `condition` is a bool of one element. */
  | {
      readonly kind: "branch"
      readonly node: Node
      readonly condition: View
      readonly whenTrue: ReadonlyArray<Step>
      readonly whenFalse: ReadonlyArray<Step>
    }
  /**
   * A node that the target has no kernel for: the executor runs it by the oracle, between two calls of generated code.
   * Inputs and results that are in buffers are views; the others (sizes that the data decides) are values of the host, by id.
   */
  | {
      readonly kind: "host"
      readonly node: Node
      readonly why: string
      readonly operands: ReadonlyArray<View | { readonly host: string } | null>
      readonly results: ReadonlyArray<View | { readonly host: string }>
    }

/** One point or range of shapes: symbols that are constants in it are already substituted everywhere. */
export interface Program {
  readonly graph: Graph
  /** Symbols with their fixed values; a run must have exactly these. */
  readonly fixed: ReadonlyMap<string, number>
  /** Symbols that stay free, sorted: arguments of every kernel. */
  readonly symbols: ReadonlyArray<string>
  readonly buffers: ReadonlyMap<string, Buffer>
  /** What depends on constants alone: computed once, when the engine is loaded. */
  readonly prepare: ReadonlyArray<Step>
  readonly steps: ReadonlyArray<Step>
  /** Every fusion that was looked at, taken or refused, in order. */
  readonly fusions: ReadonlyArray<Fusion>
  /** Where the caller's tensors are; row-major, whole buffers. */
  readonly inputs: ReadonlyArray<View>
  /** Where values of the graph lie that are in memory between steps, by id; with the values' own axes. */
  readonly values?: ReadonlyMap<string, View>
  /** `host`: the output is a value of the host. */
  readonly outputs: ReadonlyArray<View | { readonly host: string }>
}
