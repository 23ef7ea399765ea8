// The same model and the same lock: ten frozen builds in folders of their own, half of them beside a busy neighbour, two
// at a time, one without a cache. One SHA-256. A lock that lacks some decisions names those, and no engine is written.
import * as Lock from "@anneal/tune/Lock"
import * as LockFile from "@anneal/tune/LockFile"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { createHash } from "node:crypto"
import { Worker } from "node:worker_threads"
import { command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

/** Keeps a core busy while the scope is open. */
const neighbour = Effect.acquireRelease(
  Effect.sync(() => new Worker("for (;;) Math.sqrt(2)", { eval: true })),
  (worker) => Effect.promise(() => worker.terminate())
)

const prepared = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
  const [model, lock] = [`${folder}/net.onnx`, `${folder}/net.lock`]
  const first = yield* command(
    "build",
    model,
    "-o",
    `${folder}/first.engine`,
    "--cache",
    `${folder}/cache`,
    "--lock",
    lock
  )
  assert.strictEqual(first.code, 0, first.err)
  return { files, folder, lock, model }
})

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

describe("frozen builds", () => {
  it.live("ten in different folders and at different load have one SHA-256", () =>
    Effect.gen(function* () {
      const { files, folder, lock, model } = yield* prepared
      const build = (place: number) =>
        Effect.gen(function* () {
          if (place % 2 === 1) yield* neighbour
          const own = `${folder}/${"deeper/".repeat(place % 3)}${place}`
          yield* files.makeDirectory(own, { recursive: true })
          yield* files.copyFile(model, `${own}/net.onnx`)
          yield* files.copyFile(lock, `${own}/other name.lock`)
          const cache = place === 9 ? ["--no-use-cache"] : ["--cache", `${own}/cache`]
          const options = ["--lock", `${own}/other name.lock`, "--frozen", ...cache]
          const built = yield* command("build", `${own}/net.onnx`, "-o", `${own}/net.engine`, ...options)
          assert.strictEqual(built.code, 0, built.err)
          return digest(yield* files.readFile(`${own}/net.engine`))
        }).pipe(Effect.scoped)
      const digests = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, place) => place),
        build,
        { concurrency: 2 }
      )
      assert.deepStrictEqual([...new Set(digests)], [digest(yield* files.readFile(`${folder}/first.engine`))])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("name each decision that the lock lacks, and no other", () =>
    Effect.gen(function* () {
      const { files, folder, lock, model } = yield* prepared
      const whole = yield* LockFile.read(lock)
      const lacking = whole.decisions.find(({ key }) => !key.startsWith("rewrite "))
      if (lacking === undefined) return assert.fail("nothing was decided")
      yield* LockFile.write(
        lock,
        Lock.make(
          whole,
          whole.decisions.filter((one) => one !== lacking)
        )
      )
      const engine = `${folder}/second.engine`
      const built = yield* command("build", model, "-o", engine, "--no-use-cache", "--lock", lock, "--frozen", "--json")
      assert.strictEqual(built.code, 8, built.out)
      const report: { readonly error: { readonly misses: ReadonlyArray<{ readonly key: string }> } } = JSON.parse(
        built.out
      )
      assert.deepStrictEqual(
        report.error.misses.map(({ key }) => key),
        [lacking.key]
      )
      assert.isFalse(yield* files.exists(engine))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
