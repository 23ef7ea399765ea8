// Elementwise ops: unary, binary (numpy broadcasting), select, cast. Results have the operands' dtype unless said.
//
// Slopes bound |∂f/∂x| over the interval that the errors in allow; they are bounds for error analysis, not derivatives
// to differentiate with.
import * as Schema from "effect/Schema"
import type { DType } from "../DType.ts"
import * as DTypes from "../DType.ts"
import { broadcast } from "../Infer.ts"
import * as Op from "../Op.ts"

const exact: Op.ErrorRule = { kind: "exact" }
const discontinuous: Op.ErrorRule = { kind: "discontinuous" }
const elementwise = (ulps: number, slope: Op.Slope): Op.ErrorRule => ({ kind: "elementwise", ulps, slope })
const at = (values: ReadonlyArray<number>, index = 0): number => values[index] ?? 0

type Kind = "float" | "signed" | "number" | "integer" | "bool" | "any"
const accepts: { readonly [K in Kind]: (dtype: DType) => boolean } = {
  float: DTypes.isFloat,
  signed: DTypes.isSigned,
  number: (dtype) => dtype !== "bool",
  integer: DTypes.isInteger,
  bool: (dtype) => dtype === "bool",
  any: () => true
}

const unary = (
  name: string,
  summary: string,
  kind: Kind,
  error: Op.ErrorRule,
  domain?: Op.Domain,
  result?: DType
): Op.OpDefinition<{}> =>
  Op.define({
    name,
    summary,
    attributes: Op.NoAttributes,
    operands: [{ name: "x" }],
    error,
    infer: ({ fail, input }) => {
      const { dtype, shape } = input(0)
      if (!accepts[kind](dtype)) fail(`takes ${kind} elements`)
      return [{ dtype: result ?? dtype, shape }]
    },
    ...(domain === undefined ? {} : { domain: () => domain })
  })

const range = (min: number, max: number): Op.Domain => ({ kind: "range", min, max })
/** Slope of a function with |f'| ≤ 1 everywhere. */
const lipschitz1: Op.Slope = () => 1

