/**
 * What this machine offers: Node, WebAssembly features, threads, memory, the cache, the CUDA driver or the reason why
 * there is none. It only looks, and times one product of matrices; what cannot be found out is said so.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { statfs } from "node:fs/promises"
import { availableParallelism, cpus, endianness, freemem, release, totalmem } from "node:os"
import { arch, constrainedMemory, env, platform, version } from "node:process"
import * as CudaDoctor from "@anneal/cuda/Doctor"
import * as Inspect from "@anneal/engine/Inspect"
import * as Reference from "@anneal/reference/Reference"
import * as CacheFolder from "./CacheFolder.ts"
import * as Host from "./Host.ts"
import * as WasmSpeed from "./WasmSpeed.ts"
import * as WebAssemblyFeatures from "./WebAssemblyFeatures.ts"

export interface Report {
  readonly node: { readonly version: string; readonly enough: boolean; readonly wanted: string }
  readonly system: {
    readonly platform: string
    readonly arch: string
    readonly release: string
    readonly endianness: string
  }
  readonly cpu: { readonly model: string; readonly threads: number }
  /** Bytes. `limit` is what a container allows. */
  readonly memory: { readonly total: number; readonly free: number; readonly limit: number | null }
  readonly wasm: ReadonlyArray<WebAssemblyFeatures.Feature>
  /** What generated code reaches here on one thread. */
  readonly wasmSpeed: ReadonlyArray<WasmSpeed.Speed>
  /** Whether V8 has 256-bit vectors for `--wide`. */
  readonly wide: boolean
  readonly cuda: {
    readonly driver: boolean
    readonly version: string | null
    readonly library: string | null
    readonly reason: string
  }
  readonly cache: {
    readonly directory: string
    readonly writable: boolean
    readonly freeBytes: number | null
    readonly detail: string
  }
  /** What the CUDA target finds: addon, libraries, devices. */
  readonly gpu: CudaDoctor.Report
  readonly targets: ReadonlyArray<{ readonly name: string; readonly available: boolean; readonly detail: string }>
}

/** The least Node that runs the sources: type stripping and the file API. */
const wantedNode = [22, 19] as const

const nodeReport = (): Report["node"] => {
  const [major = 0, minor = 0] = version.slice(1).split(".").map(Number)
  const [wantedMajor, wantedMinor] = wantedNode
  return {
    version,
    enough: major > wantedMajor || (major === wantedMajor && minor >= wantedMinor),
    wanted: `≥ ${wantedNode.join(".")}`
  }
}

const memoryReport = (): Report["memory"] => {
  const limit = constrainedMemory()
  // Without a limit the system gives 0 or a number beyond what exists.
  return { total: totalmem(), free: freemem(), limit: limit > 0 && limit < totalmem() ? limit : null }
}

/** Where loaders look for the driver's library, the user's own folders first. */
const libraryFolders = (): ReadonlyArray<string> => [
  ...(env["LD_LIBRARY_PATH"] ?? "").split(":").filter((folder) => folder !== ""),
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/lib/wsl/lib",
  "/usr/local/nvidia/lib64",
  "/usr/local/cuda/compat"
]

const cudaReport = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  if (platform !== "linux")
    return { driver: false, version: null, library: null, reason: `the CUDA target runs on Linux, this is ${platform}` }
  let library: string | null = null
  for (const folder of libraryFolders())
    if (library === null && (yield* Effect.orElseSucceed(files.exists(`${folder}/libcuda.so.1`), () => false)))
      library = `${folder}/libcuda.so.1`
  const module = yield* Effect.option(files.readFileString("/proc/driver/nvidia/version"))
  const found = Option.flatMap(module, (text) => Option.fromNullishOr(/\s(\d+\.\d+(?:\.\d+)?)\s/.exec(text)?.[1]))
  const devices = yield* Effect.orElseSucceed(files.exists("/dev/nvidia0"), () => false)
  const driverVersion = Option.getOrNull(found)
  const reason =
    library === null
      ? Option.isNone(module)
        ? "no NVIDIA driver: /proc/driver/nvidia/version is not there, and no libcuda.so.1 in the library folders"
        : "the kernel module is loaded, but libcuda.so.1 is in none of the library folders: install the driver's user part"
      : Option.isNone(module)
        ? `${library} is there, but the kernel module is not loaded (/proc/driver/nvidia/version is missing)`
        : devices
          ? "found"
          : "the driver is installed, but there is no /dev/nvidia0: no GPU is visible to this process"
  return { driver: library !== null && Option.isSome(module) && devices, version: driverVersion, library, reason }
})

