/**
 * LoopCost: how much work an expression is, in instructions for four elements, roughly.
 */
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
  switch (part.kind) {
    case "load":
      return part.indirect === undefined ? 1 : 24
    case "unary":
      return heavy[part.op] ?? 1
    case "binary":
      return part.op === "pow" ? 90 : part.op === "div" ? 4 : part.op === "mod" ? 40 : 1
    case "cast":
      return 2
    default:
      return 1
  }
}

const heavy: { readonly [op: string]: number } = {
  exp: 18,
  sigmoid: 26,
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
