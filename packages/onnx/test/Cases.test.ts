import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { execFileSync } from "node:child_process"
import { afterAll } from "vitest"
import { assert, describe, it } from "@effect/vitest"
import { create, toBinary } from "@bufbuild/protobuf"
import * as Cases from "../conformance/Cases.ts"
import {
  ModelProtoSchema,
  OptionalProtoSchema,
  SequenceProtoSchema,
  TensorProtoSchema,
  TypeProtoSchema
} from "@anneal/onnx/gen/onnx_pb"

const root = fs.mkdtempSync(path.join(os.tmpdir(), "cases-"))
afterAll(() => fs.rmSync(root, { recursive: true }))

const tensorType = create(TypeProtoSchema, { value: { case: "tensorType", value: { elemType: 1 } } })
const sequenceType = create(TypeProtoSchema, { value: { case: "sequenceType", value: { elemType: tensorType } } })
const optionalType = create(TypeProtoSchema, { value: { case: "optionalType", value: { elemType: tensorType } } })
const scalar = create(TensorProtoSchema, { dataType: 1, rawData: new Uint8Array(4) })

const writeCase = (name: string) => {
  const set = path.join(root, "node", name, "test_data_set_0")
  fs.mkdirSync(set, { recursive: true })
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ version: 18n }],
    graph: {
      input: [{ type: tensorType }, { type: sequenceType }, { type: optionalType }],
      output: [{ type: tensorType }]
    }
  })
  fs.writeFileSync(path.join(root, "node", name, "model.onnx"), toBinary(ModelProtoSchema, model))
  fs.writeFileSync(path.join(set, "input_0.pb"), toBinary(TensorProtoSchema, scalar))
  const sequence = create(SequenceProtoSchema, { elemType: 1, tensorValues: [scalar, scalar] })
  fs.writeFileSync(path.join(set, "input_1.pb"), toBinary(SequenceProtoSchema, sequence))
  fs.writeFileSync(path.join(set, "input_2.pb"), toBinary(OptionalProtoSchema, create(OptionalProtoSchema)))
  fs.writeFileSync(path.join(set, "output_0.pb"), toBinary(TensorProtoSchema, scalar))
}
writeCase("test_b")
writeCase("test_a")

describe("conformance cases", () => {
  it("unpacks an archive, lists its cases by name and loads their values by declared type", () => {
    const archive = path.join(root, "cases.tar")
    execFileSync("tar", ["-cf", archive, "-C", root, "node"])
    const folder = Cases.unpack(archive)
    try {
      const folders = Cases.list(folder)
      assert.deepStrictEqual(
        folders.map((name) => path.basename(name)),
        ["test_a", "test_b"]
      )
      const loaded = Cases.load(folders[0] ?? "")
      assert.strictEqual(loaded.name, "test_a")
      assert.deepStrictEqual(loaded.dataSets[0]?.inputs.map(Cases.describe), [
        "float[]",
        "sequence(float[] float[])",
        "none"
      ])
      assert.deepStrictEqual(loaded.dataSets[0]?.outputs.map(Cases.describe), ["float[]"])
    } finally {
      Cases.discard(folder)
    }
    assert.isFalse(fs.existsSync(folder))
  })
})
