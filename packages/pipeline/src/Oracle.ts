/**
 * The oracle: what a graph means, in numbers. Every rewrite is checked against it, calibration observes through it, and
 * candidates of targets are compared with it. It is slow and obviously right: floats accumulate in float64 and are
 * rounded once per value to the value's dtype. Its layer is in `packages/reference`.
 */
import type * as Graph from "@anneal/ir/Graph"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Identified } from "./Key.ts"

/** A run that could not be made. `node` is the path in the user's model. */
export class OracleError extends Schema.TaggedError<OracleError>()("OracleError", {
  reason: Schema.Literals(["WrongInput", "Unbound", "Constraint", "NoKernel", "Kernel", "Memory"]),
  detail: Schema.String,
  node: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `The oracle cannot run ${this.node ?? "the graph"}: ${this.detail}`
  }
}

/** Results, in the order of the graph's outputs. */
export type Outputs = ReadonlyArray<Tensor.Tensor>

/** Results with a bound on how far rounding may have moved each element from the exact result: absolute, float64. */
export interface Bounded {
  readonly outputs: Outputs
  /** One array an output, an element an element; `Infinity` where nothing can be said. */
  readonly bounds: ReadonlyArray<Float64Array>
}

export interface RunOptions {
  /** Seed of random ops. Default 0. */
  readonly seed?: number
  /**
   * Digests of float constants that a rewrite computed and rounded: with bounds, each of their elements may be off by one
   * unit in the last place. All other constants are exact.
   */
  readonly rounded?: ReadonlySet<string>
  /** The values that `observe` must show, by id; it may show others. Default: all. */
  readonly watch?: ReadonlySet<string>
}

export interface OracleService extends Identified {
  /** Runs a graph. `inputs` are in the order of the graph's inputs; symbols are bound by their shapes. */
  readonly run: (
    graph: Graph.Graph,
    inputs: ReadonlyArray<Tensor.Tensor>,
    options?: RunOptions
  ) => Effect.Effect<Outputs, OracleError>
  /** The same with error bounds, by each op's error rule. Inputs, and constants but `rounded` ones, are taken as exact. */
  readonly runWithBounds: (
    graph: Graph.Graph,
    inputs: ReadonlyArray<Tensor.Tensor>,
    options?: RunOptions
  ) => Effect.Effect<Bounded, OracleError>
  /** The same as `run`, showing every value of the graph (inputs, constants not included, results) once it is known. */
  readonly observe: (
    graph: Graph.Graph,
    inputs: ReadonlyArray<Tensor.Tensor>,
    onValue: (id: string, tensor: Tensor.Tensor) => void,
    options?: RunOptions
  ) => Effect.Effect<Outputs, OracleError>
}

export class Oracle extends Context.Service<Oracle, OracleService>()("@anneal/pipeline/Oracle") {}
