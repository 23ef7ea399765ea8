/**
 * A device that computes nothing and checks everything: plans, executors and schedules are tested on it without a GPU.
 *
 * It logs allocations, copies, launches and graph nodes, and refuses, with the error that the real device would give where
 * it gives one: use after free, double free, ranges past the end, objects of two devices in one call, launches beyond the
 * device's limits, more memory than there is. It also refuses what the real device would silently do: two streams touching
 * the same bytes in no certain order, arguments of one launch that overlap in part, reads of bytes that nothing has written.
 *
 *     Effect.provide(program, RecordingDevice.layer())      and then `Recorder` has the log
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { CudaError } from "./CudaError.ts"
import * as Device from "./Device.ts"
import type { DeviceInfo } from "./DeviceInfo.ts"
import type { Driver } from "./Driver.ts"
import * as recording from "./internal/recording/Driver.ts"

/** What happened, in order. Buffers, streams and the rest are handles. */
export type Entry =
  | {
      readonly _tag: "Allocate"
      readonly buffer: number
      readonly bytes: number
      readonly label: string
      readonly origin: "plain" | "stream" | "guarded" | "global"
    }
  | { readonly _tag: "Free"; readonly buffer: number; readonly bytes: number; readonly label: string }
  | {
      readonly _tag: "Copy"
      readonly way: "toDevice" | "toHost" | "onDevice"
      readonly stream: number
      readonly from: number
      readonly to: number
      readonly bytes: number
    }
  | {
      readonly _tag: "Fill"
      readonly stream: number
      readonly buffer: number
      readonly offset: number
      readonly bytes: number
      readonly value: number
    }
  | { readonly _tag: "Load"; readonly module: number; readonly bytes: number }
  | {
      readonly _tag: "Launch"
      readonly stream: number
      readonly kernel: string
      readonly grid: readonly [number, number, number]
      readonly block: readonly [number, number, number]
      readonly cluster: readonly [number, number, number]
      readonly sharedBytes: number
      readonly captured: boolean
    }
  | {
      readonly _tag: "Product"
      readonly stream: number
      readonly product: number
      readonly algorithm: number
      readonly captured: boolean
    }
  | { readonly _tag: "Record"; readonly event: number; readonly stream: number }
  | { readonly _tag: "Wait"; readonly stream: number; readonly event: number }
  | { readonly _tag: "Graph"; readonly graph: number; readonly nodes: number }
  | { readonly _tag: "Replay"; readonly executable: number; readonly stream: number; readonly nodes: number }

/** What is known of a kernel (or, with `globalBytes`, of a global) by its name. */
export interface KernelSignature {
  /** `[offset, bytes]` of each parameter. */
  readonly parameters?: ReadonlyArray<readonly [number, number]>
  readonly globalBytes?: number
}

export interface Options {
  /** Default: one H100. */
  readonly devices?: ReadonlyArray<DeviceInfo>
  /** The kernels and globals of any module that is loaded. Default: any name is found, its parameters are not checked. */
  readonly kernels?: Readonly<Record<string, KernelSignature>>
  /** Default true. */
  readonly checkUninitialised?: boolean
}

export interface RecorderShape {
  readonly driver: Driver
  readonly log: Effect.Effect<ReadonlyArray<Entry>>
  /** The most device memory that was in use at one time, of device 0 unless said otherwise. */
  readonly peakBytes: (ordinal?: number) => Effect.Effect<number>
  /** Names of everything that is still alive, besides the devices themselves. */
  readonly alive: Effect.Effect<ReadonlyArray<string>>
}

export class Recorder extends Context.Service<Recorder, RecorderShape>()("@anneal/cuda/Recorder") {}

