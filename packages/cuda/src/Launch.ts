/**
 * A kernel launch, prepared once and submitted as often as wanted.
 *
 *     const launch = yield* Launch.make(kernel, {
 *       grid: [256], block: [128],
 *       arguments: [Launch.buffer(x), Launch.buffer(y, { access: "write" }), Launch.u32(n)]
 *     })
 *     yield* Launch.submit(launch, stream)
 *
 * Preparing checks the arguments against the kernel's own parameter layout; submitting costs two numbers into the addon.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Buffer } from "./Buffer.ts"
import { refuse } from "./CudaError.ts"
import type { CudaError } from "./CudaError.ts"
import type { Access, Driver, Handle, LaunchShape, Parameters } from "./Driver.ts"
import { attempt } from "./internal/attempt.ts"
import type { Kernel } from "./Module.ts"
import type { Stream } from "./Stream.ts"
import type { TensorMap } from "./TensorMap.ts"

export type Argument =
  | {
      readonly _tag: "Buffer"
      readonly buffer: Buffer
      readonly offset: number
      readonly bytes: number
      readonly access: Access
    }
  | { readonly _tag: "Value"; readonly bytes: Uint8Array; readonly alignment: number }
  | { readonly _tag: "TensorMap"; readonly map: TensorMap }

/** A buffer's address. `bytes` is what the kernel may touch from `offset`: by default the rest of the buffer. */
export const buffer = (
  target: Buffer,
  options: { readonly offset?: number; readonly bytes?: number; readonly access?: Access } = {}
): Argument => {
  const offset = options.offset ?? 0
  return {
    _tag: "Buffer",
    buffer: target,
    offset,
    bytes: options.bytes ?? Math.max(0, target.bytes - offset),
    access: options.access ?? "readWrite"
  }
}

/** A structure or any other plain value, as its bytes. */
export const value = (bytes: Uint8Array, alignment: number): Argument => ({ _tag: "Value", bytes, alignment })

const scalar = (size: number, put: (view: DataView) => void): Argument => {
  const bytes = new Uint8Array(size)
  put(new DataView(bytes.buffer))
  return value(bytes, size)
}
export const i32 = (x: number): Argument => scalar(4, (view) => view.setInt32(0, x, true))
export const u32 = (x: number): Argument => scalar(4, (view) => view.setUint32(0, x, true))
export const i64 = (x: bigint): Argument => scalar(8, (view) => view.setBigInt64(0, x, true))
export const u64 = (x: bigint): Argument => scalar(8, (view) => view.setBigUint64(0, x, true))
export const f32 = (x: number): Argument => scalar(4, (view) => view.setFloat32(0, x, true))
export const f64 = (x: number): Argument => scalar(8, (view) => view.setFloat64(0, x, true))

/** A tensor map, passed by value (`const __grid_constant__ CUtensorMap`). */
export const tensorMap = (map: TensorMap): Argument => ({ _tag: "TensorMap", map })

export type Extent = readonly [number, number?, number?]

export interface Options {
  /** Blocks in x, y, z. */
  readonly grid: Extent
  /** Threads of a block in x, y, z. */
  readonly block: Extent
  /** Blocks of a cluster in x, y, z (sm_90 and later). */
  readonly cluster?: Extent
  /** Dynamic shared memory in bytes. */
  readonly sharedBytes?: number
  /** May start before the launch before it has ended; the kernel waits by itself (`griddepcontrol.wait`). */
  readonly overlapsPrevious?: boolean
  readonly cooperative?: boolean
  readonly arguments: ReadonlyArray<Argument>
}

export interface Launch {
  readonly handle: Handle
  readonly driver: Driver
  readonly kernel: Kernel
}

const three = (extent: Extent): readonly [number, number, number] => [extent[0], extent[1] ?? 1, extent[2] ?? 1]

const sizeOf = (argument: Argument): number =>
  argument._tag === "Buffer" ? 8 : argument._tag === "TensorMap" ? 128 : argument.bytes.byteLength
