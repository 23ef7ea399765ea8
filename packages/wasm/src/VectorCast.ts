/**
 * VectorCast: four neighbouring elements as another dtype: the IR's `cast` and its `bitcast`. What SIMD has no instruction for
 * (i64 → f32) is done lane by lane with `SingleCast`.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { V128 } from "./Instruction.ts"
import { f32x4, f64x2, i32, i32x4, i64x2, shuffle, v128 } from "./Instruction.ts"
import * as Lanes from "./Lanes.ts"
import { kindOf } from "./Lanes.ts"
import * as NarrowFloat from "./NarrowFloat.ts"
import * as SingleCast from "./SingleCast.ts"
import { highHalf, mask, roundF32, widenMask, wrap } from "./VectorForm.ts"
import type { Writer } from "./Writer.ts"

/** What is known of a cast. */
export interface Known {
  /** Bounds of the values (NaN apart). */
  readonly within: readonly [least: number, greatest: number]
  /** The result is for `Lanes.storeBytes` alone, which takes its low 8 bits. */
  readonly stored: boolean
}

export const cast = (
  w: Writer,
  from: DType,
  to: DType,
  value: Lanes.Lanes,
  saturate: boolean,
  { stored, within }: Known = { within: [-Infinity, Infinity], stored: false }
): Lanes.Lanes => {
  if (from === to) return value
  const [source, target] = [kindOf(from), kindOf(to)]
  const lanewise = (): Lanes.Lanes =>
    Lanes.lanewise(w, to, [{ dtype: from, lanes: value }], ([x]) =>
      SingleCast.cast(w, from, to, x ?? i32.const(0), saturate)
    )
  switch (source) {
    case "bool":
      switch (target) {
        case "f32":
          return [v128.and(value[0], w.splatF32(1))]
        case "i32":
          return [i32x4.neg(value[0])]
        case "i64": {
          const one = w.keep(i32x4.neg(value[0]))
          return [i64x2.extend_low_i32x4_u(one), i64x2.extend_high_i32x4_u(one)]
        }
        case "f64": {
          const [low, high] = widenMask(w.keep(value[0]))
          return [v128.and(low, w.splatF64(1)), v128.and(high ?? low, w.splatF64(1))]
        }
        case "bool":
          return value
      }
    case "i32": {
      const unsigned = from === "u32"
      const [x] = value
      switch (target) {
        case "bool":
          return [i32x4.ne(x, w.splatI32(0))]
        case "i32":
          return [wrap(w, to, x)]
        case "i64": {
          const kept = w.keep(x)
          return unsigned
            ? [i64x2.extend_low_i32x4_u(kept), i64x2.extend_high_i32x4_u(kept)]
            : [i64x2.extend_low_i32x4_s(kept), i64x2.extend_high_i32x4_s(kept)]
        }
        case "f32": {
          // Past 2²⁴ the conversion rounds, and a second rounding could go the other way.
          if (DTypes.isNarrowFloat(to) && DTypes.bits(from) === 32) return lanewise()
          const converted = unsigned ? f32x4.convert_i32x4_u(x) : f32x4.convert_i32x4_s(x)
          return [roundF32(w, to, converted, saturate)]
        }
        case "f64": {
          const kept = w.keep(x)
          const convert = unsigned ? f64x2.convert_low_i32x4_u : f64x2.convert_low_i32x4_s
          return [convert(kept), convert(highHalf(kept))]
        }
      }
    }
    case "f32": {
      const [x] = value
      switch (target) {
        case "bool":
          return [f32x4.ne(x, w.splatF32(0))]
        case "f32":
          return [roundF32(w, to, x, saturate)]
        case "f64": {
          const kept = w.keep(x)
          return [f64x2.promote_low_f32x4(kept), f64x2.promote_low_f32x4(highHalf(kept))]
        }
        case "i32":
          if (!(within[0] >= -(2 ** 31) && within[1] < 2 ** 31)) return [wrap(w, to, wrappedTruncation(w, x))]
          return [truncation(w, to, x, within, stored)]
        case "i64":
          return lanewise()
      }
    }
    case "i64":
      switch (target) {
        case "i64":
          return value
        case "i32":
          return [wrap(w, to, value.length === 2 ? Lanes.lowWords(value[0], value[1]) : value[0])]
        case "bool":
          return mask(Lanes.map(value, (part) => i64x2.ne(part, w.splatI64(0n))))
        default:
          return lanewise()
      }
    case "f64":
      switch (target) {
        case "f64":
          return value
        case "bool":
          return mask(Lanes.map(value, (part) => f64x2.ne(part, w.splatF64(0))))
        case "f32": {
          if (to !== "f32" || value.length === 1) return lanewise()
          const pair = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
          return [shuffle(f32x4.demote_f64x2_zero(value[0]), f32x4.demote_f64x2_zero(value[1]), pair)]
        }
        default:
          return lanewise()
      }
  }
}

/** The same bits as another dtype of the same width; as bool, whether any is set. */
export const bitcast = (w: Writer, from: DType, to: DType, value: Lanes.Lanes): Lanes.Lanes => {
  if (value.length === 2) return value
  const [source, target] = [kindOf(from), kindOf(to)]
  const bits = DTypes.isNarrowFloat(from) ? NarrowFloat.encode(w, from, value[0], false) : value[0]
  const plain = source === "bool" ? i32x4.neg(bits) : bits
  if (to === "f32") return [plain]
  if (DTypes.isNarrowFloat(to))
    return [NarrowFloat.decode(w, to, wrap(w, DTypes.slotBytes(to) === 2 ? "u16" : "u8", plain))]
  return [target === "bool" ? i32x4.ne(plain, w.splatI32(0)) : wrap(w, to, plain)]
}

/** f32 in the range of i32, or NaN, which becomes 0, truncated. */
const truncation = (w: Writer, to: DType, x: V128, within: Known["within"], stored: boolean): V128 => {
  const bits = DTypes.bits(to)
  const { max, min } = DTypes.integerRange(to)
  const isHeld = within[0] >= Number(min) && within[1] <= Number(max)
  // What hosts make of NaN differs: 0, or a number whose low 16 bits are 0, which `storeBytes` takes.
  if (w.emission.features.relaxed && bits <= 16) {
    const integer = i32x4.relaxed_trunc_f32x4_s(x)
    return stored && isHeld && bits <= 8 ? integer : wrap(w, to, integer)
  }
  const integer = i32x4.trunc_sat_f32x4_s(x)
  return isHeld ? integer : wrap(w, to, integer)
}

/** f32 to i32, truncated, modulo 2³²; 0 for NaN and infinities. */
const wrappedTruncation = (w: Writer, x: V128): V128 => {
  const whole = w.keep(f32x4.trunc(x))
  const turns = f32x4.mul(f32x4.trunc(f32x4.mul(whole, w.splatF32(2 ** -32))), w.splatF32(2 ** 32))
  const rest = w.keep(f32x4.sub(whole, turns))
  const size = i32x4.trunc_sat_f32x4_u(f32x4.abs(rest))
  const sign = w.keep(i32x4.shr_s(rest, i32.const(31)))
  return i32x4.sub(v128.xor(size, sign), sign)
}
