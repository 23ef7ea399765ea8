/**
 * The store on disk.
 *
 * ```
 * blobs/3f/3fa9…   the bytes; the name is their SHA-256
 * entries/8c/8c01… {"sha256": …, "entry": …}; the name is the SHA-256 of the key
 * locks/…          one file a held lock; its holder touches it, and an untouched one is taken over
 * writing/…        files being written: synced, then renamed into place, so a name always has all of its bytes
 * ```
 * Files that were not used for the longest go first when the limit is passed (`mtime`, touched on use, once a minute).
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import type * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as Diagnostic from "./Diagnostic.ts"
import type { Digest } from "./Key.ts"
import * as Key from "./Key.ts"
import type { Store as StoreService } from "./Store.ts"
import { makeKeyLocks, Store, StoreError } from "./Store.ts"
import * as StoreLock from "./StoreLock.ts"
import * as WholeFile from "./WholeFile.ts"

export interface StoreOptions {
  readonly directory: string
  /** Bytes of blobs and entries; above it the least recently used go. Default 10 GiB. */
  readonly maxBytes?: number
}

/** What is left in `writing/` after this long (ms) belongs to a writer that died. */
const ABANDONED = 3_600_000
const DEFAULT_MAX_BYTES = 10 * 2 ** 30
/** A file that this process touched less than so long ago (ms) is not touched again. */
const TOUCHED = 60_000
/** Files whose touching is remembered. */
const MAX_TOUCHED = 10_000

type Files = FileSystem.FileSystem

const failure =
  (operation: StoreError["operation"], path: string) =>
  (error: PlatformError): StoreError => {
    const trouble = WholeFile.troubleOf(error)
    return new StoreError({
      reason: trouble === "Missing" ? "Io" : trouble,
      operation,
      path,
      detail: error.message
    })
  }

/** Absence as none. */
const orNone = <A, R>(effect: Effect.Effect<A, PlatformError, R>): Effect.Effect<Option.Option<A>, PlatformError, R> =>
  Effect.catchIf(
    Effect.asSome(effect),
    (error) => error.reason._tag === "NotFound",
    () => Effect.succeed(Option.none<A>())
  )

/** Bytes appear under `path` all at once or not at all. */
const writeWhole = (files: Files, writing: string, path: string, bytes: Uint8Array) =>
  files
    .makeDirectory(path.slice(0, path.lastIndexOf("/")), { recursive: true })
    .pipe(
      Effect.andThen(WholeFile.writeBytes(path, bytes, `${writing}/${randomUUID()}`)),
      Effect.provideService(FileSystem.FileSystem, files),
      Effect.mapError(failure("write", path))
    )

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder()
const entryStart = (sha256: Digest) => `{"sha256":"${sha256}","entry":`
const startBytes = entryStart("0".repeat(64)).length

/** An entry's file: the JSON text between the start, which has its digest, and a closing brace. */
const wrap = (entry: Schema.Json): Uint8Array => {
  const text = JSON.stringify(entry)
  return textEncoder.encode(`${entryStart(Key.digestBytes(textEncoder.encode(text)))}${text}}`)
}

/** The entry in a file that `wrap` made; none when a byte of it is another. */
const unwrap = (bytes: Uint8Array): Option.Option<Schema.Json> => {
  const text = bytes.subarray(startBytes, -1)
  const start = entryStart(Key.digestBytes(text))
  const whole = textDecoder.decode(bytes)
  if (!whole.startsWith(start) || !whole.endsWith("}")) return Option.none()
  return parse(whole.slice(startBytes, -1))
}
const parse = Option.liftThrowable((text: string): Schema.Json => JSON.parse(text))

const damaged = (what: string, path: string) =>
  Diagnostic.report({
    severity: "warning",
    code: "store-damaged",
    message: `${what} ${path} in the cache is damaged and was removed; what it held is made again`,
    action: "if this happens often, check the disk"
  })

interface Used {
  readonly path: string
  readonly bytes: number
  readonly at: number
}

