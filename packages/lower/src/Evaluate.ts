/**
 * Evaluate: a scalar expression at one point, by the definition of each op: what generated code is held against. Floats
 * are computed in float64 and rounded to each part's dtype; 64-bit integers are BigInts.
 */
import type { DType } from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import * as Functions from "@anneal/ir/Math"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { Binary, BinaryOn, Comparison, Unary, UnaryOn } from "./ScalarOp.ts"
import * as ScalarOp from "./ScalarOp.ts"

/** An element: a bigint for i64 and u64, else a number; bools are 0 and 1. */
export type Element = number | bigint

/** What is at hand at the present point. */
export interface Environment {
  /** Element of an operand, displaced by so many elements. */
  readonly load: (operand: number, displacement: number) => Element
  readonly index: (axis: number) => number
  readonly previous: (name: string) => Element
}

/** The nearest element of a dtype: floats rounded, integers truncated and wrapped, bool ≠ 0. */
export const convert = (dtype: DType, value: Element, saturate = true): Element => {
  if (dtype === "f32" && typeof value === "number") return Math.fround(value)
  if (dtype === "bool") return value === 0 || value === 0n ? 0 : 1
  if (DTypes.isFloat(dtype)) {
    const wide = typeof value === "bigint" ? Number(value) : value
    return Float.round(dtype, wide, saturate)
  }
  const whole = typeof value === "bigint" ? value : Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n
  const width = DTypes.bits(dtype)
  const wrapped = DTypes.isSigned(dtype) ? BigInt.asIntN(width, whole) : BigInt.asUintN(width, whole)
  return DTypes.isBig(dtype) ? wrapped : Number(wrapped)
}

/** Nearest integer, ties to even. */
export const roundHalfEven = (x: number): number => {
  const size = Math.abs(x)
  if (!(size < 2 ** 52)) return x
  const rounded = size + 2 ** 52 - 2 ** 52
  return x < 0 || Object.is(x, -0) ? -rounded : rounded
}

const sigmoid = (x: number): number => {
  const power = Functions.exp(x < 0 ? x : -x)
  return x < 0 ? power / (1 + power) : 1 / (1 + power)
}

/** On elements that are numbers. */
const functions: Readonly<Record<Exclude<Unary, "bitcast" | "isNaN" | "isInf">, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: (x) => (x > 0 ? 1 : x < 0 ? -1 : x),
  ceil: Math.ceil,
  floor: Math.floor,
  round: roundHalfEven,
  exp: Functions.exp,
  log: Functions.log,
  log1p: Functions.log1p,
  expm1: Functions.expm1,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  sin: Functions.sin,
  cos: Functions.cos,
  tan: Functions.tan,
  asin: Functions.asin,
  acos: Functions.acos,
  atan: Functions.atan,
  sinh: Functions.sinh,
  cosh: Functions.cosh,
  tanh: Functions.tanh,
  asinh: Functions.asinh,
  acosh: Functions.acosh,
  atanh: Functions.atanh,
  erf: Functions.erf,
  sigmoid,
  not: (x) => (x === 0 ? 1 : 0),
  bitwiseNot: (x) => ~x
}

const bigFunctions: Readonly<Record<UnaryOn<"integer">, (x: bigint) => bigint>> = {
  neg: (x) => -x,
  abs: (x) => (x < 0n ? -x : x),
  sign: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
  bitwiseNot: (x) => ~x
}

/** The bits of an element under another dtype of the same width. */
const bitcast = (from: DType, to: DType, x: Element): Element => {
  const slot = new ArrayBuffer(8)
  const source = DTypes.view(from, slot, 0, 1)
  if (DTypes.isNarrowFloat(from) && typeof x === "number") source[0] = Float.encode(from, x)
  else source[0] = x
  if (to === "bool" || to === "i4" || to === "u4") return convert(to, source[0] ?? 0)
  const bits = DTypes.view(to, slot, 0, 1)[0] ?? 0
  return DTypes.isNarrowFloat(to) && typeof bits === "number" ? Float.decode(to, bits) : bits
}

const unary = (part: Extract<Scalar, { readonly kind: "unary" }>, x: Element): Element => {
  const { attributes, dtype, op } = part
  if (op === "bitcast") return bitcast(part.x.dtype, dtype, x)
  if (op === "isNaN") return x !== x ? 1 : 0
  if (op === "isInf") {
    return (ScalarOp.countsPositive(attributes) && x === Infinity) ||
      (ScalarOp.countsNegative(attributes) && x === -Infinity)
      ? 1
      : 0
  }
  if (typeof x !== "bigint") return convert(dtype, functions[op](x), !ScalarOp.isExact(op))
  if (!ScalarOp.isUnaryOn(op, "integer")) throw new RangeError(`${op} is not defined on ${part.x.dtype}`)
  return convert(dtype, bigFunctions[op](x))
}

const power = (base: bigint, exponent: bigint): bigint => {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : 0n
  let result = 1n
  let square = base
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = BigInt.asIntN(64, result * square)
    square = BigInt.asIntN(64, square * square)
  }
  return result
}

