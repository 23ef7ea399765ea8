/**
 * Engines on disk. Writing: a draft beside the target, synced, then renamed into place, so that the path never names a
 * part of an engine, whatever happens. Reading: one buffer, which the weights are then views of.
 */
import * as WholeFile from "@anneal/pipeline/WholeFile"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { closeSync, fstatSync, openSync } from "node:fs"
import type { Engine } from "./Engine.ts"
import * as Engines from "./Engine.ts"
import { EngineError } from "./EngineError.ts"
import type { Layout } from "./Safetensors.ts"
import * as Safetensors from "./Safetensors.ts"
import * as Source from "./Source.ts"

/** Bytes of one read; the system's calls take less than 2 GiB. */
const STEP = 2 ** 30

/** What the system says when a file cannot be opened. */
const unreadable = (cause: unknown, file: string): EngineError => {
  const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  const place = "reading"
  if (code === "ENOENT")
    return new EngineError({ reason: "Io", file, place, detail: "there is no such file", action: "Check the path" })
  if (code === "EACCES" || code === "EPERM")
    return new EngineError({
      reason: "Permission",
      file,
      place,
      detail: "permission denied",
      action: "Check who owns the file and its folder"
    })
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new EngineError({ reason: "Io", file, place, detail, action: "Check the disk" })
}

const failure =
  (doing: "reading" | "writing", file: string, bytes?: number) =>
  (error: PlatformError): EngineError => {
    const trouble = WholeFile.troubleOf(error)
    if (trouble === "Full")
      return new EngineError({
        reason: "DiskFull",
        file,
        place: doing,
        detail: `the disk is full${bytes === undefined ? "" : `, the engine needs ${bytes} bytes`}; nothing was left behind`,
        action: "Free some space or write to another disk"
      })
    if (trouble === "Missing")
      return new EngineError({
        reason: "Io",
        file,
        place: doing,
        detail: doing === "reading" ? "there is no such file" : "there is no such folder",
        action: "Check the path"
      })
    if (trouble === "Permission")
      return new EngineError({
        reason: "Permission",
        file,
        place: doing,
        detail: "permission denied",
        action: "Check who owns the file and its folder"
      })
    return new EngineError({ reason: "Io", file, place: doing, detail: error.message, action: "Check the disk" })
  }

/** Writes an engine; the path names the old file or the whole new one at any moment. */
export const write = (path: string, layout: Layout): Effect.Effect<void, EngineError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* WholeFile.sweep(path)
    yield* WholeFile.write(path, (file) =>
      Effect.gen(function* () {
        for (const chunk of pieces(layout)) yield* Effect.flatMap(chunk, (bytes) => file.writeAll(bytes))
      })
    )
  }).pipe(
    Effect.mapError((error) =>
      error instanceof EngineError ? error : failure("writing", path, layout.byteLength)(error)
    )
  )

/** The chunks one by one; reading a weight may find that it changed. */
const pieces = function* (layout: Layout): Generator<Effect.Effect<Uint8Array, EngineError>> {
  const chunks = Safetensors.chunks(layout)
  for (;;) {
    const next = Effect.try({ try: () => chunks.next(), catch: (cause) => Engines.asEngineError(cause, "the model") })
    let ended = false
    yield Effect.map(next, (result) => {
      ended = result.done === true
      return result.done === true ? new Uint8Array() : result.value
    })
    if (ended) return
  }
}

/** The bytes of a file, in one buffer. */
export const readBytes = (path: string): Effect.Effect<Uint8Array, EngineError, FileSystem.FileSystem> =>
  Effect.scoped(
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const file = yield* files.open(path, { flag: "r" })
      const { size } = yield* file.stat
      const bytes = new Uint8Array(Number(size))
      for (let filled = 0; filled < bytes.length;) {
        const got = yield* file.read(bytes.subarray(filled, filled + STEP))
        if (got === 0) return bytes.subarray(0, filled)
        filled += got
      }
      return bytes
    })
  ).pipe(Effect.mapError(failure("reading", path)))

/**
 * Opens an engine without reading it: its header is checked now, a section when it is used, and nothing is kept here that
 * the caller does not hold. The file stays open, and is read from, as long as the scope lasts; replacing it by another (a
 * rename, as `write` does) changes nothing for who has it open.
 */
export const open = (path: string): Effect.Effect<Engine, EngineError, Scope.Scope> =>
  Effect.gen(function* () {
    const descriptor = yield* Effect.acquireRelease(
      Effect.try({ try: () => openSync(path, "r"), catch: (cause) => unreadable(cause, path) }),
      (opened) => Effect.sync(() => closeSync(opened))
    )
    return yield* Effect.try({
      try: () => Engines.parseSource(Source.ofDescriptor(descriptor, fstatSync(descriptor).size, path), path),
      catch: (cause) => Engines.asEngineError(cause, path)
    })
  })

export interface ReadOptions {
  /** Hash every section now (default), or each when it is first used. */
  readonly verify?: "all" | "lazily"
}

/** Reads and checks an engine. */
export const read = (
  path: string,
  options: ReadOptions = {}
): Effect.Effect<Engine, EngineError, FileSystem.FileSystem> =>
  Effect.flatMap(readBytes(path), (bytes) => parse(bytes, path, options))

/** The same over bytes in memory. */
export const parse = (bytes: Uint8Array, file: string, options: ReadOptions = {}): Effect.Effect<Engine, EngineError> =>
  Effect.try({
    try: () => {
      const engine = Engines.parse(bytes, file)
      return options.verify === "lazily" ? engine : Engines.verify(engine)
    },
    catch: (cause) => Engines.asEngineError(cause, file)
  })
