/**
 * The content-addressed store: blobs by the SHA-256 of their bytes, and entries (small JSON documents) by key.
 *
 * `put(bytes)` ⇒ digest; `get(digest)` ⇒ the bytes, checked. A damaged blob is a miss: it is removed and reported. A
 * store can be deleted at any time and shared by processes; it never lies. Without a layer there is none, and nothing is
 * cached. On disk: `StoreFiles.ts`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { Digest } from "./Key.ts"
import * as Key from "./Key.ts"

/** What the store could not do. Nothing half-written is left behind. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: Schema.Literals(["Full", "Permission", "Io"]),
  operation: Schema.Literals(["read", "write", "lock", "evict"]),
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    const remedy = {
      Full: "the disk is full: free some space, or point the cache at another disk",
      Permission: "permission denied: check who owns the cache directory, or choose another",
      Io: this.detail
    }
    return `The store cannot ${this.operation} ${this.path}: ${remedy[this.reason]}`
  }
}

export interface Store {
  /** Where it is: a directory, or `memory`. */
  readonly location: string
  /** Keeps bytes; gives their digest. Keeping what is there already only marks it as used. */
  readonly put: (bytes: Uint8Array) => Effect.Effect<Digest, StoreError>
  /** The bytes; none when they are not there or are damaged. */
  readonly get: (digest: Digest) => Effect.Effect<Option.Option<Uint8Array>, StoreError>
  readonly has: (digest: Digest) => Effect.Effect<boolean, StoreError>
  /** Keeps a JSON document under a key (any text); replaces the one before. */
  readonly setEntry: (key: string, entry: Schema.Json) => Effect.Effect<void, StoreError>
  /** The document; none when it is not there or is damaged. */
  readonly entry: (key: string) => Effect.Effect<Option.Option<Schema.Json>, StoreError>
  /**
   * Runs `effect` while nobody else, in this process or another, holds the same key. Only saves double work: writes are
   * atomic, so nothing breaks if a lock is lost. `waited` tells whether somebody else held it.
   */
  readonly exclusive: <A, E, R>(
    key: string,
    effect: (waited: boolean) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

export const Store: Context.Reference<Store | undefined> = Context.Reference<Store | undefined>(
  "@anneal/pipeline/Store",
  { defaultValue: () => undefined }
)

/** Locks by key for the fibers of one process; a key that nobody holds or waits for takes no memory. */
export const makeKeyLocks = (): Store["exclusive"] => {
  const locks = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()
  return (key, effect) =>
    Effect.suspend(() => {
      const lock = locks.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
      locks.set(key, lock)
      const waited = lock.users > 0
      lock.users++
      const leave = Effect.sync(() => {
        lock.users--
        if (lock.users === 0) locks.delete(key)
      })
      return Effect.ensuring(lock.semaphore.withPermits(1)(Effect.suspend(() => effect(waited))), leave)
    })
}

/** A store that lives as long as the process. */
export const makeMemory = (): Store => {
  const blobs = new Map<Digest, Uint8Array>()
  const entries = new Map<string, string>()
  return {
    location: "memory",
    put: (bytes) =>
      Effect.sync(() => {
        const digest = Key.digestBytes(bytes)
        if (!blobs.has(digest)) blobs.set(digest, bytes)
        return digest
      }),
    get: (digest) => Effect.sync(() => Option.fromUndefinedOr(blobs.get(digest))),
    has: (digest) => Effect.sync(() => blobs.has(digest)),
    setEntry: (key, entry) => Effect.sync(() => void entries.set(key, JSON.stringify(entry))),
    entry: (key) =>
      Effect.sync(() => Option.map(Option.fromUndefinedOr(entries.get(key)), (text): Schema.Json => JSON.parse(text))),
    exclusive: makeKeyLocks()
  }
}

export const layerMemory: Layer.Layer<never> = Layer.sync(Store, makeMemory)

export { layerFileSystem, type StoreOptions } from "./StoreFiles.ts"
