// A TensorProto's type, shape and bytes, whichever field holds them, and the way back.
//
// { dims: [2], data_type: FLOAT16, int32_data: [15360, 16384] }  ⇒  float16[2], bytes 00 3c 00 40
//
// The bytes are those of `raw_data`: little-endian, row-major, sub-byte elements packed from the lowest bits. They are a
// view of the file wherever the file already has that form (raw_data, float_data, double_data).
import { create } from "@bufbuild/protobuf"
import * as DataType from "./DataType.ts"
import type { TensorProto } from "./gen/onnx_pb.ts"
import { TensorProto_DataLocation, TensorProtoSchema } from "./gen/onnx_pb.ts"
import { refuse } from "./OnnxError.ts"
import * as Varints from "./Varints.ts"

/** What a tensor is, without its data. */
export interface Header {
  readonly name: string
  readonly type: DataType.DataType
  /** Extents, outermost first; `[]` is a scalar. */
  readonly dims: ReadonlyArray<number>
  /** Number of elements. */
  readonly size: number
  /** Bytes of the elements as raw data; 0 for strings. */
  readonly byteLength: number
}

/** `float[2,3]`, for messages. */
export const typeText = (header: Header): string => `${header.type.name}[${header.dims.join(",")}]`

/** Type and shape; `source` names the file in errors. Throws `OnnxError` (`BadTensor`). */
export const header = (proto: TensorProto, source = ""): Header => {
  const bad = (detail: string) => refuse(source, { _tag: "BadTensor", tensor: proto.name, detail })
  const type = DataType.fromCode(proto.dataType)
  if (type === undefined)
    return bad(proto.dataType === 0 ? "it has no data type" : `there is no data type ${proto.dataType} up to ONNX 1.22`)
  if (proto.segment !== undefined)
    return bad("its data is split in segments, which no ONNX version defines a reader for")
  let size = 1
  const dims = proto.dims.map((dim) => {
    if (dim < 0n) return bad(`its shape [${proto.dims.join(",")}] has a negative extent`)
    size *= Number(dim)
    return Number(dim)
  })
  if (size * Math.max(1, type.bits) > Number.MAX_SAFE_INTEGER) return bad(`its shape [${dims.join(",")}] is too large`)
  return { name: proto.name, type, dims, size, byteLength: DataType.byteLength(type, size) }
}

/** Whether the data lies in a file beside the model (`ExternalData.ts`). */
export const isExternal = (proto: TensorProto): boolean => proto.dataLocation === TensorProto_DataLocation.EXTERNAL

const chunksOf = (proto: TensorProto, field: DataType.StorageField): ReadonlyArray<Uint8Array> => {
  switch (field) {
    case "float_data":
      return proto.floatData
    case "int32_data":
      return proto.int32Data
    case "int64_data":
      return proto.int64Data
    case "double_data":
      return proto.doubleData
    case "uint64_data":
      return proto.uint64Data
    case "string_data":
      return proto.stringData
  }
}

const joined = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = chunks
  if (only !== undefined && chunks.length === 1) return only
  const result = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0))
  let at = 0
  for (const chunk of chunks) {
    result.set(chunk, at)
    at += chunk.byteLength
  }
  return result
}

/** `raw_data` counts as present when it was written, or when it is what an empty tensor would have. */
const hasRaw = (proto: TensorProto): boolean => Object.hasOwn(proto, "rawData")

/**
 * The elements of a tensor that keeps them in the message. Nothing is copied for raw, float and double data; the view may
 * start at any byte: see `aligned`. Throws `OnnxError`: `TensorLength`, or `BadTensor` for strings, external data and
 * values that do not fit the type.
 */
export const bytes = (proto: TensorProto, source = ""): Uint8Array => {
  const tensor = header(proto, source)
  const { type } = tensor
  const bad = (detail: string) => refuse(source, { _tag: "BadTensor", tensor: proto.name, detail })
  const length = (field: string, unit: "bytes" | "elements", expected: number, found: number) =>
    refuse(source, { _tag: "TensorLength", tensor: proto.name, type: typeText(tensor), field, unit, expected, found })
  if (type.name === "string") return bad("strings have no bytes; read them as strings")
  if (isExternal(proto)) return bad("its data is not in the message but in a file of its own")
  const chunks = chunksOf(proto, type.field)
  const typed = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
  if (hasRaw(proto) && proto.rawData.byteLength > 0 && typed > 0) return bad(`it has both raw_data and ${type.field}`)
  if (hasRaw(proto) && typed === 0) {
    if (proto.rawData.byteLength !== tensor.byteLength)
      return length("raw_data", "bytes", tensor.byteLength, proto.rawData.byteLength)
    return proto.rawData
  }
  if (type.field === "float_data" || type.field === "double_data") {
    if (typed !== tensor.byteLength) return length(type.field, "bytes", tensor.byteLength, typed)
    return joined(chunks)
  }
  // One number an element, or one a packed byte.
  const expected = type.bits < 8 ? tensor.byteLength : tensor.size
  const packed = joined(chunks)
  const found = Varints.count(packed)
  if (found === undefined) return bad(`its ${type.field} ends inside a number`)
  if (found !== expected) return length(type.field, "elements", expected, found)
  const width = Math.max(8, type.bits)
  const elements = Varints.decode(packed, found, width)
  if (typeof elements === "number") return bad(`element ${elements} of its ${type.field} does not fit ${type.name}`)
  if (type.name === "bool") for (let i = 0; i < elements.length; i++) elements[i] = elements[i] === 0 ? 0 : 1
  return elements
}

const decoder = new TextDecoder()

/** The elements of a string tensor. Throws `OnnxError`. */
export const strings = (proto: TensorProto, source = ""): ReadonlyArray<string> => {
  const tensor = header(proto, source)
  if (tensor.type.name !== "string")
    return refuse(source, { _tag: "BadTensor", tensor: proto.name, detail: `it is ${typeText(tensor)}, not strings` })
  if (proto.stringData.length !== tensor.size)
    return refuse(source, {
      _tag: "TensorLength",
      tensor: proto.name,
      type: typeText(tensor),
      field: "string_data",
      unit: "elements",
      expected: tensor.size,
      found: proto.stringData.length
    })
  return proto.stringData.map((text) => decoder.decode(text))
}

/**
 * The same bytes, starting at a multiple of `alignment`: a copy only where the view does not already. (`slice` would not
 * do: on a Buffer it gives another view.)
 */
export const aligned = (view: Uint8Array, alignment: number): Uint8Array =>
  view.byteOffset % alignment === 0 ? view : new Uint8Array(view)

/** A tensor with raw data. `data` is held, not copied. Throws `OnnxError` (`TensorLength`, `BadTensor`). */
export const encode = (
  name: string,
  type: DataType.DataType,
  dims: ReadonlyArray<number>,
  data: Uint8Array
): TensorProto => {
  const proto = create(TensorProtoSchema, { name, dataType: type.code, dims: dims.map(BigInt), rawData: data })
  bytes(proto)
  return proto
}

/** A tensor of strings. Throws `OnnxError` (`TensorLength`). */
export const encodeStrings = (
  name: string,
  dims: ReadonlyArray<number>,
  values: ReadonlyArray<string>
): TensorProto => {
  const encoder = new TextEncoder()
  const proto = create(TensorProtoSchema, {
    name,
    dataType: 8,
    dims: dims.map(BigInt),
    stringData: values.map((value) => encoder.encode(value))
  })
  strings(proto)
  return proto
}
