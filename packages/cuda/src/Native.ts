/**
 * The one adapter to the native addon: finds it, checks that it is ours, and turns what it takes and throws into `Driver`
 * and `CudaError`. Nothing else in the project loads it.
 *
 * `npm run build:native` makes it; without it `layer` fails with `NativeUnavailable` and says where it was looked for.
 */
import { createRequire } from "node:module"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { markAsUntransferable } from "node:worker_threads"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { CudaError, fromThrown } from "./CudaError.ts"
import * as DeviceInfo from "./DeviceInfo.ts"
import type { CapturedGraph, Driver, Handle, LaunchShape, Parameters, Wait } from "./Driver.ts"
import * as Libraries from "./Libraries.ts"

/** The addon is not there, or does not load. */
export class NativeUnavailable extends Schema.TaggedError<NativeUnavailable>()("NativeUnavailable", {
  reason: Schema.String,
  tried: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `the native CUDA addon cannot be used: ${this.reason} (looked for: ${this.tried.join(", ")})`
  }
}

/** What was found under a library's names. */
export interface LibraryFound {
  readonly found: boolean
  readonly path: string
  readonly version: ReadonlyArray<number>
  readonly reasons: ReadonlyArray<string>
}

/** The driver, opened: `version` as it reports itself (13000 is 13.0), and how many devices it has. */
export interface DriverFound {
  readonly path: string
  readonly version: number
  readonly devices: number
}

export interface CompileRequest {
  readonly source: string
  readonly name: string
  readonly options: ReadonlyArray<string>
  readonly expressions: ReadonlyArray<string>
  readonly headers: Readonly<Record<string, string>>
  readonly format: "cubin" | "ptx"
}

export interface LinkInput {
  readonly name: string
  readonly kind: "cubin" | "ptx" | "ltoir" | "fatbin"
  readonly data: Uint8Array
}

// The addon's functions as they are. Handles are numbers; lists of numbers are Float64Arrays.
interface Addon {
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
  "link"
]

const isAddon = (value: unknown): value is Addon =>
  typeof value === "object" &&
  value !== null &&
  entryPoints.every((name) => typeof Reflect.get(value, name) === "function")

/** The addon, loaded. */
export interface NativeShape {
  readonly path: string
  /** Opens the CUDA driver, once. Fails with reason `Missing` where there is none. */
  readonly openDriver: Effect.Effect<DriverFound, CudaError>
  readonly openLibrary: (name: Exclude<Libraries.LibraryName, "cuda">) => Effect.Effect<LibraryFound, CudaError>
  /** Usable once `openDriver` has succeeded. */
  readonly driver: Driver
  readonly compile: (
    request: CompileRequest
  ) => Effect.Effect<
    { readonly image: Uint8Array; readonly log: string; readonly lowered: ReadonlyArray<string> },
    CudaError
  >
  readonly link: (
    options: ReadonlyArray<string>,
    inputs: ReadonlyArray<LinkInput>
  ) => Effect.Effect<{ readonly image: Uint8Array; readonly log: string }, CudaError>
}

export class Native extends Context.Service<Native, NativeShape>()("@anneal/cuda/Native") {}

/** Where the addon is looked for: `ANNEAL_NATIVE`, beside this file (a bundle), then the build folder. */
export const addonPaths = (environment: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> => {
  const named = environment["ANNEAL_NATIVE"]
  if (named !== undefined && named !== "") return [named]
  return ["./anneal_cuda.node", "../../../native/build/anneal_cuda.node"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url))
  )
}

