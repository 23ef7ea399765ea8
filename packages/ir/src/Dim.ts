/**
 * Symbolic dimensions: what the extents of a tensor's shape are made of.
 *
 *   add(mul(2, symbol("batch")), 1)  ⇒  2*batch+1
 *
 * A `Dim` is a number or an integer polynomial over symbols, floor divisions, remainders, minima and maxima, always in
 * canonical form: dims that are the same polynomial have the same `format`. Symbols are sizes, so they are integers ≥ 0.
 * Questions about dims answer yes, no, or undefined for "not known".
 *
 * All functions throw RangeError when an integer leaves ±(2^53 - 1), and the divisions when a divisor is 0.
 */
import { provablyNonNegative, neverZeroByDivisibility, type Ranges } from "./internal/DimBounds.ts"
import { floorDiv, max, min, mod } from "./internal/DimDivision.ts"
import {
  add,
  floorQuotient,
  fromAtom,
  fromSymbol,
  integer,
  mul,
  neg,
  sub,
  SymbolicDim,
  type Atom,
  type Dim,
  type Term
} from "./internal/DimPolynomial.ts"

export { bounds, type Interval, type Ranges } from "./internal/DimBounds.ts"
export { ceilDiv, floorDiv, max, min, mod } from "./internal/DimDivision.ts"
export { add, compare, mul, neg, sub, SymbolicDim, type Dim } from "./internal/DimPolynomial.ts"
export { format, parse, parseCanonical } from "./internal/DimText.ts"

/** The dim that is the size called `name`. Throws RangeError on an empty name. */
export const symbol = (name: string): Dim => {
  if (name === "") throw new RangeError("a symbolic dimension needs a name that is not empty")
  return fromSymbol(name)
}

/** Whether a symbol of this name is unbacked: its value is known only when data is (`u0`, `u1`, …). */
export const isUnbackedName = (name: string): boolean => /^u[0-9]+$/.test(name)

/** A data-dependent size, such as the number of non-zero elements. Throws RangeError unless the name is `u` and digits. */
export const unbacked = (name: string): Dim => {
  if (!isUnbackedName(name)) {
    throw new RangeError(`a data-dependent dimension is named u0, u1, …, found ${JSON.stringify(name)}`)
  }
  return fromSymbol(name)
}

/** Whether `value` is a symbolic dim, for values of unknown type. */
export const isSymbolic = (value: unknown): value is SymbolicDim => value instanceof SymbolicDim

/** Whether the dim is a plain integer. */
export const isStatic = (dim: Dim): dim is number => typeof dim === "number"

/** The sum; 0 of none. */
export const sum = (dims: ReadonlyArray<Dim>): Dim => dims.reduce<Dim>(add, 0)

/** The product; 1 of none. The number of elements of a shape. */
export const product = (dims: ReadonlyArray<Dim>): Dim => dims.reduce<Dim>(mul, 1)

/** Whether the dims have the same value, for all values of the symbols in their ranges. */
export const equal = (a: Dim, b: Dim, ranges?: Ranges): boolean | undefined => {
  if (a === b) return true
  const difference = sub(a, b)
  if (typeof difference === "number") return difference === 0
  const opened = withoutRemainders(difference)
  if (typeof opened === "number") return opened === 0
  if (neverZeroByDivisibility(difference) || neverZeroByDivisibility(opened)) return false
  const isAtLeast = provablyNonNegative(difference, ranges)
  const isAtMost = provablyNonNegative(neg(difference), ranges)
  if (isAtLeast && isAtMost) return true
  if (isAtLeast && provablyNonNegative(add(difference, -1), ranges)) return false
  if (isAtMost && provablyNonNegative(sub(-1, difference), ranges)) return false
  return undefined
}

// x - 4*floor(x/4) and mod(x,4) are the same number, written in two ways.
const withoutRemainders = (dim: Dim): Dim =>
  mapAtoms(dim, (atom) => {
    if (atom.kind !== "mod") return undefined
    return sub(atom.dividend, mul(atom.divisor, floorDiv(atom.dividend, atom.divisor)))
  })

/** Whether `a ≤ b`, for all values of the symbols in their ranges. */
export const lessOrEqual = (a: Dim, b: Dim, ranges?: Ranges): boolean | undefined => isNonNegative(sub(b, a), ranges)

/** Whether the dim is ≥ 0, for all values of the symbols in their ranges. */
export const isNonNegative = (dim: Dim, ranges?: Ranges): boolean | undefined => {
  if (provablyNonNegative(dim, ranges)) return true
  return provablyNonNegative(sub(-1, dim), ranges) ? false : undefined
}

/** Whether the dim is ≥ 1, for all values of the symbols in their ranges. */
export const isPositive = (dim: Dim, ranges?: Ranges): boolean | undefined => isNonNegative(add(dim, -1), ranges)

/** The names of all symbols in it, sorted. */
export const symbols = (dim: Dim): ReadonlyArray<string> => {
  const names = new Set<string>()
  collectSymbols(dim, names)
  return [...names].sort()
}

const collectSymbols = (dim: Dim, names: Set<string>): void => {
  if (typeof dim === "number") return
  for (const { factors } of dim.terms) {
    for (const { atom } of factors) {
      if (atom.kind === "symbol") names.add(atom.name)
      else for (const arg of argumentsOf(atom)) collectSymbols(arg, names)
    }
  }
}

