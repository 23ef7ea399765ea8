import * as Host from "anneal/Host"
import * as Plugin from "anneal/Plugin"
import * as Numbers from "@anneal/ir/Numbers"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { child, command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
  const built = yield* command("build", `${folder}/net.onnx`, "-o", `${folder}/net.engine`, "--wide", "--no-use-cache")
  assert.strictEqual(built.code, 0, built.err)
  return folder
})

describe("how the command runs engines", () => {
  it.live("with threads", () =>
    Effect.gen(function* () {
      const folder = yield* workplace
      const host = { threads: 2, wide: false }
      const x = Numbers.fromNumbers("f32", [2, 3], [1, 2, 3, -1, 0, 4])
      const { y } = yield* Effect.flatMap(
        Host.open(`${folder}/net.engine`, Plugin.none, host, () => Effect.succeed({ x })),
        (session) => session.run({ x })
      ).pipe(Effect.scoped, Effect.provide(Host.execution(Plugin.none, host)))
      assert.deepStrictEqual([...(y?.data ?? [])], [0, 4.25, 0, 2.5])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  // A flag of the whole process: in one of its own.
  it.live.skipIf(!Host.hasWide())(
    Host.hasWide()
      ? "with 256-bit vectors, when they give what plain code gives"
      : "with 256-bit vectors (skipped: V8 has none)",
    () =>
      Effect.gen(function* () {
        const folder = yield* workplace
        const ran = yield* child(["bench", `${folder}/net.engine`, "--wide", "--duration", "20 ms", "--json"])
        assert.strictEqual(ran.code, 0, ran.err)
        const json: { readonly wide: boolean; readonly target: string } = JSON.parse(ran.out)
        assert.deepStrictEqual([json.wide, json.target.startsWith("wasm")], [true, true])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
