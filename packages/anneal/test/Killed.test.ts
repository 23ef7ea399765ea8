// Builds that are killed outright, at moments spread over a whole build: the engine's path never names half an engine,
// and the build after them finds what they had finished.
import * as Engine from "@anneal/engine/Engine"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { child as run } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

const moments = 10

/** A chain of products with weights of a megabyte, so that writing takes a while. */
const large: OnnxFile.Model = {
  inputs: { x: ["batch", 256] },
  outputs: { y: ["batch", 256] },
  weights: Array.from({ length: 4 }, (_, layer) => ({
    name: `w${layer}`,
    shape: [256, 256],
    values: Array.from({ length: 256 * 256 }, (_, i) => ((i * 7 + layer) % 13) / 64)
  })),
  nodes: Array.from({ length: 4 }, (_, layer) => ({
    op: "MatMul",
    name: `/product${layer}`,
    inputs: [layer === 0 ? "x" : `v${layer}`, `w${layer}`],
    outputs: [layer === 3 ? "y" : `v${layer + 1}`]
  }))
}

describe("a killed build", () => {
  it.live(
    "leaves no half-written engine, and the next one resumes",
    () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const folder = yield* files.makeTempDirectoryScoped()
        yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(large))
        const output = `${folder}/net.engine`
        const args = (cache: string) => [
          "build",
          `${folder}/net.onnx`,
          "-o",
          output,
          "--cache",
          `${folder}/${cache}`,
          "--json"
        ]
        const whole = yield* run(args("other"))
        assert.strictEqual(whole.code, 0, whole.out)
        const expected = yield* files.readFile(output)
        for (let moment = 1; moment <= moments; moment++) {
          yield* files.remove(output, { force: true })
          yield* run(args("cache"), (whole.took * moment) / (moments + 1))
          if (!(yield* files.exists(output))) continue
          const bytes = yield* files.readFile(output)
          Engine.verify(Engine.parse(bytes, output))
          assert.deepStrictEqual(bytes, expected)
        }
        const last = yield* run(args("cache"))
        assert.strictEqual(last.code, 0, last.out)
        assert.match(last.out, /"hits": [1-9]/)
        assert.deepStrictEqual(yield* files.readFile(output), expected)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )
})
