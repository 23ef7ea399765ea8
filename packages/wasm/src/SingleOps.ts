/**
 * SingleOps: each op of `Scalar` on one element, as scalar code of WebAssembly. The meaning is that of the IR's op of the
 * same name: integers wrap and divide by 0 to 0, floats are rounded once to their dtype, minima give NaN if either is.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Attributes, Binary, BinaryOn, Comparison, Elementary, Unary, UnaryOn } from "@anneal/lower/ScalarOp"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import type { Expr, F64, Floats, I32, I64, Integers } from "./Instruction.ts"
import { f32, f32x4, f64, i32, i64, select } from "./Instruction.ts"
import { kindOf } from "./Lanes.ts"
import * as ScalarLibrary from "./ScalarLibrary.ts"
import { asF32, asF64, asI32, asI64, roundF32, wrap } from "./SingleForm.ts"
import * as VectorMath from "./VectorMath.ts"
import type { Writer } from "./Writer.ts"

export { bitcast, cast } from "./SingleCast.ts"

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

// ---- one operand ----------------------------------------------------------------------------------------------------

/** `dtype` is that of the operand. */
export const unary = (
  w: Writer,
  op: Exclude<Unary, "bitcast">,
  dtype: DType,
  x: Expr,
  attributes?: Attributes
): Expr => {
  switch (kindOf(dtype)) {
    case "f32":
      if (ScalarOp.isElementary(op)) return roundF32(w, dtype, w.first(VectorMath.unary(w, op, f32x4.splat(asF32(x)))))
      if (!ScalarOp.isUnaryOn(op, "float")) break
      return unaryFloat(w, f32, f32.const, (y) => roundF32(w, dtype, y), op, asF32(x), attributes)
    case "f64":
      if (ScalarOp.isElementary(op)) throw new Error(`${op} on f64 has no code: ask ScalarCode.refusal first`)
      if (!ScalarOp.isUnaryOn(op, "float")) break
      return unaryFloat(w, f64, f64.const, (y) => y, op, asF64(x), attributes)
    case "i64":
      if (!ScalarOp.isUnaryOn(op, "integer")) break
      return unaryI64(w, op, dtype === "u64", asI64(x))
    case "bool":
      if (!ScalarOp.isUnaryOn(op, "bool")) break
      return i32.eqz(asI32(x))
    case "i32":
      if (!ScalarOp.isUnaryOn(op, "integer")) break
      return unaryI32(w, op, dtype, asI32(x))
  }
  throw new Error(`${op} is not defined on ${dtype}`)
}

/** `rounded`: to the dtype, where that is narrower than the numbers that are computed with. */
const unaryFloat = <T extends "f32" | "f64">(
  w: Writer,
  form: Floats<T>,
  number: (value: number) => Expr<T>,
  rounded: (value: Expr<T>) => Expr<T>,
  op: Exclude<UnaryOn<"float">, Elementary>,
  value: Expr<T>,
  attributes: Attributes | undefined
): Expr => {
  switch (op) {
    case "neg":
      return form.neg(value)
    case "abs":
      return form.abs(value)
    case "ceil":
      return form.ceil(value)
    case "floor":
      return form.floor(value)
    case "round":
      return form.nearest(value)
    case "sqrt":
      return rounded(form.sqrt(value))
    case "reciprocal":
      return rounded(form.div(number(1), value))
    case "sign": {
      // 1 with the sign of x where x is less or greater than 0; x itself for zeros and NaN.
      const x = w.keep(value)
      const some = i32.or(form.lt(x, number(0)), form.gt(x, number(0)))
      return select(some, form.copysign(number(1), x), x)
    }
    case "isNaN": {
      const x = w.keep(value)
      return form.ne(x, x)
    }
    case "isInf": {
      const x = w.keep(value)
      const test = (counts: boolean, infinity: number): I32 => (counts ? form.eq(x, number(infinity)) : i32.const(0))
      const positive = test(ScalarOp.countsPositive(attributes), Infinity)
      return i32.or(positive, test(ScalarOp.countsNegative(attributes), -Infinity))
    }
  }
}

const unaryI32 = (w: Writer, op: UnaryOn<"integer">, dtype: DType, value: I32): I32 => {
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
    case "bitwiseNot":
      return wrap(dtype, i32.xor(value, i32.const(-1)))
  }
}

