/**
 * A module of device code (cubin or PTX), its kernels and its globals.
 *
 * Source: CUDA Driver API, Module Management.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Buffer } from "./Buffer.ts"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import * as DeviceInfo from "./DeviceInfo.ts"
import type { Driver, FunctionInfo, Handle } from "./Driver.ts"
import { attempt, attemptPromise, scoped } from "./internal/attempt.ts"

export interface Module {
  readonly handle: Handle
  readonly driver: Driver
  /** What the driver's compiler said (PTX only). */
  readonly log: string
}

/** A kernel of a module; usable while the module is. */
export interface Kernel extends FunctionInfo {
  readonly driver: Driver
  readonly name: string
}

export interface LoadOptions {
  /** A limit for the driver's PTX compiler; 0, the default, leaves it the choice. */
  readonly maxRegisters?: number
}

/** Loads a cubin, a fatbin or PTX. PTX is compiled by the driver, off the event loop. */
export const load = (
  image: Uint8Array | string,
  options: LoadOptions = {}
): Effect.Effect<Module, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    scoped(
      driver,
      Effect.map(
        attemptPromise(() => {
          const bytes = typeof image === "string" ? new TextEncoder().encode(image) : image
          return driver.loadModule(context, bytes, options.maxRegisters ?? 0)
        }),
        ({ handle, log }): Module => ({ handle, driver, log })
      ),
      driver.unloadModule
    )
  )

export interface KernelOptions {
  /** Dynamic shared memory in bytes that launches may ask for. Above 48 KiB it must be said here. */
  readonly maxSharedBytes?: number
  /** Clusters of more than eight blocks. */
  readonly largeClusters?: boolean
}

/** Finds a kernel by its name in the module (mangled, unless it is `extern "C"`). */
export const kernel = (module: Module, name: string, options: KernelOptions = {}): Effect.Effect<Kernel, CudaError> =>
  attempt(() => {
    const { driver } = module
    const found = driver.getFunction(module.handle, name)
    if (options.maxSharedBytes !== undefined)
      driver.setFunctionAttribute(found.handle, DeviceInfo.maxDynamicSharedBytes, options.maxSharedBytes)
    if (options.largeClusters === true)
      driver.setFunctionAttribute(found.handle, DeviceInfo.nonPortableClusterSizeAllowed, 1)
    return { ...found, driver, name }
  })

/** A global variable of the module, as a buffer that goes with the Scope. */
export const global = (module: Module, name: string): Effect.Effect<Buffer, CudaError, Scope.Scope> =>
  scoped(
    module.driver,
    attempt((): Buffer => {
      const found = module.driver.getGlobal(module.handle, name)
      return { handle: found.handle, bytes: found.bytes, driver: module.driver }
    }),
    module.driver.free
  )
