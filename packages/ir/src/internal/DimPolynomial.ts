/**
 * Integer polynomials over atoms: the canonical form under `Dim`.
 *
 *   (batch + 1) * seq * 2  ⇒  2*batch*seq+2*seq
 *
 * Terms are sorted by a graded lexicographic monomial order, no coefficient is 0, and a polynomial without a
 * symbol is a plain number. So two dims are the same polynomial exactly when their `key`s are the same string.
 */

/** A tensor dimension: a plain integer, or an integer polynomial over symbols. */
export type Dim = number | SymbolicDim

/** What a polynomial is made of: a symbol (a size, an integer ≥ 0) or an operation that is not polynomial. */
export type Atom = SymbolAtom | DivisionAtom | ExtremumAtom

export interface SymbolAtom {
  readonly kind: "symbol"
  readonly name: string
  readonly key: string
}

/** `floor(dividend / divisor)`, or what is left of it: `dividend - divisor * floor(dividend / divisor)`. */
export interface DivisionAtom {
  readonly kind: "floorDiv" | "mod"
  readonly dividend: Dim
  readonly divisor: Dim
  readonly key: string
}

/** The smallest or greatest of two or more dims, sorted. */
export interface ExtremumAtom {
  readonly kind: "min" | "max"
  readonly args: ReadonlyArray<Dim>
  readonly key: string
}

export interface Factor {
  readonly atom: Atom
  readonly power: number
}

/** `coefficient * Π atom^power`; the constant term has no factors. */
export interface Term {
  readonly coefficient: number
  readonly factors: ReadonlyArray<Factor>
  readonly degree: number
  /** The factors as text; "" for the constant term. */
  readonly key: string
}

/** A polynomial with at least one symbol in it. Made by the functions of `Dim`, never directly. */
export class SymbolicDim {
  readonly terms: ReadonlyArray<Term>
  /** The canonical text; equal polynomials have equal keys. */
  readonly key: string
  constructor(terms: ReadonlyArray<Term>) {
    this.terms = terms
    this.key = formatTerms(terms)
  }
  toString(): string {
    return this.key
  }
  toJSON(): string {
    return this.key
  }
}

/** The canonical text of a dim. */
export const keyOf = (dim: Dim): string => (typeof dim === "number" ? String(dim) : dim.key)

/** A total order: numbers first by value, then symbolic dims by their text. */
export const compare = (a: Dim, b: Dim): number => {
  if (typeof a === "number") return typeof b === "number" ? a - b : -1
  if (typeof b === "number") return 1
  return compareText(a.key, b.key)
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** `value`, if it is an integer that float64 holds exactly. Throws RangeError if not. */
export const integer = (value: number): number => {
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`a dimension needs integers within ±(2^53 - 1), found ${value}`)
  }
  return value + 0
}

const identifier = /^[A-Za-z_][A-Za-z0-9_.]*$/

const symbolAtom = (name: string): SymbolAtom => ({
  kind: "symbol",
  name,
  key: identifier.test(name) ? name : JSON.stringify(name)
})

const divisionAtom = (kind: "floorDiv" | "mod", dividend: Dim, divisor: Dim): DivisionAtom => ({
  kind,
  dividend,
  divisor,
  key:
    kind === "mod"
      ? `mod(${keyOf(dividend)},${keyOf(divisor)})`
      : `floor(${isOneTerm(dividend) ? keyOf(dividend) : `(${keyOf(dividend)})`}/${
          isOneFactor(divisor) ? keyOf(divisor) : `(${keyOf(divisor)})`
        })`
})

const isOneTerm = (dim: Dim): boolean => typeof dim === "number" || dim.terms.length === 1

const isOneFactor = (dim: Dim): boolean =>
  typeof dim === "number" ||
  (dim.terms.length === 1 && dim.terms.every((term) => term.coefficient === 1 && term.factors.length === 1))

/** The dim that is the one symbol `name`. */
export const fromSymbol = (name: string): Dim => fromAtom(symbolAtom(name))

