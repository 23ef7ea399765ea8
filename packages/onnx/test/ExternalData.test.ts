import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import * as ExternalData from "@anneal/onnx/ExternalData"
import { TensorProto_DataLocation, TensorProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import { failure } from "./Failure.ts"

const root = fs.mkdtempSync(path.join(os.tmpdir(), "external-"))
afterAll(() => fs.rmSync(root, { recursive: true }))
const folder = path.join(root, "model")
fs.mkdirSync(path.join(folder, "weights"), { recursive: true })
const modelPath = path.join(folder, "m.onnx")
fs.writeFileSync(modelPath, "")
fs.writeFileSync(
  path.join(folder, "weights", "w.bin"),
  Uint8Array.from({ length: 32 }, (_, i) => i)
)
fs.writeFileSync(path.join(root, "secret"), new Uint8Array(32))
fs.symlinkSync(path.join(root, "secret"), path.join(folder, "link"))

const make = (entries: Record<string, string>) =>
  create(TensorProtoSchema, {
    name: "w",
    dims: [2n],
    dataType: 1,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value }))
  })

describe("ExternalData", () => {
  it("reads only the range that the tensor names", () => {
    const range = ExternalData.locate(make({ location: "weights/w.bin", offset: "16", length: "8" }), modelPath)
    assert.strictEqual(range.offset, 16)
    assert.strictEqual(range.length, 8)
    const bytes = ExternalData.read(range)
    assert.deepStrictEqual([...bytes], [16, 17, 18, 19, 20, 21, 22, 23])
    assert.strictEqual(bytes.buffer.byteLength, 8)
  })

  it("takes offset 0 and the tensor's own length where they are left out", () => {
    const range = ExternalData.locate(make({ location: "./weights/../weights/w.bin" }), modelPath)
    assert.deepStrictEqual([...ExternalData.read(range)], [0, 1, 2, 3, 4, 5, 6, 7])
  })

  const refused: ReadonlyArray<readonly [string, Record<string, string>, RegExp]> = [
    ["no location", {}, /does not say which file/],
    ["a path upwards", { location: "../secret" }, /leaves the model's folder/],
    ["a path upwards in the middle", { location: "weights/../../secret" }, /leaves the model's folder/],
    ["an absolute path", { location: path.join(root, "secret") }, /must be relative/],
    ["a drive", { location: "C:/secret" }, /must be relative/],
    ["backslashes", { location: "..\\secret" }, /forward slashes/],
    ["a link that leads out", { location: "link" }, /symbolic link leads outside/],
    ["a folder", { location: "weights" }, /not a regular file/],
    ["an absent file", { location: "absent.bin" }, /not there/],
    ["a range past the end", { location: "weights/w.bin", offset: "28" }, /the file has 32/],
    ["another length", { location: "weights/w.bin", length: "12" }, /takes 8 bytes, the model says 12/],
    ["a negative offset", { location: "weights/w.bin", offset: "-8" }, /not a number of bytes/]
  ]
  for (const [what, entries, expected] of refused)
    it(`refuses ${what}`, () => {
      const error = failure(() => ExternalData.locate(make(entries), modelPath))
      assert.strictEqual(error.reason._tag, "ExternalData")
      assert.match(error.message, expected)
      assert.match(error.message, /tensor "w"/)
    })

  it("follows a cache's links when model and data lie in one folder of blobs", () => {
    const blobs = path.join(root, "blobs")
    const snapshot = path.join(root, "snapshot")
    fs.mkdirSync(blobs)
    fs.mkdirSync(snapshot)
    fs.writeFileSync(path.join(blobs, "aa"), "")
    fs.writeFileSync(path.join(blobs, "bb"), new Uint8Array(8).fill(9))
    fs.symlinkSync("../blobs/aa", path.join(snapshot, "m.onnx"))
    fs.symlinkSync("../blobs/bb", path.join(snapshot, "m.onnx_data"))
    const range = ExternalData.locate(make({ location: "m.onnx_data" }), path.join(snapshot, "m.onnx"))
    assert.deepStrictEqual([...ExternalData.read(range)], Array<number>(8).fill(9))
  })

  it("says so when the file shrank after it was located", () => {
    const file = path.join(folder, "shrinking.bin")
    fs.writeFileSync(file, new Uint8Array(8))
    const range = ExternalData.locate(make({ location: "shrinking.bin" }), modelPath)
    fs.truncateSync(file, 5)
    assert.match(failure(() => ExternalData.read(range)).message, /3 bytes too soon/)
    fs.rmSync(file)
    assert.strictEqual(failure(() => ExternalData.read(range)).reason._tag, "ExternalData")
  })
})
