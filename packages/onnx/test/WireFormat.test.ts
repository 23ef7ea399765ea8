import { assert, describe, it } from "@effect/vitest"
import { create, toBinary } from "@bufbuild/protobuf"
import { GraphProtoSchema, ModelProtoSchema, NodeProtoSchema, TensorProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import { OnnxError } from "@anneal/onnx/OnnxError"
import * as WireFormat from "@anneal/onnx/WireFormat"
import { failure } from "./Failure.ts"

const model = create(ModelProtoSchema, {
  irVersion: 8n,
  producerName: "test",
  opsetImport: [{ domain: "", version: 17n }],
  graph: {
    name: "g",
    node: [
      { opType: "Add", name: "n0", input: ["x", "w"], output: ["y"], attribute: [{ name: "axis", i: 1n, type: 2 }] }
    ],
    initializer: [
      { name: "first", dims: [2n], dataType: 1, rawData: new Uint8Array(8) },
      { name: "conv1.weight", dims: [64n], dataType: 1, rawData: new Uint8Array(256).fill(7) }
    ]
  }
})
const bytes = toBinary(ModelProtoSchema, model)
const check = (data: Uint8Array) => WireFormat.check(ModelProtoSchema, data, "m.onnx")

describe("WireFormat", () => {
  it("accepts a well-formed message, and fields of a later version", () => {
    check(bytes)
    // Field 99, length-delimited, three bytes; field 98, varint.
    check(Uint8Array.from([...bytes, 0x9a, 0x06, 3, 1, 2, 3, 0x90, 0x06, 0x96, 0x01]))
    check(new Uint8Array(0))
  })

  it("names the initializer in which the file ends", () => {
    const payload = bytes.lastIndexOf(7)
    const error = failure(() => check(bytes.subarray(0, payload - 100)))
    assert.deepStrictEqual(error.reason, {
      _tag: "Truncated",
      place: 'graph "g".initializer[1] "conv1.weight".raw_data',
      offset: payload - 100,
      missing: 101
    })
    assert.match(error.message, /^m\.onnx: the file is cut short: .*"conv1\.weight".*101 bytes missing/)
  })

  it("never lets a cut file through, unless what is left is a whole message", () => {
    for (let end = 1; end < bytes.length; end++) {
      const part = bytes.subarray(0, end)
      try {
        check(part)
      } catch (error) {
        assert.instanceOf(error, OnnxError)
        assert.strictEqual(error.reason._tag, "Truncated")
        continue
      }
      // The ends of the model's own records: ir_version, producer_name, graph, opset_import (6 bytes).
      assert.include([2, 8, bytes.length - 6, bytes.length], end, `cut at ${end} of ${bytes.length} was accepted`)
    }
  })

  it("survives any single changed byte with a typed answer", () => {
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice()
      changed[at] = (changed[at] ?? 0) ^ 0xff
      try {
        check(changed)
      } catch (error) {
        assert.instanceOf(error, OnnxError)
      }
    }
  })

  it("refuses a child that runs past its parent, inside the file", () => {
    // graph (field 7) of 4 bytes, in it a node (field 1) that claims 9, then more of the model.
    const error = failure(() => check(Uint8Array.of(0x3a, 4, 0x0a, 9, 0, 0, 0x08, 8, 0x08, 8, 0x08, 8, 0x08, 8)))
    assert.strictEqual(error.reason._tag, "NotProtobuf")
    assert.match(error.message, /graph\.node\[0\]/)
  })

  it("refuses a field of another wire type", () => {
    // ir_version (field 1) as a length-delimited record; float_data unpacked.
    assert.match(failure(() => check(Uint8Array.of(0x0a, 1, 65))).message, /ModelProto\.ir_version.*length-delimited/)
    const unpacked = Uint8Array.of(0x25, 0, 0, 0x80, 0x3f)
    assert.match(failure(() => WireFormat.check(TensorProtoSchema, unpacked, "")).message, /float_data.*4 bytes/)
  })

  it("accepts repeated numbers packed and unpacked", () => {
    WireFormat.check(TensorProtoSchema, Uint8Array.of(0x08, 2, 0x08, 3), "")
    WireFormat.check(TensorProtoSchema, Uint8Array.of(0x0a, 2, 2, 3), "")
  })

  it("refuses groups, field 0 and endless numbers", () => {
    for (const data of [
      [0x0b, 0x0c],
      [0x00, 0x00],
      [0x08, ...Array<number>(11).fill(0x80), 0]
    ])
      assert.strictEqual(failure(() => check(Uint8Array.from(data))).reason._tag, "NotProtobuf")
  })

  it("refuses sub-graphs nested without end, and takes fifty levels", () => {
    const nested = (depth: number) => {
      let graph = create(GraphProtoSchema, { name: "leaf" })
      for (let level = 0; level < depth; level++) {
        const node = create(NodeProtoSchema, { opType: "If", attribute: [{ name: "then_branch", g: graph, type: 5 }] })
        graph = create(GraphProtoSchema, { node: [node] })
      }
      return toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph }))
    }
    check(nested(50))
    assert.match(failure(() => check(nested(150))).message, /nested more than/)
  })
})
