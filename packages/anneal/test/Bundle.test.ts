// The command in a few files, as it is published: it makes the engines that the packages make, and starts its workers.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { spawnSync } from "node:child_process"
import { fileURLToPath, pathToFileURL } from "node:url"
import { child } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

const script = fileURLToPath(new URL("../../../.ci/bundle.ts", import.meta.url))

const node = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
  return { status, out: stdout, err: stderr }
}

describe("the command in a few files", () => {
  it.live(
    "builds the same engine and the same lock, and checks kernels",
    () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const folder = yield* files.makeTempDirectoryScoped()
        const made = node(script, `${folder}/command`)
        assert.strictEqual(made.status, 0, made.err)
        yield* files.writeFileString(`${folder}/package.json`, `{"type":"module"}`)
        yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
        const options = (name: string) => [
          "build",
          `${folder}/net.onnx`,
          "-o",
          `${folder}/${name}.engine`,
          "--lock",
          `${folder}/${name}.lock`,
          "--no-use-cache"
        ]
        const main = JSON.stringify(pathToFileURL(`${folder}/command/Main.js`).href)
        const args = JSON.stringify(options("bundled"))
        const bundled = node("--input-type=module", "-e", `(await import(${main})).run(${args})`)
        assert.strictEqual(bundled.status, 0, bundled.err)
        assert.match(bundled.out, /[1-9]\d* kernels checked/)
        const source = yield* child(options("source"))
        assert.strictEqual(source.code, 0, source.err)
        for (const kind of ["engine", "lock"])
          assert.deepStrictEqual(
            yield* files.readFile(`${folder}/bundled.${kind}`),
            yield* files.readFile(`${folder}/source.${kind}`)
          )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )
})