const unaryI64 = (w: Writer, op: UnaryOn<"integer">, isUnsigned: boolean, value: I64): I64 => {
  switch (op) {
    case "neg":
      return i64.sub(i64.const(0n), value)
    case "abs": {
      if (isUnsigned) return value
      const x = w.keep(value)
      return select(i64.lt_s(x, i64.const(0n)), i64.sub(i64.const(0n), x), x)
    }
    case "sign": {
      const x = w.keep(value)
      if (isUnsigned) return i64.extend_i32_u(i64.ne(x, i64.const(0n)))
      return i64.extend_i32_s(i32.sub(i64.gt_s(x, i64.const(0n)), i64.lt_s(x, i64.const(0n))))
    }
    case "bitwiseNot":
      return i64.xor(value, i64.const(-1n))
  }
}

// ---- two operands ---------------------------------------------------------------------------------------------------

/** `dtype` is that of the operands. Powers of integers and of f64 are elsewhere: `ScalarCode`. */
export const binary = (w: Writer, op: Binary, dtype: DType, a: Expr, b: Expr, attributes?: Attributes): Expr => {
  switch (kindOf(dtype)) {
    case "f32": {
      const [x, y] = [asF32(a), asF32(b)]
      if (op === "pow") return roundF32(w, dtype, w.first(VectorMath.pow(w, f32x4.splat(x), f32x4.splat(y))))
      if (op === "mod") {
        const rest = remainder(w, f64.promote_f32(x), f64.promote_f32(y), attributes)
        return roundF32(w, dtype, f32.demote_f64(rest))
      }
      if (!ScalarOp.isBinaryOn(op, "float")) break
      if (ScalarOp.isComparison(op)) return compareFloats(f32, op, x, y)
      const result = joinFloats(f32, op, x, y)
      return op === "min" || op === "max" ? result : roundF32(w, dtype, result)
    }
    case "f64":
      if (op === "pow") throw new Error("pow on f64 has no code: ask ScalarCode.refusal first")
      if (op === "mod") return remainder(w, asF64(a), asF64(b), attributes)
      if (!ScalarOp.isBinaryOn(op, "float")) break
      if (ScalarOp.isComparison(op)) return compareFloats(f64, op, asF64(a), asF64(b))
      return joinFloats(f64, op, asF64(a), asF64(b))
    case "i64":
      if (op === "pow" || !ScalarOp.isBinaryOn(op, "integer")) break
      return binaryInteger(w, wide, op, dtype, asI64(a), asI64(b), attributes)
    case "bool":
      if (op === "min" || op === "max") return binaryInteger(w, narrow, op, dtype, asI32(a), asI32(b), attributes)
      if (!ScalarOp.isBinaryOn(op, "bool")) break
      return binaryBool(op, asI32(a), asI32(b))
    case "i32":
      if (op === "pow" || !ScalarOp.isBinaryOn(op, "integer")) break
      return binaryInteger(w, narrow, op, dtype, asI32(a), asI32(b), attributes)
  }
  throw new Error(`${op} is not defined on ${dtype}`)
}

const remainder = (w: Writer, a: F64, b: F64, attributes: Attributes | undefined): F64 =>
  w.f.call("f64", ScalarLibrary.floatRemainder(w.emission, ScalarOp.isFloored(attributes)), [a, b])

const joinFloats = <T extends "f32" | "f64">(
  form: Floats<T>,
  op: Exclude<BinaryOn<"float">, "mod" | "pow" | Comparison>,
  a: Expr<T>,
  b: Expr<T>
): Expr<T> => {
  switch (op) {
    case "add":
      return form.add(a, b)
    case "sub":
      return form.sub(a, b)
    case "mul":
      return form.mul(a, b)
    case "div":
      return form.div(a, b)
    case "min":
      return form.min(a, b)
    case "max":
      return form.max(a, b)
  }
}

const compareFloats = <T extends "f32" | "f64">(form: Floats<T>, op: Comparison, a: Expr<T>, b: Expr<T>): I32 => {
  switch (op) {
    case "equal":
      return form.eq(a, b)
    case "less":
      return form.lt(a, b)
    case "lessOrEqual":
      return form.le(a, b)
    case "greater":
      return form.gt(a, b)
    case "greaterOrEqual":
      return form.ge(a, b)
  }
}

