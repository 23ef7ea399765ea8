import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { create, equals } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import { ModelProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import { OnnxError } from "@anneal/onnx/OnnxError"
import * as Wire from "@anneal/onnx/Wire"
import { failure } from "./Failure.ts"

const make = (opset: bigint, domain = "") =>
  create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [{ domain, version: opset }],
    graph: {
      name: "g",
      node: [{ opType: "Cast", input: ["x"], output: ["y"], attribute: [{ name: "to", i: 0n, f: 0, type: 2 }] }],
      initializer: [{ name: "w", dims: [3n], dataType: 2, rawData: Uint8Array.of(1, 2, 3) }]
    }
  })

const models = fileURLToPath(new URL("../../../../shared/models", import.meta.url))
const haveModels = fs.existsSync(models)

describe("Wire", () => {
  it("decodes what it encodes, and weights stay views of the bytes", () => {
    const bytes = Wire.encodeModel(make(17n))
    const model = Wire.decodeModel(bytes, "m")
    assert.strictEqual(model.graph?.node[0]?.opType, "Cast")
    const raw = model.graph?.initializer[0]?.rawData
    assert.strictEqual(raw?.buffer, bytes.buffer)
    assert.deepStrictEqual([...(raw ?? [])], [1, 2, 3])
    assert.deepStrictEqual(Wire.encodeModel(model), bytes)
  })

  it("gives plain views, also of a Buffer", () => {
    const bytes = Buffer.from(Wire.encodeModel(make(17n)))
    const raw = Wire.decodeModel(bytes, "m").graph?.initializer[0]?.rawData
    assert.strictEqual(raw?.buffer, bytes.buffer)
    assert.strictEqual(raw?.constructor, Uint8Array)
  })

  it("keeps zero-valued attributes and fields that it does not know", () => {
    const bytes = Uint8Array.from([...Wire.encodeModel(make(17n)), 0x9a, 0x06, 2, 5, 6])
    const model = Wire.decodeModel(bytes, "m")
    assert.isTrue(Object.hasOwn(model.graph?.node[0]?.attribute[0] ?? {}, "i"))
    assert.deepStrictEqual(Wire.encodeModel(model), bytes)
  })

  it("refuses an opset newer than it knows, and takes the newest", () => {
    assert.strictEqual(Wire.decodeModel(Wire.encodeModel(make(27n)), "m").opsetImport[0]?.version, 27n)
    const error = failure(() => Wire.decodeModel(Wire.encodeModel(make(28n)), "m"))
    assert.deepStrictEqual(error.reason, { _tag: "OpsetTooNew", domain: "ai.onnx", version: 28, newest: 27 })
    assert.match(error.message, /opset 28 of ai\.onnx.*Export it with opset 27/)
    // Other people's domains have versions of their own.
    assert.strictEqual(Wire.decodeModel(Wire.encodeModel(make(99n, "com.example")), "m").opsetImport[0]?.version, 99n)
  })

  it("refuses messages that are no model", () => {
    const reason = (model: Parameters<typeof Wire.encodeModel>[0]) =>
      failure(() => Wire.decodeModel(Wire.encodeModel(model), "m")).message
    assert.match(reason(create(ModelProtoSchema, { irVersion: 8n })), /no graph/)
    assert.match(reason(create(ModelProtoSchema, { graph: {} })), /IR version/)
    assert.match(reason(create(ModelProtoSchema, { irVersion: 8n, graph: {} })), /operator set/)
  })

  it("says what a foreign file is", () => {
    const foreign: ReadonlyArray<readonly [string, RegExp]> = [
      ["", /empty/],
      ["version https://git-lfs.github.com/spec/v1\noid sha256:0", /git lfs pull/],
      ["PK\u0003\u0004abc", /PyTorch/],
      ["\u0089HDF\r\n\u001a\n", /HDF5/],
      ["\u001c\0\0\0TFL3", /TensorFlow Lite/],
      ['\u0010\0\0\0\0\0\0\0{"__metadata__"', /safetensors/],
      ["<!DOCTYPE html><html>", /web page/],
      ["hello, this is plain text", /not an ONNX/]
    ]
    for (const [text, expected] of foreign) {
      const error = failure(() => Wire.decodeModel(Buffer.from(text, "latin1"), "x.onnx"))
      assert.match(error.message, expected)
      assert.include(["NotProtobuf", "Truncated"], error.reason._tag)
    }
  })

  it.effect("reads a file, and says which one it cannot read", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "wire-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true })))
      const file = path.join(folder, "m.onnx")
      fs.writeFileSync(file, Wire.encodeModel(make(17n)))
      const read = yield* Wire.read(file)
      assert.strictEqual(read.path, file)
      assert.strictEqual(read.model.graph?.name, "g")
      const absent = yield* Effect.flip(Wire.read(path.join(folder, "absent.onnx")))
      assert.instanceOf(absent, OnnxError)
      assert.strictEqual(absent.reason._tag, "Unreadable")
      fs.writeFileSync(file, "not a model")
      const broken = yield* Effect.flip(Wire.read(file))
      assert.include(broken.message, file)
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.skipIf(!haveModels)("writes real models back with nothing lost (needs ../shared/models)", () => {
    const names = fs.readdirSync(models).filter((name) => fs.existsSync(path.join(models, name, "model.onnx")))
    assert.isAbove(names.length, 0)
    for (const name of names) {
      const bytes = fs.readFileSync(path.join(models, name, "model.onnx"))
      const model = Wire.decodeModel(bytes, name)
      const again = Wire.encodeModel(model)
      // Not every writer keeps fields in order or packs alike, so the bytes may move; the message may not change.
      assert.isTrue(equals(ModelProtoSchema, model, Wire.decodeModel(again, name)), name)
      assert.deepStrictEqual(Wire.encodeModel(Wire.decodeModel(again, name)), again, name)
    }
  })
})
