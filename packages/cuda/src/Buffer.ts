/**
 * Device memory: plain, in stream order from a pool, or between guard pages (for tests: a write past the end faults).
 *
 * A buffer's release waits until no kernel or copy uses it; a stream-ordered one is freed in its stream's order instead.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Driver, Handle } from "./Driver.ts"
import type { HostMemory } from "./HostMemory.ts"
import * as Host from "./HostMemory.ts"
import { attempt, scoped } from "./internal/attempt.ts"
import type { Pool } from "./Pool.ts"
import * as Stream from "./Stream.ts"

export interface Buffer {
  readonly handle: Handle
  readonly driver: Driver
  readonly bytes: number
}

/** `bytes` of device memory, at least 1. The label shows in the recording device's log. */
export const make = (
  bytes: number,
  options: { readonly label?: string } = {}
): Effect.Effect<Buffer, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    scoped(
      driver,
      attempt((): Buffer => ({ handle: driver.allocate(context, bytes, options.label ?? ""), driver, bytes })),
      driver.free
    )
  )

/** Memory that exists from this point of the stream's order, freed in that order when the Scope closes. */
export const makeOn = (
  stream: Stream.Stream,
  bytes: number,
  options: { readonly pool?: Pool; readonly label?: string } = {}
): Effect.Effect<Buffer, CudaError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt((): Buffer => {
      const { driver } = stream
      const handle = driver.allocateOn(stream.handle, bytes, options.pool?.handle ?? 0, options.label ?? "")
      return { handle, driver, bytes }
    }),
    (buffer) =>
      attempt(() => buffer.driver.free(buffer.handle)).pipe(
        Effect.catch((error) => Effect.logWarning(`release a buffer: ${error.message}`))
      )
  )

/**
 * Memory with an unmapped page on each side. `against: "end"` puts its last byte (up to `alignment`, default 16) before the
 * page that follows, `"start"` its first byte after the page before.
 */
export const makeGuarded = (
  bytes: number,
  options: { readonly against?: "start" | "end"; readonly alignment?: number; readonly label?: string } = {}
): Effect.Effect<Buffer, CudaError, Device | Scope.Scope> =>
  Effect.flatMap(Device, ({ driver, context }) =>
    scoped(
      driver,
      attempt((): Buffer => {
        const atEnd = options.against !== "start"
        const handle = driver.allocateGuarded(context, bytes, atEnd, options.alignment ?? 16, options.label ?? "")
        return { handle, driver, bytes }
      }),
      driver.free
    )
  )

/** The device address, for a library that takes one. */
export const address = (buffer: Buffer): Effect.Effect<bigint, CudaError> =>
  attempt(() => buffer.driver.address(buffer.handle))

export interface FillOptions {
  /** Bytes from the buffer's start; a multiple of `width`. */
  readonly offset?: number
  /** Elements; default: to the buffer's end. */
  readonly count?: number
  /** Bytes of an element: 1, 2 or 4. Default 1. */
  readonly width?: 1 | 2 | 4
}

/** Sets elements to `value` (an unsigned integer of the element's width). */
export const fill = (
  buffer: Buffer,
  stream: Stream.Stream,
  value: number,
  options: FillOptions = {}
): Effect.Effect<void, CudaError> =>
  attempt(() => {
    const width = options.width ?? 1
    const offset = options.offset ?? 0
    const count = options.count ?? Math.floor((buffer.bytes - offset) / width)
    buffer.driver.fill(stream.handle, buffer.handle, offset, count, value, width)
  })

export interface CopyOptions {
  readonly fromOffset?: number
  readonly toOffset?: number
  /** Default: what the source has from its offset. */
  readonly bytes?: number
}

const extent = (from: number, options: CopyOptions) => ({
  fromOffset: options.fromOffset ?? 0,
  toOffset: options.toOffset ?? 0,
  bytes: options.bytes ?? from - (options.fromOffset ?? 0)
})

/** Host to device, asynchronous: the host memory must not change until the stream has passed this point. */
export const upload = (
  from: HostMemory,
  to: Buffer,
  stream: Stream.Stream,
  options: CopyOptions = {}
): Effect.Effect<void, CudaError> =>
  attempt(() => {
    const { fromOffset, toOffset, bytes } = extent(from.bytes, options)
    to.driver.copyToDevice(stream.handle, to.handle, toOffset, from.handle, fromOffset, bytes)
  })

/** Device to host, asynchronous: the host memory has the bytes once the stream has passed this point. */
export const download = (
  from: Buffer,
  to: HostMemory,
  stream: Stream.Stream,
  options: CopyOptions = {}
): Effect.Effect<void, CudaError> =>
  attempt(() => {
    const { fromOffset, toOffset, bytes } = extent(from.bytes, options)
    from.driver.copyToHost(stream.handle, to.handle, toOffset, from.handle, fromOffset, bytes)
  })

/** Device to device, asynchronous. */
export const copy = (
  from: Buffer,
  to: Buffer,
  stream: Stream.Stream,
  options: CopyOptions = {}
): Effect.Effect<void, CudaError> =>
  attempt(() => {
    const { fromOffset, toOffset, bytes } = extent(from.bytes, options)
    from.driver.copyOnDevice(stream.handle, to.handle, toOffset, from.handle, fromOffset, bytes)
  })

const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** A few bytes (at most 65,536) from any typed array, which may change as soon as this returns. */
export const writeSmall = (
  buffer: Buffer,
  stream: Stream.Stream,
  data: ArrayBufferView,
  offset = 0
): Effect.Effect<void, CudaError> =>
  attempt(() => buffer.driver.write(stream.handle, buffer.handle, offset, bytesOf(data)))

/** Any typed array to the device, and waits. Goes through page-locked memory made for the call. */
export const write = (
  buffer: Buffer,
  stream: Stream.Stream,
  data: ArrayBufferView,
  offset = 0
): Effect.Effect<void, CudaError, Device> =>
  data.byteLength === 0
    ? Effect.void
    : Effect.scoped(
        Effect.gen(function* () {
          const host = yield* Host.make(data.byteLength)
          new Uint8Array(host.buffer).set(bytesOf(data))
          yield* upload(host, buffer, stream, { toOffset: offset })
          yield* Stream.wait(stream)
        })
      )

/** The buffer's bytes (or some of them), after everything submitted to `stream` so far. */
export const read = (
  buffer: Buffer,
  stream: Stream.Stream,
  options: { readonly offset?: number; readonly bytes?: number } = {}
): Effect.Effect<Uint8Array<ArrayBuffer>, CudaError, Device> =>
  Effect.scoped(
    Effect.gen(function* () {
      const fromOffset = options.offset ?? 0
      const bytes = options.bytes ?? buffer.bytes - fromOffset
      if (bytes === 0) return new Uint8Array(0)
      const host = yield* Host.make(bytes)
      yield* download(buffer, host, stream, { fromOffset, bytes })
      yield* Stream.wait(stream)
      return new Uint8Array(host.buffer).slice()
    })
  )
