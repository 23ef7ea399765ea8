/**
 * CudaScalar: a `Scalar` as an expression of CUDA C++.
 *
 *   binary add (load 0) (constant 1)  ⇒  __fadd_rn(r0[i0], 1.0f)
 *
 * Rounding is spelt out, so no flag of the compiler changes a result. Functions that it calls are in `CudaPreamble`.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Scalar } from "./Scalar.ts"
import type { Comparison, Elementary, Unary } from "./ScalarOp.ts"
import * as ScalarOp from "./ScalarOp.ts"

/** What has no text in CUDA C++. */
export class NotPrintable extends Error {
  override readonly name = "NotPrintable"
}

export const refuse = (detail: string): never => {
  throw new NotPrintable(detail)
}

export const storage: { readonly [D in DType]: string } = {
  bool: "unsigned char",
  i4: "signed char",
  i8: "signed char",
  i16: "short",
  i32: "int",
  i64: "long long",
  u4: "unsigned char",
  u8: "unsigned char",
  u16: "unsigned short",
  u32: "unsigned int",
  u64: "unsigned long long",
  f8e4m3: "__nv_fp8_e4m3",
  f8e5m2: "__nv_fp8_e5m2",
  f16: "__half",
  bf16: "__nv_bfloat16",
  f32: "float",
  f64: "double"
}

/** The type of a value in registers: narrow floats are computed in float and rounded after every step. */
export const register = (dtype: DType): string => (DTypes.isNarrowFloat(dtype) ? "float" : storage[dtype])

export const isDouble = (dtype: DType): boolean => dtype === "f64"

export const dimText = (dim: Dim.Dim): string =>
  Dim.fold<string>(dim, {
    integer: (value) => `${value}LL`,
    symbol: symbolText,
    add: (a, b) => `(${a} + ${b})`,
    mul: (a, b) => `(${a} * ${b})`,
    floorDiv: (a, b) => `((${a} - ((${a}) % ${b} + ${b}) % ${b}) / ${b})`,
    mod: (a, b) => `(((${a}) % ${b} + ${b}) % ${b})`,
    min: (a, b) => `min(${a}, ${b})`,
    max: (a, b) => `max(${a}, ${b})`
  })

/** A symbol may have any name; C++ names may not. */
export const symbolText = (name: string): string =>
  `s_${name.replaceAll(/[^0-9A-Za-z]/gu, (char) => `_${char.codePointAt(0)}_`)}`

export const literal = (dtype: DType, value: number | bigint): string => {
  if (!DTypes.isFloat(dtype)) {
    if (dtype === "u64") return `${BigInt.asUintN(64, BigInt(value))}ULL`
    // The least i64 has no literal of its own.
    if (dtype === "i64") return value === -(2n ** 63n) ? "(-9223372036854775807LL - 1)" : `${value}LL`
    return `(${storage[dtype]})(${Number(value)})`
  }
  const number = Number(value)
  const double = isDouble(dtype)
  if (Number.isNaN(number)) return double ? 'nan("")' : 'nanf("")'
  if (!Number.isFinite(number)) return `${number < 0 ? "-" : ""}${double ? "(double)INFINITY" : "INFINITY"}`
  const text = Object.is(number, -0) ? "-0" : String(number)
  const float = /[.e]/.test(text) ? text : `${text}.0`
  return double ? float : `${float}f`
}

export const rounded = (dtype: DType, text: string): string =>
  DTypes.isNarrowFloat(dtype)
    ? `round_${dtype}(${text})`
    : DTypes.isInteger(dtype) && DTypes.bits(dtype) < 32
      ? `(${storage[dtype]})(${text})`
      : text

/** Names in the CUDA math library; f for float. */
const library: Readonly<Record<Exclude<Elementary, "sigmoid"> | "ceil" | "floor" | "round", string>> = {
  ceil: "ceil",
  floor: "floor",
  round: "rint",
  exp: "exp",
  log: "log",
  log1p: "log1p",
  expm1: "expm1",
  sin: "sin",
  cos: "cos",
  tan: "tan",
  asin: "asin",
  acos: "acos",
  atan: "atan",
  sinh: "sinh",
  cosh: "cosh",
  tanh: "tanh",
  asinh: "asinh",
  acosh: "acosh",
  atanh: "atanh",
  erf: "erf"
}

