import * as Lock from "@anneal/tune/Lock"
import * as LockFile from "@anneal/tune/LockFile"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { command } from "./Command.ts"

const header: Lock.Header = { target: "wasm", features: ["simd128"], generator: "wasm@1" }
const entry = (key: string, mr: number, ...nodes: ReadonlyArray<string>): Lock.LockEntry => ({
  key,
  nodes,
  candidate: "gemm",
  config: { mr, nr: 8 }
})

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  const write = (name: string, ...entries: ReadonlyArray<Lock.LockEntry>) =>
    Effect.as(LockFile.write(`${folder}/${name}`, Lock.make(header, entries)), `${folder}/${name}`)
  return { files, folder, write }
})

describe("anneal lock", () => {
  it.live("diff names what is decided differently, by node, and exits as diff does", () =>
    Effect.gen(function* () {
      const { write } = yield* workplace
      const a = yield* write("a.lock", entry("matmul 64", 4, "/fc1", "/fc2"), entry("matmul 8", 4, "/head"))
      const b = yield* write("b.lock", entry("matmul 64", 6, "/fc1", "/fc2"), entry("matmul 16", 2, "/tail"))
      const differs = yield* command("lock", "diff", a, b)
      assert.strictEqual(differs.code, 1, differs.err)
      assert.strictEqual(
        differs.out,
        [
          '+ /tail: gemm {"mr":2,"nr":8}',
          '~ /fc1, /fc2: gemm {"mr":4,"nr":8} → gemm {"mr":6,"nr":8}',
          '- /head: gemm {"mr":4,"nr":8}'
        ].join("\n")
      )
      assert.strictEqual(differs.err, "the locks differ: 3 differences")
      const same = yield* command("lock", "diff", a, a, "--json")
      assert.deepStrictEqual([same.code, JSON.parse(same.out)], [0, { ok: true, differences: [] }])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("merge takes both, and says what it cannot settle", () =>
    Effect.gen(function* () {
      const { files, folder, write } = yield* workplace
      const a = yield* write("a.lock", entry("matmul 64", 4, "/fc1"), entry("matmul 8", 4, "/head"))
      const b = yield* write("b.lock", entry("matmul 64", 6, "/fc1"), entry("matmul 16", 2, "/tail"))
      const output = `${folder}/both.lock`
      const refused = yield* command("lock", "merge", a, b, "-o", output)
      assert.strictEqual(refused.code, 1)
      assert.strictEqual(refused.out, '~ /fc1: gemm {"mr":4,"nr":8} → gemm {"mr":6,"nr":8}')
      assert.match(refused.err, /--prefer a or --prefer b/)
      assert.isFalse(yield* files.exists(output))
      const merged = yield* command("lock", "merge", a, b, "-o", output, "--prefer", "b")
      assert.deepStrictEqual([merged.code, merged.out], [0, `${output}: 3 decisions`])
      const { decisions } = yield* LockFile.read(output)
      assert.deepStrictEqual(
        decisions.map(({ config, key }) => [key, config]),
        [
          ["matmul 16", { mr: 2, nr: 8 }],
          ["matmul 64", { mr: 6, nr: 8 }],
          ["matmul 8", { mr: 4, nr: 8 }]
        ]
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("tells a lock that is not there from one that was edited", () =>
    Effect.gen(function* () {
      const { files, folder, write } = yield* workplace
      const a = yield* write("a.lock", entry("matmul 64", 4, "/fc1"))
      const absent = yield* command("lock", "diff", a, `${folder}/b.lock`)
      assert.strictEqual(absent.code, 2)
      assert.match(absent.err, /b\.lock: there is no such file/)
      yield* files.writeFileString(a, (yield* files.readFileString(a)).replace('"mr":4', '"mr":5'))
      const edited = yield* command("lock", "diff", a, a, "--json")
      assert.strictEqual(edited.code, 8, edited.out)
      assert.match(edited.out, /it was edited/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