export interface Options {
  readonly paths?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** Loads the addon. It opens no library and touches no device. */
export const load = (options: Options = {}): Effect.Effect<NativeShape, NativeUnavailable> =>
  Effect.suspend(() => {
    const environment = options.environment ?? process.env
    const tried = options.paths ?? addonPaths(environment)
    const path = tried.find((candidate) => existsSync(candidate))
    if (path === undefined)
      return Effect.fail(
        new NativeUnavailable({ reason: "it is not built; run `npm run build:native`", tried: [...tried] })
      )
    try {
      const loaded: unknown = createRequire(import.meta.url)(path)
      return isAddon(loaded)
        ? Effect.succeed(make(path, loaded, environment))
        : Effect.fail(
            new NativeUnavailable({ reason: `${path} is another addon, or an older build of ours`, tried: [...tried] })
          )
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      return Effect.fail(new NativeUnavailable({ reason, tried: [...tried] }))
    }
  })

export const layer: Layer.Layer<Native, NativeUnavailable> = Layer.effect(Native, load())

/** A layer with the addon or libraries named otherwise, as tests do. */
export const layerWith = (options: Options): Layer.Layer<Native, NativeUnavailable> =>
  Layer.effect(Native, load(options))

const rethrow = (thrown: unknown): never => {
  throw fromThrown(thrown) ?? thrown
}

/** Makes every function of a record throw, and every promise reject with, `CudaError` in place of the addon's errors. */
const guarded =
  <A extends ReadonlyArray<unknown>, B>(call: (...parameters: A) => B) =>
  (...parameters: A): B => {
    try {
      return call(...parameters)
    } catch (thrown) {
      return rethrow(thrown)
    }
  }

const promised = <B>(start: () => Promise<B>): Promise<B> => {
  try {
    return start().catch(rethrow)
  } catch (thrown) {
    return Promise.reject(fromThrown(thrown) ?? thrown)
  }
}

const tryPromise = <B>(start: () => Promise<B>): Effect.Effect<B, CudaError> =>
  Effect.callback<B, CudaError>((resume) => {
    promised(start).then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(error instanceof CudaError ? Effect.fail(error) : Effect.die(error))
    )
  })

const configuration = (shape: LaunchShape): Float64Array =>
  Float64Array.of(
    ...shape.grid,
    ...shape.block,
    shape.sharedBytes,
    ...shape.cluster,
    (shape.overlapsPrevious ? 1 : 0) + (shape.cooperative ? 2 : 0)
  )

const bufferNumbers = (parameters: Parameters): Float64Array =>
  Float64Array.from(parameters.buffers.flatMap(({ at, buffer, offset, bytes }) => [at, buffer, offset, bytes]))

const inputKinds = { cubin: 1, ptx: 2, ltoir: 3, fatbin: 4 } as const

const make = (path: string, addon: Addon, environment: Readonly<Record<string, string | undefined>>): NativeShape => {
  const names = (name: Libraries.LibraryName) => Libraries.candidates(Libraries.specOf(name), environment)
  const opened = (name: Exclude<Libraries.LibraryName, "cuda">) =>
    tryPromise(() => addon.openLibrary(name, names(name)))
  return {
    path,
    openDriver: tryPromise(() => addon.openDriver(names("cuda"))),
    openLibrary: opened,
    driver: makeDriver(addon),
    compile: (request) =>
      Effect.andThen(
        opened("nvrtc"),
        tryPromise(() =>
          addon.compile(
            request.source,
            request.name,
            request.options,
            request.expressions,
            Object.keys(request.headers),
            Object.values(request.headers),
            request.format === "ptx"
          )
        )
      ),
    link: (options, inputs) =>
      Effect.andThen(
        opened("nvJitLink"),
        tryPromise(() =>
          addon.link(
            options,
            inputs.map((input) => input.name),
            Float64Array.from(inputs, (input) => inputKinds[input.kind]),
            inputs.map((input) => input.data)
          )
        )
      )
  }
}

const waiting = (wait: Wait): Wait => ({ id: wait.id, done: wait.done.catch(rethrow) })

