/**
 * Page-locked host memory that JavaScript sees as an `ArrayBuffer`, copied to and from by the device directly.
 *
 * `make` allocates it; `pin` locks an `ArrayBuffer` that is already there. After the Scope has closed, memory from `make` is
 * an empty array to whoever still holds it, and memory given to `pin` is as before.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Driver, Handle } from "./Driver.ts"
import { attemptPromise, scoped } from "./internal/attempt.ts"

export interface HostMemory {
  readonly handle: Handle
  readonly driver: Driver
  readonly bytes: number
  readonly buffer: ArrayBuffer
}

/** `bytes` of page-locked memory, zeroed. Once transferred to another thread it is that thread's, and copies are refused. */
export const make = (bytes: number): Effect.Effect<HostMemory, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    scoped(
      driver,
      Effect.map(
        attemptPromise(() => driver.allocatePinned(context, bytes)),
        ({ handle, buffer }): HostMemory => ({ handle, driver, bytes, buffer })
      ),
      driver.freePinned
    )
  )

/** Page-locks existing memory, where it is. From then on it cannot be transferred to another thread, also after the Scope. */
export const pin = (buffer: ArrayBuffer): Effect.Effect<HostMemory, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    scoped(
      driver,
      Effect.map(
        attemptPromise(() => driver.registerPinned(context, buffer)),
        (handle): HostMemory => ({ handle, driver, bytes: buffer.byteLength, buffer })
      ),
      driver.freePinned
    )
  )