/** The dim that is one unsimplified division. */
export const fromDivision = (kind: "floorDiv" | "mod", dividend: Dim, divisor: Dim): Dim =>
  fromAtom(divisionAtom(kind, dividend, divisor))

/** The dim that is one unsimplified minimum or maximum; `args` are sorted. */
export const fromExtremum = (kind: "min" | "max", args: ReadonlyArray<Dim>): Dim =>
  fromAtom({ kind, args, key: `${kind}(${args.map(keyOf).join(",")})` })

/** The dim that is one atom. */
export const fromAtom = (atom: Atom): Dim => new SymbolicDim([makeTerm(1, [{ atom, power: 1 }])])

/** A term of factors that are sorted by their atoms' keys. */
export const makeTerm = (coefficient: number, factors: ReadonlyArray<Factor>): Term => ({
  coefficient,
  factors,
  degree: factors.reduce((degree, factor) => degree + factor.power, 0),
  key: factors.map(({ atom, power }) => (power === 1 ? atom.key : `${atom.key}^${power}`)).join("*")
})

const formatTerms = (terms: ReadonlyArray<Term>): string => {
  let text = ""
  for (const { coefficient, key } of terms) {
    const size = Math.abs(coefficient)
    text += coefficient < 0 ? "-" : text === "" ? "" : "+"
    text += key === "" ? String(size) : size === 1 ? key : `${size}*${key}`
  }
  return text
}

/** Graded lexicographic: higher degree first, then higher powers of earlier atoms. Compatible with multiplication. */
const compareMonomials = (a: Term, b: Term): number => {
  if (a.degree !== b.degree) return b.degree - a.degree
  for (const [index, left] of a.factors.entries()) {
    const right = b.factors[index]
    if (right === undefined) return -1
    if (left.atom.key !== right.atom.key) return compareText(left.atom.key, right.atom.key)
    if (left.power !== right.power) return right.power - left.power
  }
  return 0
}

/** The terms of a dim; a number is one constant term, 0 none. */
export const termsOf = (dim: Dim): ReadonlyArray<Term> =>
  typeof dim === "number" ? (dim === 0 ? [] : [makeTerm(dim, [])]) : dim.terms

/** Collects like terms into the canonical form. */
export const fromTerms = (terms: Iterable<Term>): Dim => {
  const collected = new Map<string, Term>()
  for (const term of terms) {
    const previous = collected.get(term.key)
    const coefficient = integer(term.coefficient + (previous?.coefficient ?? 0))
    collected.set(term.key, coefficient === term.coefficient ? term : { ...term, coefficient })
  }
  const kept = [...collected.values()].filter((term) => term.coefficient !== 0).sort(compareMonomials)
  const [first] = kept
  if (first === undefined) return 0
  return first.degree === 0 ? first.coefficient : new SymbolicDim(kept)
}

/** The dim with each coefficient replaced. */
export const mapCoefficients = (dim: Dim, replace: (coefficient: number, degree: number) => number): Dim =>
  fromTerms(
    termsOf(dim).map(({ coefficient, degree, factors, key }) => ({
      coefficient: replace(coefficient, degree),
      degree,
      factors,
      key
    }))
  )

export const add = (a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number") return integer(a + b)
  if (a === 0) return b
  if (b === 0) return a
  if (typeof a === "number") return addConstant(b, a)
  if (typeof b === "number") return addConstant(a, b)
  return fromTerms([...termsOf(a), ...termsOf(b)])
}

/** The constant term is the last one. */
const addConstant = (dim: Dim, value: number): Dim => {
  const terms = termsOf(dim)
  const last = terms.at(-1)
  if (last?.degree !== 0) return new SymbolicDim([...terms, makeTerm(integer(value), [])])
  const coefficient = integer(last.coefficient + value)
  const others = terms.slice(0, -1)
  return new SymbolicDim(coefficient === 0 ? others : [...others, { ...last, coefficient }])
}

export const neg = (a: Dim): Dim => mul(a, -1)

export const sub = (a: Dim, b: Dim): Dim => add(a, neg(b))

