/**
 * VectorForm: four neighbouring elements in WebAssembly's vectors, kept within their dtype (`Lanes.ts` has the table).
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { V128 } from "./Instruction.ts"
import { i32, i32x4, i64x2, shuffle, v128 } from "./Instruction.ts"
import * as Lanes from "./Lanes.ts"
import * as NarrowFloat from "./NarrowFloat.ts"
import type { Writer } from "./Writer.ts"

/** The low bits of 32-bit lanes, extended as the dtype is. */
export const wrap = (w: Writer, dtype: DType, x: V128): V128 => {
  const extended = (bits: number): V128 => i32x4.shr_s(i32x4.shl(x, i32.const(32 - bits)), i32.const(32 - bits))
  switch (dtype) {
    case "i4":
      return extended(4)
    case "i8":
      return extended(8)
    case "i16":
      return extended(16)
    case "u4":
      return v128.and(x, w.splatI32(0xf))
    case "u8":
      return v128.and(x, w.splatI32(0xff))
    case "u16":
      return v128.and(x, w.splatI32(0xffff))
    default:
      return x
  }
}

/** Rounded to a narrow float's numbers; f32 as they are. */
export const roundF32 = (w: Writer, dtype: DType, x: V128, saturate = true): V128 =>
  DTypes.isNarrowFloat(dtype) ? NarrowFloat.round(w, dtype, x, saturate) : x

/** A mask of 64-bit lanes from one of 32-bit lanes. */
export const widenMask = (mask: V128): Lanes.Lanes => [i64x2.extend_low_i32x4_s(mask), i64x2.extend_high_i32x4_s(mask)]

/** A mask of 32-bit lanes from the parts of a comparison. */
export const mask = (value: Lanes.Lanes): Lanes.Lanes =>
  value.length === 2 ? [Lanes.lowWords(value[0], value[1])] : value

/** Lanes 2 and 3, also in the place of 0 and 1. */
export const highHalf = (x: V128): V128 => shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
