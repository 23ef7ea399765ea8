/**
 * SingleOps: each op of `Scalar` on one element, as scalar code of WebAssembly. The meaning is that of the IR's op of the
 * same name: integers wrap and divide by 0 to 0, floats are rounded once to their dtype, minima give NaN if either is.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { NarrowFloat } from "@anneal/ir/Float"
import type { Binary, Unary } from "@anneal/lower/Scalar"
import type { Expr, F32, F64, I32, I64 } from "./Instruction.ts"
import { f32, f32x4, f64, i32, i32x4, i64, select } from "./Instruction.ts"
import * as Lanes from "./Lanes.ts"
import { kindOf } from "./Lanes.ts"
import * as NarrowFloats from "./NarrowFloat.ts"
import * as ScalarLibrary from "./ScalarLibrary.ts"
import * as VectorMath from "./VectorMath.ts"
import type { Writer } from "./Writer.ts"

export type Attributes = Readonly<Record<string, unknown>> | undefined

const asI32 = (x: Expr): I32 => ({ type: "i32", code: x.code })
const asI64 = (x: Expr): I64 => ({ type: "i64", code: x.code })
const asF32 = (x: Expr): F32 => ({ type: "f32", code: x.code })
const asF64 = (x: Expr): F64 => ({ type: "f64", code: x.code })

export const constant = (dtype: DType, value: number | bigint): Expr => {
  switch (kindOf(dtype)) {
    case "f32":
      return f32.const(Number(value))
    case "f64":
      return f64.const(Number(value))
    case "i64":
      return i64.const(typeof value === "bigint" ? value : BigInt(Math.trunc(value)))
    case "bool":
      return i32.const(Number(value) === 0 ? 0 : 1)
    case "i32":
      return i32.const(Number(typeof value === "bigint" ? BigInt.asIntN(32, value) : value))
  }
}

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

const roundF32 = (w: Writer, dtype: DType, x: F32, saturate = true): F32 =>
  DTypes.isNarrowFloat(dtype) ? w.first(NarrowFloats.round(w, dtype, f32x4.splat(x), saturate)) : x

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

// ---- one operand ----------------------------------------------------------------------------------------------------

export const unary = (w: Writer, op: Unary, dtype: DType, x: Expr, attributes: Attributes): Expr => {
  switch (kindOf(dtype)) {
    case "f32":
      return unaryF32(w, op, dtype, asF32(x), attributes)
    case "f64":
      return unaryF64(w, op, asF64(x), attributes)
    case "i64":
      return unaryI64(w, op, dtype, asI64(x))
    default:
      return unaryI32(w, op, dtype, asI32(x))
  }
}

const flag = (attributes: Attributes, name: string): boolean => attributes?.[name] !== false

const unaryF32 = (w: Writer, op: Unary, dtype: DType, value: F32, attributes: Attributes): Expr => {
  switch (op) {
    case "neg":
      return f32.neg(value)
    case "abs":
      return f32.abs(value)
    case "ceil":
      return f32.ceil(value)
    case "floor":
      return f32.floor(value)
    case "round":
      return f32.nearest(value)
    case "sqrt":
      return roundF32(w, dtype, f32.sqrt(value))
    case "reciprocal":
      return roundF32(w, dtype, f32.div(f32.const(1), value))
    case "sign": {
      const x = w.keep(value)
      const some = i32.or(f32.lt(x, f32.const(0)), f32.gt(x, f32.const(0)))
      return select(some, f32.copysign(f32.const(1), x), x)
    }
    case "isNaN": {
      const x = w.keep(value)
      return f32.ne(x, x)
    }
    case "isInf": {
      const x = w.keep(value)
      const test = (sign: boolean, infinity: number): I32 => (sign ? f32.eq(x, f32.const(infinity)) : i32.const(0))
      return i32.or(test(flag(attributes, "positive"), Infinity), test(flag(attributes, "negative"), -Infinity))
    }
    default: {
      const result = VectorMath.unary(w, op, f32x4.splat(value))
      if (result === undefined) throw new Error(`${op} is not defined on ${dtype}`)
      return roundF32(w, dtype, w.first(result))
    }
  }
}

const unaryF64 = (w: Writer, op: Unary, value: F64, attributes: Attributes): Expr => {
  switch (op) {
    case "neg":
      return f64.neg(value)
    case "abs":
      return f64.abs(value)
    case "ceil":
      return f64.ceil(value)
    case "floor":
      return f64.floor(value)
    case "round":
      return f64.nearest(value)
    case "sqrt":
      return f64.sqrt(value)
    case "reciprocal":
      return f64.div(f64.const(1), value)
    case "sign": {
      const x = w.keep(value)
      const some = i32.or(f64.lt(x, f64.const(0)), f64.gt(x, f64.const(0)))
      return select(some, f64.copysign(f64.const(1), x), x)
    }
    case "isNaN": {
      const x = w.keep(value)
      return f64.ne(x, x)
    }
    case "isInf": {
      const x = w.keep(value)
      const test = (sign: boolean, infinity: number): I32 => (sign ? f64.eq(x, f64.const(infinity)) : i32.const(0))
      return i32.or(test(flag(attributes, "positive"), Infinity), test(flag(attributes, "negative"), -Infinity))
    }
    default:
      throw new Error(`${op} on f64 has no code: ask ScalarCode.refusal first`)
  }
}

const unaryI32 = (w: Writer, op: Unary, dtype: DType, value: I32): Expr => {
  switch (op) {
    case "neg":
      return wrap(dtype, i32.sub(i32.const(0), value))
    case "abs": {
      if (!DTypes.isSigned(dtype)) return value
      const x = w.keep(value)
      return wrap(dtype, select(i32.lt_s(x, i32.const(0)), i32.sub(i32.const(0), x), x))
    }
    case "sign": {
      const x = w.keep(value)
      if (dtype === "u32") return i32.ne(x, i32.const(0))
      return i32.sub(i32.gt_s(x, i32.const(0)), i32.lt_s(x, i32.const(0)))
    }
    case "not":
      return i32.eqz(value)
    case "bitwiseNot":
      return wrap(dtype, i32.xor(value, i32.const(-1)))
    default:
      throw new Error(`${op} is not defined on ${dtype}`)
  }
}

const unaryI64 = (w: Writer, op: Unary, dtype: DType, value: I64): Expr => {
  switch (op) {
    case "neg":
      return i64.sub(i64.const(0n), value)
    case "abs": {
      if (dtype === "u64") return value
      const x = w.keep(value)
      return select(i64.lt_s(x, i64.const(0n)), i64.sub(i64.const(0n), x), x)
    }
    case "sign": {
      const x = w.keep(value)
      if (dtype === "u64") return i64.extend_i32_u(i64.ne(x, i64.const(0n)))
      return i64.extend_i32_s(i32.sub(i64.gt_s(x, i64.const(0n)), i64.lt_s(x, i64.const(0n))))
    }
    case "bitwiseNot":
      return i64.xor(value, i64.const(-1n))
    default:
      throw new Error(`${op} is not defined on ${dtype}`)
  }
}

// ---- two operands ---------------------------------------------------------------------------------------------------

/** `dtype` is that of the operands. Powers of integers are elsewhere: `ScalarCode`. */
export const binary = (w: Writer, op: Binary, dtype: DType, a: Expr, b: Expr, attributes: Attributes): Expr => {
  switch (kindOf(dtype)) {
    case "f32":
      return binaryF32(w, op, dtype, asF32(a), asF32(b), attributes)
    case "f64":
      return binaryF64(w, op, asF64(a), asF64(b), attributes)
    case "i64":
      return binaryI64(w, op, dtype, asI64(a), asI64(b), attributes)
    default:
      return binaryI32(w, op, dtype, asI32(a), asI32(b), attributes)
  }
}

