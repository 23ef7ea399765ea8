/**
 * Region: a piece of a graph that one kernel computes. It says what is read, what is done to elements, and what is
 * written, in views and scalar expressions; how (tile sizes, packing, vector widths) is the target's business.
 *
 * Every view in a region has one axis for each axis of the region's domain, in the domain's order (stride 0 where it does
 * not move along one). All sizes are dims: integers after specialisation, symbols where an engine takes a range.
 */
import type { DType } from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { Scalar } from "./Scalar.ts"
import type { View } from "./View.ts"

/** An element that is written at each point: `value` stored to `view`, whose dtype is `value`'s. */
export interface Result {
  readonly view: View
  readonly value: Scalar
}

interface Base {
  /** Unique in its program: the id of the first value that it makes. */
  readonly id: string
  /** The nodes that it computes, in the graph's order. */
  readonly members: ReadonlyArray<Node>
}

/** One pass over a domain: elementwise chains, casts, selects, broadcasts, copies, gathers. */
export interface Loop extends Base {
  readonly kind: "loop"
  readonly domain: ReadonlyArray<Dim>
  readonly operands: ReadonlyArray<View>
  readonly results: ReadonlyArray<Result>
}

/** How a stage of rows combines the values of one row. `argMax` and its like give the index along the one inner axis. */
export type Combine = "sum" | "max" | "min" | "prod" | "argMaxFirst" | "argMaxLast" | "argMinFirst" | "argMinLast"

export type Stage =
  /** One value a row: the combination of `value` over the inner axes, named. The sum of nothing is 0, and so on. */
  | {
      readonly kind: "reduce"
      readonly name: string
      readonly combine: Combine
      readonly value: Scalar
      readonly dtype: DType
    }
  /** One value a row, computed from those before. */
  | { readonly kind: "row"; readonly name: string; readonly value: Scalar }
  /** One value an element that is used more than once (an exponential): kept or computed again, as the kernel likes. */
  | { readonly kind: "element"; readonly name: string; readonly value: Scalar }

/**
 * Rows: for each point of the outer axes, stages over the inner axes: softmax, norms, reductions with what comes before
 * and after them. The domain is outer axes, then inner ones.
 */
export interface Rows extends Base {
  readonly kind: "rows"
  readonly outer: ReadonlyArray<Dim>
  readonly inner: ReadonlyArray<Dim>
  readonly operands: ReadonlyArray<View>
  readonly stages: ReadonlyArray<Stage>
  /** `row` results are written once a row; their views have stride 0 on inner axes. */
  readonly results: ReadonlyArray<Result & { readonly per: "element" | "row" }>
}

/**
 * What follows a main loop, on its own domain: `previous "accumulator"` is the element's sum. Operands here are apart from
 * the main loop's.
 */
export interface Epilogue {
  readonly operands: ReadonlyArray<View>
  readonly results: ReadonlyArray<Result>
}

/** Integers that stand for (x − zero) · scale. The scale is in the epilogue, the zero point's share in the main loop. */
export interface ZeroPoint {
  readonly a: number
  readonly b: number
}

/**
 * The least and the greatest integer that operands hold, where more is known than their dtypes say (weights are known, and
 * a clamp bounds activations): products of 7-bit integers are faster than those of 8-bit ones.
 */
export interface OperandRanges {
  readonly a?: readonly [least: number, greatest: number]
  readonly b?: readonly [least: number, greatest: number]
}

/**
 * Σ_k a[batch, m, k] · b[batch, n, k], then the epilogue over [batch…, m, n]. Views: a over [batch…, m, k], b over
 * [batch…, n, k]. Integers accumulate in i32 with their zero points taken off; floats in `accumulate`.
 */
export interface Contraction extends Base {
  readonly kind: "contraction"
  readonly batch: ReadonlyArray<Dim>
  readonly m: Dim
  readonly n: Dim
  readonly k: Dim
  readonly a: View
  readonly b: View
  readonly zero: ZeroPoint
  readonly ranges?: OperandRanges
  readonly accumulate: "f32" | "f64" | "i32"
  readonly epilogue: Epilogue
}

/**
 * Convolution over any number of spatial axes. `input` over [batch, groups, channels of a group, …spatial], `weight` over
 * [groups, out channels of a group, channels of a group, …kernel]; the epilogue over [batch, groups, out channels of a
 * group, …out]. The bias is in the epilogue. `transposed`: the gradient, as the IR's `convTranspose`. `out` says how much is
 * computed; it may be less than input and pads would give, when nobody reads the rest.
 */