const binaryBool = (op: Exclude<BinaryOn<"bool">, "min" | "max">, a: I32, b: I32): I32 => {
  switch (op) {
    case "and":
      return i32.and(a, b)
    case "or":
      return i32.or(a, b)
    case "xor":
      return i32.xor(a, b)
    case "equal":
      return i32.eq(a, b)
  }
}

/** Integers of one width: their instructions, their numbers, how many bits a shift may move. */
interface IntegerForm<T extends "i32" | "i64"> {
  readonly code: Integers<T>
  readonly number: (value: number) => Expr<T>
  readonly width: number
  readonly isUnsigned: (dtype: DType) => boolean
}
const narrow: IntegerForm<"i32"> = {
  code: i32,
  number: i32.const,
  width: 32,
  isUnsigned: (dtype) => dtype === "u32"
}
const wide: IntegerForm<"i64"> = {
  code: i64,
  number: (value) => i64.const(BigInt(value)),
  width: 64,
  isUnsigned: (dtype) => dtype === "u64"
}

const binaryInteger = <T extends "i32" | "i64">(
  w: Writer,
  { code, isUnsigned, number, width }: IntegerForm<T>,
  op: Exclude<BinaryOn<"integer">, "pow">,
  dtype: DType,
  x: Expr<T>,
  y: Expr<T>,
  attributes: Attributes | undefined
): Expr => {
  const unsigned = isUnsigned(dtype)
  const within = (value: Expr<T>): Expr => (value.type === "i32" ? wrap(dtype, asI32(value)) : value)
  switch (op) {
    case "add":
      return within(code.add(x, y))
    case "sub":
      return within(code.sub(x, y))
    case "mul":
      return within(code.mul(x, y))
    case "bitwiseAnd":
      return code.and(x, y)
    case "bitwiseOr":
      return code.or(x, y)
    case "bitwiseXor":
      return code.xor(x, y)
    case "equal":
      return code.eq(x, y)
    case "less":
      return unsigned ? code.lt_u(x, y) : code.lt_s(x, y)
    case "lessOrEqual":
      return unsigned ? code.le_u(x, y) : code.le_s(x, y)
    case "greater":
      return unsigned ? code.gt_u(x, y) : code.gt_s(x, y)
    case "greaterOrEqual":
      return unsigned ? code.ge_u(x, y) : code.ge_s(x, y)
    case "min":
    case "max": {
      const [a, b] = [w.keep(x), w.keep(y)]
      if (op === "min") return select(unsigned ? code.lt_u(a, b) : code.lt_s(a, b), a, b)
      return select(unsigned ? code.gt_u(a, b) : code.gt_s(a, b), a, b)
    }
    case "div": {
      const [a, b] = [w.keep(x), w.keep(y)]
      const zero = code.eqz(b)
      // By −1 is a negation, which wraps; the instruction would trap.
      const minus = code.eq(b, number(-1))
      const quotient = unsigned
        ? code.div_u(a, select(zero, number(1), b))
        : select(minus, code.sub(number(0), a), code.div_s(a, select(i32.or(zero, minus), number(1), b)))
      return within(select(zero, number(0), quotient))
    }
    case "mod": {
      const [a, b] = [w.keep(x), w.keep(y)]
      const zero = code.eqz(b)
      const safe = select(zero, number(1), b)
      if (unsigned) return select(zero, number(0), code.rem_u(a, safe))
      const rest = w.keep(code.rem_s(a, safe))
      if (!ScalarOp.isFloored(attributes) || !DTypes.isSigned(dtype)) return select(zero, number(0), rest)
      const differs = code.lt_s(code.xor(rest, b), number(0))
      const moved = code.add(rest, select(i32.and(differs, code.ne(rest, number(0))), b, number(0)))
      return select(zero, number(0), moved)
    }
    case "shiftLeft": {
      const [a, b] = [w.keep(x), w.keep(y)]
      return within(select(code.lt_u(b, number(width)), code.shl(a, b), number(0)))
    }
    case "shiftRight": {
      const [a, b] = [w.keep(x), w.keep(y)]
      const inside = code.lt_u(b, number(width))
      if (unsigned) return select(inside, code.shr_u(a, b), number(0))
      return select(inside, code.shr_s(a, b), code.shr_s(a, number(width - 1)))
    }
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