export const isFloored = (attributes: Attributes): boolean => attributes?.["rounding"] !== "truncate"

const binaryF32 = (w: Writer, op: Binary, dtype: DType, a: F32, b: F32, attributes: Attributes): Expr => {
  switch (op) {
    case "add":
      return roundF32(w, dtype, f32.add(a, b))
    case "sub":
      return roundF32(w, dtype, f32.sub(a, b))
    case "mul":
      return roundF32(w, dtype, f32.mul(a, b))
    case "div":
      return roundF32(w, dtype, f32.div(a, b))
    case "min":
      return f32.min(a, b)
    case "max":
      return f32.max(a, b)
    case "mod": {
      const func = ScalarLibrary.floatRemainder(w.emission, isFloored(attributes))
      const rest = w.f.call("f64", func, [f64.promote_f32(a), f64.promote_f32(b)])
      return roundF32(w, dtype, f32.demote_f64(rest))
    }
    case "pow":
      return roundF32(w, dtype, w.first(VectorMath.pow(w, f32x4.splat(a), f32x4.splat(b))))
    case "equal":
      return f32.eq(a, b)
    case "less":
      return f32.lt(a, b)
    case "lessOrEqual":
      return f32.le(a, b)
    case "greater":
      return f32.gt(a, b)
    case "greaterOrEqual":
      return f32.ge(a, b)
    default:
      throw new Error(`${op} is not defined on ${dtype}`)
  }
}