/** Narrow floats are floats in registers: their own bits are made first, and read after. */
const bitsText = (from: DType, to: DType, x: string): string => {
  if (to === "bool" || to === "i4" || to === "u4") return castText("i32", to, `(int)(${x})`)
  const bits = `bits_as<${storage[to]}>(${stored(from, x)})`
  return DTypes.isNarrowFloat(to) ? `(float)${bits}` : bits
}

const isInLibrary = (op: Unary): op is keyof typeof library => Object.hasOwn(library, op)

const unaryText = (scalar: Extract<Scalar, { readonly kind: "unary" }>, x: string): string => {
  const { attributes, dtype, op } = scalar
  const double = isDouble(scalar.x.dtype)
  if (isInLibrary(op)) return rounded(dtype, `${library[op]}${double ? "" : "f"}(${x})`)
  switch (op) {
    case "neg":
      return rounded(dtype, `-${x}`)
    case "abs":
      return DTypes.isFloat(dtype) ? `${double ? "fabs" : "fabsf"}(${x})` : rounded(dtype, `(${x} < 0 ? -${x} : ${x})`)
    case "sign":
      return `sign_of(${x})`
    case "sqrt":
      return rounded(dtype, `${double ? "__dsqrt_rn" : "__fsqrt_rn"}(${x})`)
    case "reciprocal":
      return rounded(dtype, double ? `__ddiv_rn(1.0, ${x})` : `__fdiv_rn(1.0f, ${x})`)
    case "sigmoid":
      return rounded(dtype, `sigmoid_of(${x})`)
    case "isNaN":
      return `(unsigned char)isnan(${x})`
    case "isInf": {
      const tests = [
        ...(ScalarOp.countsPositive(attributes) ? [`${x} > 0`] : []),
        ...(ScalarOp.countsNegative(attributes) ? [`${x} < 0`] : [])
      ]
      return tests.length === 0 ? "(unsigned char)0" : `(unsigned char)(isinf(${x}) && (${tests.join(" || ")}))`
    }
    case "not":
      return `(unsigned char)(${x} == 0)`
    case "bitwiseNot":
      return rounded(dtype, `~${x}`)
    case "bitcast":
      return bitsText(scalar.x.dtype, dtype, x)
  }
}

const comparing: Readonly<Record<Comparison, string>> = {
  equal: "==",
  less: "<",
  lessOrEqual: "<=",
  greater: ">",
  greaterOrEqual: ">="
}

/** Sums of signed integers wrap: C++ leaves that undefined, so they are added without sign. */
const wrapping = (dtype: DType, operator: string, a: string, b: string): string => {
  const wide = DTypes.bits(dtype) <= 32 ? "unsigned int" : "unsigned long long"
  return `(${storage[dtype]})((${wide})(${a}) ${operator} (${wide})(${b}))`
}

/** What a float's own rounding instruction is named: f for float, d for double. */
const nearest = (dtype: DType, operation: "add" | "sub" | "mul" | "div", a: string, b: string): string =>
  rounded(dtype, `__${isDouble(dtype) ? "d" : "f"}${operation}_rn(${a}, ${b})`)

