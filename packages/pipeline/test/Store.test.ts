import { assert, describe, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Key from "@anneal/pipeline/Key"
import * as Store from "@anneal/pipeline/Store"
import * as SmallDisk from "@anneal/testing/SmallDisk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

const bytes = (text: string) => new TextEncoder().encode(text)
const isStore = Effect.flatMap(Store.Store, (store) =>
  store === undefined ? Effect.die("no store") : Effect.succeed(store)
)

/** A store in a new directory, for one test. */
const withStore = <A, E>(
  use: (store: Store.Store, directory: string, files: FileSystem.FileSystem) => Effect.Effect<A, E>,
  maxBytes?: number,
  change: (files: FileSystem.FileSystem) => FileSystem.FileSystem = (files) => files
) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const directory = yield* files.makeTempDirectoryScoped()
    const layer = Store.layerFileSystem({ directory, ...(maxBytes === undefined ? {} : { maxBytes }) }).pipe(
      Layer.provide(Layer.succeed(FileSystem.FileSystem, change(files)))
    )
    return yield* Effect.provide(
      Effect.flatMap(isStore, (store) => use(store, directory, files)),
      layer
    )
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

const pathOf = (directory: string, digest: string) => `${directory}/blobs/${digest.slice(0, 2)}/${digest}`

describe("Store", () => {
  for (const [name, layer] of [
    ["memory", undefined],
    ["files", "files"]
  ] as const) {
    const using = <A, E>(use: (store: Store.Store) => Effect.Effect<A, E>) =>
      layer === undefined ? Effect.provide(Effect.flatMap(isStore, use), Store.layerMemory) : withStore(use)

    it.effect(`${name}: gives back what was put, by content and by key`, () =>
      using((store) =>
        Effect.gen(function* () {
          const digest = yield* store.put(bytes("weights"))
          assert.strictEqual(digest, Key.digestBytes(bytes("weights")))
          assert.strictEqual(yield* store.put(bytes("weights")), digest)
          assert.deepStrictEqual(
            Option.map(yield* store.get(digest), (found) => [...found]),
            Option.some([...bytes("weights")])
          )
          assert.isTrue(Option.isNone(yield* store.get(Key.digest("nothing"))))
          assert.isTrue(Option.isNone(yield* store.entry("k")))
          yield* store.setEntry("k", { a: [1, -2.5] })
          yield* store.setEntry("k", { a: [2, null] })
          assert.deepStrictEqual(yield* store.entry("k"), Option.some({ a: [2, null] }))
        })
      )
    )

    it.effect(`${name}: one at a time holds a key; an interrupted waiter leaves`, () =>
      using((store) =>
        Effect.gen(function* () {
          const inside = yield* Deferred.make<void>()
          const release = yield* Deferred.make<void>()
          const first = yield* Effect.forkChild(
            store.exclusive("k", () => Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(release)))
          )
          yield* Deferred.await(inside)
          const second = yield* Effect.forkChild(store.exclusive("k", () => Effect.succeed("ran")))
          yield* Effect.yieldNow
          yield* Fiber.interrupt(second)
          assert.strictEqual(yield* store.exclusive("other", () => Effect.succeed("free")), "free")
          yield* Deferred.succeed(release, undefined)
          yield* Fiber.join(first)
          assert.isFalse(yield* store.exclusive("k", (waited) => Effect.succeed(waited)))
        })
      )
    )
  }

  it.effect("a damaged blob or entry is a miss, is removed, and is reported", () =>
    withStore((store, directory, files) =>
      Effect.gen(function* () {
        const digest = yield* store.put(bytes("weights"))
        yield* files.writeFile(pathOf(directory, digest), bytes("weighty")).pipe(Effect.orDie)
        yield* store.setEntry("k", { a: 1 })
        const entry = `${directory}/entries/${Key.digest("k").slice(0, 2)}/${Key.digest("k")}`
        const text = yield* Effect.orDie(files.readFileString(entry))
        yield* Effect.orDie(files.writeFileString(entry, text.replace('"a":1', '"a":2')))
        const [found, reports] = yield* Diagnostic.collect(Effect.all([store.get(digest), store.entry("k")]))
        assert.deepStrictEqual([Option.isNone(found[0]), Option.isNone(found[1])], [true, true])
        assert.deepStrictEqual(
          reports.map(({ code }) => code),
          ["store-damaged", "store-damaged"]
        )
        assert.isFalse(yield* Effect.orDie(files.exists(pathOf(directory, digest))))
        yield* store.put(bytes("weights"))
        assert.isTrue(Option.isSome(yield* store.get(digest)))
      })
    )
  )

  it.effect("a full disk is a typed failure and leaves nothing behind", () =>
    withStore(
      (store, directory, files) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(store.put(bytes("weights")))
          assert.strictEqual(error.reason, "Full")
          assert.include(error.message, "free some space")
          assert.deepStrictEqual(yield* Effect.orDie(files.readDirectory(`${directory}/writing`)), [])
          assert.isTrue(Option.isNone(yield* store.get(Key.digestBytes(bytes("weights")))))
        }),
      undefined,
      (files) => SmallDisk.over(files, 3)
    )
  )

  it.effect("above its limit, what was used least recently goes", () =>
    withStore(
      (store, directory, files) =>
        Effect.gen(function* () {
          const blobs = Array.from({ length: 4 }, (_, n) => new Uint8Array(1000).fill(n))
          const digests: Array<string> = []
          for (const [age, blob] of blobs.entries()) {
            const digest = yield* store.put(blob)
            digests.push(digest)
            const at = new Date(Date.now() - 1_000_000 + age * 1000)
            yield* Effect.orDie(files.utimes(pathOf(directory, digest), at, at))
          }
          // Using the oldest makes it the newest.
          yield* store.get(digests[0] ?? "")
          const last = yield* store.put(new Uint8Array(1000).fill(9))
          const there = yield* Effect.forEach([...digests, last], store.has)
          assert.deepStrictEqual(there, [true, false, true, true, true])
        }),
      4500
    )
  )

  it.effect("a blob bigger than the store is not kept, and that is said", () =>
    withStore(
      (store) =>
        Effect.gen(function* () {
          const [digest, reports] = yield* Diagnostic.collect(store.put(new Uint8Array(100)))
          assert.isFalse(yield* store.has(digest))
          assert.deepStrictEqual(
            reports.map(({ code }) => code),
            ["store-too-small"]
          )
        }),
      50
    )
  )

  it.effect("a lock of a process that died is taken over", () =>
    withStore((store, directory, files) =>
      Effect.gen(function* () {
        yield* store.put(bytes("any"))
        const lock = `${directory}/locks/${Key.digest("k")}`
        yield* Effect.orDie(files.writeFileString(lock, "1\n"))
        const old = new Date(Date.now() - 120_000)
        yield* Effect.orDie(files.utimes(lock, old, old))
        const fiber = yield* Effect.forkChild(store.exclusive("k", () => Effect.succeed("mine")))
        const ran = yield* Effect.raceFirst(Fiber.join(fiber), tick)
        assert.strictEqual(ran, "mine")
        assert.isFalse(yield* Effect.orDie(files.exists(lock)))
      })
    )
  )
})

/** Virtual time goes on while real files are worked on. */
const tick: Effect.Effect<never> = Effect.gen(function* () {
  const { adjust } = yield* Effect.promise(() => import("effect/testing/TestClock"))
  for (;;) {
    yield* adjust("100 millis")
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
})
