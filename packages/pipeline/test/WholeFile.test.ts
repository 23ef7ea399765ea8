import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as WholeFile from "@anneal/pipeline/WholeFile"
import * as SmallDisk from "@anneal/testing/SmallDisk"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

const bytes = new TextEncoder().encode("the new content")

/** A folder with one file. */
const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  const path = `${folder}/a.txt`
  yield* files.writeFileString(path, "old")
  const now = Effect.all([files.readDirectory(folder), files.readFileString(path)])
  return { files, folder, path, now }
})

describe("a file that is written whole", () => {
  it.effect("takes the place of the old one", () =>
    Effect.gen(function* () {
      const { now, path } = yield* workplace
      yield* WholeFile.writeBytes(path, bytes)
      assert.deepStrictEqual(yield* now, [["a.txt"], "the new content"])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.effect("leaves the old one on a full disk, on a failure of who fills it, and when it is interrupted", () =>
    Effect.gen(function* () {
      const { now, path } = yield* workplace
      const before = [["a.txt"], "old"]
      for (let capacity = 0; capacity < bytes.length; capacity++) {
        const error = yield* Effect.flip(Effect.provide(WholeFile.writeBytes(path, bytes), SmallDisk.layer(capacity)))
        assert.strictEqual(WholeFile.troubleOf(error), "Full")
        assert.include(WholeFile.explain(error), "the disk is full")
        assert.deepStrictEqual(yield* now, before)
      }
      const half = (end: Effect.Effect<never, string>) =>
        WholeFile.write(path, (file) => Effect.andThen(file.writeAll(bytes.subarray(0, 4)), end))
      assert.strictEqual(yield* Effect.flip(half(Effect.fail("no more"))), "no more")
      assert.deepStrictEqual(yield* now, before)
      yield* Effect.exit(half(Effect.interrupt))
      assert.deepStrictEqual(yield* now, before)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.effect("says what is in the way", () =>
    Effect.gen(function* () {
      const { folder } = yield* workplace
      const missing = yield* Effect.flip(WholeFile.writeBytes(`${folder}/none/a.txt`, bytes))
      assert.strictEqual(WholeFile.troubleOf(missing), "Missing")
      assert.include(WholeFile.explain(missing), "no such folder")
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.live("drafts of dead processes are swept, and neither fresh ones nor those of other files", () =>
    Effect.gen(function* () {
      const { files, folder, path } = yield* workplace
      const drafts = [path, path, `${folder}/b.txt`].map(WholeFile.draftOf)
      for (const draft of drafts) yield* files.writeFileString(draft, "half")
      const longAgo = new Date(Date.now() - 7_200_000)
      for (const draft of [drafts[0], drafts[2]]) yield* files.utimes(draft ?? "", longAgo, longAgo)
      yield* WholeFile.sweep(path)
      const left = yield* Effect.forEach(drafts, (draft) => files.exists(draft))
      assert.deepStrictEqual(left, [false, true, true])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )
})