export interface Convolution extends Base {
  readonly kind: "convolution"
  readonly batch: Dim
  readonly groups: number
  readonly input: View
  readonly weight: View
  readonly out: ReadonlyArray<Dim>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<Dim>
  readonly padsEnd: ReadonlyArray<Dim>
  readonly transposed: boolean
  /** `a` is the input's zero point (what padding holds), `b` the weight's. */
  readonly zero: ZeroPoint
  readonly ranges?: OperandRanges
  readonly accumulate: "f32" | "f64" | "i32"
  readonly epilogue: Epilogue
}

/** Pooling. `input` over [batch, channels, …spatial], the epilogue over [batch, channels, …out]. */
export interface Window extends Base {
  readonly kind: "window"
  readonly combine: "max" | "average"
  readonly includePad: boolean
  readonly input: View
  readonly out: ReadonlyArray<Dim>
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<Dim>
  readonly padsEnd: ReadonlyArray<Dim>
  readonly epilogue: Epilogue
}

/**
 * Attention without materialised scores: softmax(q·kᵀ·scale + mask)·v. q over [batch, heads, queries, dim], k and v over
 * [batch, heads, keys, dim] (grouped heads by stride 0 and a split of the heads axis into [key heads, group] made by the
 * views: `heads` has two axes then, in all views), mask over [batch, heads…, queries, keys].
 */
export interface Attention extends Base {
  readonly kind: "attention"
  readonly batch: ReadonlyArray<Dim>
  readonly queries: Dim
  readonly keys: Dim
  readonly dim: Dim
  readonly valueDim: Dim
  readonly q: View
  readonly k: View
  readonly v: View
  readonly mask: View | undefined
  readonly scale: number
  readonly causal: boolean
  readonly result: View
}

/** A recurrent layer, whole; operands as in the IR's ops, null where left out; all views have the operand's own axes. */
export interface Recurrent extends Base {
  readonly kind: "recurrent"
  readonly cell: "lstm" | "gru" | "rnn"
  readonly hidden: number
  readonly direction: "forward" | "reverse" | "bidirectional"
  readonly activations: ReadonlyArray<Activation>
  readonly clip: number | null
  /** LSTM: couple input and forget gates. GRU: reset after the product (`linearBeforeReset`). */
  readonly flags: { readonly inputForget: boolean; readonly linearBeforeReset: boolean }
  readonly operands: ReadonlyArray<View | null>
  /** Null for a result that nobody takes. */
  readonly results: ReadonlyArray<View | null>
}

/** One node that a target claims whole (scatter, top-k, resize, …); views have the values' own axes. */
export interface Whole extends Base {
  readonly kind: "whole"
  readonly node: Node
  readonly operands: ReadonlyArray<View | null>
  readonly results: ReadonlyArray<View | null>
}

export type Region = Loop | Rows | Contraction | Convolution | Window | Attention | Recurrent | Whole

/** What a region reads, in the order in which kernels take addresses. */
export const reads = (region: Region): ReadonlyArray<View | null> => {
  switch (region.kind) {
    case "loop":
    case "rows":
    case "recurrent":
    case "whole":
      return region.operands
    case "contraction":
      return [region.a, region.b, ...region.epilogue.operands]
    case "convolution":
      return [region.input, region.weight, ...region.epilogue.operands]
    case "window":
      return [region.input, ...region.epilogue.operands]
    case "attention":
      return [region.q, region.k, region.v, region.mask ?? null]
  }
}

/** What a region writes, in the order in which kernels take addresses. */
export const writes = (region: Region): ReadonlyArray<View | null> => {
  switch (region.kind) {
    case "loop":
    case "rows":
      return region.results.map(({ view }) => view)
    case "contraction":
    case "convolution":
    case "window":
      return region.epilogue.results.map(({ view }) => view)
    case "attention":
      return [region.result]
    case "recurrent":
    case "whole":
      return region.results
  }
}

/** What happens to one element: of each result, and of each stage before. Empty where the kind alone says what is computed. */
export const expressions = (region: Region): ReadonlyArray<Scalar> => {
  switch (region.kind) {
    case "loop":
      return region.results.map(({ value }) => value)
    case "rows":
      return [...region.stages, ...region.results].map(({ value }) => value)
    case "contraction":
    case "convolution":
    case "window":
      return region.epilogue.results.map(({ value }) => value)
    default:
      return []
  }
}
