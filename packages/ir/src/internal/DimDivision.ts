/**
 * Floor division, remainder, minimum and maximum of dims, simplified as far as is sound.
 *
 *   floor(4*b/2)            ⇒  2*b
 *   floor((h-1)/2)+1        ⇒  floor((h+1)/2)
 *   floor(floor(x/2)/2)     ⇒  floor(x/4)
 *   min(x, max(x, y))       ⇒  x
 *
 * A division means something only where its divisor is not 0; each simplification holds everywhere there.
 */
import { bounds, provablyNonNegative } from "./DimBounds.ts"
import {
  add,
  commonMonomial,
  compare,
  divideTerms,
  exactQuotient,
  floorQuotient,
  fromDivision,
  fromExtremum,
  fromTerms,
  greatestCommonDivisor,
  integer,
  keyOf,
  mapCoefficients,
  mul,
  neg,
  sub,
  termsOf,
  type Dim,
  type Term
} from "./DimPolynomial.ts"

/** `floor(a / b)`, rounding towards -Infinity. Throws RangeError when `b` is 0. */
export const floorDiv = (a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number" && b !== 0) return floorQuotient(a, b)
  const sign = signOfDivisor(a, b)
  if (a === 0) return 0
  if (sign < 0) return floorDiv(neg(a), neg(b))
  const { divisor, rest, whole } = typeof b === "number" ? splitByConstant(a, b) : splitByTerms(a, b)
  return add(whole, divisor === b ? floorDivRest(rest, divisor) : floorDiv(rest, divisor))
}

/** `ceil(a / b)`, rounding towards Infinity. Throws RangeError when `b` is 0. */
export const ceilDiv = (a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number" && b > 0) return floorQuotient(integer(a + b - 1), b)
  // With a positive divisor ceil(a/b) = floor((a+b-1)/b), the form that sizes are usually written in.
  if (signOfDivisor(a, b) < 0) return ceilDiv(neg(a), neg(b))
  return provablyNonNegative(b) ? floorDiv(add(a, add(b, -1)), b) : neg(floorDiv(neg(a), b))
}

/** `a - b * floor(a / b)`: it has the sign of `b`. Throws RangeError when `b` is 0. */
export const mod = (a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number" && b !== 0) return a - b * floorQuotient(a, b)
  const sign = signOfDivisor(a, b)
  if (sign < 0) return neg(mod(neg(a), neg(b)))
  if (liesBelow(a, b)) return a
  if (typeof b === "number") return modConstant(a, b)
  const { rest } = splitExactTerms(a, b)
  if (rest === 0) return 0
  const common = fromTerms([commonMonomial([rest, b])])
  if (common !== 1) return mul(common, mod(cancel(rest, common), cancel(b, common)))
  return liesBelow(rest, b) ? rest : fromDivision("mod", rest, b)
}

export const min = (a: Dim, b: Dim): Dim => extremum("min", a, b)

export const max = (a: Dim, b: Dim): Dim => extremum("max", a, b)

/** The sign that a divisor is normalised by: that of its leading coefficient. */
const signOfDivisor = (a: Dim, b: Dim): number => {
  const [leading] = termsOf(b)
  if (leading === undefined) throw new RangeError(`the division of ${keyOf(a)} by 0 has no value`)
  return leading.coefficient
}

/** `a / b = whole + rest / divisor`. */
interface Split {
  readonly whole: Dim
  readonly rest: Dim
  readonly divisor: Dim
}

/** What is left has coefficients smaller than the divisor, no divisor in common with it, and a constant ≥ 0. */
const splitByConstant = (a: Dim, b: number): Split => {
  const whole = mapCoefficients(a, (coefficient, degree) =>
    degree === 0 ? floorQuotient(coefficient, b) : Math.trunc(coefficient / b)
  )
  const rest = sub(a, mul(whole, b))
  const { constant, variable } = splitConstant(rest)
  if (variable === 0) return { whole, rest: 0, divisor: b }
  const common = greatestCommonDivisor(commonMonomial([variable]).coefficient, b)
  return { whole, rest: add(cancel(variable, common), floorQuotient(constant, common)), divisor: b / common }
}

const splitConstant = (a: Dim): { readonly constant: number; readonly variable: Dim } => {
  const constant = termsOf(a).find((term) => term.degree === 0)?.coefficient ?? 0
  return { constant, variable: add(a, -constant) }
}

const splitByTerms = (a: Dim, b: Dim): Split => {
  const { rest, whole } = splitExactTerms(a, b)
  const common = fromTerms([commonMonomial([rest, b])])
  if (rest === 0 || common === 1) return { whole, rest, divisor: b }
  return { whole, rest: cancel(rest, common), divisor: cancel(b, common) }
}