export const neg = unary("neg", "−x", "signed", elementwise(0, lipschitz1))
export const abs = unary("abs", "|x|", "number", elementwise(0, lipschitz1))
export const sign = unary("sign", "−1, 0 or 1", "number", discontinuous)
export const ceil = unary("ceil", "least integer ≥ x", "float", discontinuous)
export const floor = unary("floor", "greatest integer ≤ x", "float", discontinuous)
export const round = unary("round", "nearest integer, ties to even", "float", discontinuous)
export const exp = unary(
  "exp",
  "eˣ",
  "float",
  elementwise(1, (_, xs, errors, y) => Math.abs(y) * Math.exp(Math.min(at(errors), 700))),
  range(-20, 20)
)
/** 1/(x − e), for functions whose slope is 1/x. */
const reciprocalSlope = (x: number, error: number): number => {
  const low = Math.abs(x) - error
  return low > 0 ? 1 / low : Infinity
}
export const log = unary(
  "log",
  "natural logarithm",
  "float",
  elementwise(1, (_, xs, errors) => reciprocalSlope(at(xs), at(errors))),
  range(1e-3, 1e3)
)
export const log1p = unary(
  "log1p",
  "log(1 + x)",
  "float",
  elementwise(1, (_, xs, errors) => reciprocalSlope(1 + at(xs), at(errors))),
  range(-0.99, 1e3)
)
export const expm1 = unary(
  "expm1",
  "eˣ − 1",
  "float",
  elementwise(1, (_, xs, errors, y) => (Math.abs(y) + 1) * Math.exp(Math.min(at(errors), 700))),
  range(-20, 20)
)
export const sqrt = unary(
  "sqrt",
  "square root",
  "float",
  elementwise(0.5, (_, xs, errors, y) => {
    const low = at(xs) - at(errors)
    // √ is Hölder at 0: |√a − √b| ≤ √|a − b|, so the slope is at most 1/√e there.
    if (low > 0) return Math.min(1 / (y + Math.sqrt(low)), 1 / Math.sqrt(at(errors)))
    return at(errors) > 0 ? 1 / Math.sqrt(at(errors)) : 0
  }),
  range(0, 1e3)
)
export const reciprocal = unary(
  "reciprocal",
  "1/x",
  "float",
  elementwise(0.5, (_, xs, errors) => reciprocalSlope(at(xs), at(errors)) * reciprocalSlope(at(xs), 0)),
  { kind: "nonZero" }
)
export const sin = unary("sin", "sine, radians", "float", elementwise(1, lipschitz1))
export const cos = unary("cos", "cosine, radians", "float", elementwise(1, lipschitz1))
export const tan = unary(
  "tan",
  "tangent, radians",
  "float",
  elementwise(1, (_, xs, errors) => {
    const cosine = Math.abs(Math.cos(at(xs))) - at(errors)
    return cosine > 0 ? 1 / (cosine * cosine) : Infinity
  }),
  range(-1.4, 1.4)
)
const arcSlope: Op.Slope = (_, xs, errors) => {
  const edge = 1 - (Math.abs(at(xs)) + at(errors))
  if (edge > 0) return 1 / Math.sqrt(edge)
  return at(errors) > 0 ? 2 / Math.sqrt(at(errors)) : 0
}
export const asin = unary("asin", "arc sine", "float", elementwise(1, arcSlope), range(-1, 1))
export const acos = unary("acos", "arc cosine", "float", elementwise(1, arcSlope), range(-1, 1))
export const atan = unary("atan", "arc tangent", "float", elementwise(1, lipschitz1))
export const sinh = unary(
  "sinh",
  "hyperbolic sine",
  "float",
  elementwise(1, (_, xs, errors) => Math.cosh(Math.abs(at(xs)) + at(errors))),
  range(-10, 10)
)
export const cosh = unary(
  "cosh",
  "hyperbolic cosine",
  "float",
  elementwise(1, (_, xs, errors) => Math.sinh(Math.abs(at(xs)) + at(errors))),
  range(-10, 10)
)
export const tanh = unary("tanh", "hyperbolic tangent", "float", elementwise(1, lipschitz1))
export const asinh = unary("asinh", "inverse hyperbolic sine", "float", elementwise(1, lipschitz1))
export const acosh = unary(
  "acosh",
  "inverse hyperbolic cosine",
  "float",
  elementwise(1, (_, xs, errors) => {
    const low = at(xs) - 1 - at(errors)
    return low > 0 ? 1 / Math.sqrt(2 * low) : at(errors) > 0 ? 2 / Math.sqrt(at(errors)) : 0
  }),
  range(1, 1e3)
)
export const atanh = unary(
  "atanh",
  "inverse hyperbolic tangent",
  "float",
  elementwise(1, (_, xs, errors) => {
    const edge = 1 - (Math.abs(at(xs)) + at(errors))
    return edge > 0 ? 1 / edge : Infinity
  }),
  range(-0.99, 0.99)
)
export const erf = unary(
  "erf",
  "error function",
  "float",
  elementwise(1, () => 1.1283791670955126)
)
export const sigmoid = unary(
  "sigmoid",
  "1/(1 + e⁻ˣ)",
  "float",
  elementwise(1, () => 0.25)
)
export const isNaN = unary("isNaN", "whether x is not a number", "float", exact, undefined, "bool")
export const isInf = Op.define({
  name: "isInf",
  summary: "whether x is infinite, of the wanted signs",
  attributes: Schema.Struct({ positive: Schema.Boolean, negative: Schema.Boolean }),
  operands: [{ name: "x" }],
  error: exact,
  infer: ({ fail, input }) =>
    DTypes.isFloat(input(0).dtype) ? [{ dtype: "bool", shape: input(0).shape }] : fail("takes float elements")
})
export const not = unary("not", "logical not", "bool", exact)
export const bitwiseNot = unary("bitwiseNot", "complement of the bits", "integer", exact)

