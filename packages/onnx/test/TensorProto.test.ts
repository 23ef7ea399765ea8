import { assert, describe, it } from "@effect/vitest"
import { create, toBinary } from "@bufbuild/protobuf"
import type { MessageInitShape } from "@bufbuild/protobuf"
import * as DataType from "@anneal/onnx/DataType"
import { TensorProto_DataLocation, TensorProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import * as Tensor from "@anneal/onnx/TensorProto"
import * as Wire from "@anneal/onnx/Wire"
import { failure } from "./Failure.ts"

const make = (init: MessageInitShape<typeof TensorProtoSchema>) => create(TensorProtoSchema, { name: "w", ...init })
const typeOf = (name: string): DataType.DataType => {
  const type = DataType.fromName(name)
  if (type === undefined) throw new Error(`no type ${name}`)
  return type
}
const code = (name: string): number => typeOf(name).code
/** A packed field: its numbers as 64-bit varints. */
const packed = (...values: ReadonlyArray<number | bigint>): Uint8Array => {
  const result: Array<number> = []
  for (const value of values) {
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest > 127n; rest >>= 7n) result.push(Number(rest & 127n) | 128)
    result.push(Number(rest))
  }
  return Uint8Array.from(result)
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const little = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

describe("TensorProto", () => {
  it("knows every data type once, with the width that its storage takes", () => {
    assert.deepStrictEqual(
      DataType.all.map((type) => type.code),
      Array.from({ length: 26 }, (_, i) => i + 1)
    )
    for (const type of DataType.all) assert.strictEqual(DataType.fromName(type.name), type)
    const widths = (name: string) => [1, 2, 3, 5].map((count) => DataType.byteLength(typeOf(name), count))
    assert.deepStrictEqual(widths("int4"), [1, 1, 2, 3])
    assert.deepStrictEqual(widths("uint2"), [1, 1, 1, 2])
    assert.deepStrictEqual(widths("complex128"), [16, 32, 48, 80])
  })

  it("gives raw data as a view, without a copy", () => {
    const rawData = Uint8Array.of(0, 0, 128, 63)
    const proto = make({ dims: [1n], dataType: code("float"), rawData })
    assert.strictEqual(Tensor.bytes(proto), rawData)
    assert.deepStrictEqual(Tensor.header(proto), {
      name: "w",
      type: typeOf("float"),
      dims: [1],
      size: 1,
      byteLength: 4
    })
  })

  it("gives float and double data as a view of the packed field", () => {
    const floats = little(Float32Array.of(1.5, -2))
    assert.strictEqual(Tensor.bytes(make({ dims: [2n], dataType: code("float"), floatData: [floats] })), floats)
    assert.strictEqual(Tensor.bytes(make({ dims: [1n], dataType: code("complex64"), floatData: [floats] })), floats)
    const doubles = little(Float64Array.of(0.1, 3))
    assert.strictEqual(Tensor.bytes(make({ dims: [2n], dataType: code("double"), doubleData: [doubles] })), doubles)
    assert.strictEqual(Tensor.bytes(make({ dims: [], dataType: code("complex128"), doubleData: [doubles] })), doubles)
  })

  it("joins a packed field that came in several records", () => {
    const parts = [little(Float32Array.of(1)), little(Float32Array.of(2))]
    const proto = make({ dims: [2n], dataType: code("float"), floatData: parts })
    const again = Wire.decodeTensor(toBinary(TensorProtoSchema, proto), "")
    assert.strictEqual(hex(Tensor.bytes(again)), hex(little(Float32Array.of(1, 2))))
  })

  const cases: ReadonlyArray<readonly [string, string, ReadonlyArray<number | bigint>, number, string]> = [
    [
      "int32",
      "int32Data",
      [1, -1, 2147483647, -2147483648],
      4,
      hex(little(Int32Array.of(1, -1, 2147483647, -2147483648)))
    ],
    ["int16", "int32Data", [-32768, 300], 2, "00802c01"],
    ["uint16", "int32Data", [65535, 1], 2, "ffff0100"],
    ["int8", "int32Data", [-1, -128, 127], 3, "ff807f"],
    ["uint8", "int32Data", [255, 0], 2, "ff00"],
    ["bool", "int32Data", [1, 0, 5], 3, "010001"],
    ["float16", "int32Data", [0x3c00, 0xc000], 2, "003c00c0"],
    ["bfloat16", "int32Data", [0x3f80, 0xbf80], 2, "803f80bf"],
    ["float8e4m3fn", "int32Data", [0x38, 0xff], 2, "38ff"],
    ["float8e5m2", "int32Data", [0x3c], 1, "3c"],
    ["int4", "int32Data", [0x21, 0x0f], 3, "210f"],
    ["uint4", "int32Data", [0xfe], 2, "fe"],
    ["float4e2m1", "int32Data", [0x72], 1, "72"],
    ["int2", "int32Data", [0xe4, 0x01], 5, "e401"],
    ["uint2", "int32Data", [0xe4], 4, "e4"],
    ["int64", "int64Data", [-1n, 1n << 62n, 7n], 3, hex(little(BigInt64Array.of(-1n, 1n << 62n, 7n)))],
    [
      "uint64",
      "uint64Data",
      [(1n << 64n) - 1n, 1n << 35n],
      2,
      hex(little(BigUint64Array.of((1n << 64n) - 1n, 1n << 35n)))
    ],
    ["uint32", "uint64Data", [4294967295n, 0], 2, "ffffffff00000000"]
  ]
  for (const [name, field, values, size, expected] of cases)
    it(`reads ${name} from its typed field`, () => {
      const proto = make({ dims: [BigInt(size)], dataType: code(name), [field]: [packed(...values)] })
      assert.strictEqual(hex(Tensor.bytes(proto)), expected)
      // The way back: raw data, the same bytes.
      const encoded = Tensor.encode("w", typeOf(name), [size], Tensor.bytes(proto))
      const decoded = Wire.decodeTensor(toBinary(TensorProtoSchema, encoded), "")
      assert.strictEqual(hex(Tensor.bytes(decoded)), expected)
      assert.deepStrictEqual(Tensor.header(decoded), Tensor.header(proto))
    })

  it("names the tensor whose data has another length", () => {
    const short = failure(() =>
      Tensor.bytes(make({ dims: [2n, 3n], dataType: 1, rawData: new Uint8Array(20) }), "m.onnx")
    )
    assert.deepStrictEqual(short.reason, {
      _tag: "TensorLength",
      tensor: "w",
      type: "float[2,3]",
      field: "raw_data",
      unit: "bytes",
      expected: 24,
      found: 20
    })
    assert.strictEqual(
      short.message,
      'm.onnx: tensor "w" is float[2,3], which takes 24 bytes, but its raw_data holds 20 bytes'
    )
    const lengths = [
      make({ dims: [2n], dataType: code("int64"), int64Data: [packed(1)] }),
      make({ dims: [3n], dataType: code("int4"), int32Data: [packed(1, 2, 3)] }),
      make({ dims: [2n], dataType: code("float"), floatData: [new Uint8Array(7)] }),
      make({ dims: [2n], dataType: code("double") }),
      make({ dims: [2n], dataType: code("string"), stringData: [] })
    ]
    for (const proto of lengths) {
      const error = failure(() => (proto.dataType === 8 ? Tensor.strings(proto) : Tensor.bytes(proto)))
      assert.strictEqual(error.reason._tag, "TensorLength")
    }
  })

  it("refuses types, shapes and storage that make no sense", () => {
    const bad: ReadonlyArray<readonly [MessageInitShape<typeof TensorProtoSchema>, RegExp]> = [
      [{ dataType: 0 }, /no data type/],
      [{ dataType: 77 }, /no data type 77/],
      [{ dataType: 1, dims: [-1n] }, /negative extent/],
      [{ dataType: 1, dims: [1n << 40n, 1n << 40n] }, /too large/],
      [{ dataType: 1, segment: { begin: 0n, end: 1n } }, /segments/],
      [
        { dataType: 1, dims: [1n], rawData: new Uint8Array(4), floatData: [new Uint8Array(4)] },
        /both raw_data and float_data/
      ],
      [{ dataType: 3, dims: [1n], int32Data: [packed(256)] }, /element 0 of its int32_data does not fit int8/],
      [{ dataType: 3, dims: [2n], int32Data: [packed(1, -129)] }, /element 1 .* does not fit int8/],
      [{ dataType: 12, dims: [1n], uint64Data: [packed(1n << 32n)] }, /does not fit uint32/],
      [{ dataType: 6, dims: [1n], int32Data: [Uint8Array.of(0x80)] }, /ends inside a number/],
      [{ dataType: 8, dims: [0n] }, /strings/],
      [{ dataType: 1, dims: [1n], dataLocation: TensorProto_DataLocation.EXTERNAL }, /file of its own/]
    ]
    for (const [init, expected] of bad) assert.match(failure(() => Tensor.bytes(make(init))).message, expected)
    assert.match(failure(() => Tensor.strings(make({ dataType: 1 }))).message, /float\[\], not strings/)
  })

  it("takes empty tensors in every form, and a scalar", () => {
    assert.strictEqual(Tensor.bytes(make({ dims: [0n, 4n], dataType: 1 })).byteLength, 0)
    assert.strictEqual(Tensor.bytes(make({ dims: [0n], dataType: 1, rawData: new Uint8Array(0) })).byteLength, 0)
    assert.strictEqual(Tensor.bytes(make({ dims: [0n], dataType: 7 })).byteLength, 0)
    assert.strictEqual(hex(Tensor.bytes(make({ dims: [], dataType: 7, int64Data: [packed(3)] }))), "0300000000000000")
  })

  it("copies only to align", () => {
    const buffer = new Uint8Array(32)
    const even = buffer.subarray(8, 16)
    assert.strictEqual(Tensor.aligned(even, 8), even)
    const odd = Tensor.aligned(buffer.subarray(9, 17), 8)
    assert.strictEqual(odd.byteOffset % 8, 0)
    assert.strictEqual(odd.byteLength, 8)
    assert.notStrictEqual(odd.buffer, buffer.buffer)
    const fromBuffer = Tensor.aligned(Buffer.from(buffer.buffer, 9, 8), 8)
    assert.strictEqual(fromBuffer.byteOffset % 8, 0)
    assert.notStrictEqual(fromBuffer.buffer, buffer.buffer)
  })

  it("reads and writes strings", () => {
    const proto = Tensor.encodeStrings("s", [2], ["grüße", ""])
    assert.deepStrictEqual(Tensor.strings(Wire.decodeTensor(toBinary(TensorProtoSchema, proto), "")), ["grüße", ""])
  })

  it("refuses to encode bytes that do not fit the shape", () => {
    assert.strictEqual(
      failure(() => Tensor.encode("w", typeOf("float"), [2], new Uint8Array(4))).reason._tag,
      "TensorLength"
    )
  })
})