const cacheReport = (directory: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const existing = yield* nearestExisting(directory)
    const writable = yield* Effect.isSuccess(files.access(existing, { writable: true }))
    const space = yield* Effect.option(Effect.tryPromise(() => statfs(existing)))
    const there = existing === directory
    return {
      directory,
      writable,
      freeBytes: Option.getOrNull(Option.map(space, ({ bavail, bsize }) => bavail * bsize)),
      detail: writable
        ? there
          ? "in use"
          : "will be made by the first build"
        : `${existing} cannot be written: give --cache DIR or set ANNEAL_CACHE`
    }
  })

/** The folder, or the first above it that is there. */
const nearestExisting = (path: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    let folder = path
    while (folder !== "/" && !(yield* Effect.orElseSucceed(files.exists(folder), () => false)))
      folder = folder.slice(0, folder.lastIndexOf("/")) || "/"
    return folder
  })

export const examine = (
  cache: string = CacheFolder.defaultFolder()
): Effect.Effect<Report, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const cuda = yield* cudaReport
    const measured = yield* Effect.result(Effect.provide(WasmSpeed.measure, Reference.layer()))
    const wasmSpeed = Result.isSuccess(measured) ? measured.success : []
    const wasmProblem = Result.isFailure(measured) ? measured.failure.message : "it needs fixed-width SIMD (simd128)"
    return {
      node: nodeReport(),
      system: { platform, arch, release: release(), endianness: endianness() },
      cpu: { model: cpus()[0]?.model.trim() ?? "unknown", threads: availableParallelism() },
      memory: memoryReport(),
      wasm: WebAssemblyFeatures.features(),
      wasmSpeed,
      wide: Host.hasWide(),
      cuda,
      cache: yield* cacheReport(cache),
      gpu: yield* CudaDoctor.examine(),
      targets: [
        {
          name: "wasm",
          available: wasmSpeed.length > 0,
          detail: wasmSpeed.length > 0 ? "generated WebAssembly SIMD" : `its code does not run here: ${wasmProblem}`
        },
        { name: "reference", available: true, detail: "the oracle: every op, one at a time" }
      ]
    }
  })

const yes = (ok: boolean): string => (ok ? "✓" : "✗")
const row = (label: string, text: string): string => `${label.padEnd(10)} ${text}`

/** What each kind of code reaches, and what the lack of one costs. */
const speedText = ({ cpu, wasmSpeed, wide }: Report): string => {
  const [relaxed, plain] = ["relaxed-simd", "simd128"].map((code) => wasmSpeed.find((one) => one.code === code)?.gflops)
  if (plain === undefined) return "generated code does not run here"
  const rates = [
    ...(relaxed === undefined ? [] : [`${relaxed.toFixed(0)} GFLOP/s with relaxed-simd`]),
    `${plain.toFixed(0)} without`
  ]
  const lacks =
    relaxed === undefined ? "; relaxed-simd is not there: products take two instructions for one (Node 22 has it)" : ""
  const vectors = wide ? "; 256-bit vectors on request (--wide)" : "; no 256-bit vectors (--wide needs Node 24 on x64)"
  const threads = cpu.threads > 1 ? `; up to ${cpu.threads} threads (--threads)` : "; one thread"
  return `f32 product on one thread: ${rates.join(", ")}${lacks}${vectors}${threads}`
}

/** The report as lines. */
export const format = (report: Report): string => {
  const { cache, cpu, cuda, gpu, memory, node, system, targets, wasm } = report
  const limit = memory.limit === null ? "" : `, this process may use ${Inspect.formatBytes(memory.limit)}`
  const free = cache.freeBytes === null ? "" : `, ${Inspect.formatBytes(cache.freeBytes)} free`
  return [
    row("node", `${yes(node.enough)} ${node.version} (wanted ${node.wanted})`),
    row("system", `${system.platform} ${system.arch}, ${system.release}, ${system.endianness}`),
    row("cpu", `${cpu.model}, ${cpu.threads} threads usable`),
    row("memory", `${Inspect.formatBytes(memory.total)}, ${Inspect.formatBytes(memory.free)} free${limit}`),
    row("wasm", wasm.map(({ name, supported }) => `${yes(supported)} ${name}`).join("  ")),
    row("", speedText(report)),
    row(
      "cuda",
      cuda.driver ? `✓ driver ${cuda.version ?? "of unknown version"}, ${cuda.library ?? ""}` : `✗ ${cuda.reason}`
    ),
    // Without a driver the rest says nothing new.
    ...(cuda.driver ? CudaDoctor.toText(gpu).split("\n").slice(1) : []),
    row("cache", `${yes(cache.writable)} ${cache.directory} (${cache.detail}${free})`),
    ...targets.map(({ available, detail, name }, index) =>
      row(index === 0 ? "targets" : "", `${yes(available)} ${name}: ${detail}`)
    )
  ].join("\n")
}
