/**
 * What runs a graph on one target. A target's package brings an executor; a session picks the first variant of its
 * engine that one of them takes.
 *
 * The reference executor runs the graph on the oracle, whichever layer provides that.
 */
import type { Engine } from "@anneal/engine/Engine"
import type { DType, TypedArray } from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
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

/** An input or output of a bound graph. */
export interface BoundPort {
  readonly name: string
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  /**
   * Its elements where the target computes: written before `run`, read after it. Ask again for each run; a view that was
   * kept may be of memory that has moved.
   */
  readonly data: TypedArray
}

/** A graph at fixed shapes, for the lowest latency: no Effect, nothing allocated in a run. */
export interface Bound {
  readonly inputs: ReadonlyArray<BoundPort>
  readonly outputs: ReadonlyArray<BoundPort>
  /** Throws `ExecutionError`. */
  readonly run: () => void
  /**
   * The outputs that are state become the inputs of the next run, without a copy where their shapes are the inputs'. Read
   * the outputs before it.
   */
  readonly carry: () => void
}

/** Bytes in use. */
export interface MemoryUse {
  /** In the forms that code reads them in, once for all sessions of an engine. */
  readonly weights: number
  /** Of this executable alone: values, scratch, inputs and outputs. */
  readonly values: number
  /** The target's whole memory for the engine: weights, the values of all sessions, tables, and what lies between them. */
  readonly memory: number
}

/** What one step of an executable took. */
export interface StepTime {
  /** The region's id; reports of the target name it so. */
  readonly id: string
  /** In the user's model. */
  readonly node: string
  readonly kernel: string
  /** Nanoseconds on one thread, the median of the runs. */
  readonly nanoseconds: number
  readonly runs: number
}

/** Where the time of a run goes. */
export interface StepProfile {
  /** In the order in which they ran. */
  readonly steps: ReadonlyArray<StepTime>
  /** Symbols that have their only value in the code that ran: says which of the engine's reports is of it. */
  readonly fixed: Readonly<Record<string, number>>
}

/** A graph ready to run. Released with its scope. */
export interface Executable {
  readonly target: string
  /** At these shapes of the inputs, in the graph's order. Absent where a target has nothing to gain from it. */
  readonly bind?: (shapes: ReadonlyArray<ReadonlyArray<number>>) => Effect.Effect<Bound, ExecutionError>
  /** A tensor in the target's own memory, which is not copied when it is an input; released with the executable. */
  readonly allocate?: (dtype: DType, shape: ReadonlyArray<number>) => Effect.Effect<Tensor, ExecutionError>
  readonly memory?: () => MemoryUse
  /**
   * Runs step by step, and shows the graph's values that are in memory between steps, by id, with the kernel that made
   * them. Absent where a target cannot.
   */
  readonly observe?: (
    inputs: ReadonlyArray<Tensor>,
    onValue: (id: string, tensor: Tensor, kernel: string) => void,
    options?: ExecuteOptions
  ) => Effect.Effect<ReadonlyArray<Tensor>, ExecutionError>
  /** Runs its steps one by one for so many milliseconds, at least twice. Absent where a target has no steps. */
  readonly profile?: (
    inputs: ReadonlyArray<Tensor>,
    options: { readonly milliseconds: number; readonly seed?: number }
  ) => Effect.Effect<StepProfile, ExecutionError>
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
  /** Read when it is asked for: not every target needs it. */
  readonly graph: Graph
  /** Its inputs, outputs, constraints and state, without nodes; absent: those of `graph`. */
  readonly boundary?: Graph
  /** Ops beyond the built-in ones. */
  readonly ops?: ReadonlyMap<string, OpDefinition>
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
