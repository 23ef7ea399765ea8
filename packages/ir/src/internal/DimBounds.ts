/**
 * What can be said about a dim's value: interval arithmetic, and a small prover of `dim ≥ 0`.
 *
 *   bounds(2*batch+1, batch in 1..8)  ⇒  3..17
 *   x - 2*floor(x/2) ≥ 0              ⇒  proven, since floor(x/2) ≤ x/2
 *
 * Everything here is sound, nothing is complete: a bound may be wider than need be, a true fact may stay unproven.
 */
import {
  add,
  commonMonomial,
  floorQuotient,
  fromExtremum,
  fromSymbol,
  fromTerms,
  makeTerm,
  mul,
  neg,
  type Atom,
  type Dim,
  type Factor,
  type Term
} from "./DimPolynomial.ts"

/** Both ends belong to it; ±Infinity where nothing is known. */
export interface Interval {
  readonly min: number
  readonly max: number
}

/** What each symbol may be. A symbol that is not in it is a size: 0..Infinity. */
export type Ranges = ReadonlyMap<string, Interval>

const noRanges: Ranges = new Map()

/** The interval that the dim's value lies in. */
export const bounds = (dim: Dim, ranges: Ranges = noRanges): Interval => {
  if (typeof dim === "number") return { min: dim, max: dim }
  let total: Interval = { min: 0, max: 0 }
  for (const term of dim.terms) total = sum(total, termBounds(term, ranges))
  return total
}

// Past 2^53 a float64 sum or product may be rounded towards the wrong side, so the ends are moved outwards there.
const outwards = (min: number, max: number): Interval => ({
  min: min < Number.MIN_SAFE_INTEGER ? -Infinity : Math.min(min, Number.MAX_SAFE_INTEGER) + 0,
  max: max > Number.MAX_SAFE_INTEGER ? Infinity : Math.max(max, Number.MIN_SAFE_INTEGER) + 0
})

const sum = (a: Interval, b: Interval): Interval => outwards(a.min + b.min, a.max + b.max)

// 0 * Infinity is 0 here: an end of Infinity stands for arbitrarily great numbers.
const times = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b)

const product = (a: Interval, b: Interval): Interval => {
  const corners = [times(a.min, b.min), times(a.min, b.max), times(a.max, b.min), times(a.max, b.max)]
  return outwards(Math.min(...corners), Math.max(...corners))
}

const power = (base: Interval, exponent: number): Interval => {
  let result = base
  for (let count = 1; count < exponent; count++) result = product(result, base)
  return exponent % 2 === 0 ? { min: Math.max(0, result.min), max: result.max } : result
}

const termBounds = (term: Term, ranges: Ranges): Interval => {
  let total: Interval = { min: term.coefficient, max: term.coefficient }
  for (const factor of term.factors) total = product(total, power(atomBounds(factor.atom, ranges), factor.power))
  return total
}

const atomBounds = (atom: Atom, ranges: Ranges): Interval => {
  if (atom.kind === "symbol") {
    const range = ranges.get(atom.name)
    return range === undefined ? { min: 0, max: Infinity } : { min: Math.max(0, range.min), max: range.max }
  }
  if ("args" in atom) {
    const all = atom.args.map((arg) => bounds(arg, ranges))
    const pick = atom.kind === "min" ? Math.min : Math.max
    return { min: pick(...all.map((each) => each.min)), max: pick(...all.map((each) => each.max)) }
  }
  const [dividend, divisor] = [bounds(atom.dividend, ranges), nonZero(bounds(atom.divisor, ranges))]
  return atom.kind === "floorDiv" ? quotientBounds(dividend, divisor) : remainderBounds(dividend, divisor)
}

const nonZero = ({ max, min }: Interval): Interval => ({ min: min === 0 ? 1 : min, max: max === 0 ? -1 : max })

const quotientBounds = (a: Interval, b: Interval): Interval => {
  if (b.min < 0 && b.max > 0) {
    const size = Math.max(Math.abs(a.min), Math.abs(a.max))
    return { min: -size, max: size }
  }
  const corners = [a.min, a.max].flatMap((left) => [b.min, b.max].map((right) => floorOfEnds(left, right)))
  return { min: Math.min(...corners), max: Math.max(...corners) }
}

const floorOfEnds = (a: number, b: number): number => {
  if (Number.isFinite(b)) return Number.isFinite(a) ? floorQuotient(a, b) : b < 0 ? -a : a
  if (!Number.isFinite(a)) return 0
  return a !== 0 && a < 0 !== b < 0 ? -1 : 0
}

const remainderBounds = (a: Interval, b: Interval): Interval => {
  if (a.min >= 0 && a.max < b.min) return a
  const widest = { min: b.min < 0 ? b.min + 1 : 0, max: b.max > 0 ? b.max - 1 : 0 }
  return a.min >= 0 && b.min > 0 ? { min: 0, max: Math.min(a.max, widest.max) } : widest
}

/** How many atoms may be replaced by something that they are bounded by, in one proof. */
const proofDepth = 3

