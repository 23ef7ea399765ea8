/**
 * LoopCost: how much work an expression is, in instructions for four elements, roughly.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"

/** Nanoseconds of one instruction on four lanes. */
export const instruction = 0.12

/** Instructions for four elements of all expressions, parts that they share once. Without a fused multiply-add, polynomials take more. */
export const workOf = (scalars: ReadonlyArray<Scalar>, relaxed: boolean): number =>
  Scalars.parts(scalars).reduce((total, part) => {
    const work = ofPart(part)
    return total + (work > 10 && part.kind === "unary" && !relaxed ? 1.6 * work : work)
  }, 0)

const ofPart = (part: Scalar): number => {
  // Narrow floats are rounded by integer arithmetic, read and written as well.
  const rounding = DTypes.isNarrowFloat(part.dtype) && part.dtype !== "bf16" ? 24 : 0
  switch (part.kind) {
    case "load":
      return (part.indirect === undefined ? 1 : 24) + rounding / 3
    case "unary":
      return (heavy[part.op] ?? 1) + rounding
    case "binary":
      return (part.op === "pow" && !isShortPower(part.b) ? 260 : (slow[part.op] ?? 1)) + rounding
    case "cast":
      return (isByLane(part.x.dtype, part.dtype) ? 14 : 2) + rounding
    default:
      return 1
  }
}

/** Exponents that need no logarithm. */
const isShortPower = (exponent: Scalar): boolean =>
  exponent.kind === "constant" && [2, 0.5, 1, -1].includes(Number(exponent.value))

/** Casts that SIMD has no instruction for. */
const isByLane = (from: DType, to: DType): boolean =>
  from !== to && (DTypes.isBig(from) ? DTypes.isFloat(to) : DTypes.isBig(to) && DTypes.isFloat(from))

const slow: { readonly [op: string]: number } = { div: 4, mod: 40 }

const heavy: { readonly [op: string]: number } = {
  exp: 18,
  sigmoid: 22,
  tanh: 35,
  erf: 42,
  log: 42,
  sqrt: 9,
  reciprocal: 4,
  sin: 110,
  cos: 110,
  tan: 120,
  asin: 80,
  acos: 80,
  atan: 60,
  sinh: 80,
  cosh: 60,
  log1p: 80,
  expm1: 60,
  asinh: 100,
  acosh: 100,
  atanh: 90
}