/** By one term: the terms that it divides come out. By a longer polynomial: all of it or nothing. */
const splitExactTerms = (a: Dim, b: Dim): { readonly whole: Dim; readonly rest: Dim } => {
  const [leading, ...others] = termsOf(b)
  if (leading === undefined || others.length > 0) {
    const quotient = exactQuotient(a, b)
    return quotient === undefined ? { whole: 0, rest: a } : { whole: quotient, rest: 0 }
  }
  const quotients = termsOf(a).map((term) => ({ term, quotient: divideTerms(term, leading) }))
  return {
    whole: fromTerms(quotients.flatMap(({ quotient }) => (quotient === undefined ? [] : [quotient]))),
    rest: fromTerms(quotients.flatMap(({ quotient, term }) => (quotient === undefined ? [term] : [])))
  }
}

/** `a / common`, which is known to be exact. */
const cancel = (a: Dim, common: Dim): Dim => {
  const quotient = exactQuotient(a, common)
  if (quotient === undefined) throw new RangeError(`${keyOf(common)} does not divide ${keyOf(a)}`)
  return quotient
}

const floorDivRest = (rest: Dim, divisor: Dim): Dim => {
  if (rest === 0) return 0
  if (divisor === 1) return rest
  const known = constantQuotient(rest, divisor)
  if (known !== undefined) return known
  const { constant, variable } = splitConstant(rest)
  const inner = onlyDivision(variable)
  if (inner !== undefined && provablyNonNegative(divisor)) {
    return floorDiv(add(inner.dividend, mul(inner.divisor, constant)), mul(inner.divisor, divisor))
  }
  return fromDivision("floorDiv", rest, divisor)
}

const constantQuotient = (a: Dim, b: Dim): number | undefined => {
  if (liesBelow(a, b)) return 0
  if (typeof b !== "number") return undefined
  const range = bounds(a)
  if (!Number.isFinite(range.min) || !Number.isFinite(range.max)) return undefined
  const lowest = floorQuotient(range.min, b)
  return lowest === floorQuotient(range.max, b) ? lowest : undefined
}

/** Whether `0 ≤ a < b` is proven. */
const liesBelow = (a: Dim, b: Dim): boolean => provablyNonNegative(a) && provablyNonNegative(sub(sub(b, a), 1))

const onlyDivision = (a: Dim): { readonly dividend: Dim; readonly divisor: Dim } | undefined => {
  const [term, ...others] = termsOf(a)
  if (term === undefined || others.length > 0 || term.coefficient !== 1 || term.degree !== 1) return undefined
  const atom = term.factors[0]?.atom
  return atom?.kind === "floorDiv" ? atom : undefined
}

const modConstant = (a: Dim, b: number): Dim => {
  const opened = fromTerms(termsOf(a).flatMap((term) => termsOf(withoutInnerMod(term, b))))
  const reduced = mapCoefficients(opened, (coefficient) => coefficient - b * floorQuotient(coefficient, b))
  if (keyOf(reduced) !== keyOf(a)) return mod(reduced, b)
  const { constant, variable } = splitConstant(reduced)
  const common = greatestCommonDivisor(commonMonomial([variable]).coefficient, b)
  if (common === 1) return fromDivision("mod", reduced, b)
  const inner = mod(add(cancel(variable, common), floorQuotient(constant, common)), b / common)
  return add(mul(inner, common), constant % common)
}

/** `mod(x, m)` may be read as `x` under a divisor of `coefficient * m`. */
const withoutInnerMod = (term: Term, b: number): Dim => {
  const factor = term.factors[0]
  if (factor === undefined || term.degree !== 1 || factor.atom.kind !== "mod") return fromTerms([term])
  const { dividend, divisor } = factor.atom
  if (typeof divisor !== "number" || (term.coefficient * divisor) % b !== 0) return fromTerms([term])
  return mul(dividend, term.coefficient)
}

const extremum = (kind: "min" | "max", a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number") return kind === "min" ? Math.min(a, b) : Math.max(a, b)
  const isBeyond = (winner: Dim, loser: Dim) =>
    provablyNonNegative(kind === "min" ? sub(loser, winner) : sub(winner, loser))
  let kept: ReadonlyArray<Dim> = []
  for (const candidate of [...flatten(kind, a), ...flatten(kind, b)].sort(compare)) {
    if (kept.some((each) => isBeyond(each, candidate))) continue
    kept = [...kept.filter((each) => !isBeyond(candidate, each)), candidate]
  }
  const [first, ...others] = kept
  return first !== undefined && others.length === 0 ? first : fromExtremum(kind, kept)
}

const flatten = (kind: "min" | "max", a: Dim): ReadonlyArray<Dim> => {
  const [term, ...others] = termsOf(a)
  const atom = term?.factors[0]?.atom
  const isAlone = others.length === 0 && term?.coefficient === 1 && term.degree === 1
  return isAlone && atom?.kind === kind ? atom.args : [a]
}
