// Element types: their names, widths and the typed array that holds them.
//
// One element takes one slot of its storage array, sub-byte integers too (they are packed only in files). The narrow
// floats (f16, bf16, f8e4m3, f8e5m2) are kept as their bits; `Float.ts` converts.

/** Element type of a tensor. `f8e4m3` is ONNX's FLOAT8E4M3FN (no infinities), `f8e5m2` its FLOAT8E5M2. */
export type DType =
  | "bool"
  | "i4"
  | "i8"
  | "i16"
  | "i32"
  | "i64"
  | "u4"
  | "u8"
  | "u16"
  | "u32"
  | "u64"
  | "f8e4m3"
  | "f8e5m2"
  | "f16"
  | "bf16"
  | "f32"
  | "f64"

export const all: ReadonlyArray<DType> = [
  "bool",
  "i4",
  "i8",
  "i16",
  "i32",
  "i64",
  "u4",
  "u8",
  "u16",
  "u32",
  "u64",
  "f8e4m3",
  "f8e5m2",
  "f16",
  "bf16",
  "f32",
  "f64"
]

/** Whether `text` names an element type. */
export const is = (text: unknown): text is DType => all.some((dtype) => dtype === text)

/** The typed array that stores each element type, one element a slot. */
export interface Storage {
  readonly bool: Uint8Array
  readonly i4: Int8Array
  readonly i8: Int8Array
  readonly i16: Int16Array
  readonly i32: Int32Array
  readonly i64: BigInt64Array
  readonly u4: Uint8Array
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly u64: BigUint64Array
  readonly f8e4m3: Uint8Array
  readonly f8e5m2: Uint8Array
  readonly f16: Uint16Array
  readonly bf16: Uint16Array
  readonly f32: Float32Array
  readonly f64: Float64Array
}

export type TypedArray = Storage[DType]

interface Constructor<A> {
  new (length: number): A
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A
  readonly BYTES_PER_ELEMENT: number
}

const constructors: { readonly [D in DType]: Constructor<Storage[D]> } = {
  bool: Uint8Array,
  i4: Int8Array,
  i8: Int8Array,
  i16: Int16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u4: Uint8Array,
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  u64: BigUint64Array,
  f8e4m3: Uint8Array,
  f8e5m2: Uint8Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f32: Float32Array,
  f64: Float64Array
}

/** Zeroed storage for `length` elements. */
export const allocate = <D extends DType>(dtype: D, length: number): Storage[D] => new constructors[dtype](length)

/** A view of `length` stored elements (unpacked: one a slot) on a buffer; the offset must suit the slot's size. */
export const view = <D extends DType>(
  dtype: D,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number
): Storage[D] => new constructors[dtype](buffer, byteOffset, length)

/** Bytes of one storage slot: 1, 2, 4 or 8. */
export const slotBytes = (dtype: DType): number => constructors[dtype].BYTES_PER_ELEMENT

/** Whether `data` is the typed array that stores `dtype`. */
export const stores = (dtype: DType, data: TypedArray): boolean => data instanceof constructors[dtype]

/** Width of one element in bits; 4 for the packed integers, 8 for bool. */
export const bits = (dtype: DType): number =>
  dtype === "i4" || dtype === "u4" ? 4 : constructors[dtype].BYTES_PER_ELEMENT * 8

/** Bytes that `count` elements take in a file, where sub-byte integers are packed two a byte. */
export const byteLength = (dtype: DType, count: number): number => Math.ceil((count * bits(dtype)) / 8)

export const isFloat = (dtype: DType): dtype is "f8e4m3" | "f8e5m2" | "f16" | "bf16" | "f32" | "f64" =>
  dtype === "f32" || dtype === "f64" || dtype === "f16" || dtype === "bf16" || dtype === "f8e4m3" || dtype === "f8e5m2"

/** Floats whose storage holds bits rather than values. */
export const isNarrowFloat = (dtype: DType): dtype is "f16" | "bf16" | "f8e4m3" | "f8e5m2" =>
  isFloat(dtype) && dtype !== "f32" && dtype !== "f64"

/** Signed or unsigned integer of any width; bool is not one. */
export const isInteger = (dtype: DType): boolean => dtype !== "bool" && !isFloat(dtype)

export const isSigned = (dtype: DType): boolean => isFloat(dtype) || dtype.startsWith("i")

/** Integers stored as BigInt. */
export const isBig = (dtype: DType): dtype is "i64" | "u64" => dtype === "i64" || dtype === "u64"

/** Least and greatest value of an integer type (bool: 0 and 1), as exact BigInts. */
export const integerRange = (dtype: DType): { readonly min: bigint; readonly max: bigint } => {
  if (dtype === "bool") return { min: 0n, max: 1n }
  const width = BigInt(bits(dtype))
  return isSigned(dtype)
    ? { min: -(1n << (width - 1n)), max: (1n << (width - 1n)) - 1n }
    : { min: 0n, max: (1n << width) - 1n }
}
