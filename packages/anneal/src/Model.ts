/**
 * A model or an engine, whichever a path names, ready to run: `Model.open("net.onnx")`, `Model.open("net.engine")`.
 */
import * as Engine from "@anneal/engine/Engine"
import type { EngineError } from "@anneal/engine/EngineError"
import * as EngineFile from "@anneal/engine/EngineFile"
import type { Provenance } from "@anneal/engine/Manifest"
import type { Graph } from "@anneal/ir/Graph"
import * as Import from "@anneal/onnx/Import"
import type { OnnxError } from "@anneal/onnx/OnnxError"
import * as Onnx from "@anneal/onnx/OnnxError"
import * as Wire from "@anneal/onnx/Wire"
import type { Executors } from "@anneal/runtime/Executor"
import * as Session from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { basename, dirname } from "node:path"
import type { Plugins } from "./Plugin.ts"
import { UsageError } from "./UsageError.ts"

/** A model as it was imported. */
export interface Imported {
  readonly graph: Graph
  readonly provenance: Provenance
}

/** Extents by input; see `ShapeOption`. */
export type InputShapes = NonNullable<Import.ImportOptions["shapes"]>

/** Entries of a model's metadata that name its licence. */
const licenceKeys = ["license", "licence", "spdx", "License"]

/** Imports an ONNX file. */
export const importOnnx = (
  path: string,
  plugins: Plugins,
  shapes: InputShapes = {}
): Effect.Effect<Imported, OnnxError | UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* mustExist(path)
    const { model, path: real } = yield* Wire.read(path)
    const graph = yield* Effect.try({
      try: () => Import.toGraph(model, { source: path, shapes, operators: plugins.operators }, real),
      catch: Onnx.orThrow
    })
    const entries = model.metadataProps.map(({ key, value }) => [key, value] as const)
    const metadata = {
      ...Object.fromEntries(entries),
      producer: `${model.producerName} ${model.producerVersion}`.trim(),
      opsets: model.opsetImport
        .map(({ domain, version }) => `${domain === "" ? "ai.onnx" : domain} ${version}`)
        .join(", ")
    }
    const licence = entries.find(([key]) => licenceKeys.includes(key))?.[1] ?? null
    return { graph, provenance: { format: "onnx", sha256: yield* digestOf(path), licence, metadata } }
  })

/** Refuses a path that is not there, or is a folder. */
export const mustExist = (path: string): Effect.Effect<void, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    if (!(yield* Effect.orElseSucceed(files.exists(path), () => false)))
      return yield* new UsageError({ detail: `${path}: there is no such file` })
    if (yield* isFolder(path)) return yield* new UsageError({ detail: `${path} is a folder; name a file in it` })
  })

const isFolder = (path: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const type = yield* Effect.orElseSucceed(
      Effect.map(files.stat(path), (info) => info.type),
      () => undefined
    )
    return type === "Directory"
  })

/** Refuses a path that no file can be written to, before long work is done for it. */
export const mustBeWritable = (path: string): Effect.Effect<void, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (yield* isFolder(path)) return yield* new UsageError({ detail: `${path} is a folder; name a file to write` })
    const folder = dirname(path)
    if (!(yield* isFolder(folder)))
      return yield* new UsageError({ detail: `${path} cannot be written: there is no folder ${folder}` })
    const files = yield* FileSystem.FileSystem
    yield* Effect.mapError(
      files.access(folder, { writable: true }),
      () => new UsageError({ detail: `${path} cannot be written: ${folder} is read-only for you` })
    )
  })

/** The file's SHA-256, read in pieces. */
const digestOf = (path: string): Effect.Effect<string, UsageError> =>
  Effect.tryPromise({
    try: async () => {
      const hash = createHash("sha256")
      for await (const piece of createReadStream(path)) hash.update(piece)
      return hash.digest("hex")
    },
    catch: (cause) =>
      new UsageError({ detail: `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}` })
  })

/** Whether a file is a safetensors file (an engine) by its first bytes: a header's length and a brace. */
const isEngine = (path: string): Effect.Effect<boolean, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* mustExist(path)
    const files = yield* FileSystem.FileSystem
    const start = new Uint8Array(9)
    const got = yield* Effect.scoped(Effect.flatMap(files.open(path, { flag: "r" }), (file) => file.read(start))).pipe(
      Effect.mapError(() => new UsageError({ detail: `${path} cannot be read: check that it is a file of yours` }))
    )
    return got === 9 && start[8] === 0x7b && start[6] === 0 && start[7] === 0
  })

export type Opened =
  | { readonly kind: "engine"; readonly engine: Engine.Engine }
  | { readonly kind: "model"; readonly engine: Engine.Engine; readonly imported: Imported }

/** Reads a file of either kind. A model becomes an engine without a file, for the reference target. */
export const read = (
  path: string,
  plugins: Plugins
): Effect.Effect<Opened, EngineError | OnnxError | UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (yield* isEngine(path)) return { kind: "engine", engine: yield* EngineFile.read(path) }
    const imported = yield* importOnnx(path, plugins)
    return { kind: "model", engine: Engine.ofGraph(imported.graph, basename(path)), imported }
  })

/** Opens a file of either kind to run it. */
export const open = (
  path: string,
  plugins: Plugins,
  options: Session.LoadOptions = {}
): Effect.Effect<
  Session.Session,
  EngineError | OnnxError | UsageError | Effect.Error<ReturnType<typeof Session.open>>,
  Executors | FileSystem.FileSystem | Scope.Scope
> =>
  Effect.flatMap(isEngine(path), (engine) =>
    engine
      ? Session.load(path, { ops: plugins.ops, ...options })
      : Effect.flatMap(read(path, plugins), (model) => Session.open(model.engine, { ops: plugins.ops, ...options }))
  )
