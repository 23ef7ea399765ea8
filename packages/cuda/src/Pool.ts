/**
 * A memory pool: stream-ordered allocations that cost a few microseconds once the pool has grown.
 *
 * Source: CUDA Driver API, Stream Ordered Memory Allocator.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Driver, Handle } from "./Driver.ts"
import { attempt } from "./internal/attempt.ts"

export interface Pool {
  readonly handle: Handle
  readonly driver: Driver
}

export interface Options {
  /** Bytes that the pool keeps instead of giving them back to the device when idle. Default: all of them. */
  readonly keepBytes?: number
  /** The most that the pool may hold; 0, the default, is no limit of its own. */
  readonly maxBytes?: number
}

export const make = (options: Options = {}): Effect.Effect<Pool, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    Effect.acquireRelease(
      attempt(() => ({
        handle: driver.createPool(context, options.keepBytes ?? Number.MAX_SAFE_INTEGER, options.maxBytes ?? 0),
        driver
      })),
      (pool) =>
        attempt(() => driver.destroyPool(pool.handle)).pipe(
          Effect.catch((error) => Effect.logWarning(`release a pool: ${error.message}`))
        )
    )
  )

/** Bytes that the pool holds, and bytes of them in use. */
export const info = (pool: Pool): Effect.Effect<{ readonly reserved: number; readonly used: number }, CudaError> =>
  attempt(() => pool.driver.poolInfo(pool.handle))

/** Gives what is idle above `keepBytes` back to the device. */
export const trim = (pool: Pool, keepBytes = 0): Effect.Effect<void, CudaError> =>
  attempt(() => pool.driver.trimPool(pool.handle, keepBytes))
