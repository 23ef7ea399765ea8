/**
 * How the command runs engines on this machine: threads, and V8's 256-bit vectors.
 */
import * as Compare from "./Compare.ts"
import type { EngineError } from "@anneal/engine/EngineError"
import type { OnnxError } from "@anneal/onnx/OnnxError"
import type { Inference } from "@anneal/pipeline/Inference"
import type { Oracle } from "@anneal/pipeline/Oracle"
import type { Target } from "@anneal/pipeline/Target"
import * as Reference from "@anneal/reference/Reference"
import { Executors } from "@anneal/runtime/Executor"
import * as Executor from "@anneal/runtime/Executor"
import type * as Session from "@anneal/runtime/Session"
import * as Wasm from "@anneal/wasm/Executor"
import * as WasmTarget from "@anneal/wasm/Target"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { setFlagsFromString } from "node:v8"
import * as Model from "./Model.ts"
import type { Plugins } from "./Plugin.ts"
import * as Plugin from "./Plugin.ts"
import { UsageError } from "./UsageError.ts"
import * as WasmInference from "./WasmInference.ts"

export interface Host {
  /** Undefined: one. */
  readonly threads?: number
  /** Code for V8's 256-bit revectoriser, which `open` switches on. */
  readonly wide: boolean
}

/** One thread, what every host runs. */
export const plain: Host = { wide: false }

const wasmOptions = ({ threads, wide }: Host): Wasm.Options => ({
  wide,
  ...(threads === undefined || threads === 1 ? {} : { threads: { threads, spawn: NodeThreads.spawn } })
})

/** Generated WebAssembly first, then the reference. */
const executors = (
  options: Wasm.Options
): Effect.Effect<ReadonlyArray<Executor.ExecutorService>, never, Oracle | Scope.Scope> =>
  Effect.all([Wasm.scoped(options), Executor.reference])

/** The oracle and the executors, with the plug-ins' kernels. */
export const execution = ({ kernels }: Plugins, host: Host = plain): Layer.Layer<Oracle | Executors> =>
  Layer.provideMerge(Layer.effect(Executors, executors(wasmOptions(host))), Reference.layer({ kernels }))

/**
 * All that a build for WebAssembly needs beside data and a store: the target, the oracle that judges, what runs samples,
 * and executors for the engine.
 */
export const wasm = (
  plugins: Plugins = Plugin.none,
  host: Host = plain
): Layer.Layer<Oracle | Executors | Target | Inference> =>
  Layer.provideMerge(Layer.merge(WasmInference.layer, WasmTarget.layer), execution(plugins, host))

// ---- 256-bit vectors --------------------------------------------------------------------------------------------------

/** V8 with `--experimental-wasm-revectorize`, as far as it was tried. */
const leastV8 = 13

/** Milliseconds of runs after which V8 has compiled for good. */
const settling = 150

/** Generated code with the revectoriser differs from that without. */
export class WideDiffers extends Schema.TaggedError<WideDiffers>()("WideDiffers", {
  engine: Schema.String,
  output: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.engine}: with V8's 256-bit vectors the output ${this.output} is wrong: ${this.detail}. Run it without --wide, and please report it with the engine and ${process.versions.v8}.`
  }
}

/** Whether this process's V8 has the revectoriser. */
export const hasWide = (): boolean => Number(process.versions.v8.split(".")[0]) >= leastV8 && process.arch === "x64"

/** Sums in another order may differ by so much. */
const tolerance: Compare.Tolerance = { atol: 1e-4, rtol: 1e-3 }

const differing = (engine: string, found: Session.Tensors, expected: Session.Tensors): WideDiffers | undefined => {
  for (const [output, tensor] of Object.entries(expected)) {
    const other = found[output]
    const agreement = other === undefined ? undefined : Compare.compare(other, tensor, tolerance)
    if (agreement?.agree !== true)
      return new WideDiffers({
        engine,
        output,
        detail: agreement === undefined ? "it is missing" : Compare.format(agreement)
      })
  }
  return undefined
}

type OpenError = EngineError | OnnxError | UsageError | Effect.Error<ReturnType<typeof Session.open>>

/**
 * Opens a model or an engine on this host. For 256-bit vectors, `inputs` are run without them first, by the plainest code
 * that the engine has, and the flag is on for the rest of the process.
 */
export const open = <E, R>(
  path: string,
  plugins: Plugins,
  host: Host,
  inputs: (session: Session.Session) => Effect.Effect<Session.Tensors, E, R>,
  options: Session.LoadOptions = {}
): Effect.Effect<
  Session.Session,
  OpenError | E | WideDiffers | Effect.Error<ReturnType<Session.Session["run"]>>,
  Executors | Oracle | FileSystem.FileSystem | Scope.Scope | R
> =>
  Effect.gen(function* () {
    if (!host.wide) return yield* Model.open(path, plugins, options)
    if (!hasWide())
      return yield* new UsageError({
        detail: `--wide needs V8 ${leastV8} or later on x64; this is V8 ${process.versions.v8} on ${process.arch}`
      })
    const by = (one: Wasm.Options) =>
      Effect.flatMap(executors(one), (list) =>
        Effect.provideService(Model.open(path, plugins, options), Executors, list)
      )
    // Other bytes than those that are measured later: V8 keeps what it compiled for bytes that it has seen.
    const plainest = yield* by({ without: ["relaxed-simd"] })
    const given = yield* inputs(plainest)
    const expected = yield* plainest.run(given)
    setFlagsFromString("--experimental-wasm-revectorize")
    const session = yield* by(wasmOptions(host))
    const until = performance.now() + settling
    let found = yield* session.run(given)
    while (performance.now() < until) found = yield* session.run(given)
    const wrong = differing(path, found, expected)
    return wrong === undefined ? session : yield* wrong
  })
