// ONNX's element types: the code in `TensorProto.data_type`, the width, and the field that holds elements when they are
// not raw bytes.
//
// Source: the comments of TensorProto in the ONNX IR specification.

/** The typed fields of TensorProto; `raw_data` can stand in for each but `string_data`. */
export type StorageField = "float_data" | "int32_data" | "int64_data" | "double_data" | "uint64_data" | "string_data"

export interface DataType {
  /** The value of `TensorProto.DataType`. */
  readonly code: number
  /** The name, as ONNX writes it in lower case. */
  readonly name: string
  /** Bits of one element; 0 for strings. Elements below 8 bits are packed, the first in the lowest bits. */
  readonly bits: number
  readonly field: StorageField
}

export const all: ReadonlyArray<DataType> = [
  { code: 1, name: "float", bits: 32, field: "float_data" },
  { code: 2, name: "uint8", bits: 8, field: "int32_data" },
  { code: 3, name: "int8", bits: 8, field: "int32_data" },
  { code: 4, name: "uint16", bits: 16, field: "int32_data" },
  { code: 5, name: "int16", bits: 16, field: "int32_data" },
  { code: 6, name: "int32", bits: 32, field: "int32_data" },
  { code: 7, name: "int64", bits: 64, field: "int64_data" },
  { code: 8, name: "string", bits: 0, field: "string_data" },
  { code: 9, name: "bool", bits: 8, field: "int32_data" },
  { code: 10, name: "float16", bits: 16, field: "int32_data" },
  { code: 11, name: "double", bits: 64, field: "double_data" },
  { code: 12, name: "uint32", bits: 32, field: "uint64_data" },
  { code: 13, name: "uint64", bits: 64, field: "uint64_data" },
  { code: 14, name: "complex64", bits: 64, field: "float_data" },
  { code: 15, name: "complex128", bits: 128, field: "double_data" },
  { code: 16, name: "bfloat16", bits: 16, field: "int32_data" },
  { code: 17, name: "float8e4m3fn", bits: 8, field: "int32_data" },
  { code: 18, name: "float8e4m3fnuz", bits: 8, field: "int32_data" },
  { code: 19, name: "float8e5m2", bits: 8, field: "int32_data" },
  { code: 20, name: "float8e5m2fnuz", bits: 8, field: "int32_data" },
  { code: 21, name: "uint4", bits: 4, field: "int32_data" },
  { code: 22, name: "int4", bits: 4, field: "int32_data" },
  { code: 23, name: "float4e2m1", bits: 4, field: "int32_data" },
  { code: 24, name: "float8e8m0", bits: 8, field: "int32_data" },
  { code: 25, name: "uint2", bits: 2, field: "int32_data" },
  { code: 26, name: "int2", bits: 2, field: "int32_data" }
]

const byCode: ReadonlyMap<number, DataType> = new Map(all.map((type) => [type.code, type]))
const byName: ReadonlyMap<string, DataType> = new Map(all.map((type) => [type.name, type]))

/** The type with this code; undefined for UNDEFINED (0) and for types of a later ONNX. */
export const fromCode = (code: number): DataType | undefined => byCode.get(code)

/** The type with this name (`"float"`, `"bfloat16"`); undefined when there is none. */
export const fromName = (name: string): DataType | undefined => byName.get(name)

/** Bytes that `count` elements take as raw data; sub-byte elements fill up their last byte. */
export const byteLength = (type: DataType, count: number): number => Math.ceil((count * type.bits) / 8)
