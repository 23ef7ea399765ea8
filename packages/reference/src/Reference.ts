/**
 * Reference: the oracle's layer. `Effect.provide(program, Reference.layer())`.
 *
 *   Reference.layer({ kernels: [Kernel.define(myOp, (call) => …)] })   a plug-in's op brings its kernel
 *
 * Runs give way to other fibers every few milliseconds, where they can be interrupted.
 */
import { IrError } from "@anneal/ir/Errors"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Bounded, OracleService, Outputs, RunOptions } from "@anneal/pipeline/Oracle"
import type { Identity } from "@anneal/pipeline/Key"
import { Oracle, OracleError } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Bounds from "./Bounds.ts"
import type { Cell, Entry, Work } from "./Kernel.ts"
import * as Kernel from "./Kernel.ts"
import * as Kernels from "./Kernels.ts"
import * as Run from "./Run.ts"

export interface Options {
  /** Kernels of ops that are not built in; one for a built-in op takes the place of ours. */
  readonly kernels?: ReadonlyArray<Entry>
  /** Version of those kernels: goes up when a result of theirs may change. Without it what is made with them is not cached. */
  readonly kernelsVersion?: string
  /**
   * Whose arithmetic `runWithBounds` is for: the oracle's own float64, or any target that keeps to each op's contract (its
   * accumulation type and its ulps). Default: `oracle`.
   */
  readonly accumulator?: Bounds.Accumulator
}

/** Goes up when any result may change. */
export const version = 1

/** Milliseconds between two offers to pause. */
const slice = 8

/** Drives work, giving way to other fibers. What it throws of ours becomes a typed failure. */
export const drive = <A>(start: () => Work<A>): Effect.Effect<A, OracleError> =>
  Effect.gen(function* () {
    const work = yield* attempt(start)
    for (;;) {
      const step = yield* attempt(() => runSlice(work))
      if (step.done === true) return step.value
      yield* Effect.yieldNow
    }
  })

const runSlice = <A>(work: Work<A>): IteratorResult<void, A> => {
  const end = performance.now() + slice
  let step = work.next()
  while (step.done !== true && performance.now() < end) step = work.next()
  return step
}

const attempt = <A>(f: () => A): Effect.Effect<A, OracleError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      if (error instanceof OracleError) return Effect.fail(error)
      if (error instanceof IrError) return Effect.fail(new OracleError({ reason: "Kernel", detail: error.message }))
      return Effect.die(error)
    }
  })

const exact = (inputs: ReadonlyArray<Tensor>): ReadonlyArray<Cell> =>
  inputs.map((tensor) => ({ tensor, bound: undefined }))

/** Code of a plug-in that has no version makes an oracle without an identity. */
const identityOf = (
  { kernels = [], kernelsVersion }: Options,
  accumulator: Bounds.Accumulator
): Identity | undefined => {
  if (kernels.length === 0) return { name: "reference", version, config: { accumulator } }
  if (kernelsVersion === undefined) return undefined
  const names = kernels.map(({ op }) => op.name).sort()
  return { name: "reference", version, config: { accumulator, kernels: names, kernelsVersion } }
}

/** The service; `layer` wraps it. */
export const make = (options: Options = {}): OracleService => {
  const extra = options.kernels ?? []
  const accumulator = options.accumulator ?? "oracle"
  const machine = Run.machine(Kernel.table([...Kernels.all, ...extra]))
  const execute = (
    graph: Graph,
    inputs: ReadonlyArray<Tensor>,
    runOptions: RunOptions | undefined,
    bounds: Run.BoundMode | undefined,
    onValue?: Run.OnValue
  ): Effect.Effect<ReadonlyArray<Cell>, OracleError> =>
    drive(() =>
      Run.runGraph(
        { machine, seed: runOptions?.seed ?? 0, bounds, rounded: runOptions?.rounded ?? new Set() },
        graph,
        exact(inputs),
        new Map(),
        onValue
      )
    )
  const tensors = (cells: ReadonlyArray<Cell>): Outputs => cells.map(({ tensor }) => tensor)
  return {
    identity: identityOf(options, accumulator),
    run: (graph, inputs, runOptions) => Effect.map(execute(graph, inputs, runOptions, undefined), tensors),
    runWithBounds: (graph, inputs, runOptions) =>
      Effect.map(execute(graph, inputs, runOptions, Bounds.mode(accumulator)), (cells): Bounded => ({
        outputs: tensors(cells),
        bounds: cells.map(({ bound, tensor }) => bound ?? new Float64Array(tensor.data.length))
      })),
    observe: (graph, inputs, onValue, runOptions) =>
      Effect.map(execute(graph, inputs, runOptions, undefined, onValue), tensors)
  }
}

export const layer = (options: Options = {}): Layer.Layer<Oracle> => Layer.sync(Oracle, () => make(options))
