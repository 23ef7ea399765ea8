/**
 * ScalarFolding: expressions with what is known of constants put in, the same to the bit for every operand. What quantise
 * and dequantise leave behind:
 *
 *   cast(3: u8, f32)                             ⇒  3
 *   x − 0                                        ⇒  x
 *   cast(max(round(x / s) + 0, c), u8)           ⇒  cast(max(round(x / s), c), u8)
 *   cast(max(round(max(x, 0) / s) + z, c), u8)   ⇒  cast(max(round(x / s) + z, c), u8)    c ≥ z, s > 0
 *   cast(max(round(x / s), c), u8)               ⇒  … round(fma(x, h, x · l)) …           h + l = 1 / s; where sums of
 *                                                                                         products are rounded once
 */
import * as DTypes from "@anneal/ir/DType"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as Quotient from "./Quotient.ts"

const isNumber = (scalar: Scalar, value: number): boolean =>
  scalar.kind === "constant" && typeof scalar.value === "number" && Object.is(scalar.value, value)

const isFloat32 = ({ dtype }: Scalar): boolean => dtype === "f32"

/** The value of a small integer, or of a float that is one. */
const folded = (scalar: Scalar): Scalar => {
  if (scalar.kind === "cast" && scalar.x.kind === "constant" && typeof scalar.x.value === "number") {
    const { dtype, x } = scalar
    const isSmall = DTypes.isInteger(x.dtype) && DTypes.bits(x.dtype) <= 16
    if (isSmall && (dtype === "f32" || dtype === "f64")) return Scalars.constant(dtype, x.value)
  }
  if (scalar.kind === "binary" && scalar.op === "sub" && isFloat32(scalar) && isNumber(scalar.b, 0)) return scalar.a
  if (scalar.kind === "cast" && DTypes.isInteger(scalar.dtype) && scalar.x.dtype === "f32")
    return { ...scalar, x: withoutSignOfZero(scalar.x) }
  return scalar
}

/** A float whose value counts and whose zero's sign does not. */
const withoutSignOfZero = (scalar: Scalar): Scalar => {
  if (scalar.kind === "binary" && (scalar.op === "min" || scalar.op === "max")) {
    const a = withoutSignOfZero(scalar.a)
    const least = scalar.op === "max" && scalar.b.kind === "constant" ? Number(scalar.b.value) : Number.NaN
    // One instruction takes the greater of a number and −0.
    const b = least === 0 ? Scalars.constant(scalar.b.dtype, -0) : scalar.b
    return { ...scalar, a: withoutRelu(a, least), b }
  }
  if (scalar.kind === "binary" && scalar.op === "add" && isFloat32(scalar) && isNumber(scalar.b, 0))
    return withoutSignOfZero(scalar.a)
  return scalar
}

/**
 * Negative numbers as they are, where they become no more than `least` anyway: round(max(x, 0) / s), and the same with a zero
 * point that is at most `least` added.
 */
const withoutRelu = (scalar: Scalar, least: number): Scalar => {
  if (scalar.kind === "binary" && scalar.op === "add" && isFloat32(scalar) && scalar.b.kind === "constant")
    return { ...scalar, a: withoutRelu(scalar.a, least - Number(scalar.b.value)) }
  if (scalar.kind !== "unary" || scalar.op !== "round" || scalar.x.kind !== "binary" || scalar.x.op !== "div")
    return scalar
  const { a, b } = scalar.x
  const isPositive = b.kind === "constant" && Number(b.value) > 0
  const of = a.kind === "binary" && a.op === "max" && a.dtype === "f32" ? reluOf(a.a, a.b) : undefined
  return least >= 0 && isPositive && of !== undefined ? { ...scalar, x: { ...scalar.x, a: of } } : scalar
}

const reluOf = (a: Scalar, b: Scalar): Scalar | undefined => (isNumber(b, 0) ? a : isNumber(a, 0) ? b : undefined)

/** Greatest size of an integer whose neighbours a clamp to 8 bits tells apart, whatever the zero point is. */
const eightBits = 511

/** An integer made of a quotient and clamped: without the division. */
const withoutDivision = (scalar: Scalar): Scalar => {
  if (scalar.kind === "binary" && (scalar.op === "min" || scalar.op === "max" || scalar.op === "add")) {
    const { b } = scalar
    const isSmall = b.kind === "constant" && Math.abs(Number(b.value)) <= 255
    return isSmall ? { ...scalar, a: withoutDivision(scalar.a) } : scalar
  }
  if (scalar.kind !== "unary" || scalar.op !== "round" || scalar.x.kind !== "binary" || scalar.x.op !== "div")
    return scalar
  const { a, b } = scalar.x
  if (b.kind !== "constant" || b.dtype !== "f32" || a.dtype !== "f32") return scalar
  const by = Quotient.reciprocal(Number(b.value), eightBits)
  if (by === undefined) return scalar
  const times = (factor: number): Scalar => Scalars.binary("mul", a, Scalars.constant("f32", factor))
  const high = Scalars.constant("f32", by.high)
  return { ...scalar, x: by.low === 0 ? times(by.high) : { kind: "fma", dtype: "f32", a, b: high, c: times(by.low) } }
}

/** Clamped on both sides within what 8 bits tell apart: beyond it, all quotients are the same. */
const isClamped = ({ a, b, op }: Extract<Scalar, { readonly kind: "binary" }>): boolean =>
  (op === "min" || op === "max") &&
  b.kind === "constant" &&
  a.kind === "binary" &&
  a.op === (op === "min" ? "max" : "min")

const undivided = (scalar: Scalar): Scalar =>
  scalar.kind === "cast" &&
  DTypes.isInteger(scalar.dtype) &&
  DTypes.bits(scalar.dtype) <= 8 &&
  scalar.x.kind === "binary" &&
  isClamped(scalar.x)
    ? { ...scalar, x: withoutDivision(scalar.x) }
    : scalar

/**
 * Results with constants folded; what they share stays shared. `fuses`: sums of products are rounded once, where the host
 * can.
 */
export const fold = (scalars: ReadonlyArray<Scalar>, fuses = false): ReadonlyArray<Scalar> => {
  const seen = new Map<Scalar, Scalar>()
  const all = (scalar: Scalar): Scalar => (fuses ? undivided(folded(scalar)) : folded(scalar))
  return scalars.map((scalar) => Scalars.map(scalar, all, seen))
}