export const mul = (a: Dim, b: Dim): Dim => {
  if (typeof a === "number" && typeof b === "number") return integer(a * b)
  if (a === 1) return b
  if (b === 1) return a
  if (typeof a === "number") return scale(b, a)
  if (typeof b === "number") return scale(a, b)
  return fromTerms(termsOf(a).flatMap((left) => termsOf(b).map((right) => multiplyTerms(left, right))))
}

/** The order of the terms stays. */
const scale = (dim: Dim, factor: number): Dim =>
  factor === 0
    ? 0
    : new SymbolicDim(
        termsOf(dim).map(({ coefficient, degree, factors, key }) => ({
          coefficient: integer(coefficient * factor),
          degree,
          factors,
          key
        }))
      )

const multiplyTerms = (a: Term, b: Term): Term => {
  const coefficient = integer(a.coefficient * b.coefficient)
  if (b.factors.length === 0) return { ...a, coefficient }
  if (a.factors.length === 0) return { ...b, coefficient }
  const merged = new Map<string, Factor>()
  for (const factor of [...a.factors, ...b.factors]) {
    const previous = merged.get(factor.atom.key)
    merged.set(factor.atom.key, { atom: factor.atom, power: factor.power + (previous?.power ?? 0) })
  }
  return makeTerm(
    coefficient,
    [...merged.values()].sort((left, right) => compareText(left.atom.key, right.atom.key))
  )
}

/** `a / b` for terms, where it is a term with an integer coefficient. */
export const divideTerms = (a: Term, b: Term): Term | undefined => {
  if (a.coefficient % b.coefficient !== 0) return undefined
  const powers = new Map(b.factors.map((factor) => [factor.atom.key, factor.power]))
  const factors: Array<Factor> = []
  for (const { atom, power } of a.factors) {
    const left = power - (powers.get(atom.key) ?? 0)
    powers.delete(atom.key)
    if (left < 0) return undefined
    if (left > 0) factors.push({ atom, power: left })
  }
  return powers.size > 0 ? undefined : makeTerm(integer(a.coefficient / b.coefficient), factors)
}

/** The polynomial `q` with `q * b = a`, where there is one. */
export const exactQuotient = (a: Dim, b: Dim): Dim | undefined => {
  const [leading] = termsOf(b)
  if (leading === undefined) return undefined
  const quotient: Array<Term> = []
  let rest = a
  for (;;) {
    const [first] = termsOf(rest)
    if (first === undefined) return fromTerms(quotient)
    const term = divideTerms(first, leading)
    if (term === undefined) return undefined
    quotient.push(term)
    rest = sub(rest, mul(fromTerms([term]), b))
  }
}

/** The greatest monomial (with a positive coefficient) that divides each term of each of the dims. */
export const commonMonomial = (dims: ReadonlyArray<Dim>): Term => {
  const [first, ...others] = dims.flatMap(termsOf)
  if (first === undefined) return makeTerm(1, [])
  let coefficient = Math.abs(first.coefficient)
  let factors = first.factors
  for (const term of others) {
    coefficient = greatestCommonDivisor(coefficient, term.coefficient)
    const powers = new Map(term.factors.map((factor) => [factor.atom.key, factor.power]))
    factors = factors
      .map(({ atom, power }) => ({ atom, power: Math.min(power, powers.get(atom.key) ?? 0) }))
      .filter((factor) => factor.power > 0)
  }
  return makeTerm(coefficient, factors)
}

/** Of the absolute values; `gcd(0, n) = |n|`. */
export const greatestCommonDivisor = (a: number, b: number): number => {
  let [left, right] = [Math.abs(a), Math.abs(b)]
  while (right !== 0) [left, right] = [right, left % right]
  return left
}

/** `floor(a / b)` without the rounding of a float64 division. */
export const floorQuotient = (a: number, b: number): number => {
  const rest = a % b
  const quotient = (a - rest) / b
  return (rest !== 0 && rest < 0 !== b < 0 ? quotient - 1 : quotient) + 0
}
