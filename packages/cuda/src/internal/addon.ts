/**
 * The native addon's functions as they are, and how what they throw becomes `CudaError`. Handles are numbers; lists of numbers are
 * Float64Arrays. Only `Native` loads it.
 */
import * as Effect from "effect/Effect"
import { CudaError, fromThrown } from "../CudaError.ts"
import type { CapturedGraph, Handle, Wait } from "../Driver.ts"
import type { DriverFound, LibraryFound } from "../Native.ts"

export interface Addon {
  readonly openDriver: (names: ReadonlyArray<string>) => Promise<DriverFound>
  readonly openLibrary: (which: string, names: ReadonlyArray<string>) => Promise<LibraryFound>
  readonly statistics: () => Record<string, number>
  readonly describeDevice: (
    ordinal: number,
    attributes: Float64Array
  ) => { name: string; uuid: string; totalBytes: number; attributes: Array<number> }
  readonly openContext: (ordinal: number) => Promise<Handle>
  readonly closeContext: (context: Handle) => void
  readonly memoryInfo: (context: Handle) => { free: number; total: number }
  readonly createStream: (context: Handle, priority: number) => Handle
  readonly destroyStream: (stream: Handle) => void
  readonly streamIdle: (stream: Handle) => boolean
  readonly waitStream: (stream: Handle) => Wait
  readonly settled: (object: Handle) => Wait
  readonly cancelWait: (id: number) => boolean
  readonly createEvent: (context: Handle, timing: boolean) => Handle
  readonly destroyEvent: (event: Handle) => void
  readonly recordEvent: (event: Handle, stream: Handle) => void
  readonly waitEvent: (stream: Handle, event: Handle) => void
  readonly eventDone: (event: Handle) => boolean
  readonly elapsed: (start: Handle, end: Handle) => number
  readonly createPool: (context: Handle, keepBytes: number, maxBytes: number) => Handle
  readonly destroyPool: (pool: Handle) => void
  readonly poolInfo: (pool: Handle) => { reserved: number; used: number }
  readonly trimPool: (pool: Handle, keepBytes: number) => void
  readonly allocate: (context: Handle, bytes: number) => Handle
  readonly allocateOn: (stream: Handle, bytes: number, pool: Handle) => Handle
  readonly allocateGuarded: (context: Handle, bytes: number, atEnd: boolean, alignment: number) => Handle
  readonly free: (buffer: Handle) => void
  readonly address: (buffer: Handle) => bigint
  readonly allocatePinned: (context: Handle, bytes: number) => Promise<{ handle: Handle; buffer: ArrayBuffer }>
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
  readonly write: (stream: Handle, to: Handle, offset: number, data: Uint8Array) => void
  readonly fill: (stream: Handle, to: Handle, offset: number, count: number, value: number, width: number) => void
  readonly loadModule: (
    context: Handle,
    image: Uint8Array,
    maxRegisters: number
  ) => Promise<{ handle: Handle; log: string }>
  readonly unloadModule: (module: Handle) => void
  readonly getFunction: (
    module: Handle,
    name: string,
    attributes: Float64Array
  ) => { handle: Handle; attributes: Array<number>; parameters: Array<[number, number]> | null }
  readonly getGlobal: (module: Handle, name: string) => { handle: Handle; bytes: number }
  readonly setFunctionAttribute: (fn: Handle, attribute: number, value: number) => void
  readonly occupancy: (launch: Handle) => { blocksPerMultiprocessor: number; clusters: number }
  readonly prepareLaunch: (
    fn: Handle,
    configuration: Float64Array,
    block: Uint8Array,
    buffers: Float64Array,
    maps: ReadonlyArray<object>
  ) => Handle
  readonly updateLaunch: (launch: Handle, block: Uint8Array, buffers: Float64Array, maps: ReadonlyArray<object>) => void
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
  readonly prepareProduct: (
    context: Handle,
    product: Float64Array
  ) => { readonly handle: Handle; readonly workspaceBytes: ReadonlyArray<number> }
  readonly submitProduct: (product: Handle, algorithm: number, stream: Handle, buffers: Float64Array) => void
  readonly destroyProduct: (product: Handle) => void
  readonly compile: (
    source: string,
    name: string,
    options: ReadonlyArray<string>,
    expressions: ReadonlyArray<string>,
    headerNames: ReadonlyArray<string>,
    headers: ReadonlyArray<string>,
    ptx: boolean
  ) => Promise<{ image: Uint8Array; log: string; lowered: Array<string> }>
  readonly link: (
    options: ReadonlyArray<string>,
    names: ReadonlyArray<string>,
    kinds: Float64Array,
    inputs: ReadonlyArray<Uint8Array>
  ) => Promise<{ image: Uint8Array; log: string }>
}

const entryPoints: ReadonlyArray<keyof Addon> = [
  "openDriver",
  "openLibrary",
  "launch",
  "replay",
  "allocate",
  "settled",
  "prepareProduct",
  "link"
]

/** The addon as this version of the package needs it. */
export const isAddon = (value: unknown): value is Addon =>
  typeof value === "object" &&
  value !== null &&
  entryPoints.every((name) => typeof Reflect.get(value, name) === "function")

/** Throws `CudaError` where the addon threw one of its errors, else what it threw. */
export const rethrow = (thrown: unknown): never => {
  throw fromThrown(thrown) ?? thrown
}

/** A function of the addon that throws `CudaError` in place of the addon's errors. */
export const guarded =
  <A extends ReadonlyArray<unknown>, B>(call: (...parameters: A) => B) =>
  (...parameters: A): B => {
    try {
      return call(...parameters)
    } catch (thrown) {
      return rethrow(thrown)
    }
  }

/** The same for what answers with a promise. */
export const promised = <B>(start: () => Promise<B>): Promise<B> => {
  try {
    return start().catch(rethrow)
  } catch (thrown) {
    return Promise.reject(fromThrown(thrown) ?? thrown)
  }
}

/** The same as an effect. */
export const tryPromise = <B>(start: () => Promise<B>): Effect.Effect<B, CudaError> =>
  Effect.callback<B, CudaError>((resume) => {
    promised(start).then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(error instanceof CudaError ? Effect.fail(error) : Effect.die(error))
    )
  })