const binaryText = (scalar: Extract<Scalar, { readonly kind: "binary" }>, a: string, b: string): string => {
  const { attributes, dtype, op } = scalar
  const from = scalar.a.dtype
  const float = DTypes.isFloat(from)
  if (ScalarOp.isComparison(op)) return `(unsigned char)(${a} ${comparing[op]} ${b})`
  switch (op) {
    case "add":
      return float ? nearest(from, op, a, b) : wrapping(from, "+", a, b)
    case "sub":
      return float ? nearest(from, op, a, b) : wrapping(from, "-", a, b)
    case "mul":
      return float ? nearest(from, op, a, b) : wrapping(from, "*", a, b)
    case "div":
      return float ? nearest(from, op, a, b) : `quotient<${storage[from]}>(${a}, ${b})`
    case "mod": {
      const named = ScalarOp.isFloored(attributes) ? "remainder_floored" : "remainder_truncated"
      return rounded(dtype, `${named}<${register(from)}>(${a}, ${b})`)
    }
    case "pow":
      if (float) return rounded(dtype, isDouble(from) ? `pow(${a}, (double)(${b}))` : `powf(${a}, (float)(${b}))`)
      return DTypes.isFloat(scalar.b.dtype)
        ? `to_integer<${storage[dtype]}>(pow((double)(${a}), (double)(${b})))`
        : `power_of_integers<${storage[from]}>(${a}, ${b})`
    case "min":
      return `minimum<${register(from)}>(${a}, ${b})`
    case "max":
      return `maximum<${register(from)}>(${a}, ${b})`
    case "and":
      return `(unsigned char)(${a} && ${b})`
    case "or":
      return `(unsigned char)(${a} || ${b})`
    case "xor":
      return `(unsigned char)(${a} != ${b})`
    case "bitwiseAnd":
      return wrapping(from, "&", a, b)
    case "bitwiseOr":
      return wrapping(from, "|", a, b)
    case "bitwiseXor":
      return wrapping(from, "^", a, b)
    case "shiftLeft":
      return `shifted_left<${storage[from]}>(${a}, ${b})`
    case "shiftRight":
      return `shifted_right<${storage[from]}>(${a}, ${b})`
  }
}

const castText = (from: DType, to: DType, x: string): string => {
  if (to === "bool") return `(unsigned char)(${x} != 0)`
  if (DTypes.isFloat(to)) return rounded(to, `(${register(to)})(${x})`)
  if (to === "i4" || to === "u4") {
    const whole = DTypes.isFloat(from) ? `to_integer<int>(${x})` : `(int)(${x})`
    return to === "u4" ? `(unsigned char)(${whole} & 15)` : `(signed char)((${whole} << 28) >> 28)`
  }
  return DTypes.isFloat(from) ? `to_integer<${storage[to]}>(${x})` : `(${storage[to]})(${x})`
}

/** Where leaves come from: text of C++. */
export interface Environment {
  /** The element of an operand here. */
  readonly load: (operand: number, displaced: string) => string
  readonly index: (axis: number) => string
  readonly previous: (name: string) => string
}

export const print = (scalar: Scalar, env: Environment): string => {
  const text = (one: Scalar): string => print(one, env)
  switch (scalar.kind) {
    case "load": {
      const steps = (scalar.indirect ?? []).map(({ extent, index, stride }) => {
        const at = `(long long)(${text(index)})`
        return ` + ((${at}) < 0 ? (${at}) + ${dimText(extent)} : (${at})) * ${dimText(stride)}`
      })
      const element = env.load(scalar.operand, steps.join(""))
      return DTypes.isNarrowFloat(scalar.dtype) ? `(float)${element}` : element
    }
    case "constant":
      return literal(scalar.dtype, scalar.value)
    case "index":
      return `(${storage[scalar.dtype]})${env.index(scalar.axis)}`
    case "dim":
      return `(${storage[scalar.dtype]})(${dimText(scalar.dim)})`
    case "previous":
      return env.previous(scalar.name)
    case "unary":
      return unaryText(scalar, text(scalar.x))
    case "binary":
      return binaryText(scalar, text(scalar.a), text(scalar.b))
    case "fma":
      return rounded(
        scalar.dtype,
        `${isDouble(scalar.dtype) ? "__fma_rn" : "__fmaf_rn"}(${text(scalar.a)}, ${text(scalar.b)}, ${text(scalar.c)})`
      )
    case "select":
      return `(${text(scalar.condition)} ? ${text(scalar.a)} : ${text(scalar.b)})`
    case "cast":
      return castText(scalar.x.dtype, scalar.dtype, text(scalar.x))
  }
}

export const stored = (dtype: DType, value: string): string =>
  dtype === "f16"
    ? `__float2half_rn(${value})`
    : dtype === "bf16"
      ? `__float2bfloat16_rn(${value})`
      : DTypes.isNarrowFloat(dtype)
        ? `${storage[dtype]}(${value})`
        : value
