/**
 * What a device can do, as plain functions over handles: the seam between the Effect layer above and either the real driver
 * (`Native`) or the recording device below. Every function throws `CudaError`; every promise rejects with one.
 *
 * Handles are numbers that are never used again: a stale one is an error, not a crash.
 */
import type { DeviceInfo, FunctionAttributes } from "./DeviceInfo.ts"

export type Handle = number

/** A wait under way. `done` becomes true, or false when it was cancelled. */
export interface Wait {
  readonly id: number
  readonly done: Promise<boolean>
}

/** Grid, block and cluster sizes in x, y, z; dynamic shared memory in bytes. */
export interface LaunchShape {
  readonly grid: readonly [number, number, number]
  readonly block: readonly [number, number, number]
  readonly cluster: readonly [number, number, number]
  readonly sharedBytes: number
  /** May start before the launch before it in the stream has ended (programmatic dependent launch). */
  readonly overlapsPrevious: boolean
  readonly cooperative: boolean
}

export type Access = "read" | "write" | "readWrite"

/** A buffer's address at byte `at` of the parameter block; the kernel may touch `bytes` bytes from `offset`. */
export interface BufferParameter {
  readonly at: number
  readonly buffer: Handle
  readonly offset: number
  readonly bytes: number
  readonly access: Access
}

/** A tensor map at byte `at` of the parameter block, in the driver's numbers (see TensorMap.ts). */
export interface TensorMapParameter {
  readonly at: number
  readonly buffer: Handle
  readonly offset: number
  readonly bytes: number
  readonly access: Access
  readonly dtype: number
  readonly rank: number
  readonly dims: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly elementStrides: ReadonlyArray<number>
  readonly box?: ReadonlyArray<number>
  readonly lowerCorner?: ReadonlyArray<number>
  readonly upperCorner?: ReadonlyArray<number>
  readonly channelsPerPixel?: number
  readonly pixelsPerColumn?: number
  readonly interleave: number
  readonly swizzle: number
  readonly l2Promotion: number
  readonly oobFill: number
}

/** A kernel's parameters: scalars already in `block`, buffers and tensor maps to be put in by the driver. */
export interface Parameters {
  readonly block: Uint8Array
  readonly buffers: ReadonlyArray<BufferParameter>
  readonly maps: ReadonlyArray<TensorMapParameter>
}

export interface FunctionInfo {
  readonly handle: Handle
  readonly attributes: FunctionAttributes
  /** `[offset, bytes]` of each parameter; undefined where the driver cannot tell (before CUDA 12.4). */
  readonly parameters: ReadonlyArray<readonly [number, number]> | undefined
}

export interface CapturedGraph {
  readonly handle: Handle
  readonly nodes: number
  /** The captured launches, in the order in which they were submitted. */
  readonly kernels: ReadonlyArray<{ readonly name: string; readonly updatable: boolean }>
}

/** cuBLASLt's products (`VendorProduct`); the numbers are those of `native/src/products.cc`. */
export interface ProductCalls {
  /** Opens the library, once; says why there is none, or nothing. */
  readonly open: () => Promise<ReadonlyArray<string>>
  readonly prepare: (
    context: Handle,
    product: Float64Array
  ) => { readonly handle: Handle; readonly workspaceBytes: ReadonlyArray<number> }
  readonly submit: (product: Handle, algorithm: number, stream: Handle, buffers: Float64Array) => void
  readonly destroy: (product: Handle) => void
}

export interface Driver {
  readonly kind: "native" | "recording"

  readonly describe: (ordinal: number) => DeviceInfo
  readonly openContext: (ordinal: number) => Promise<Handle>
  readonly closeContext: (context: Handle) => void
  readonly memoryInfo: (context: Handle) => { readonly free: number; readonly total: number }

  readonly createStream: (context: Handle, priority: number) => Handle
  readonly destroyStream: (stream: Handle) => void
  readonly streamIdle: (stream: Handle) => boolean
  readonly waitStream: (stream: Handle) => Wait
  /** Ends when what the device does with the object now has ended. */
  readonly settled: (object: Handle) => Wait
  readonly cancelWait: (id: number) => boolean