const alignmentOf = (argument: Argument): number =>
  argument._tag === "Buffer" ? 8 : argument._tag === "TensorMap" ? 64 : argument.alignment

/** The packed parameter block of a kernel, from its layout where the driver tells it, else by natural alignment. */
export const pack = (kernel: Pick<Kernel, "name" | "parameters">, list: ReadonlyArray<Argument>): Parameters => {
  const layout = kernel.parameters
  const doing = `prepare a launch of ${kernel.name}`
  if (layout !== undefined && layout.length !== list.length)
    throw refuse("ANNEAL_BAD_ARGUMENT", doing, `the kernel takes ${layout.length} arguments, got ${list.length}`)
  const places: Array<number> = []
  let end = 0
  for (const [index, argument] of list.entries()) {
    const known = layout?.[index]
    const size = sizeOf(argument)
    if (known !== undefined && known[1] !== size)
      throw refuse(
        "ANNEAL_BAD_ARGUMENT",
        doing,
        `argument ${index} has ${known[1]} bytes in the kernel, ${size} (${argument._tag}) were given`
      )
    const alignment = alignmentOf(argument)
    const at = known?.[0] ?? Math.ceil(end / alignment) * alignment
    places.push(at)
    end = at + size
  }
  const block = new Uint8Array(end)
  const buffers: Array<Parameters["buffers"][number]> = []
  const maps: Array<Parameters["maps"][number]> = []
  for (const [index, argument] of list.entries()) {
    const at = places[index] ?? 0
    switch (argument._tag) {
      case "Buffer":
        buffers.push({
          at,
          buffer: argument.buffer.handle,
          offset: argument.offset,
          bytes: argument.bytes,
          access: argument.access
        })
        break
      case "TensorMap":
        maps.push({ ...argument.map, at })
        break
      case "Value":
        block.set(argument.bytes, at)
        break
    }
  }
  return { block, buffers, maps }
}

const shapeOf = (options: Options): LaunchShape => ({
  grid: three(options.grid),
  block: three(options.block),
  cluster: three(options.cluster ?? [1]),
  sharedBytes: options.sharedBytes ?? 0,
  overlapsPrevious: options.overlapsPrevious ?? false,
  cooperative: options.cooperative ?? false
})

export const make = (kernel: Kernel, options: Options): Effect.Effect<Launch, CudaError, Scope.Scope> => {
  const { driver } = kernel
  return Effect.acquireRelease(
    attempt((): Launch => ({
      handle: driver.prepareLaunch(kernel.handle, shapeOf(options), pack(kernel, options.arguments)),
      driver,
      kernel
    })),
    (launch) =>
      attempt(() => driver.destroyLaunch(launch.handle)).pipe(
        Effect.catch((error) => Effect.logWarning(`release a launch: ${error.message}`))
      )
  )
}

/** New arguments for later submissions; what is submitted already keeps its own. */
export const update = (launch: Launch, list: ReadonlyArray<Argument>): Effect.Effect<void, CudaError> =>
  attempt(() => launch.driver.updateLaunch(launch.handle, pack(launch.kernel, list)))

export const submit = (launch: Launch, stream: Stream): Effect.Effect<void, CudaError> =>
  attempt(() => launch.driver.launch(launch.handle, stream.handle))

/** `submit` for inner loops, without an Effect around it. Throws `CudaError`. */
export const submitNow = (launch: Launch, stream: Stream): void => launch.driver.launch(launch.handle, stream.handle)

/** Prepares, submits once and forgets. */
export const run = (kernel: Kernel, stream: Stream, options: Options): Effect.Effect<void, CudaError> =>
  Effect.scoped(Effect.flatMap(make(kernel, options), (launch) => submit(launch, stream)))

/** Blocks of this launch that fit a multiprocessor, and clusters that fit the device (0 without clusters). */
export const occupancy = (launch: Launch) => attempt(() => launch.driver.occupancy(launch.handle))
