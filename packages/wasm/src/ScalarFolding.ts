/**
 * ScalarFolding: expressions with what is known of constants put in, the same to the bit for every operand. What quantise
 * and dequantise leave behind:
 *
 *   cast(3: u8, f32)                             ⇒  3
 *   x − 0                                        ⇒  x
 *   cast(max(round(x / s) + 0, c), u8)           ⇒  cast(max(round(x / s), c), u8)
 *   cast(max(round(max(x, 0) / s), c), u8)       ⇒  cast(max(round(x / s), c), u8)        c ≥ 0, s > 0
 */
import * as DTypes from "@anneal/ir/DType"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"

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
    return { ...scalar, a: least >= 0 ? withoutRelu(a) : a, b }
  }
  if (scalar.kind === "binary" && scalar.op === "add" && isFloat32(scalar) && isNumber(scalar.b, 0))
    return withoutSignOfZero(scalar.a)
  return scalar
}

/** Negative numbers as they are, where they become a number that is not negative anyway: round(max(x, 0) / s). */
const withoutRelu = (scalar: Scalar): Scalar => {
  if (scalar.kind !== "unary" || scalar.op !== "round" || scalar.x.kind !== "binary" || scalar.x.op !== "div")
    return scalar
  const { a, b } = scalar.x
  const isPositive = b.kind === "constant" && Number(b.value) > 0
  const of = a.kind === "binary" && a.op === "max" && a.dtype === "f32" ? reluOf(a.a, a.b) : undefined
  return isPositive && of !== undefined ? { ...scalar, x: { ...scalar.x, a: of } } : scalar
}

const reluOf = (a: Scalar, b: Scalar): Scalar | undefined => (isNumber(b, 0) ? a : isNumber(a, 0) ? b : undefined)

/** Results with constants folded; what they share stays shared. */
export const fold = (scalars: ReadonlyArray<Scalar>): ReadonlyArray<Scalar> => {
  const seen = new Map<Scalar, Scalar>()
  return scalars.map((scalar) => Scalars.map(scalar, folded, seen))
}