const binary = (
  name: string,
  summary: string,
  kind: Kind,
  error: Op.ErrorRule,
  options: {
    readonly commutative?: boolean
    readonly result?: DType
    readonly domain?: (operand: number) => Op.Domain
  } = {}
): Op.OpDefinition<{}> =>
  Op.define({
    name,
    summary,
    attributes: Op.NoAttributes,
    operands: [{ name: "a" }, { name: "b" }],
    error,
    infer: ({ constrain, fail, input }) => {
      const [a, b] = [input(0), input(1)]
      if (a.dtype !== b.dtype) fail(`the operands' dtypes differ`)
      if (!accepts[kind](a.dtype)) fail(`takes ${kind} elements`)
      return [{ dtype: options.result ?? a.dtype, shape: broadcast([a.shape, b.shape], constrain) }]
    },
    ...(options.commutative === true ? { commutative: true } : {}),
    ...(options.domain === undefined ? {} : { domain: options.domain })
  })

const divisor = (operand: number): Op.Domain => (operand === 1 ? { kind: "nonZero" } : Op.any)

export const add = binary("add", "a + b", "number", elementwise(0.5, lipschitz1), { commutative: true })
export const sub = binary("sub", "a − b", "number", elementwise(0.5, lipschitz1))
export const mul = binary(
  "mul",
  "a · b",
  "number",
  elementwise(0.5, (operand, xs, errors) => Math.abs(at(xs, 1 - operand)) + at(errors, 1 - operand)),
  { commutative: true }
)
export const div = binary(
  "div",
  "a / b; integers truncate towards zero",
  "number",
  elementwise(0.5, (operand, xs, errors, y) => {
    const inverse = reciprocalSlope(at(xs, 1), at(errors, 1))
    return operand === 0 ? inverse : (Math.abs(y) + at(errors, 0) * inverse) * inverse
  }),
  { domain: divisor }
)
/** Remainder; `floor` takes the divisor's sign (Python), `truncate` the dividend's (C's fmod). */
export const mod = Op.define({
  name: "mod",
  summary: "remainder of a / b",
  attributes: Schema.Struct({ rounding: Schema.Literals(["floor", "truncate"]) }),
  operands: [{ name: "a" }, { name: "b" }],
  error: discontinuous,
  domain: divisor,
  infer: ({ constrain, fail, input }) => {
    const [a, b] = [input(0), input(1)]
    if (a.dtype !== b.dtype || a.dtype === "bool") fail("takes two operands of one numeric dtype")
    return [{ dtype: a.dtype, shape: broadcast([a.shape, b.shape], constrain) }]
  }
})
export const pow = Op.define({
  name: "pow",
  summary: "a to the power b; the result has a's dtype",
  attributes: Op.NoAttributes,
  operands: [{ name: "a" }, { name: "b" }],
  error: elementwise(1, (operand, xs, errors) => {
    const [a, b, ea, eb] = [at(xs, 0), at(xs, 1), at(errors, 0), at(errors, 1)]
    if (operand === 1 ? eb === 0 : b === 0 && eb === 0) return 0
    // Powers are monotone in the base and in the exponent, so they are largest at a corner of the two intervals.
    const [low, high] = [Math.abs(a) - ea, Math.abs(a) + ea]
    const largest = (exponent: number): number => {
      if (low <= 0) return exponent - eb >= 0 ? Math.max(1, high) ** (exponent + eb) : Infinity
      return Math.max(...[low, high].flatMap((base) => [base ** (exponent - eb), base ** (exponent + eb)]))
    }
    if (operand === 0) return (Math.abs(b) + eb) * largest(b - 1)
    return low > 0 ? largest(b) * Math.max(Math.abs(Math.log(low)), Math.abs(Math.log(high))) : Infinity
  }),
  domain: (operand): Op.Domain => (operand === 0 ? range(1e-3, 10) : range(-3, 3)),
  infer: ({ constrain, fail, input }) => {
    if (input(0).dtype === "bool" || input(1).dtype === "bool") fail("takes numbers")
    return [{ dtype: input(0).dtype, shape: broadcast([input(0).shape, input(1).shape], constrain) }]
  }
})
export const min = binary("min", "the lesser; NaN if either is", "number", { kind: "selection" }, { commutative: true })
export const max = binary(
  "max",
  "the greater; NaN if either is",
  "number",
  { kind: "selection" },
  { commutative: true }
)
export const and = binary("and", "logical and", "bool", exact, { commutative: true })
export const or = binary("or", "logical or", "bool", exact, { commutative: true })
export const xor = binary("xor", "logical exclusive or", "bool", exact, { commutative: true })
export const bitwiseAnd = binary("bitwiseAnd", "and of the bits", "integer", exact, { commutative: true })
export const bitwiseOr = binary("bitwiseOr", "or of the bits", "integer", exact, { commutative: true })
export const bitwiseXor = binary("bitwiseXor", "exclusive or of the bits", "integer", exact, { commutative: true })
export const shiftLeft = binary("shiftLeft", "a · 2ᵇ, bits shifted out are lost", "integer", exact)
export const shiftRight = binary("shiftRight", "a / 2ᵇ, rounded down", "integer", exact)

