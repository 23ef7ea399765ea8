/**
 * SingleForm: one element in WebAssembly's numbers, kept within its dtype: integers of fewer bits are extended i32, narrow floats
 * are f32 rounded to the format's numbers (`Lanes.ts` has the table).
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Expr, F32, F64, I32, I64 } from "./Instruction.ts"
import { f32x4, i32 } from "./Instruction.ts"
import * as NarrowFloats from "./NarrowFloat.ts"
import type { Writer } from "./Writer.ts"

export const asI32 = (x: Expr): I32 => ({ type: "i32", code: x.code })
export const asI64 = (x: Expr): I64 => ({ type: "i64", code: x.code })
export const asF32 = (x: Expr): F32 => ({ type: "f32", code: x.code })
export const asF64 = (x: Expr): F64 => ({ type: "f64", code: x.code })

/** The low bits of a 32-bit integer, extended as the dtype is. */
export const wrap = (dtype: DType, x: I32): I32 => {
  switch (dtype) {
    case "i8":
      return i32.extend8_s(x)
    case "u8":
      return i32.and(x, i32.const(0xff))
    case "i16":
      return i32.extend16_s(x)
    case "u16":
      return i32.and(x, i32.const(0xffff))
    case "i4":
      return i32.shr_s(i32.shl(x, i32.const(28)), i32.const(28))
    case "u4":
      return i32.and(x, i32.const(0xf))
    default:
      return x
  }
}

/** Rounded to a narrow float's numbers; an f32 as it is. */
export const roundF32 = (w: Writer, dtype: DType, x: F32, saturate = true): F32 =>
  DTypes.isNarrowFloat(dtype) ? w.first(NarrowFloats.round(w, dtype, f32x4.splat(x), saturate)) : x
