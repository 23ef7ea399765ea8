// ONNX's element types and the IR's: FLOAT ⇔ f32, FLOAT8E4M3FN ⇔ f8e4m3. Strings, complex numbers and the formats that
// the IR has no type for have no counterpart.
import type { DType } from "@anneal/ir/DType"
import * as DataType from "./DataType.ts"

const pairs: ReadonlyArray<readonly [onnx: string, ir: DType]> = [
  ["float", "f32"],
  ["double", "f64"],
  ["float16", "f16"],
  ["bfloat16", "bf16"],
  ["float8e4m3fn", "f8e4m3"],
  ["float8e5m2", "f8e5m2"],
  ["bool", "bool"],
  ["int4", "i4"],
  ["int8", "i8"],
  ["int16", "i16"],
  ["int32", "i32"],
  ["int64", "i64"],
  ["uint4", "u4"],
  ["uint8", "u8"],
  ["uint16", "u16"],
  ["uint32", "u32"],
  ["uint64", "u64"]
]

const toIr: ReadonlyMap<string, DType> = new Map(pairs)
const toOnnx: ReadonlyMap<DType, string> = new Map(pairs.map(([onnx, ir]) => [ir, onnx]))

/** The IR's type for a code of `TensorProto.DataType`; undefined when the IR has none. */
export const fromCode = (code: number): DType | undefined => toIr.get(DataType.fromCode(code)?.name ?? "")

/** What a code is called, for messages. */
export const nameOf = (code: number): string => DataType.fromCode(code)?.name ?? `type ${code}`

/** ONNX's type of an IR dtype. */
export const toDataType = (dtype: DType): DataType.DataType => {
  const found = DataType.fromName(toOnnx.get(dtype) ?? "")
  if (found === undefined) throw new RangeError(`no ONNX type for ${dtype}`)
  return found
}