const compare = (op: Comparison, a: Element, b: Element): boolean => {
  switch (op) {
    case "equal":
      return a === b
    case "less":
      return a < b
    case "lessOrEqual":
      return a <= b
    case "greater":
      return a > b
    case "greaterOrEqual":
      return a >= b
  }
}

/** Integers of any width, exactly; the caller wraps. */
const whole = (op: Exclude<Binary, Comparison>, a: bigint, b: bigint, width: bigint, floor: boolean): bigint => {
  switch (op) {
    case "add":
      return a + b
    case "sub":
      return a - b
    case "mul":
      return a * b
    case "div":
      return b === 0n ? 0n : a / b
    case "mod": {
      const rest = b === 0n ? 0n : a % b
      return floor && rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest
    }
    case "pow":
      return power(a, b)
    case "min":
      return a < b ? a : b
    case "max":
      return a > b ? a : b
    case "and":
    case "bitwiseAnd":
      return a & b
    case "or":
    case "bitwiseOr":
      return a | b
    case "xor":
    case "bitwiseXor":
      return a ^ b
    case "shiftLeft":
      return b >= 0n && b < width ? a << b : 0n
    case "shiftRight":
      return b >= 0n && b < width ? a >> b : a < 0n ? -1n : 0n
  }
}

const real = (op: Exclude<BinaryOn<"float">, Comparison>, a: number, b: number, floor: boolean): number => {
  switch (op) {
    case "add":
      return a + b
    case "sub":
      return a - b
    case "mul":
      return a * b
    case "div":
      return a / b
    case "mod": {
      const rest = a % b
      return floor && rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
    }
    case "pow":
      return Functions.pow(a, b)
    case "min":
      return Math.min(a, b)
    case "max":
      return Math.max(a, b)
  }
}

const binary = (part: Extract<Scalar, { readonly kind: "binary" }>, a: Element, b: Element): Element => {
  const { attributes, op } = part
  if (ScalarOp.isComparison(op)) return compare(op, a, b) ? 1 : 0
  const { dtype } = part.a
  const floor = ScalarOp.isFloored(attributes)
  if (DTypes.isFloat(dtype)) {
    if (!ScalarOp.isBinaryOn(op, "float")) throw new RangeError(`${op} is no operation on floats`)
    return convert(part.dtype, real(op, Number(a), Number(b), floor), !ScalarOp.isExact(op))
  }
  if (op === "pow" && DTypes.isFloat(part.b.dtype)) return convert(part.dtype, Functions.pow(Number(a), Number(b)))
  return convert(part.dtype, whole(op, BigInt(a), BigInt(b), DTypes.isBig(dtype) ? 64n : 32n, floor))
}

/** The expressions as one function of the point, which gives their values in order. */
export const compile = (roots: ReadonlyArray<Scalar>, size: (dim: Dim) => number) => {
  const all = Scalars.parts(roots)
  const slots = new Map(all.map((part, slot) => [part, slot]))
  const values = new Array<Element>(all.length).fill(0)
  /** A part's value, found once for all points. */
  const valueOf = (part: Scalar): (() => Element) => {
    const slot = slots.get(part) ?? -1
    return () => values[slot] ?? 0
  }
  const step = (part: Scalar): ((environment: Environment) => Element) => {
    switch (part.kind) {
      case "load": {
        const steps = (part.indirect ?? []).map((one) => ({
          index: valueOf(one.index),
          extent: size(one.extent),
          stride: size(one.stride)
        }))
        if (steps.length === 0) return ({ load }) => load(part.operand, 0)
        return ({ load }) => {
          let displacement = 0
          for (const { extent, index, stride } of steps) {
            const given = Number(index())
            const place = given < 0 ? given + extent : given
            if (place < 0 || place >= extent) throw new RangeError(`index ${given} is outside an extent of ${extent}`)
            displacement += place * stride
          }
          return load(part.operand, displacement)
        }
      }
      case "constant": {
        const value = convert(part.dtype, part.value)
        return () => value
      }
      case "dim": {
        const value = convert(part.dtype, size(part.dim))
        return () => value
      }
      case "index":
        return ({ index }) => convert(part.dtype, index(part.axis))
      case "previous":
        return ({ previous }) => previous(part.name)
      case "unary": {
        const x = valueOf(part.x)
        return () => unary(part, x())
      }
      case "binary": {
        const [a, b] = [valueOf(part.a), valueOf(part.b)]
        return () => binary(part, a(), b())
      }
      case "fma": {
        const [a, b, c] = [valueOf(part.a), valueOf(part.b), valueOf(part.c)]
        return () => convert(part.dtype, Number(a()) * Number(b()) + Number(c()))
      }
      case "select": {
        const [condition, a, b] = [valueOf(part.condition), valueOf(part.a), valueOf(part.b)]
        return () => (condition() === 0 ? b() : a())
      }
      case "cast": {
        const x = valueOf(part.x)
        return () => convert(part.dtype, x(), part.saturate)
      }
    }
  }
  const steps = all.map(step)
  const results = roots.map((root) => slots.get(root) ?? -1)
  return (environment: Environment): ReadonlyArray<Element> => {
    for (let slot = 0; slot < steps.length; slot++) values[slot] = steps[slot]?.(environment) ?? 0
    return results.map((slot) => values[slot] ?? 0)
  }
}
