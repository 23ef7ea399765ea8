/**
 * VectorOps: each op of `Scalar` on four neighbouring elements. What SIMD has no instruction for (integer division, i64 →
 * f32) is done lane by lane with `SingleOps`.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Binary, Scalar, Unary } from "@anneal/lower/Scalar"
import type { V128 } from "./Instruction.ts"
import { f32x4, f64x2, i32, i32x4, i64x2, shuffle, v128 } from "./Instruction.ts"
import * as Lanes from "./Lanes.ts"
import { kindOf } from "./Lanes.ts"
import * as NarrowFloat from "./NarrowFloat.ts"
import type { Attributes } from "./SingleOps.ts"
import * as SingleOps from "./SingleOps.ts"
import * as VectorMath from "./VectorMath.ts"
import type { Writer } from "./Writer.ts"

type Value = Lanes.Lanes

export const constant = (w: Writer, dtype: DType, value: number | bigint): Value => {
  switch (kindOf(dtype)) {
    case "f32":
      return [w.splatF32(Number(value))]
    case "f64": {
      const one = w.splatF64(Number(value))
      return [one, one]
    }
    case "i64": {
      const one = w.splatI64(typeof value === "bigint" ? value : BigInt(Math.trunc(value)))
      return [one, one]
    }
    case "bool":
      return [w.splatI32(Number(value) === 0 ? 0 : -1)]
    case "i32":
      return [w.splatI32(Number(BigInt.asIntN(32, BigInt(typeof value === "bigint" ? value : Math.trunc(value)))))]
  }
}

/** The low bits of 32-bit lanes, extended as the dtype is. */
const wrap = (w: Writer, dtype: DType, x: V128): V128 => {
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

const roundF32 = (w: Writer, dtype: DType, x: V128, saturate = true): V128 =>
  DTypes.isNarrowFloat(dtype) ? NarrowFloat.round(w, dtype, x, saturate) : x

/** A mask of 64-bit lanes from one of 32-bit lanes. */
const widenMask = (mask: V128): Value => [i64x2.extend_low_i32x4_s(mask), i64x2.extend_high_i32x4_s(mask)]

/** A mask of 32-bit lanes from the parts of a comparison. */
const mask = (value: Value): Value => (value.length === 2 ? [Lanes.lowWords(value[0], value[1])] : value)

// ---- one operand ----------------------------------------------------------------------------------------------------

export const unary = (w: Writer, op: Unary, dtype: DType, value: Value, attributes: Attributes): Value => {
  switch (kindOf(dtype)) {
    case "f32":
      return [unaryF32(w, op, dtype, value[0], attributes)]
    case "f64":
      return unaryF64(w, op, dtype, value, attributes)
    case "i64":
      return unaryI64(w, op, dtype, value, attributes)
    default:
      return [unaryI32(w, op, dtype, value[0])]
  }
}

const flag = (attributes: Attributes, name: string): boolean => attributes?.[name] !== false

const unaryF32 = (w: Writer, op: Unary, dtype: DType, value: V128, attributes: Attributes): V128 => {
  switch (op) {
    case "neg":
      return f32x4.neg(value)
    case "abs":
      return f32x4.abs(value)
    case "ceil":
      return f32x4.ceil(value)
    case "floor":
      return f32x4.floor(value)
    case "round":
      return f32x4.nearest(value)
    case "sqrt":
      return roundF32(w, dtype, f32x4.sqrt(value))
    case "reciprocal":
      return roundF32(w, dtype, f32x4.div(w.splatF32(1), value))
    case "sign": {
      // 1 with the sign of x where x is less or greater than 0; x itself for zeros and NaN.
      const x = w.keep(value)
      const zero = w.splatF32(0)
      const some = v128.or(f32x4.lt(x, zero), f32x4.gt(x, zero))
      return v128.bitselect(v128.or(v128.and(x, w.splatI32(-0x80000000)), w.splatF32(1)), x, some)
    }
    case "isNaN": {
      const x = w.keep(value)
      return f32x4.ne(x, x)
    }
    case "isInf": {
      const x = w.keep(value)
      const [positive, negative] = [flag(attributes, "positive"), flag(attributes, "negative")]
      if (positive && negative) return f32x4.eq(f32x4.abs(x), w.splatF32(Infinity))
      if (positive) return f32x4.eq(x, w.splatF32(Infinity))
      return negative ? f32x4.eq(x, w.splatF32(-Infinity)) : w.splatI32(0)
    }
    default: {
      const result = VectorMath.unary(w, op, value)
      if (result === undefined) throw new Error(`${op} is not defined on ${dtype}`)
      return roundF32(w, dtype, result)
    }
  }
}

const byLane = (w: Writer, op: Unary, dtype: DType, value: Value, attributes: Attributes, result = dtype): Value =>
  SingleOps.lanewise(w, result, [{ dtype, lanes: value }], ([x]) =>
    SingleOps.unary(w, op, dtype, x ?? i32.const(0), attributes)
  )

const unaryF64 = (w: Writer, op: Unary, dtype: DType, value: Value, attributes: Attributes): Value => {
  switch (op) {
    case "neg":
      return Lanes.map(value, f64x2.neg)
    case "abs":
      return Lanes.map(value, f64x2.abs)
    case "ceil":
      return Lanes.map(value, f64x2.ceil)
    case "floor":
      return Lanes.map(value, f64x2.floor)
    case "round":
      return Lanes.map(value, f64x2.nearest)
    case "sqrt":
      return Lanes.map(value, f64x2.sqrt)
    case "reciprocal":
      return Lanes.map(value, (x) => f64x2.div(w.splatF64(1), x))
    case "isNaN":
      return mask(
        Lanes.map(value, (x) => {
          const kept = w.keep(x)
          return f64x2.ne(kept, kept)
        })
      )
    case "isInf":
      return byLane(w, op, dtype, value, attributes, "bool")
    default:
      return byLane(w, op, dtype, value, attributes)
  }
}

const unaryI64 = (w: Writer, op: Unary, dtype: DType, value: Value, attributes: Attributes): Value => {
  switch (op) {
    case "neg":
      return Lanes.map(value, i64x2.neg)
    case "abs":
      return dtype === "u64" ? value : Lanes.map(value, i64x2.abs)
    case "bitwiseNot":
      return Lanes.map(value, v128.not)
    default:
      return byLane(w, op, dtype, value, attributes)
  }
}

const unaryI32 = (w: Writer, op: Unary, dtype: DType, value: V128): V128 => {
  switch (op) {
    case "neg":
      return wrap(w, dtype, i32x4.neg(value))
    case "abs":
      return DTypes.isSigned(dtype) ? wrap(w, dtype, i32x4.abs(value)) : value
    case "sign": {
      const x = w.keep(value)
      const zero = w.splatI32(0)
      if (dtype === "u32") return i32x4.neg(i32x4.ne(x, zero))
      return i32x4.sub(i32x4.lt_s(x, zero), i32x4.gt_s(x, zero))
    }
    case "not":
    case "bitwiseNot":
      return dtype === "bool" ? v128.not(value) : wrap(w, dtype, v128.not(value))
    default:
      throw new Error(`${op} is not defined on ${dtype}`)
  }
}

// ---- two operands ---------------------------------------------------------------------------------------------------

/** `operands`: the expressions of the operands, for what is known of constants. */
export const binary = (
  w: Writer,
  op: Binary,
  dtype: DType,
  a: Value,
  b: Value,
  attributes: Attributes,
  operands: readonly [Scalar, Scalar]
): Value => {
  const result = isComparison(op) ? "bool" : dtype
  const lanewise = (): Value =>
    SingleOps.lanewise(
      w,
      result,
      [
        { dtype, lanes: a },
        { dtype, lanes: b }
      ],
      ([x, y]) => SingleOps.binary(w, op, dtype, x ?? i32.const(0), y ?? i32.const(0), attributes)
    )
  switch (kindOf(dtype)) {
    case "f32": {
      const one = binaryF32(w, op, dtype, a[0], b[0], operands)
      return one === undefined ? lanewise() : [one]
    }
    case "f64": {
      const join = f64Ops[op]
      if (join === undefined) return lanewise()
      const both = Lanes.zip(a, b, join)
      return isComparison(op) ? mask(both) : both
    }
    case "i64":
      return binaryI64(w, op, dtype, a, b) ?? lanewise()
    case "bool": {
      const one = binaryBool(op, a[0], b[0])
      return one === undefined ? lanewise() : [one]
    }
    case "i32": {
      const one = binaryI32(w, op, dtype, a[0], b[0], operands[1])
      return one === undefined ? lanewise() : [one]
    }
  }
}

const isComparison = (op: Binary): boolean =>
  op === "equal" || op === "less" || op === "lessOrEqual" || op === "greater" || op === "greaterOrEqual"

type Join = (a: V128, b: V128) => V128

const f64Ops: { readonly [O in Binary]?: Join } = {
  add: f64x2.add,
  sub: f64x2.sub,
  mul: f64x2.mul,
  div: f64x2.div,
  min: f64x2.min,
  max: f64x2.max,
  equal: f64x2.eq,
  less: f64x2.lt,
  lessOrEqual: f64x2.le,
  greater: f64x2.gt,
  greaterOrEqual: f64x2.ge
}

const f32Ops: { readonly [O in Binary]?: Join } = {
  add: f32x4.add,
  sub: f32x4.sub,
  mul: f32x4.mul,
  div: f32x4.div,
  equal: f32x4.eq,
  less: f32x4.lt,
  lessOrEqual: f32x4.le,
  greater: f32x4.gt,
  greaterOrEqual: f32x4.ge
}

const binaryF32 = (
  w: Writer,
  op: Binary,
  dtype: DType,
  a: V128,
  b: V128,
  [left, right]: readonly [Scalar, Scalar]
): V128 | undefined => {
  switch (op) {
    case "min":
    case "max": {
      // With a known number one instruction does: `pmin(x, c)` is c < x ? c : x, which keeps NaN; the zeros' order is put
      // right where it could differ.
      const number = left.kind === "constant" ? left : right.kind === "constant" ? right : undefined
      const known = number === undefined ? Number.NaN : Number(number.value)
      const [x, c] = number === left ? [b, a] : [a, b]
      if (op === "max" && known === known) {
        const greater = f32x4.pmax(x, c)
        return Object.is(known, 0) ? f32x4.add(greater, c) : greater
      }
      if (op === "min" && known === known && !Object.is(known, -0)) return f32x4.pmin(x, c)
      return op === "min" ? f32x4.min(a, b) : f32x4.max(a, b)
    }
    case "pow":
      return roundF32(
        w,
        dtype,
        right.kind === "constant" ? power(w, a, b, Number(right.value)) : VectorMath.pow(w, a, b)
      )
    default: {
      const join = f32Ops[op]
      if (join === undefined) return undefined
      const result = join(a, b)
      return isComparison(op) ? result : roundF32(w, dtype, result)
    }
  }
}

/** Powers that one instruction or two compute; ±∞ and zeros as C's pow has them. */
const power = (w: Writer, a: V128, b: V128, exponent: number): V128 => {
  if (exponent === 1) return a
  if (exponent === -1) return f32x4.div(w.splatF32(1), a)
  const x = w.keep(a)
  if (exponent === 2) return f32x4.mul(x, x)
  if (exponent === 0.5) {
    // √−0 is −0 and √−∞ no number, where the powers are 0 and ∞.
    const root = f32x4.add(f32x4.sqrt(x), w.splatF32(0))
    return v128.bitselect(w.splatF32(Infinity), root, f32x4.eq(x, w.splatF32(-Infinity)))
  }
  return VectorMath.pow(w, x, b)
}

const binaryBool = (op: Binary, a: V128, b: V128): V128 | undefined => {
  switch (op) {
    case "and":
    case "bitwiseAnd":
    case "min":
      return v128.and(a, b)
    case "or":
    case "bitwiseOr":
    case "max":
      return v128.or(a, b)
    case "xor":
    case "bitwiseXor":
      return v128.xor(a, b)
    case "equal":
      return i32x4.eq(a, b)
    default:
      return undefined
  }
}

const binaryI32 = (w: Writer, op: Binary, dtype: DType, a: V128, b: V128, right: Scalar): V128 | undefined => {
  const unsigned = dtype === "u32"
  switch (op) {
    case "add":
      return wrap(w, dtype, i32x4.add(a, b))
    case "sub":
      return wrap(w, dtype, i32x4.sub(a, b))
    case "mul":
      return wrap(w, dtype, i32x4.mul(a, b))
    case "min":
      return unsigned ? i32x4.min_u(a, b) : i32x4.min_s(a, b)
    case "max":
      return unsigned ? i32x4.max_u(a, b) : i32x4.max_s(a, b)
    case "bitwiseAnd":
      return v128.and(a, b)
    case "bitwiseOr":
      return v128.or(a, b)
    case "bitwiseXor":
      return v128.xor(a, b)
    case "equal":
      return i32x4.eq(a, b)
    case "less":
      return unsigned ? i32x4.lt_u(a, b) : i32x4.lt_s(a, b)
    case "lessOrEqual":
      return unsigned ? i32x4.le_u(a, b) : i32x4.le_s(a, b)
    case "greater":
      return unsigned ? i32x4.gt_u(a, b) : i32x4.gt_s(a, b)
    case "greaterOrEqual":
      return unsigned ? i32x4.ge_u(a, b) : i32x4.ge_s(a, b)
    case "shiftLeft":
    case "shiftRight": {
      if (right.kind !== "constant") return undefined
      const by = Number(right.value)
      const inside = by >= 0 && by < 32
      if (op === "shiftLeft") return inside ? wrap(w, dtype, i32x4.shl(a, i32.const(by))) : w.splatI32(0)
      if (unsigned) return inside ? i32x4.shr_u(a, i32.const(by)) : w.splatI32(0)
      return i32x4.shr_s(a, i32.const(inside ? by : 31))
    }
    default:
      return undefined
  }
}

const binaryI64 = (w: Writer, op: Binary, dtype: DType, a: Value, b: Value): Value | undefined => {
  const signed = dtype === "i64"
  const pick = (order: Join): Value => {
    const [x, y] = [Lanes.map(a, (part) => w.keep(part)), Lanes.map(b, (part) => w.keep(part))]
    return Lanes.zip(x, y, (left, right) => v128.bitselect(left, right, order(left, right)))
  }
  switch (op) {
    case "add":
      return Lanes.zip(a, b, i64x2.add)
    case "sub":
      return Lanes.zip(a, b, i64x2.sub)
    case "mul":
      return Lanes.zip(a, b, i64x2.mul)
    case "bitwiseAnd":
      return Lanes.zip(a, b, v128.and)
    case "bitwiseOr":
      return Lanes.zip(a, b, v128.or)
    case "bitwiseXor":
      return Lanes.zip(a, b, v128.xor)
    case "equal":
      return mask(Lanes.zip(a, b, i64x2.eq))
    case "less":
      return signed ? mask(Lanes.zip(a, b, i64x2.lt_s)) : undefined
    case "lessOrEqual":
      return signed ? mask(Lanes.zip(a, b, i64x2.le_s)) : undefined
    case "greater":
      return signed ? mask(Lanes.zip(a, b, i64x2.gt_s)) : undefined
    case "greaterOrEqual":
      return signed ? mask(Lanes.zip(a, b, i64x2.ge_s)) : undefined
    case "min":
      return signed ? pick(i64x2.lt_s) : undefined
    case "max":
      return signed ? pick(i64x2.gt_s) : undefined
    default:
      return undefined
  }
}

export const fma = (w: Writer, dtype: DType, a: Value, b: Value, c: Value): Value => {
  switch (kindOf(dtype)) {
    case "f32":
      return [roundF32(w, dtype, w.madd(a[0], b[0], c[0]))]
    case "f64":
      return Lanes.zip(Lanes.zip(a, b, f64x2.mul), c, f64x2.add)
    case "i64":
      return Lanes.zip(Lanes.zip(a, b, i64x2.mul), c, i64x2.add)
    default:
      return [wrap(w, dtype, i32x4.add(i32x4.mul(a[0], b[0]), c[0]))]
  }
}

/** Condition as a mask of 32-bit lanes. */
export const choose = (w: Writer, condition: Value, a: Value, b: Value): Value => {
  if (a.length === 1 || b.length === 1) return [v128.bitselect(a[0], b[0], condition[0])]
  const [low, high] = widenMask(w.keep(condition[0]))
  return [v128.bitselect(a[0], b[0], low), v128.bitselect(a[1], b[1], high ?? low)]
}

// ---- casts ----------------------------------------------------------------------------------------------------------

/** `bounded`: the values are known to lie within the range of i32 (NaN apart). */
export const cast = (w: Writer, from: DType, to: DType, value: Value, saturate: boolean, bounded: boolean): Value => {
  if (from === to) return value
  const [source, target] = [kindOf(from), kindOf(to)]
  const lanewise = (): Value =>
    SingleOps.lanewise(w, to, [{ dtype: from, lanes: value }], ([x]) =>
      SingleOps.cast(w, from, to, x ?? i32.const(0), saturate)
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
          if (!bounded) return [wrap(w, to, wrappedTruncation(w, x))]
          // What hosts make of NaN differs: 0, or a number whose low 16 bits are 0.
          return w.emission.features.relaxed && DTypes.bits(to) <= 16
            ? [wrap(w, to, i32x4.relaxed_trunc_f32x4_s(x))]
            : [wrap(w, to, i32x4.trunc_sat_f32x4_s(x))]
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
export const bitcast = (w: Writer, from: DType, to: DType, value: Value): Value => {
  if (value.length === 2) return value
  const [source, target] = [kindOf(from), kindOf(to)]
  const bits = DTypes.isNarrowFloat(from) ? NarrowFloat.encode(w, from, value[0], false) : value[0]
  const plain = source === "bool" ? i32x4.neg(bits) : bits
  if (to === "f32") return [plain]
  if (DTypes.isNarrowFloat(to))
    return [NarrowFloat.decode(w, to, wrap(w, DTypes.slotBytes(to) === 2 ? "u16" : "u8", plain))]
  return [target === "bool" ? i32x4.ne(plain, w.splatI32(0)) : wrap(w, to, plain)]
}

const highHalf = (x: V128): V128 => shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])

/** f32 to i32, truncated, modulo 2³²; 0 for NaN and infinities. */
const wrappedTruncation = (w: Writer, x: V128): V128 => {
  const whole = w.keep(f32x4.trunc(x))
  const turns = f32x4.mul(f32x4.trunc(f32x4.mul(whole, w.splatF32(2 ** -32))), w.splatF32(2 ** 32))
  const rest = w.keep(f32x4.sub(whole, turns))
  const size = i32x4.trunc_sat_f32x4_u(f32x4.abs(rest))
  const sign = w.keep(i32x4.shr_s(rest, i32.const(31)))
  return i32x4.sub(v128.xor(size, sign), sign)
}