const binaryF64 = (w: Writer, op: Binary, a: F64, b: F64, attributes: Attributes): Expr => {
  switch (op) {
    case "add":
      return f64.add(a, b)
    case "sub":
      return f64.sub(a, b)
    case "mul":
      return f64.mul(a, b)
    case "div":
      return f64.div(a, b)
    case "min":
      return f64.min(a, b)
    case "max":
      return f64.max(a, b)
    case "mod":
      return w.f.call("f64", ScalarLibrary.floatRemainder(w.emission, isFloored(attributes)), [a, b])
    case "equal":
      return f64.eq(a, b)
    case "less":
      return f64.lt(a, b)
    case "lessOrEqual":
      return f64.le(a, b)
    case "greater":
      return f64.gt(a, b)
    case "greaterOrEqual":
      return f64.ge(a, b)
    default:
      throw new Error(`${op} on f64 has no code: ask ScalarCode.refusal first`)
  }
}

const binaryI32 = (w: Writer, op: Binary, dtype: DType, x: I32, y: I32, attributes: Attributes): Expr => {
  const unsigned = dtype === "u32"
  switch (op) {
    case "add":
      return wrap(dtype, i32.add(x, y))
    case "sub":
      return wrap(dtype, i32.sub(x, y))
    case "mul":
      return wrap(dtype, i32.mul(x, y))
    case "and":
    case "bitwiseAnd":
      return i32.and(x, y)
    case "or":
    case "bitwiseOr":
      return i32.or(x, y)
    case "xor":
    case "bitwiseXor":
      return i32.xor(x, y)
    case "equal":
      return i32.eq(x, y)
    case "less":
      return unsigned ? i32.lt_u(x, y) : i32.lt_s(x, y)
    case "lessOrEqual":
      return unsigned ? i32.le_u(x, y) : i32.le_s(x, y)
    case "greater":
      return unsigned ? i32.gt_u(x, y) : i32.gt_s(x, y)
    case "greaterOrEqual":
      return unsigned ? i32.ge_u(x, y) : i32.ge_s(x, y)
    default:
  }
  const [a, b] = [w.keep(x), w.keep(y)]
  const zero = i32.eqz(b)
  switch (op) {
    case "min":
      return select(unsigned ? i32.lt_u(a, b) : i32.lt_s(a, b), a, b)
    case "max":
      return select(unsigned ? i32.gt_u(a, b) : i32.gt_s(a, b), a, b)
    case "div": {
      // By −1 is a negation, which wraps; the instruction would trap.
      const safe = select(i32.or(zero, i32.eq(b, i32.const(-1))), i32.const(1), b)
      const quotient = unsigned
        ? i32.div_u(a, select(zero, i32.const(1), b))
        : select(i32.eq(b, i32.const(-1)), i32.sub(i32.const(0), a), i32.div_s(a, safe))
      return wrap(dtype, select(zero, i32.const(0), quotient))
    }
    case "mod": {
      const safe = select(zero, i32.const(1), b)
      if (unsigned) return select(zero, i32.const(0), i32.rem_u(a, safe))
      const rest = w.keep(i32.rem_s(a, safe))
      if (!isFloored(attributes) || !DTypes.isSigned(dtype)) return select(zero, i32.const(0), rest)
      const differs = i32.lt_s(i32.xor(rest, b), i32.const(0))
      const moved = i32.add(rest, select(i32.and(differs, i32.ne(rest, i32.const(0))), b, i32.const(0)))
      return select(zero, i32.const(0), moved)
    }
    case "shiftLeft":
      return wrap(dtype, select(i32.lt_u(b, i32.const(32)), i32.shl(a, b), i32.const(0)))
    case "shiftRight": {
      const inside = i32.lt_u(b, i32.const(32))
      if (unsigned) return select(inside, i32.shr_u(a, b), i32.const(0))
      return select(inside, i32.shr_s(a, b), i32.shr_s(a, i32.const(31)))
    }
    default:
      throw new Error(`this is not defined on ${dtype}`)
  }
}