/** Every file below a two-level folder. Files that go away meanwhile are left out. */
const list = (files: Files, folder: string) =>
  Effect.gen(function* () {
    const found: Array<Used> = []
    const groups = Option.getOrElse(yield* orNone(files.readDirectory(folder)), (): Array<string> => [])
    for (const group of groups) {
      const names = Option.getOrElse(yield* orNone(files.readDirectory(`${folder}/${group}`)), (): Array<string> => [])
      for (const name of names) {
        const path = `${folder}/${group}/${name}`
        const info = yield* orNone(files.stat(path))
        if (Option.isNone(info) || info.value.type !== "File") continue
        const at = Option.match(info.value.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
        found.push({ path, bytes: Number(info.value.size), at })
      }
    }
    return found
  })

const make = (options: StoreOptions) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const { directory } = options
    const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
    const [blobs, entries, locks, writing] = ["blobs", "entries", "locks", "writing"].map(
      (name) => `${directory}/${name}`
    )
    if (blobs === undefined || entries === undefined || locks === undefined || writing === undefined) {
      return yield* Effect.die("four folders")
    }
    const pathIn = (folder: string, name: Digest) => `${folder}/${name.slice(0, 2)}/${name}`
    const ready = yield* Effect.cached(
      Effect.forEach([blobs, entries, locks, writing], (folder) =>
        files.makeDirectory(folder, { recursive: true })
      ).pipe(Effect.mapError(failure("write", directory)))
    )
    // Bytes written since the last count, and the count then; other processes' writes are seen at the next one.
    let known: number | undefined
    const inProcess = makeKeyLocks()

    const touched = new Map<string, number>()
    const isFresh = (path: string) => Date.now() - (touched.get(path) ?? -Infinity) < TOUCHED
    const touch = (path: string) =>
      Effect.suspend(() => {
        const now = new Date()
        if (isFresh(path)) return Effect.void
        if (touched.size >= MAX_TOUCHED) touched.clear()
        touched.set(path, now.getTime())
        return Effect.ignore(files.utimes(path, now, now))
      })

    const sweep = Effect.gen(function* () {
      const drafts = yield* files.readDirectory(writing)
      for (const draft of drafts) {
        const info = yield* orNone(files.stat(`${writing}/${draft}`))
        const at = Option.flatMap(info, ({ mtime }) => mtime)
        if (Option.isSome(at) && Date.now() - at.value.getTime() > ABANDONED) {
          yield* files.remove(`${writing}/${draft}`, { force: true })
        }
      }
    })

    const evict = Effect.gen(function* () {
      yield* sweep
      const all = [...(yield* list(files, blobs)), ...(yield* list(files, entries))]
      let total = all.reduce((sum, { bytes }) => sum + bytes, 0)
      // Down to 90 %, so that not every write evicts.
      const goal = total > maxBytes ? maxBytes * 0.9 : maxBytes
      for (const { path, bytes } of all.sort((a, b) => a.at - b.at)) {
        if (total <= goal) break
        yield* files.remove(path, { force: true })
        total -= bytes
      }
      known = total
    }).pipe(Effect.mapError(failure("evict", directory)))

    // Whoever finds the store too big cleans up, unless another process is at it.
    const grew = (bytes: number) =>
      Effect.suspend(() => {
        if (known !== undefined) known += bytes
        if (known !== undefined && known <= maxBytes) return Effect.void
        return inProcess("evict", () => Effect.asVoid(StoreLock.tryWith(files, `${locks}/evict`, evict)))
      })

    const tooBig = (bytes: Uint8Array) =>
      Diagnostic.report({
        severity: "warning",
        code: "store-too-small",
        message: `a result of ${bytes.byteLength} bytes is not cached: the cache may hold ${maxBytes} in all`,
        action: "raise the cache's limit"
      })

    const put: StoreService["put"] = Effect.fnUntraced(function* (bytes) {
      yield* ready
      const digest = Key.digestBytes(bytes)
      const path = pathIn(blobs, digest)
      if (bytes.byteLength > maxBytes) {
        yield* tooBig(bytes)
        return digest
      }
      const there = yield* Effect.mapError(orNone(files.stat(path)), failure("read", path))
      if (Option.isSome(there) && Number(there.value.size) === bytes.byteLength) {
        yield* touch(path)
        return digest
      }
      yield* writeWhole(files, writing, path, bytes)
      yield* grew(bytes.byteLength)
      return digest
    })

    // Touching waits for the disk as reading does: both at once. What isn't there isn't made by it.
    const read = (path: string) =>
      Effect.suspend(() => {
        const bytes = Effect.mapError(orNone(files.readFile(path)), failure("read", path))
        if (isFresh(path)) return bytes
        return Effect.map(Effect.all([bytes, touch(path)], { concurrency: "unbounded" }), ([found]) => found)
      })

    const drop = (what: string, path: string) =>
      Effect.andThen(Effect.ignore(files.remove(path, { force: true })), damaged(what, path))

    const get: StoreService["get"] = Effect.fnUntraced(function* (digest) {
      const path = pathIn(blobs, digest)
      const bytes = yield* read(path)
      if (Option.isNone(bytes) || Key.digestBytes(bytes.value) === digest) return bytes
      yield* drop("blob", path)
      return Option.none()
    })

    const setEntry: StoreService["setEntry"] = Effect.fnUntraced(function* (key, entry) {
      yield* ready
      const bytes = wrap(entry)
      if (bytes.byteLength > maxBytes) return yield* tooBig(bytes)
      yield* writeWhole(files, writing, pathIn(entries, Key.digest(key)), bytes)
      yield* grew(bytes.byteLength)
    })

    const entry: StoreService["entry"] = Effect.fnUntraced(function* (key) {
      const path = pathIn(entries, Key.digest(key))
      const bytes = yield* read(path)
      if (Option.isNone(bytes)) return Option.none()
      const found = unwrap(bytes.value)
      if (Option.isSome(found)) return found
      yield* drop("entry", path)
      return Option.none()
    })

    const exclusive: StoreService["exclusive"] = (key, effect) =>
      inProcess(key, (waitedHere) =>
        // A lock that cannot be had (a full or read-only disk) must not stop a build: it only saves work.
        Effect.matchEffect(ready, {
          onFailure: () => effect(waitedHere),
          onSuccess: () =>
            StoreLock.waitWith(files, `${locks}/${Key.digest(key)}`, (waitedThere) => effect(waitedHere || waitedThere))
        })
      )

    const store: StoreService = {
      location: directory,
      put,
      get,
      has: (digest) => {
        const path = pathIn(blobs, digest)
        return Effect.mapError(files.exists(path), failure("read", path))
      },
      setEntry,
      entry,
      exclusive
    }
    return store
  })

/** A store in a directory, which is made when something is first kept in it. */
export const layerFileSystem = (options: StoreOptions): Layer.Layer<never, never, FileSystem.FileSystem> =>
  Layer.effect(Store, make(options))
