/**
 * SingleCast: one element as another dtype: the IR's `cast` (truncates towards zero, integers wrap, NaN and infinities are the
 * integer 0) and its `bitcast`.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { NarrowFloat } from "@anneal/ir/Float"
import type { Expr, F32, I32 } from "./Instruction.ts"
import { f32, f32x4, f64, i32, i32x4, i64 } from "./Instruction.ts"
import { kindOf } from "./Lanes.ts"
import * as NarrowFloats from "./NarrowFloat.ts"
import * as ScalarLibrary from "./ScalarLibrary.ts"
import { asF32, asF64, asI32, asI64, roundF32, wrap } from "./SingleForm.ts"
import type { Writer } from "./Writer.ts"

const isZero = (dtype: DType, x: Expr): I32 => {
  switch (kindOf(dtype)) {
    case "f32":
      return f32.eq(asF32(x), f32.const(0))
    case "f64":
      return f64.eq(asF64(x), f64.const(0))
    case "i64":
      return i64.eqz(asI64(x))
    default:
      return i32.eqz(asI32(x))
  }
}

/** Truncates towards zero; integers wrap, NaN and infinities become 0. */
export const cast = (w: Writer, from: DType, to: DType, value: Expr, saturate: boolean): Expr => {
  if (from === to) return value
  const [source, target] = [kindOf(from), kindOf(to)]
  if (target === "bool") return source === "bool" ? value : i32.eqz(isZero(from, value))
  switch (source) {
    case "bool":
    case "i32": {
      const x = asI32(value)
      const unsigned = from === "u32"
      if (target === "i32") return wrap(to, x)
      if (target === "i64") return unsigned ? i64.extend_i32_u(x) : i64.extend_i32_s(x)
      if (target === "f64") return unsigned ? f64.convert_i32_u(x) : f64.convert_i32_s(x)
      if (to === "f32") return unsigned ? f32.convert_i32_u(x) : f32.convert_i32_s(x)
      return cast(w, "f64", to, unsigned ? f64.convert_i32_u(x) : f64.convert_i32_s(x), saturate)
    }
    case "i64": {
      const x = asI64(value)
      const unsigned = from === "u64"
      if (target === "i32") return wrap(to, i32.wrap_i64(x))
      if (target === "i64") return x
      if (to === "f64") return unsigned ? f64.convert_i64_u(x) : f64.convert_i64_s(x)
      if (to === "f32") return unsigned ? f32.convert_i64_u(x) : f32.convert_i64_s(x)
      const sticky = w.f.call("i64", ScalarLibrary.stickyInteger(w.emission, unsigned), [x])
      return cast(w, "f64", to, unsigned ? f64.convert_i64_u(sticky) : f64.convert_i64_s(sticky), saturate)
    }
    case "f32": {
      const x = asF32(value)
      if (target === "f32") return DTypes.isNarrowFloat(to) ? roundF32(w, to, x, saturate) : x
      if (target === "f64") return f64.promote_f32(x)
      return cast(w, "f64", to, f64.promote_f32(x), saturate)
    }
    case "f64": {
      const x = asF64(value)
      if (to === "f32") return f32.demote_f64(x)
      if (target === "f32") {
        const odd = w.f.call("f32", ScalarLibrary.demoteToOdd(w.emission), [x])
        return roundF32(w, to, odd, saturate)
      }
      const whole = w.f.call("i64", ScalarLibrary.wrappedInteger(w.emission), [x])
      return target === "i64" ? whole : wrap(to, i32.wrap_i64(whole))
    }
  }
}

/** The same bits as another dtype of the same width; as bool, whether any is set. */
export const bitcast = (w: Writer, from: DType, to: DType, value: Expr): Expr => {
  const [source, target] = [kindOf(from), kindOf(to)]
  if (source === "i64" || source === "f64") {
    if (source === target) return value
    return source === "i64" ? f64.reinterpret_i64(asI64(value)) : i64.reinterpret_f64(asF64(value))
  }
  const narrow = (bits: I32, dtype: NarrowFloat): F32 => w.first(NarrowFloats.decode(w, dtype, i32x4.splat(bits)))
  const bits = DTypes.isNarrowFloat(from)
    ? i32x4.extract_lane(NarrowFloats.encode(w, from, f32x4.splat(asF32(value)), false), 0)
    : source === "f32"
      ? i32.reinterpret_f32(asF32(value))
      : asI32(value)
  if (to === "f32") return f32.reinterpret_i32(bits)
  if (DTypes.isNarrowFloat(to)) return narrow(DTypes.slotBytes(to) === 2 ? wrap("u16", bits) : wrap("u8", bits), to)
  return target === "bool" ? i32.ne(bits, i32.const(0)) : wrap(to, bits)
}