const argumentsOf = (atom: Exclude<Atom, { readonly kind: "symbol" }>): ReadonlyArray<Dim> =>
  "args" in atom ? atom.args : [atom.dividend, atom.divisor]

/** The dim with each symbol in `replacements` replaced, all at once. */
export const substitute = (dim: Dim, replacements: ReadonlyMap<string, Dim>): Dim => {
  if (replacements.size === 0) return dim
  return mapAtoms(dim, (atom) => {
    if (atom.kind === "symbol") return replacements.get(atom.name)
    if ("args" in atom) {
      return atom.args.map((arg) => substitute(arg, replacements)).reduce(atom.kind === "min" ? min : max)
    }
    const divide = atom.kind === "floorDiv" ? floorDiv : mod
    return divide(substitute(atom.dividend, replacements), substitute(atom.divisor, replacements))
  })
}

/** The dim with the atoms for which `replace` gives something replaced by that. */
const mapAtoms = (dim: Dim, replace: (atom: Atom) => Dim | undefined): Dim => {
  if (typeof dim === "number") return dim
  return sum(
    dim.terms.map((term) => {
      let result: Dim = term.coefficient
      for (const { atom, power } of term.factors) {
        const value = replace(atom) ?? fromAtom(atom)
        for (let count = 0; count < power; count++) result = mul(result, value)
      }
      return result
    })
  )
}

/** The value under an assignment; undefined where a symbol is missing or a divisor is 0. */
export const evaluate = (dim: Dim, values: ReadonlyMap<string, number>): number | undefined => {
  if (typeof dim === "number") return dim
  let total = 0
  for (const term of dim.terms) {
    const value = evaluateTerm(term, values)
    if (value === undefined) return undefined
    total += value
  }
  return integer(total)
}

const evaluateTerm = (term: Term, values: ReadonlyMap<string, number>): number | undefined => {
  let total = term.coefficient
  for (const { atom, power } of term.factors) {
    const value = evaluateAtom(atom, values)
    if (value === undefined) return undefined
    total *= value ** power
  }
  return total
}

const evaluateAtom = (atom: Atom, values: ReadonlyMap<string, number>): number | undefined => {
  if (atom.kind === "symbol") return values.get(atom.name)
  const args: Array<number> = []
  for (const arg of argumentsOf(atom)) {
    const value = evaluate(arg, values)
    if (value === undefined) return undefined
    args.push(value)
  }
  if (atom.kind === "min") return Math.min(...args)
  if (atom.kind === "max") return Math.max(...args)
  const [dividend, divisor] = args
  if (dividend === undefined || divisor === undefined || divisor === 0) return undefined
  const quotient = floorQuotient(dividend, divisor)
  return atom.kind === "floorDiv" ? quotient : dividend - divisor * quotient
}

/**
 * The one unknown symbol that makes `dim` equal to `value`: binds the shape of an input, such as `2*n` to 6.
 * Undefined unless exactly one symbol is unknown, the dim is linear in it, and the symbol's value is an integer ≥ 0.
 */
export const solve = (
  dim: Dim,
  value: number,
  known: ReadonlyMap<string, number>
): { readonly name: string; readonly value: number } | undefined => {
  const unknown = symbols(dim).filter((name) => !known.has(name))
  const [name, ...others] = unknown
  if (name === undefined || others.length > 0 || typeof dim === "number") return undefined
  let slope = 0
  let offset = 0
  for (const term of dim.terms) {
    const constant = evaluateTerm(term, known)
    if (constant !== undefined) {
      offset += constant
      continue
    }
    const factors = term.factors.filter(({ atom }) => atom.kind !== "symbol" || atom.name !== name)
    const degree = term.degree - factors.reduce((total, factor) => total + factor.power, 0)
    const coefficient = evaluateTerm({ ...term, factors }, known)
    if (degree !== 1 || coefficient === undefined) return undefined
    slope += coefficient
  }
  const found = (value - offset) / slope
  return Number.isSafeInteger(found) && found >= 0 ? { name, value: found + 0 } : undefined
}

/** One function for each way in which a dim is made. */
export interface Algebra<A> {
  readonly integer: (value: number) => A
  readonly symbol: (name: string) => A
  readonly add: (a: A, b: A) => A
  readonly mul: (a: A, b: A) => A
  /** Rounds down; the divisor is a size. */
  readonly floorDiv: (a: A, b: A) => A
  readonly mod: (a: A, b: A) => A
  readonly min: (a: A, b: A) => A
  readonly max: (a: A, b: A) => A
}

/** The dim in another form: code, text, an interval. */
export const fold = <A>(dim: Dim, algebra: Algebra<A>): A => {
  if (typeof dim === "number") return algebra.integer(dim)
  const terms = dim.terms.map(({ coefficient, factors }) => {
    const parts = factors.flatMap(({ atom, power }) => new Array<A>(power).fill(foldAtom(atom, algebra)))
    const all = coefficient === 1 && parts.length > 0 ? parts : [algebra.integer(coefficient), ...parts]
    return all.reduce(algebra.mul)
  })
  return terms.length === 0 ? algebra.integer(0) : terms.reduce(algebra.add)
}

const foldAtom = <A>(atom: Atom, algebra: Algebra<A>): A => {
  if (atom.kind === "symbol") return algebra.symbol(atom.name)
  const args = argumentsOf(atom).map((arg) => fold(arg, algebra))
  return args.reduce(algebra[atom.kind])
}
