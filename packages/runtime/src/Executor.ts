/**
 * What runs a graph on one target. A target's package brings an executor; a session picks the first variant of its
 * engine that one of them takes.
 *
 * The reference executor runs the graph on the oracle, whichever layer provides that.
 */
import type { Engine } from "@anneal/engine/Engine"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { ExecutionError } from "./RuntimeError.ts"

export interface ExecuteOptions {
  /** Seed of random ops. Default 0. */
  readonly seed?: number
}

/** A graph ready to run. Released with its scope. */
export interface Executable {
  readonly target: string
  /** Inputs and outputs in the graph's order; inputs are checked already. They are not copied and not changed. */
  readonly run: (
    inputs: ReadonlyArray<Tensor>,
    options?: ExecuteOptions
  ) => Effect.Effect<ReadonlyArray<Tensor>, ExecutionError>
}

/** What an executor is given: the graph to run, and the file with everything else that a target keeps there. */
export interface Prepared {
  readonly engine: Engine
  readonly variant: string
  readonly graph: Graph
}

export interface ExecutorService {
  readonly target: string
  /** What this machine has; a variant that asks for more is passed over. */
  readonly features: ReadonlyArray<string>
  readonly prepare: (what: Prepared) => Effect.Effect<Executable, ExecutionError, Scope.Scope>
}

/** The targets at hand, the preferred first. */
export class Executors extends Context.Service<Executors, ReadonlyArray<ExecutorService>>()(
  "@anneal/runtime/Executors"
) {}

/** Runs graphs on the oracle, one op at a time. */
export const reference: Effect.Effect<ExecutorService, never, Oracle> = Effect.map(Oracle, (oracle) => ({
  target: "reference",
  features: [],
  prepare: ({ engine, graph }) =>
    Effect.succeed({
      target: "reference",
      run: (inputs, options) =>
        Effect.mapError(
          oracle.run(graph, inputs, options),
          ({ detail, node }) =>
            new ExecutionError({
              engine: engine.file,
              target: "reference",
              detail,
              ...(node === undefined ? {} : { node })
            })
        )
    })
}))

/** The reference target alone. */
export const layerReference: Layer.Layer<Executors, never, Oracle> = Layer.effect(
  Executors,
  Effect.map(reference, (one) => [one])
)