/** How much a proof may look at, in terms with what is nested in them: the search is a tree as wide as a dim has terms. */
const proofEffort = 20_000

const sizeOf = (dim: Dim): number => {
  if (typeof dim === "number") return 1
  let size = 0
  for (const { factors } of dim.terms) {
    size++
    for (const { atom } of factors)
      if (atom.kind !== "symbol")
        for (const part of "args" in atom ? atom.args : [atom.dividend, atom.divisor]) size += sizeOf(part)
  }
  return size
}

/** True when `dim ≥ 0` is proven for all values in the ranges; false says nothing. */
export const provablyNonNegative = (dim: Dim, ranges: Ranges = noRanges): boolean => {
  let effort = proofEffort
  const prove = (at: Dim, depth: number): boolean => {
    if (typeof at === "number") return at >= 0
    effort -= sizeOf(at)
    if (effort < 0) return false
    if (bounds(at, ranges).min >= 0 || boundsFromLowerEnds(at, ranges).min >= 0) return true
    if (depth === 0) return false
    return at.terms.some((term) => lowerBounds(at, term, ranges).some((lower) => prove(lower, depth - 1)))
  }
  return prove(dim, proofDepth)
}

// x*y - x with y in 1.. is written with y = max(y-1,0) + 1 as x*max(y-1,0), whose interval is plainly 0..
const boundsFromLowerEnds = (dim: Dim, ranges: Ranges): Interval => {
  let moved: Dim = dim
  for (const [name, { min }] of ranges) {
    if (typeof moved === "number" || min <= 0) continue
    if (!fitsAfterScaling(moved, min + 1)) return { min: -Infinity, max: Infinity }
    const above = fromExtremum("max", [0, add(fromSymbol(name), -min)])
    moved = moved.terms.reduce<Dim>((total, term) => add(total, expandSymbol(term, name, add(above, min))), 0)
  }
  return bounds(moved, ranges)
}

const expandSymbol = (term: Term, name: string, value: Dim): Dim => {
  const found = term.factors.find((factor) => factor.atom.kind === "symbol" && factor.atom.name === name)
  if (found === undefined) return fromTerms([term])
  let result = fromTerms([
    makeTerm(
      term.coefficient,
      term.factors.filter((factor) => factor !== found)
    )
  ])
  for (let count = 0; count < found.power; count++) result = mul(result, value)
  return result
}

// A proof gives up rather than leave the exact integers.
const fitsAfterScaling = (dim: Dim, scale: number): boolean =>
  typeof dim === "number" ||
  dim.terms.every((term) => Math.abs(term.coefficient) * Math.max(1, Math.abs(scale)) ** term.degree < 2 ** 48)

/** Dims that are ≥ 0 only if `dim` is, each with an atom of `term` replaced by a bound of it. */
const lowerBounds = (dim: Dim, term: Term, ranges: Ranges): ReadonlyArray<Dim> =>
  term.factors.flatMap((factor) => {
    const { atom } = factor
    if (atom.kind === "symbol" || factor.power !== 1) return []
    const others = withoutFactor(term, factor)
    const sign = bounds(others, ranges)
    if (sign.min < 0 && sign.max > 0) return []
    const rest = add(dim, neg(fromTerms([term])))
    return replacements(atom, sign.min >= 0 ? "lower" : "upper", ranges)
      .filter(({ scale, value }) => [rest, others, value].every((each) => fitsAfterScaling(each, scale * 2 ** 8)))
      .map(({ scale, value }) => add(mul(rest, scale), mul(others, value)))
  })

const withoutFactor = (term: Term, dropped: Factor): Dim =>
  fromTerms([
    makeTerm(
      term.coefficient,
      term.factors.filter((factor) => factor !== dropped)
    )
  ])

/** Each `value / scale` is a bound of the atom on the given side. */
const replacements = (
  atom: Exclude<Atom, { readonly kind: "symbol" }>,
  side: "lower" | "upper",
  ranges: Ranges
): ReadonlyArray<{ readonly value: Dim; readonly scale: number }> => {
  if ("args" in atom) {
    const isHelpful = side === (atom.kind === "min" ? "upper" : "lower")
    return isHelpful ? atom.args.map((value) => ({ value, scale: 1 })) : []
  }
  const { dividend, divisor } = atom
  if (atom.kind === "floorDiv") {
    if (typeof divisor !== "number" || divisor < 1) return []
    return [{ value: side === "upper" ? dividend : add(dividend, 1 - divisor), scale: divisor }]
  }
  if (side === "lower" || bounds(divisor, ranges).min < 0) return []
  const below = { value: add(divisor, -1), scale: 1 }
  return bounds(dividend, ranges).min >= 0 ? [{ value: dividend, scale: 1 }, below] : [below]
}

/** True when no integer values make the dim 0, by the common divisor of its coefficients. */
export const neverZeroByDivisibility = (dim: Dim): boolean => {
  if (typeof dim === "number") return dim !== 0
  const constant = dim.terms.find((term) => term.degree === 0)?.coefficient ?? 0
  const content = commonMonomial([add(dim, -constant)]).coefficient
  return constant % content !== 0
}
