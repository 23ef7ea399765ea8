// The real models: built with every pass and every check on, then held against known outputs. Skipped where the folder
// of models is not there; the project's own examples carry their models.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { command } from "./Command.ts"

const models = fileURLToPath(new URL("../../../../shared/models", import.meta.url))

const names: ReadonlyArray<string> = [
  "mnist-8",
  "resnet8-cifar10",
  "ultraface-rfb320",
  "silero-vad-v6",
  "nnsplit-en",
  "retsim-v1",
  "magika-v3_3",
  "stories260k"
]

describe("the real models", () => {
  for (const name of names) {
    const model = `${models}/${name}`
    const absent = !existsSync(`${model}/model.onnx`)
    const title = absent ? `${name} (skipped: ../shared/models/${name} is not there)` : name
    it.live.skipIf(absent)(
      title,
      () =>
        Effect.gen(function* () {
          const files = yield* FileSystem.FileSystem
          const folder = yield* files.makeTempDirectoryScoped()
          const engine = `${folder}/${name}.engine`
          const built = yield* command("build", `${model}/model.onnx`, "-o", engine, "--cache", `${folder}/cache`)
          assert.strictEqual(built.code, 0, built.err)
          const tolerance = ["--rtol", "1e-3", "--atol", "1e-4"]
          const compared = yield* command("compare", engine, "--cases", `${model}/golden`, ...tolerance)
          assert.strictEqual(compared.code, 0, `${compared.out}\n${compared.err}`)
          assert.match(compared.out, /all \d+ comparisons agree/)
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
      600_000
    )
  }
})
