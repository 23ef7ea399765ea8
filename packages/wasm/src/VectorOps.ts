/**
 * VectorOps: each op of `Scalar` on four neighbouring elements. What SIMD has no instruction for (integer division, i64 →
 * f32) is done lane by lane with `SingleOps`.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Scalar } from "@anneal/lower/Scalar"
import type { Attributes, Binary, BinaryOn, Comparison, Elementary, Unary, UnaryOn } from "@anneal/lower/ScalarOp"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import type { V128 } from "./Instruction.ts"
import { f32x4, f64x2, i32, i32x4, i64x2, v128 } from "./Instruction.ts"
import * as Lanes from "./Lanes.ts"
import { kindOf } from "./Lanes.ts"
import * as SingleOps from "./SingleOps.ts"
import { mask, roundF32, widenMask, wrap } from "./VectorForm.ts"
import * as VectorMath from "./VectorMath.ts"
import type { Writer } from "./Writer.ts"

export { bitcast, cast } from "./VectorCast.ts"

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

// ---- one operand ----------------------------------------------------------------------------------------------------

/** `dtype` is that of the operand. */
export const unary = (
  w: Writer,
  op: Exclude<Unary, "bitcast">,
  dtype: DType,
  value: Value,
  attributes?: Attributes
): Value => {
  const kind = kindOf(dtype)
  if (kind === "f32") {
    if (ScalarOp.isElementary(op)) return [roundF32(w, dtype, VectorMath.unary(w, op, value[0]))]
    if (ScalarOp.isUnaryOn(op, "float")) return [unaryF32(w, op, dtype, value[0], attributes)]
  }
  if (kind === "i32" && ScalarOp.isUnaryOn(op, "integer")) return [unaryI32(w, op, dtype, value[0])]
  if (kind === "bool" && op === "not") return [v128.not(value[0])]
  const wide = kind === "f64" ? unaryF64(w, op, value) : kind === "i64" ? unaryI64(op, dtype, value) : undefined
  if (wide !== undefined) return wide
  const result = op === "isInf" || op === "isNaN" ? "bool" : dtype
  return Lanes.lanewise(w, result, [{ dtype, lanes: value }], ([x]) =>
    SingleOps.unary(w, op, dtype, x ?? i32.const(0), attributes)
  )
}

const unaryF32 = (
  w: Writer,
  op: Exclude<UnaryOn<"float">, Elementary>,
  dtype: DType,
  value: V128,
  attributes: Attributes | undefined
): V128 => {
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
      const [positive, negative] = [ScalarOp.countsPositive(attributes), ScalarOp.countsNegative(attributes)]
      if (positive && negative) return f32x4.eq(f32x4.abs(x), w.splatF32(Infinity))
      if (positive) return f32x4.eq(x, w.splatF32(Infinity))
      return negative ? f32x4.eq(x, w.splatF32(-Infinity)) : w.splatI32(0)
    }
  }
}

const unaryI32 = (w: Writer, op: UnaryOn<"integer">, dtype: DType, value: V128): V128 => {
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
    case "bitwiseNot":
      return wrap(w, dtype, v128.not(value))
  }
}

/** What SIMD has of the 64-bit ones; undefined: lane by lane. */
const unaryF64 = (w: Writer, op: Unary, value: Value): Value | undefined => {
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
    default:
      return undefined
  }
}

const unaryI64 = (op: Unary, dtype: DType, value: Value): Value | undefined => {
  switch (op) {
    case "neg":
      return Lanes.map(value, i64x2.neg)
    case "abs":
      return dtype === "u64" ? value : Lanes.map(value, i64x2.abs)
    case "bitwiseNot":
      return Lanes.map(value, v128.not)
    default:
      return undefined
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
  attributes: Attributes | undefined,
  operands: readonly [Scalar, Scalar]
): Value =>
  inVectors(w, op, dtype, a, b, operands) ??
  Lanes.lanewise(
    w,
    ScalarOp.isComparison(op) ? "bool" : dtype,
    [
      { dtype, lanes: a },
      { dtype, lanes: b }
    ],
    ([x, y]) => SingleOps.binary(w, op, dtype, x ?? i32.const(0), y ?? i32.const(0), attributes)
  )

/** Undefined where SIMD has no way: lane by lane. */
const inVectors = (
  w: Writer,
  op: Binary,
  dtype: DType,
  a: Value,
  b: Value,
  operands: readonly [Scalar, Scalar]
): Value | undefined => {
  const one = (vector: V128 | undefined): Value | undefined => (vector === undefined ? undefined : [vector])
  switch (kindOf(dtype)) {
    case "f32":
      return ScalarOp.isBinaryOn(op, "float") ? one(binaryF32(w, op, dtype, a[0], b[0], operands)) : undefined
    case "f64": {
      if (ScalarOp.isComparison(op)) return mask(Lanes.zip(a, b, comparisons(f64x2)[op]))
      if (op === "min") return Lanes.zip(a, b, f64x2.min)
      if (op === "max") return Lanes.zip(a, b, f64x2.max)
      return isArithmetic(op) ? Lanes.zip(a, b, f64x2[op]) : undefined
    }
    case "i64":
      return binaryI64(w, op, dtype, a, b)
    case "bool":
      return one(binaryBool(op, a[0], b[0]))
    case "i32":
      return one(binaryI32(w, op, dtype, a[0], b[0], operands[1]))
  }
}

type Join = (a: V128, b: V128) => V128

const comparisons = (form: typeof f32x4 | typeof f64x2): Readonly<Record<Comparison, Join>> => ({
  equal: form.eq,
  less: form.lt,
  lessOrEqual: form.le,
  greater: form.gt,
  greaterOrEqual: form.ge
})

const isArithmetic = (op: Binary): op is "add" | "sub" | "mul" | "div" =>
  op === "add" || op === "sub" || op === "mul" || op === "div"

const binaryF32 = (
  w: Writer,
  op: BinaryOn<"float">,
  dtype: DType,
  a: V128,
  b: V128,
  [left, right]: readonly [Scalar, Scalar]
): V128 | undefined => {
  if (ScalarOp.isComparison(op)) return comparisons(f32x4)[op](a, b)
  switch (op) {
    case "add":
    case "sub":
    case "mul":
    case "div":
      return roundF32(w, dtype, f32x4[op](a, b))
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
    case "mod":
      return undefined
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