  readonly createEvent: (context: Handle, timing: boolean) => Handle
  readonly destroyEvent: (event: Handle) => void
  readonly recordEvent: (event: Handle, stream: Handle) => void
  readonly waitEvent: (stream: Handle, event: Handle) => void
  readonly eventDone: (event: Handle) => boolean
  /** Milliseconds. */
  readonly elapsed: (start: Handle, end: Handle) => number

  readonly createPool: (context: Handle, keepBytes: number, maxBytes: number) => Handle
  readonly destroyPool: (pool: Handle) => void
  /** Of a pool, or of a context's default pool. */
  readonly poolInfo: (pool: Handle) => { readonly reserved: number; readonly used: number }
  readonly trimPool: (pool: Handle, keepBytes: number) => void

  readonly allocate: (context: Handle, bytes: number, label: string) => Handle
  /** `pool` 0 is the device's default pool. */
  readonly allocateOn: (stream: Handle, bytes: number, pool: Handle, label: string) => Handle
  readonly allocateGuarded: (context: Handle, bytes: number, atEnd: boolean, alignment: number, label: string) => Handle
  readonly free: (buffer: Handle) => void
  readonly address: (buffer: Handle) => bigint

  readonly allocatePinned: (
    context: Handle,
    bytes: number
  ) => Promise<{ readonly handle: Handle; readonly buffer: ArrayBuffer }>
  readonly registerPinned: (context: Handle, buffer: ArrayBuffer) => Promise<Handle>
  readonly freePinned: (pinned: Handle) => void

  readonly copyToDevice: (
    s: Handle,
    to: Handle,
    toOffset: number,
    from: Handle,
    fromOffset: number,
    bytes: number
  ) => void
  readonly copyToHost: (
    s: Handle,
    to: Handle,
    toOffset: number,
    from: Handle,
    fromOffset: number,
    bytes: number
  ) => void
  readonly copyOnDevice: (
    s: Handle,
    to: Handle,
    toOffset: number,
    from: Handle,
    fromOffset: number,
    bytes: number
  ) => void
  /** At most 65,536 bytes, taken before the call returns. */
  readonly write: (stream: Handle, to: Handle, offset: number, data: Uint8Array) => void
  /** `count` elements of `width` bytes (1, 2, 4). */
  readonly fill: (stream: Handle, to: Handle, offset: number, count: number, value: number, width: number) => void

  readonly loadModule: (
    context: Handle,
    image: Uint8Array,
    maxRegisters: number
  ) => Promise<{ readonly handle: Handle; readonly log: string }>
  readonly unloadModule: (module: Handle) => void
  readonly getFunction: (module: Handle, name: string) => FunctionInfo
  readonly getGlobal: (module: Handle, name: string) => { readonly handle: Handle; readonly bytes: number }
  readonly setFunctionAttribute: (fn: Handle, attribute: number, value: number) => void
  readonly occupancy: (launch: Handle) => { readonly blocksPerMultiprocessor: number; readonly clusters: number }

  readonly prepareLaunch: (fn: Handle, shape: LaunchShape, parameters: Parameters) => Handle
  readonly updateLaunch: (launch: Handle, parameters: Parameters) => void
  readonly destroyLaunch: (launch: Handle) => void
  readonly launch: (launch: Handle, stream: Handle) => void

  readonly beginCapture: (stream: Handle) => void
  readonly endCapture: (stream: Handle) => CapturedGraph
  readonly destroyGraph: (graph: Handle) => void
  readonly instantiate: (graph: Handle) => Handle
  readonly destroyExecutable: (executable: Handle) => void
  readonly uploadGraph: (executable: Handle, stream: Handle) => void
  readonly updateKernelNode: (executable: Handle, index: number, launch: Handle) => void
  readonly replay: (executable: Handle, stream: Handle) => void

  readonly products: ProductCalls

  /** How many objects of each kind are alive. */
  readonly statistics: () => Readonly<Record<string, number>>
}