const binaryI64 = (w: Writer, op: Binary, dtype: DType, x: I64, y: I64, attributes: Attributes): Expr => {
  const unsigned = dtype === "u64"
  switch (op) {
    case "add":
      return i64.add(x, y)
    case "sub":
      return i64.sub(x, y)
    case "mul":
      return i64.mul(x, y)
    case "bitwiseAnd":
      return i64.and(x, y)
    case "bitwiseOr":
      return i64.or(x, y)
    case "bitwiseXor":
      return i64.xor(x, y)
    case "equal":
      return i64.eq(x, y)
    case "less":
      return unsigned ? i64.lt_u(x, y) : i64.lt_s(x, y)
    case "lessOrEqual":
      return unsigned ? i64.le_u(x, y) : i64.le_s(x, y)
    case "greater":
      return unsigned ? i64.gt_u(x, y) : i64.gt_s(x, y)
    case "greaterOrEqual":
      return unsigned ? i64.ge_u(x, y) : i64.ge_s(x, y)
    default:
  }
  const [a, b] = [w.keep(x), w.keep(y)]
  const zero = i64.eqz(b)
  const none = i64.const(0n)
  switch (op) {
    case "min":
      return select(unsigned ? i64.lt_u(a, b) : i64.lt_s(a, b), a, b)
    case "max":
      return select(unsigned ? i64.gt_u(a, b) : i64.gt_s(a, b), a, b)
    case "div": {
      const one = i64.const(1n)
      const minus = i64.eq(b, i64.const(-1n))
      const quotient = unsigned
        ? i64.div_u(a, select(zero, one, b))
        : select(minus, i64.sub(none, a), i64.div_s(a, select(i32.or(zero, minus), one, b)))
      return select(zero, none, quotient)
    }
    case "mod": {
      const safe = select(zero, i64.const(1n), b)
      if (unsigned) return select(zero, none, i64.rem_u(a, safe))
      const rest = w.keep(i64.rem_s(a, safe))
      if (!isFloored(attributes)) return select(zero, none, rest)
      const differs = i64.lt_s(i64.xor(rest, b), none)
      return select(zero, none, i64.add(rest, select(i32.and(differs, i64.ne(rest, none)), b, none)))
    }
    case "shiftLeft":
      return select(i64.lt_u(b, i64.const(64n)), i64.shl(a, b), none)
    case "shiftRight": {
      const inside = i64.lt_u(b, i64.const(64n))
      if (unsigned) return select(inside, i64.shr_u(a, b), none)
      return select(inside, i64.shr_s(a, b), i64.shr_s(a, i64.const(63n)))
    }
    default:
      throw new Error(`${op} is not defined on ${dtype}`)
  }
}

/** a · b + c. One rounding where the host fuses; f64 and narrow floats are rounded as they can be. */
export const fma = (w: Writer, dtype: DType, a: Expr, b: Expr, c: Expr): Expr => {
  switch (kindOf(dtype)) {
    case "f32":
      if (w.emission.features.relaxed)
        return roundF32(w, dtype, w.first(w.madd(f32x4.splat(asF32(a)), f32x4.splat(asF32(b)), f32x4.splat(asF32(c)))))
      return roundF32(w, dtype, f32.add(f32.mul(asF32(a), asF32(b)), asF32(c)))
    case "f64":
      return f64.add(f64.mul(asF64(a), asF64(b)), asF64(c))
    default:
      return binary(w, "add", dtype, binary(w, "mul", dtype, a, b, undefined), c, undefined)
  }
}

export const choose = (condition: Expr, a: Expr, b: Expr): Expr => select(asI32(condition), a, b)

// ---- casts ----------------------------------------------------------------------------------------------------------

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

/** `extract` of vectors for ops that have no vector form: computed lane by lane. */
export const lanewise = (
  w: Writer,
  result: DType,
  operands: ReadonlyArray<{ readonly dtype: DType; readonly lanes: Lanes.Lanes }>,
  compute: (elements: ReadonlyArray<Expr>) => Expr
): Lanes.Lanes => {
  const kept = operands.map(({ dtype, lanes }) => ({ dtype, lanes: Lanes.map(lanes, (part) => w.keep(part)) }))
  return Lanes.gather(
    result,
    [0, 1, 2, 3].map((lane) => w.keep(compute(kept.map(({ dtype, lanes }) => Lanes.extract(dtype, lanes, lane)))))
  )
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