const compare = (name: string, summary: string, kind: Kind, commutative = false): Op.OpDefinition<{}> =>
  binary(name, summary, kind, discontinuous, { result: "bool", ...(commutative ? { commutative } : {}) })

export const equal = compare("equal", "a = b", "any", true)
export const less = compare("less", "a < b", "number")
export const lessOrEqual = compare("lessOrEqual", "a ≤ b", "number")
export const greater = compare("greater", "a > b", "number")
export const greaterOrEqual = compare("greaterOrEqual", "a ≥ b", "number")

/** `condition ? a : b`, broadcasting all three. An uncertain condition makes the result uncertain by |a − b|. */
export const select = Op.define({
  name: "select",
  summary: "a where the condition holds, else b",
  attributes: Op.NoAttributes,
  operands: [{ name: "condition" }, { name: "a" }, { name: "b" }],
  error: { kind: "run" },
  infer: ({ constrain, fail, input }) => {
    const [condition, a, b] = [input(0), input(1), input(2)]
    if (condition.dtype !== "bool") fail("the condition is bool")
    if (a.dtype !== b.dtype) fail("the branches' dtypes differ")
    return [{ dtype: a.dtype, shape: broadcast([condition.shape, a.shape, b.shape], constrain) }]
  }
})

/**
 * To another dtype. Float → integer truncates towards zero; out of range wraps for integers. To fp8, values beyond the
 * greatest finite one saturate, or with `saturate: false` become infinity or NaN, as the format has them.
 */
export const cast = Op.define({
  name: "cast",
  summary: "to another dtype",
  attributes: Schema.Struct({ to: Op.DTypeSchema, saturate: Schema.Boolean }),
  operands: [{ name: "x" }],
  error: { kind: "run" },
  infer: ({ attributes, input }) => [{ dtype: attributes.to, shape: input(0).shape }]
})

/** The bits under another dtype of the same width. */
export const bitcast = Op.define({
  name: "bitcast",
  summary: "the same bits as another dtype",
  attributes: Schema.Struct({ to: Op.DTypeSchema }),
  operands: [{ name: "x" }],
  error: { kind: "run" },
  infer: ({ attributes, fail, input }) =>
    DTypes.bits(attributes.to) === DTypes.bits(input(0).dtype)
      ? [{ dtype: attributes.to, shape: input(0).shape }]
      : fail(`${attributes.to} has another width`)
})

export const all: ReadonlyArray<Op.OpDefinition> = [
  neg,
  abs,
  sign,
  ceil,
  floor,
  round,
  exp,
  log,
  log1p,
  expm1,
  sqrt,
  reciprocal,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  erf,
  sigmoid,
  isNaN,
  isInf,
  not,
  bitwiseNot,
  add,
  sub,
  mul,
  div,
  mod,
  pow,
  min,
  max,
  and,
  or,
  xor,
  bitwiseAnd,
  bitwiseOr,
  bitwiseXor,
  shiftLeft,
  shiftRight,
  equal,
  less,
  lessOrEqual,
  greater,
  greaterOrEqual,
  select,
  cast,
  bitcast
]