/** An H100 SXM as it describes itself. */
export const h100: DeviceInfo = {
  ordinal: 0,
  name: "NVIDIA H100 80GB HBM3 (recording)",
  uuid: "00000000-0000-0000-0000-000000000000",
  totalBytes: 85_029_158_912,
  computeCapability: 90,
  attributes: {
    maxThreadsPerBlock: 1024,
    sharedBytesPerBlock: 49152,
    warpSize: 32,
    registersPerBlock: 65536,
    clockKilohertz: 1_980_000,
    multiprocessors: 132,
    memoryClockKilohertz: 2_619_000,
    memoryBusBits: 5120,
    l2Bytes: 52_428_800,
    maxThreadsPerMultiprocessor: 2048,
    asyncEngines: 3,
    computeMajor: 9,
    computeMinor: 0,
    sharedBytesPerMultiprocessor: 233_472,
    registersPerMultiprocessor: 65536,
    cooperativeLaunch: 1,
    sharedBytesPerBlockOptIn: 232_448,
    virtualMemory: 1,
    maxBlocksPerMultiprocessor: 32,
    reservedSharedBytesPerBlock: 1024,
    memoryPools: 1,
    clusterLaunch: 1,
    tensorMaps: 1
  }
}

const recorder = (options: Options): RecorderShape => {
  const state = recording.make({
    devices: options.devices ?? [h100],
    kernels: options.kernels,
    checkUninitialised: options.checkUninitialised ?? true
  })
  return {
    driver: state.driver,
    log: Effect.sync(() => [...state.log]),
    peakBytes: (ordinal = 0) => Effect.sync(() => state.peakBytes(ordinal)),
    alive: Effect.sync(() => state.liveObjects())
  }
}

/** Device 0 of a recording driver, and its `Recorder`. */
export const layer = (options: Options = {}): Layer.Layer<Device.Device | Recorder, CudaError> =>
  Layer.effect(
    Device.Device,
    Effect.flatMap(Recorder, ({ driver }) => Device.open(driver, 0))
  ).pipe(Layer.provideMerge(Layer.sync(Recorder, () => recorder(options))))

const three = (extent: readonly [number, number, number]): string => extent.join("×")

/** One line of the log. */
export const lineOf = (entry: Entry): string => {
  switch (entry._tag) {
    case "Allocate":
      return `allocate b${entry.buffer} ${entry.bytes}${entry.label === "" ? "" : ` "${entry.label}"`}${entry.origin === "plain" ? "" : ` (${entry.origin})`}`
    case "Free":
      return `free b${entry.buffer} ${entry.bytes}${entry.label === "" ? "" : ` "${entry.label}"`}`
    case "Copy":
      return `s${entry.stream}: copy ${entry.way} ${entry.bytes} from ${entry.from === 0 ? "array" : `b${entry.from}`} to b${entry.to}`
    case "Fill":
      return `s${entry.stream}: fill b${entry.buffer} [${entry.offset}, ${entry.offset + entry.bytes}) with ${entry.value}`
    case "Load":
      return `load module ${entry.module} of ${entry.bytes} bytes`
    case "Launch":
      return `s${entry.stream}: ${entry.captured ? "capture" : "launch"} ${entry.kernel} grid ${three(entry.grid)} block ${three(entry.block)}${entry.cluster.every((size) => size === 1) ? "" : ` cluster ${three(entry.cluster)}`}${entry.sharedBytes === 0 ? "" : ` shared ${entry.sharedBytes}`}`
    case "Product":
      return `s${entry.stream}: ${entry.captured ? "capture" : "submit"} product ${entry.product} algorithm ${entry.algorithm}`
    case "Record":
      return `s${entry.stream}: record e${entry.event}`
    case "Wait":
      return `s${entry.stream}: wait e${entry.event}`
    case "Graph":
      return `graph ${entry.graph} of ${entry.nodes} nodes`
    case "Replay":
      return `s${entry.stream}: replay ${entry.executable} (${entry.nodes} nodes)`
  }
}

/** The log, one line an entry. */
export const toText = (log: ReadonlyArray<Entry>): string => log.map(lineOf).join("\n")
