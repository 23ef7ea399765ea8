/**
 * An event: a point in a stream's work, to wait for from another stream, or to measure the time between two.
 *
 * Source: CUDA Driver API, Event Management.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Driver, Handle } from "./Driver.ts"
import { attempt } from "./internal/attempt.ts"
import * as Stream from "./Stream.ts"

export interface Event {
  readonly handle: Handle
  readonly driver: Driver
}

/** A new event. Only one made with `timing` can be measured; one without is cheaper. */
export const make = (
  options: { readonly timing?: boolean } = {}
): Effect.Effect<Event, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    Effect.acquireRelease(
      attempt(() => ({ handle: driver.createEvent(context, options.timing ?? false), driver })),
      (event) =>
        attempt(() => driver.destroyEvent(event.handle)).pipe(
          Effect.catch((error) => Effect.logWarning(`release an event: ${error.message}`))
        )
    )
  )

/** Marks the end of what has been submitted to `stream` so far. */
export const record = (event: Event, stream: Stream.Stream): Effect.Effect<void, CudaError> =>
  attempt(() => event.driver.recordEvent(event.handle, stream.handle))

export const isDone = (event: Event): Effect.Effect<boolean, CudaError> =>
  attempt(() => event.driver.eventDone(event.handle))

/** Milliseconds of device time between two recorded events, to about half a microsecond. */
export const elapsed = (start: Event, end: Event): Effect.Effect<number, CudaError> =>
  attempt(() => start.driver.elapsed(start.handle, end.handle))

/** Device time of what `work` submits to `stream`, in milliseconds. */
export const time = <E, R>(
  stream: Stream.Stream,
  work: Effect.Effect<unknown, E, R>
): Effect.Effect<number, E | CudaError, R | Device> =>
  Effect.scoped(
    Effect.gen(function* () {
      const start = yield* make({ timing: true })
      const end = yield* make({ timing: true })
      yield* record(start, stream)
      yield* work
      yield* record(end, stream)
      yield* Stream.wait(stream)
      return yield* elapsed(start, end)
    })
  )