const makeDriver = (addon: Addon): Driver => ({
  kind: "native",
  describe: guarded((ordinal) => {
    const found = addon.describeDevice(ordinal, DeviceInfo.attributeNumbers)
    const attributes = DeviceInfo.attributesFrom(found.attributes)
    return {
      ordinal,
      name: found.name,
      uuid: found.uuid,
      totalBytes: found.totalBytes,
      computeCapability: attributes.computeMajor * 10 + attributes.computeMinor,
      attributes
    }
  }),
  openContext: (ordinal) => promised(() => addon.openContext(ordinal)),
  closeContext: guarded(addon.closeContext),
  memoryInfo: guarded(addon.memoryInfo),
  createStream: guarded(addon.createStream),
  destroyStream: guarded(addon.destroyStream),
  streamIdle: guarded(addon.streamIdle),
  waitStream: guarded((stream) => waiting(addon.waitStream(stream))),
  settled: guarded((object) => waiting(addon.settled(object))),
  cancelWait: guarded(addon.cancelWait),
  createEvent: guarded(addon.createEvent),
  destroyEvent: guarded(addon.destroyEvent),
  recordEvent: guarded(addon.recordEvent),
  waitEvent: guarded(addon.waitEvent),
  eventDone: guarded(addon.eventDone),
  elapsed: guarded(addon.elapsed),
  createPool: guarded(addon.createPool),
  destroyPool: guarded(addon.destroyPool),
  poolInfo: guarded(addon.poolInfo),
  trimPool: guarded(addon.trimPool),
  allocate: guarded((context, bytes) => addon.allocate(context, bytes)),
  allocateOn: guarded((stream, bytes, pool) => addon.allocateOn(stream, bytes, pool)),
  allocateGuarded: guarded((context, bytes, atEnd, alignment) =>
    addon.allocateGuarded(context, bytes, atEnd, alignment)
  ),
  free: guarded(addon.free),
  address: guarded(addon.address),
  allocatePinned: (context, bytes) => promised(() => addon.allocatePinned(context, bytes)),
  registerPinned: (context, buffer) =>
    promised(() => {
      // Transferred, it could be freed by another thread while copies still go into it.
      markAsUntransferable(buffer)
      return addon.registerPinned(context, buffer)
    }),
  freePinned: guarded(addon.freePinned),
  copyToDevice: guarded(addon.copyToDevice),
  copyToHost: guarded(addon.copyToHost),
  copyOnDevice: guarded(addon.copyOnDevice),
  write: guarded(addon.write),
  fill: guarded(addon.fill),
  loadModule: (context, image, maxRegisters) => promised(() => addon.loadModule(context, image, maxRegisters)),
  unloadModule: guarded(addon.unloadModule),
  getFunction: guarded((module, name) => {
    const found = addon.getFunction(module, name, DeviceInfo.functionAttributeNumbers)
    return {
      handle: found.handle,
      attributes: DeviceInfo.functionAttributesFrom(found.attributes),
      parameters: found.parameters ?? undefined
    }
  }),
  getGlobal: guarded(addon.getGlobal),
  setFunctionAttribute: guarded(addon.setFunctionAttribute),
  occupancy: guarded(addon.occupancy),
  prepareLaunch: guarded((fn, shape, parameters) =>
    addon.prepareLaunch(fn, configuration(shape), parameters.block, bufferNumbers(parameters), parameters.maps)
  ),
  updateLaunch: guarded((launch, parameters) =>
    addon.updateLaunch(launch, parameters.block, bufferNumbers(parameters), parameters.maps)
  ),
  destroyLaunch: guarded(addon.destroyLaunch),
  launch: (launch, stream) => {
    try {
      addon.launch(launch, stream)
    } catch (thrown) {
      rethrow(thrown)
    }
  },
  beginCapture: guarded(addon.beginCapture),
  endCapture: guarded(addon.endCapture),
  destroyGraph: guarded(addon.destroyGraph),
  instantiate: guarded(addon.instantiate),
  destroyExecutable: guarded(addon.destroyExecutable),
  uploadGraph: guarded(addon.uploadGraph),
  updateKernelNode: guarded(addon.updateKernelNode),
  replay: (executable, stream) => {
    try {
      addon.replay(executable, stream)
    } catch (thrown) {
      rethrow(thrown)
    }
  },
  statistics: guarded(addon.statistics)
})
