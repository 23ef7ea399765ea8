/**
 * CudaText: loop and rows regions as CUDA C++, printed from the same scalar form as everything else.
 *
 *   loop [n]: relu(load 0)  ⇒  extern "C" __global__ void k(const float* r0, float* w0) { … w0[i0] = maximum(r0[i0], 0.0f); }
 *
 * Rounding is spelt out (`__fadd_rn`, `__fmaf_rn`), so no flag of the compiler changes a result. A loop takes an element a
 * thread, in a grid-stride loop; rows take a block each, their inner axes across its threads. Plain and right first: tiles,
 * vectors and one-pass norms are the CUDA target's own templates.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Loop, Rows, Stage } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Binary, Scalar, Unary } from "./Scalar.ts"
import type { View } from "./View.ts"

/** Threads of a block in kernels for rows. */
export const rowThreads = 256

const storage: { readonly [D in DType]: string } = {
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
const register = (dtype: DType): string => (DTypes.isNarrowFloat(dtype) ? "float" : storage[dtype])

/** What every printed file starts with. */
export const preamble = `#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

// NaN if either is; −0 is less than 0.
template <typename T> __device__ T maximum(T a, T b) { return a > b ? a : b; }
template <typename T> __device__ T minimum(T a, T b) { return a < b ? a : b; }
template <> __device__ float maximum(float a, float b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? b : a) : fmaxf(a, b);
}
template <> __device__ float minimum(float a, float b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? a : b) : fminf(a, b);
}
template <> __device__ double maximum(double a, double b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? b : a) : fmax(a, b);
}
template <> __device__ double minimum(double a, double b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? a : b) : fmin(a, b);
}
template <typename T> __device__ T sign_of(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x; }
// Division and remainder by the integer 0 are 0.
template <typename T> __device__ T quotient(T a, T b) { return b == T(0) ? T(0) : T(a / b); }
template <typename T> __device__ T remainder_truncated(T a, T b) { return b == T(0) ? T(0) : T(a % b); }
template <typename T> __device__ T remainder_floored(T a, T b) {
  if (b == T(0)) return T(0);
  T r = a % b;
  return r != T(0) && (r < T(0)) != (b < T(0)) ? T(r + b) : r;
}
template <> __device__ float remainder_truncated(float a, float b) { return fmodf(a, b); }
template <> __device__ double remainder_truncated(double a, double b) { return fmod(a, b); }
template <> __device__ float remainder_floored(float a, float b) {
  float r = fmodf(a, b);
  return r != 0.0f && (r < 0.0f) != (b < 0.0f) ? __fadd_rn(r, b) : r;
}
template <> __device__ double remainder_floored(double a, double b) {
  double r = fmod(a, b);
  return r != 0.0 && (r < 0.0) != (b < 0.0) ? __dadd_rn(r, b) : r;
}
template <typename T> __device__ T power_of_integers(T base, long long exponent) {
  if (exponent < 0) return base == T(1) ? T(1) : base == T(-1) ? (exponent % 2 == 0 ? T(1) : T(-1)) : T(0);
  T result = 1;
  for (T square = base; exponent > 0; exponent >>= 1, square = T(square * square))
    if (exponent & 1) result = T(result * square);
  return result;
}
// A shift by the width or more, or by a negative amount, moves every bit out.
template <typename T> __device__ T shifted_left(T a, T b) {
  return b >= T(0) && b < T(8 * sizeof(T)) ? T((unsigned long long)a << b) : T(0);
}
template <typename T> __device__ T shifted_right(T a, T b) {
  return b >= T(0) && b < T(8 * sizeof(T)) ? T(a >> b) : a < T(0) ? T(-1) : T(0);
}
// Truncates towards zero, then wraps; NaN and infinities are 0.
template <typename T, typename F> __device__ T to_integer(F x) {
  if (!(fabs((double)x) < INFINITY)) return T(0);
  double whole = trunc((double)x);
  if (fabs(whole) < 9223372036854775808.0) return T((long long)whole);
  double wrapped = fmod(whole, 18446744073709551616.0);
  return T(wrapped < 0 ? 0ull - (unsigned long long)(-wrapped) : (unsigned long long)wrapped);
}
__device__ inline float round_f16(float x) { return __half2float(__float2half_rn(x)); }
__device__ inline float round_bf16(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }
__device__ inline float round_f8e4m3(float x) { return (float)__nv_fp8_e4m3(x); }
__device__ inline float round_f8e5m2(float x) { return (float)__nv_fp8_e5m2(x); }
__device__ inline float sigmoid_of(float x) {
  float p = expf(x < 0.0f ? x : -x);
  return x < 0.0f ? __fdiv_rn(p, __fadd_rn(1.0f, p)) : __fdiv_rn(1.0f, __fadd_rn(1.0f, p));
}
__device__ inline double sigmoid_of(double x) {
  double p = exp(x < 0.0 ? x : -x);
  return x < 0.0 ? __ddiv_rn(p, __dadd_rn(1.0, p)) : __ddiv_rn(1.0, __dadd_rn(1.0, p));
}
`

/** A region that this printer does not take. */
export class NotPrintable extends Error {
  override readonly name = "NotPrintable"
}

const refuse = (detail: string): never => {
  throw new NotPrintable(detail)
}

const isDouble = (dtype: DType): boolean => dtype === "f64"

const dimText = (dim: Dim.Dim): string =>
  Dim.fold<string>(dim, {
    integer: (value) => `${value}LL`,
    symbol: symbolText,
    add: (a, b) => `(${a} + ${b})`,
    mul: (a, b) => `${a} * ${b}`,
    floorDiv: (a, b) => `((${a} - ((${a}) % ${b} + ${b}) % ${b}) / ${b})`,
    mod: (a, b) => `(((${a}) % ${b} + ${b}) % ${b})`,
    min: (a, b) => `min(${a}, ${b})`,
    max: (a, b) => `max(${a}, ${b})`
  })

/** A symbol may have any name; C++ names may not. */
const symbolText = (name: string): string =>
  `s_${name.replaceAll(/[^0-9A-Za-z]/gu, (char) => `_${char.codePointAt(0)}_`)}`

const literal = (dtype: DType, value: number | bigint): string => {
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

const rounded = (dtype: DType, text: string): string =>
  DTypes.isNarrowFloat(dtype)
    ? `round_${dtype}(${text})`
    : DTypes.isInteger(dtype) && DTypes.bits(dtype) < 32
      ? `(${storage[dtype]})(${text})`
      : text

/** Names in the CUDA math library; f for float. */
const library: { readonly [U in Unary]?: string } = {
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

const unaryText = (scalar: Extract<Scalar, { readonly kind: "unary" }>, x: string): string => {
  const { dtype, op } = scalar
  const double = isDouble(scalar.x.dtype)
  const named = library[op]
  if (named !== undefined) return rounded(dtype, `${named}${double ? "" : "f"}(${x})`)
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
      const { negative, positive } = scalar.attributes ?? {}
      const tests = [positive === true ? `${x} > 0` : "", negative === true ? `${x} < 0` : ""].filter(
        (one) => one !== ""
      )
      return tests.length === 0 ? "(unsigned char)0" : `(unsigned char)(isinf(${x}) && (${tests.join(" || ")}))`
    }
    case "not":
      return `(unsigned char)(${x} == 0)`
    case "bitwiseNot":
      return rounded(dtype, `~${x}`)
    default:
      return refuse(`no text for ${op}`)
  }
}

const rounding: { readonly [B in Binary]?: readonly [float: string, double: string] } = {
  add: ["__fadd_rn", "__dadd_rn"],
  sub: ["__fsub_rn", "__dsub_rn"],
  mul: ["__fmul_rn", "__dmul_rn"],
  div: ["__fdiv_rn", "__ddiv_rn"]
}
const infix: { readonly [B in Binary]?: string } = {
  add: "+",
  sub: "-",
  mul: "*",
  bitwiseAnd: "&",
  bitwiseOr: "|",
  bitwiseXor: "^"
}
const test: { readonly [B in Binary]?: string } = {
  and: "&&",
  or: "||",
  xor: "!=",
  equal: "==",
  less: "<",
  lessOrEqual: "<=",
  greater: ">",
  greaterOrEqual: ">="
}

const binaryText = (scalar: Extract<Scalar, { readonly kind: "binary" }>, a: string, b: string): string => {
  const { dtype, op } = scalar
  const tested = test[op]
  if (tested !== undefined) return `(unsigned char)(${a} ${tested} ${b})`
  const from = scalar.a.dtype
  const float = DTypes.isFloat(from)
  const names = rounding[op]
  if (float && names !== undefined) return rounded(dtype, `${names[isDouble(from) ? 1 : 0]}(${a}, ${b})`)
  const operator = infix[op]
  // Sums of signed integers wrap: C++ leaves that undefined, so they are added without sign.
  if (operator !== undefined) {
    const wide = DTypes.bits(from) <= 32 ? "unsigned int" : "unsigned long long"
    return `(${storage[dtype]})((${wide})(${a}) ${operator} (${wide})(${b}))`
  }
  switch (op) {
    case "div":
      return `quotient<${storage[from]}>(${a}, ${b})`
    case "mod":
      return rounded(
        dtype,
        `${scalar.attributes?.["rounding"] === "floor" ? "remainder_floored" : "remainder_truncated"}<${register(from)}>(${a}, ${b})`
      )
    case "pow":
      if (float || DTypes.isFloat(scalar.b.dtype))
        return float
          ? rounded(dtype, isDouble(from) ? `pow(${a}, (double)(${b}))` : `powf(${a}, (float)(${b}))`)
          : `to_integer<${storage[dtype]}>(pow((double)(${a}), (double)(${b})))`
      return `power_of_integers<${storage[from]}>(${a}, ${b})`
    case "min":
      return `minimum<${register(from)}>(${a}, ${b})`
    case "max":
      return `maximum<${register(from)}>(${a}, ${b})`
    case "shiftLeft":
      return `shifted_left<${storage[from]}>(${a}, ${b})`
    case "shiftRight":
      return `shifted_right<${storage[from]}>(${a}, ${b})`
    default:
      return refuse(`no text for ${op}`)
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

interface Environment {
  /** The element of an operand here. */
  readonly load: (operand: number, displaced: string) => string
  readonly index: (axis: number) => string
  readonly previous: (name: string) => string
}

const print = (scalar: Scalar, env: Environment): string => {
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

const stored = (dtype: DType, value: string): string =>
  dtype === "f16"
    ? `__float2half_rn(${value})`
    : dtype === "bf16"
      ? `__float2bfloat16_rn(${value})`
      : DTypes.isNarrowFloat(dtype)
        ? `${storage[dtype]}(${value})`
        : value

const address = ({ offset, strides }: View, indices: ReadonlyArray<string>): string =>
  [
    dimText(offset),
    ...strides.flatMap((stride, axis) => (stride === 0 ? [] : [`${indices[axis] ?? "0"} * ${dimText(stride)}`]))
  ].join(" + ")

/** Every symbol that a region's sizes mention, sorted: the last arguments of its kernel, as 64-bit integers. */
export const symbols = (region: Loop | Rows): ReadonlyArray<string> => {
  const views = [...Regions.reads(region), ...Regions.writes(region)].filter((view) => view !== null)
  const dims = [
    region.kind === "loop" ? region.domain : [region.outer, region.inner].flat(),
    views.map(({ offset }) => offset),
    views.flatMap(({ strides }) => strides)
  ].flat()
  return [...new Set(dims.flatMap((dim) => Dim.symbols(dim)))].sort()
}

const signature = (region: Loop | Rows, name: string): string => {
  const views = [
    ...region.operands.map((view, place) => `const ${storage[view.dtype]}* __restrict__ r${place}`),
    ...region.results.map(({ view }, place) => `${storage[view.dtype]}* __restrict__ w${place}`),
    ...symbols(region).map((symbol) => `long long ${symbolText(symbol)}`)
  ]
  return `extern "C" __global__ void ${name}(${views.join(", ")})`
}

/** Index variables of the axes from a linear index, the last axis fastest. */
const unravel = (linear: string, domain: ReadonlyArray<Dim.Dim>, prefix: string): ReadonlyArray<string> => {
  const lines = [`long long ${prefix}rest = ${linear};`]
  for (const [back, extent] of [...domain].reverse().entries()) {
    const axis = domain.length - 1 - back
    lines.push(`long long ${prefix}${axis} = ${prefix}rest % ${dimText(extent)}; ${prefix}rest /= ${dimText(extent)};`)
  }
  return lines
}

const indent = (lines: ReadonlyArray<string>, by = "  "): ReadonlyArray<string> => lines.map((line) => `${by}${line}`)

/** One element a thread, in a grid-stride loop: any grid is right. */
export const loop = (region: Loop, name: string): string => {
  const axes = region.domain.map((_, axis) => `i${axis}`)
  const env: Environment = {
    load: (operand, displaced) => {
      const view = region.operands[operand] ?? refuse(`no operand ${operand}`)
      return `r${operand}[${address(view, axes)}${displaced}]`
    },
    index: (axis) => axes[axis] ?? refuse(`no axis ${axis}`),
    previous: (name_) => refuse(`a loop has nothing before it: ${name_}`)
  }
  // All are computed before any is stored: a result may take the place of an operand.
  const values = region.results.map(
    ({ value, view }, place) => `${register(view.dtype)} v${place} = ${print(value, env)};`
  )
  const stores = region.results.map(
    ({ view }, place) => `w${place}[${address(view, axes)}] = ${stored(view.dtype, `v${place}`)};`
  )
  return [
    `${signature(region, name)} {`,
    `  long long count = ${dimText(Dim.product(region.domain))};`,
    "  for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < count; at += gridDim.x * (long long)blockDim.x) {",
    ...indent([...unravel("at", region.domain, "i"), ...values, ...stores], "    "),
    "  }",
    "}",
    ""
  ].join("\n")
}

const combining = (
  stage: Extract<Stage, { readonly kind: "reduce" }>
): { readonly start: string; readonly join: (a: string, b: string) => string } => {
  const { combine, dtype } = stage
  const type = register(dtype)
  const add = DTypes.isFloat(dtype) ? (isDouble(dtype) ? "__dadd_rn" : "__fadd_rn") : undefined
  const mul = DTypes.isFloat(dtype) ? (isDouble(dtype) ? "__dmul_rn" : "__fmul_rn") : undefined
  const range = DTypes.isFloat(dtype) ? undefined : DTypes.integerRange(dtype)
  switch (combine) {
    case "sum":
      return {
        start: `(${type})0`,
        join: (a, b) => (add === undefined ? `(${type})(${a} + ${b})` : `${add}(${a}, ${b})`)
      }
    case "prod":
      return {
        start: `(${type})1`,
        join: (a, b) => (mul === undefined ? `(${type})(${a} * ${b})` : `${mul}(${a}, ${b})`)
      }
    case "max":
      return {
        start: range === undefined ? literal(dtype, -Infinity) : literal(dtype, range.min),
        join: (a, b) => `maximum<${type}>(${a}, ${b})`
      }
    case "min":
      return {
        start: range === undefined ? literal(dtype, Infinity) : literal(dtype, range.max),
        join: (a, b) => `minimum<${type}>(${a}, ${b})`
      }
    default:
      return refuse(`${combine} is not printed`)
  }
}

/** A block for each row, its threads along the inner axes; sums by a tree in shared memory, in a fixed order. */
export const rows = (region: Rows, name: string): string => {
  const outer = region.outer.map((_, axis) => `o${axis}`)
  const inner = region.inner.map((_, axis) => `i${axis}`)
  const axes = [...outer, ...inner]
  const byName = new Map(region.stages.map((stage) => [stage.name, stage]))
  const env: Environment = {
    load: (operand, displaced) => {
      const view = region.operands[operand] ?? refuse(`no operand ${operand}`)
      return `r${operand}[${address(view, axes)}${displaced}]`
    },
    index: (axis) => axes[axis] ?? refuse(`no axis ${axis}`),
    // An element stage is computed again where it is used.
    previous: (stage) => {
      const found = byName.get(stage) ?? refuse(`no stage ${stage}`)
      return found.kind === "element" ? `(${print(found.value, env)})` : `t_${symbolText(stage)}`
    }
  }
  const along = (body: ReadonlyArray<string>): ReadonlyArray<string> => [
    "for (long long at = threadIdx.x; at < width; at += blockDim.x) {",
    ...indent([...unravel("at", region.inner, "i"), ...body]),
    "}"
  ]
  const stages = region.stages.flatMap((stage): ReadonlyArray<string> => {
    const local = `t_${symbolText(stage.name)}`
    if (stage.kind === "element") return []
    if (stage.kind === "row") return [`${register(stage.value.dtype)} ${local} = ${print(stage.value, env)};`]
    const { join, start } = combining(stage)
    const type = register(stage.dtype)
    return [
      `__shared__ ${type} shared_${local}[${rowThreads}];`,
      `${type} ${local} = ${start};`,
      ...along([`${local} = ${join(local, print(stage.value, env))};`]),
      `shared_${local}[threadIdx.x] = ${local};`,
      "__syncthreads();",
      `for (int half = blockDim.x / 2; half > 0; half /= 2) {`,
      `  if (threadIdx.x < half) shared_${local}[threadIdx.x] = ${join(`shared_${local}[threadIdx.x]`, `shared_${local}[threadIdx.x + half]`)};`,
      "  __syncthreads();",
      "}",
      `${local} = ${rounded(stage.dtype, `shared_${local}[0]`)};`,
      "__syncthreads();"
    ]
  })
  const store = (place: number, view: View, value: Scalar): string =>
    `w${place}[${address(view, axes)}] = ${stored(view.dtype, print(value, env))};`
  const elements = region.results.flatMap(({ per, value, view }, place) =>
    per === "element" ? [store(place, view, value)] : []
  )
  const once = region.results.flatMap(({ per, value, view }, place) =>
    per === "row" ? [store(place, view, value)] : []
  )
  return [
    `// Launch with ${rowThreads} threads a block.`,
    `${signature(region, name)} {`,
    `  long long count = ${dimText(Dim.product(region.outer))};`,
    `  long long width = ${dimText(Dim.product(region.inner))};`,
    "  for (long long row = blockIdx.x; row < count; row += gridDim.x) {",
    ...indent(unravel("row", region.outer, "o"), "    "),
    ...indent(stages, "    "),
    ...indent(elements.length === 0 ? [] : along(elements), "    "),
    ...indent(once.length === 0 ? [] : ["if (threadIdx.x == 0) {", ...indent(once), "}"], "    "),
    "    __syncthreads();",
    "  }",
    "}",
    ""
  ].join("\n")
}
