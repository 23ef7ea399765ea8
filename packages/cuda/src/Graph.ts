/**
 * Graphs: work captured from a stream once, replayed with one call.
 *
 *     const graph = yield* Graph.capture(stream, Effect.gen(function* () { … Launch.submit(…) … }))
 *     const step = yield* Graph.instantiate(graph)
 *     yield* Graph.replay(step, stream)
 *
 * A replay checks that everything the graph names is still alive. Source: CUDA Driver API, Graph Management.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import type { CapturedGraph, Driver, Handle } from "./Driver.ts"
import { attempt, scoped } from "./internal/attempt.ts"
import type { Launch } from "./Launch.ts"
import type { Stream } from "./Stream.ts"

export interface Graph extends CapturedGraph {
  readonly driver: Driver
}

export interface Executable {
  readonly handle: Handle
  readonly driver: Driver
  readonly kernels: Graph["kernels"]
}

/**
 * Records what `body` submits to `stream` (and to streams ordered after it by events) instead of running it. Whatever way
 * `body` ends, the capture ends.
 */
export const capture = <E, R>(
  stream: Stream,
  body: Effect.Effect<unknown, E, R>
): Effect.Effect<Graph, E | CudaError, R | Scope.Scope> => {
  const { driver } = stream
  const end = attempt((): Graph => ({ ...driver.endCapture(stream.handle), driver }))
  const abandon = Effect.flatMap(end, (graph) => attempt(() => driver.destroyGraph(graph.handle))).pipe(
    // The body's own failure is what the caller hears of; a capture that it spoilt has nothing left to end.
    Effect.catch((error) => Effect.logDebug(`end an abandoned capture: ${error.message}`))
  )
  return Effect.acquireRelease(
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* attempt(() => driver.beginCapture(stream.handle))
        const exit = yield* Effect.exit(restore(body))
        if (Exit.isFailure(exit)) {
          yield* abandon
          return yield* Effect.failCause(exit.cause)
        }
        return yield* end
      })
    ),
    (graph) =>
      attempt(() => driver.destroyGraph(graph.handle)).pipe(
        Effect.catch((error) => Effect.logWarning(`release a graph: ${error.message}`))
      )
  )
}

/** Makes a graph runnable. Its release waits until no replay of it is under way. */
export const instantiate = (graph: Graph): Effect.Effect<Executable, CudaError, Scope.Scope> =>
  scoped(
    graph.driver,
    attempt((): Executable => ({
      handle: graph.driver.instantiate(graph.handle),
      driver: graph.driver,
      kernels: graph.kernels
    })),
    graph.driver.destroyExecutable
  )

/**
 * A launch that the driver has resolved beforehand, as a graph of one node: its replay costs the host about half of what the launch
 * itself does. `stream` must be idle or not capturing; the launch must outlive the executable.
 */
export const resolve = (launch: Launch, stream: Stream): Effect.Effect<Executable, CudaError, Scope.Scope> =>
  Effect.flatMap(
    capture(
      stream,
      attempt(() => launch.driver.launch(launch.handle, stream.handle))
    ),
    instantiate
  )

/** Moves what a first replay needs to the device beforehand. */
export const upload = (executable: Executable, stream: Stream): Effect.Effect<void, CudaError> =>
  attempt(() => executable.driver.uploadGraph(executable.handle, stream.handle))

export const replay = (executable: Executable, stream: Stream): Effect.Effect<void, CudaError> =>
  attempt(() => executable.driver.replay(executable.handle, stream.handle))

/** `replay` for inner loops, without an Effect around it. Throws `CudaError`. */
export const replayNow = (executable: Executable, stream: Stream): void =>
  executable.driver.replay(executable.handle, stream.handle)

/** Gives the `index`-th captured launch another kernel, sizes or arguments, for later replays. */
export const update = (executable: Executable, index: number, launch: Launch): Effect.Effect<void, CudaError> =>
  attempt(() => executable.driver.updateKernelNode(executable.handle, index, launch.handle))
