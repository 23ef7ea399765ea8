/**
 * Calls of a `Driver` as effects: `CudaError` thrown becomes a failure, anything else thrown is a defect; waits can be
 * interrupted; releases wait for the device first and report, rather than hide, what goes wrong.
 */
import * as Effect from "effect/Effect"
import { CudaError } from "../CudaError.ts"
import type { Driver, Handle, Wait } from "../Driver.ts"

export const attempt = <A>(call: () => A): Effect.Effect<A, CudaError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(call())
    } catch (thrown) {
      return thrown instanceof CudaError ? Effect.fail(thrown) : Effect.die(thrown)
    }
  })

export const attemptPromise = <A>(start: () => Promise<A>): Effect.Effect<A, CudaError> =>
  Effect.callback<A, CudaError>((resume) => {
    start().then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(error instanceof CudaError ? Effect.fail(error) : Effect.die(error))
    )
  })

/** Waits without blocking the event loop. Interruption stops the waiting, not the device. */
export const attemptWait = (driver: Driver, start: () => Wait): Effect.Effect<void, CudaError> =>
  Effect.flatMap(attempt(start), (wait) =>
    Effect.callback<void, CudaError>((resume) => {
      wait.done.then(
        () => resume(Effect.void),
        (error: unknown) => resume(error instanceof CudaError ? Effect.fail(error) : Effect.die(error))
      )
      return Effect.sync(() => driver.cancelWait(wait.id))
    })
  )

const settledThen = (driver: Driver, object: Handle, release: () => void): Effect.Effect<void> =>
  Effect.andThen(
    attemptWait(driver, () => driver.settled(object)),
    attempt(release)
  ).pipe(Effect.catch((error) => Effect.logWarning(`release: ${error.message}`)))

/** An object whose release first waits until the device has finished with it. */
export const scoped = <A extends { readonly handle: Handle }, R>(
  driver: Driver,
  make: Effect.Effect<A, CudaError, R>,
  release: (handle: Handle) => void
) => Effect.acquireRelease(make, (made) => settledThen(driver, made.handle, () => release(made.handle)))
