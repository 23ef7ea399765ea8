/**
 * One CUDA device as a service: everything else in this package (streams, buffers, modules, graphs) is made from it and
 * released with a Scope.
 *
 *     const program = Effect.gen(function* () {
 *       const stream = yield* Stream.make()
 *       const buffer = yield* Buffer.make(1024)
 *       yield* Buffer.fill(buffer, stream, 0)
 *       yield* Stream.wait(stream)
 *     }).pipe(Effect.scoped, Effect.provide(Device.layer(0)))
 *
 * `layer` is the real device; `RecordingDevice.layer` stands in for it without a GPU.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { CudaError } from "./CudaError.ts"
import type { DeviceInfo } from "./DeviceInfo.ts"
import type { Driver, Handle } from "./Driver.ts"
import { attempt, attemptPromise } from "./internal/attempt.ts"
import * as Native from "./Native.ts"

export interface DeviceShape {
  readonly driver: Driver
  readonly context: Handle
  readonly info: DeviceInfo
}

export class Device extends Context.Service<Device, DeviceShape>()("@anneal/cuda/Device") {}

/** Opens device `ordinal` of a driver; closed with the Scope, after everything made from it. */
export const open = (driver: Driver, ordinal: number) =>
  Effect.gen(function* () {
    const info = yield* attempt(() => driver.describe(ordinal))
    const context = yield* Effect.acquireRelease(
      attemptPromise(() => driver.openContext(ordinal)),
      (handle) =>
        attempt(() => driver.closeContext(handle)).pipe(
          Effect.catch((error) => Effect.logWarning(`close device ${ordinal}: ${error.message}`))
        )
    )
    return Device.of({ driver, context, info })
  })

/** The real device `ordinal`, through an addon provided from outside. */
export const layerNative = (ordinal: number): Layer.Layer<Device, CudaError, Native.Native> =>
  Layer.effect(
    Device,
    Effect.gen(function* () {
      const native = yield* Native.Native
      yield* native.openDriver
      return yield* open(native.driver, ordinal)
    })
  )

/** The real device `ordinal`. Fails with `NativeUnavailable` where the addon is not built, `Missing` where there is no driver. */
export const layer = (ordinal = 0): Layer.Layer<Device, CudaError | Native.NativeUnavailable> =>
  layerNative(ordinal).pipe(Layer.provide(Native.layer))

/** Free and total bytes of the device's memory. */
export const memory = Effect.flatMap(Device, ({ driver, context }) => attempt(() => driver.memoryInfo(context)))

/** How many objects of each kind are alive in this process. */
export const statistics = Effect.flatMap(Device, ({ driver }) => attempt(() => driver.statistics()))
