/**
 * The one adapter to the native addon: finds it, checks that it is ours, and turns what it takes and throws into `Driver`
 * and `CudaError`. Nothing else in the project loads it.
 *
 * `npm run build:native` makes it; without it `layer` fails with `NativeUnavailable` and says where it was looked for.
 */
import { createRequire } from "node:module"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { CudaError } from "./CudaError.ts"
import type { Driver } from "./Driver.ts"
import { isAddon, promised, tryPromise, type Addon } from "./internal/addon.ts"
import { makeDriver } from "./internal/nativeDriver.ts"
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

const inputKinds = { cubin: 1, ptx: 2, ltoir: 3, fatbin: 4 } as const

const make = (path: string, addon: Addon, environment: Readonly<Record<string, string | undefined>>): NativeShape => {
  const names = (name: Libraries.LibraryName) => Libraries.candidates(Libraries.specOf(name), environment)
  const opened = (name: Exclude<Libraries.LibraryName, "cuda">) =>
    tryPromise(() => addon.openLibrary(name, names(name)))
  return {
    path,
    openDriver: tryPromise(() => addon.openDriver(names("cuda"))),
    openLibrary: opened,
    driver: makeDriver(addon, () =>
      promised(() => addon.openLibrary("cublasLt", names("cublasLt"))).then((library) =>
        library.found ? [] : library.reasons
      )
    ),
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
