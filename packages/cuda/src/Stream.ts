/**
 * A stream: work submitted to it runs in order, beside other streams' work.
 *
 * Source: CUDA Driver API, Stream Management.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Driver, Handle } from "./Driver.ts"
import type { Event } from "./Event.ts"
import { attempt, attemptWait } from "./internal/attempt.ts"

export interface Stream {
  readonly handle: Handle
  readonly driver: Driver
}

export interface Options {
  /** Lower runs first; the device has few levels and clamps. Default 0. */
  readonly priority?: number
}

/** A new stream. Its release waits until its work has ended. */
export const make = (options: Options = {}): Effect.Effect<Stream, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    Effect.acquireRelease(
      attempt(() => ({ handle: driver.createStream(context, options.priority ?? 0), driver })),
      (stream) =>
        Effect.andThen(
          wait(stream),
          attempt(() => driver.destroyStream(stream.handle))
        ).pipe(Effect.catch((error) => Effect.logWarning(`release a stream: ${error.message}`)))
    )
  )

/** Waits until everything submitted so far has ended. Fails with `ContextBroken` if a kernel of it crashed. */
export const wait = (stream: Stream): Effect.Effect<void, CudaError> =>
  attemptWait(stream.driver, () => stream.driver.waitStream(stream.handle))

/** Whether everything submitted so far has ended. */
export const isIdle = (stream: Stream): Effect.Effect<boolean, CudaError> =>
  attempt(() => stream.driver.streamIdle(stream.handle))

/** What is submitted to the stream from now on starts after `event` has happened. */
export const waitFor = (stream: Stream, event: Event): Effect.Effect<void, CudaError> =>
  attempt(() => stream.driver.waitEvent(stream.handle, event.handle))

/** Everything submitted to `second` from now on starts after everything submitted to `first` so far. */
export const order = (first: Stream, second: Stream, event: Event): Effect.Effect<void, CudaError> =>
  attempt(() => {
    first.driver.recordEvent(event.handle, first.handle)
    first.driver.waitEvent(second.handle, event.handle)
  })
