// One process of a machine times at a time.
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as MachineTurn from "@anneal/tune/MachineTurn"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { spawnSync } from "node:child_process"
import { hostname } from "node:os"

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = `${yield* files.makeTempDirectoryScoped()}/timing.lock`
  return { files, path, take: yield* MachineTurn.byFile(path) }
})

it.live("two that want to time do so one after the other, and leave no file behind", () =>
  Effect.gen(function* () {
    const { files, path, take } = yield* workplace
    const seen: Array<string> = []
    const timing = (name: string) =>
      take(
        Effect.gen(function* () {
          seen.push(`${name} begins`)
          yield* Effect.sleep(30)
          seen.push(`${name} ends`)
        })
      )
    yield* Effect.all([timing("a"), timing("b")], { concurrency: 2 })
    const [first = ""] = seen
    const other = first.startsWith("a") ? "b" : "a"
    const one = other === "b" ? "a" : "b"
    assert.deepStrictEqual(seen, [`${one} begins`, `${one} ends`, `${other} begins`, `${other} ends`])
    assert.isFalse(yield* files.exists(path))
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
)

it.live("the turn of a process that died is taken over", () =>
  Effect.gen(function* () {
    const { files, path, take } = yield* workplace
    const { pid } = spawnSync(process.execPath, ["--eval", ""])
    yield* files.writeFileString(path, `${hostname()} ${pid}`)
    assert.strictEqual(yield* take(Effect.succeed("timed")), "timed")
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
)

it.live("where no file can be made, nobody waits", () =>
  Effect.gen(function* () {
    const { path } = yield* workplace
    const take = yield* MachineTurn.byFile(`${path}/none/timing.lock`)
    assert.strictEqual(yield* take(Effect.succeed("timed")), "timed")
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
)
