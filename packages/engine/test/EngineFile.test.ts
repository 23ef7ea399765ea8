import * as Engine from "@anneal/engine/Engine"
import * as EngineFile from "@anneal/engine/EngineFile"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as SmallDisk from "@anneal/testing/SmallDisk"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Model from "./Model.ts"

const folder = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())

describe("engines on disk", () => {
  it.effect("are written whole and read back", () =>
    Effect.gen(function* () {
      const path = `${yield* folder}/net.engine`
      const layout = Engine.assemble(Model.input())
      yield* EngineFile.write(path, layout)
      const files = yield* FileSystem.FileSystem
      assert.deepStrictEqual(yield* files.readFile(path), Safetensors.toBytes(layout))
      const engine = yield* EngineFile.read(path)
      assert.strictEqual(engine.file, path)
      assert.strictEqual(engine.manifest.model.name, "net")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("leave the old file and nothing else when the disk is full, at any byte", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const directory = yield* folder
      const path = `${directory}/net.engine`
      const layout = Engine.assemble(Model.input())
      yield* files.writeFileString(path, "old")
      for (const capacity of [0, 1, layout.header.length, layout.byteLength - 1]) {
        const error = yield* Effect.flip(Effect.provide(EngineFile.write(path, layout), SmallDisk.layer(capacity)))
        assert.strictEqual(error.reason, "DiskFull")
        assert.include(error.message, "Free some space")
        assert.deepStrictEqual(yield* files.readDirectory(directory), ["net.engine"])
        assert.strictEqual(yield* files.readFileString(path), "old")
      }
      yield* Effect.provide(EngineFile.write(path, layout), SmallDisk.layer(layout.byteLength))
      assert.strictEqual((yield* EngineFile.read(path)).manifest.model.name, "net")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("that are not there, or have no folder, are refused in words", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const absent = yield* Effect.flip(EngineFile.read(`${directory}/absent.engine`))
      assert.include(absent.message, "there is no such file")
      const nowhere = EngineFile.write(`${directory}/no/such/net.engine`, Engine.assemble(Model.input()))
      assert.include((yield* Effect.flip(nowhere)).message, "there is no such folder")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
