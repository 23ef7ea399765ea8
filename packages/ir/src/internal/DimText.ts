/**
 * Reads the text of a dim: sums, products and powers of integers, names and the functions floor, ceil, mod, min, max.
 *
 *   "2*(batch+1)*seq + floor((w-1)/2) + 1"
 *
 * A name is an identifier ([A-Za-z_][A-Za-z0-9_.]*) or anything between double quotes with JSON's escapes.
 */
import { ceilDiv, floorDiv, max, min, mod } from "./DimDivision.ts"
import { add, fromDivision, fromExtremum, fromSymbol, keyOf, mul, neg, sub, type Dim } from "./DimPolynomial.ts"

interface Token {
  readonly kind: "number" | "name" | "quoted" | "sign" | "end"
  readonly text: string
  readonly position: number
}

const maxNesting = 200
const maxPower = 64

/** Dims by text, read or written before. A graph says the same few again and again, and bringing quotients into normal form takes long. */
const known = new Map<string, Dim>()
const maxKnown = 10_000

const remember = (text: string, dim: Dim): void => {
  if (known.size >= maxKnown) known.clear()
  known.set(text, dim)
}

/** The canonical text, such as `2*batch*seq+1` or `floor((w+1)/2)`. `parse` reads it back. */
export const format = (dim: Dim): string => {
  const text = keyOf(dim)
  if (typeof dim !== "number" && !known.has(text)) remember(text, dim)
  return text
}

/** The dim that `text` stands for. Throws RangeError with the position on text that is not a dim. */
export const parse = (text: string): Dim => {
  const before = known.get(text)
  if (before !== undefined) return before
  const dim = new Reader(text, normal).all()
  remember(text, dim)
  return dim
}

/**
 * The dim that canonical text stands for, as `format` wrote it: divisions, minima and maxima are taken as they stand, which is
 * many times faster. Of other text it has the right values, but may not equal what `parse` gives. Throws as `parse` does.
 */
export const parseCanonical = (text: string): Dim => known.get(text) ?? new Reader(text, asWritten).all()

/** What the functions of the text make. */
interface Functions {
  readonly floorDiv: (a: Dim, b: Dim) => Dim
  readonly mod: (a: Dim, b: Dim) => Dim
  readonly extremum: (kind: "min" | "max", args: ReadonlyArray<Dim>) => Dim
}

const normal: Functions = {
  floorDiv,
  mod,
  extremum: (kind, args) => args.reduce(kind === "min" ? min : max)
}

const areNumbers = (args: ReadonlyArray<Dim>): boolean => args.every((arg) => typeof arg === "number")

const asWritten: Functions = {
  floorDiv: (a, b) => (areNumbers([a, b]) ? floorDiv(a, b) : fromDivision("floorDiv", a, b)),
  mod: (a, b) => (areNumbers([a, b]) ? mod(a, b) : fromDivision("mod", a, b)),
  extremum: (kind, args) => (areNumbers(args) ? normal.extremum(kind, args) : fromExtremum(kind, args))
}

class Reader {
  readonly #text: string
  readonly #tokens: ReadonlyArray<Token>
  readonly #functions: Functions
  #next = 0
  #nesting = 0

  constructor(text: string, functions: Functions) {
    this.#text = text
    this.#tokens = tokens(text)
    this.#functions = functions
  }

  all(): Dim {
    const { dim } = this.#sum()
    if (this.#peek().kind !== "end") this.#fail(`an operator or the end`)
    return dim
  }

  /** `isOneTerm` tells whether a following "/" can only be about all of it. */
  #sum(): { readonly dim: Dim; readonly isOneTerm: boolean } {
    const negative = this.#take("-")
    const first = this.#product()
    let dim = negative ? neg(first) : first
    let isOneTerm = true
    for (;;) {
      if (this.#take("+")) dim = add(dim, this.#product())
      else if (this.#take("-")) dim = sub(dim, this.#product())
      else return { dim, isOneTerm }
      isOneTerm = false
    }
  }

  #product(): Dim {
    let dim = this.#power()
    while (this.#take("*")) dim = mul(dim, this.#power())
    return dim
  }

  #power(): Dim {
    const base = this.#atom()
    if (!this.#take("^")) return base
    const token = this.#peek()
    const exponent = Number(token.text)
    if (token.kind !== "number" || exponent < 1 || exponent > maxPower) this.#fail(`a power from 1 to ${maxPower}`)
    this.#next++
    let dim = base
    for (let count = 1; count < exponent; count++) dim = mul(dim, base)
    return dim
  }

  #atom(): Dim {
    const token = this.#peek()
    if (token.kind === "number") {
      this.#next++
      const value = Number(token.text)
      return Number.isSafeInteger(value) ? value : this.#fail("an integer of at most 2^53 - 1", token)
    }
    if (token.kind === "quoted" || token.kind === "name") {
      this.#next++
      return token.kind === "name" && this.#peek().text === "(" ? this.#call(token) : fromSymbol(token.text)
    }
    if (token.text === "(") return this.#nested(() => this.#sum().dim)
    return this.#fail(`a number, a name or "("`)
  }

  #call(name: Token): Dim {
    switch (name.text) {
      case "floor":
        return this.#nested(() => this.#quotient(this.#functions.floorDiv))
      case "ceil":
        return this.#nested(() => this.#quotient(ceilDiv))
      case "mod":
        return this.#nested(() => {
          const a = this.#sum().dim
          this.#expect(",")
          return this.#divide(this.#functions.mod, a, () => this.#sum().dim)
        })
      case "min":
      case "max": {
        const kind = name.text
        return this.#nested(() => {
          const args = [this.#sum().dim]
          while (this.#take(",")) args.push(this.#sum().dim)
          return this.#functions.extremum(kind, args)
        })
      }
      default:
        return this.#fail("floor, ceil, mod, min or max before a parenthesis", name)
    }
  }

  #quotient(divide: (a: Dim, b: Dim) => Dim): Dim {
    const a = this.#sum()
    if (this.#peek().text !== "/") return a.dim
    if (!a.isOneTerm) this.#fail("parentheses around the sum that is divided")
    this.#next++
    return this.#divide(divide, a.dim, () => this.#power())
  }

  #divide(divide: (a: Dim, b: Dim) => Dim, a: Dim, readDivisor: () => Dim): Dim {
    const start = this.#peek()
    const b = readDivisor()
    return b === 0 ? this.#fail("a divisor that is not 0", start) : divide(a, b)
  }

  #nested(read: () => Dim): Dim {
    if (this.#nesting >= maxNesting) this.#fail(`at most ${maxNesting} nested parentheses`)
    this.#expect("(")
    this.#nesting++
    const dim = read()
    this.#nesting--
    this.#expect(")")
    return dim
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "", position: this.#text.length }
  }

  #take(sign: string): boolean {
    const found = this.#peek().kind === "sign" && this.#peek().text === sign
    if (found) this.#next++
    return found
  }

  #expect(sign: string): void {
    if (!this.#take(sign)) this.#fail(`"${sign}"`)
  }

  #fail(expected: string, token: Token = this.#peek()): never {
    return fail(this.#text, token.position, expected, token.kind === "end" ? "the end" : JSON.stringify(token.text))
  }
}

const fail = (text: string, position: number, expected: string, found: string): never => {
  throw new RangeError(
    `cannot read the dimension ${JSON.stringify(text)}: expected ${expected} at position ${position}, found ${found}`
  )
}

const pattern = /\s*(?:([0-9]+)|([A-Za-z_][A-Za-z0-9_.]*)|("(?:[^"\\]|\\.)*")|([-+*^/(),]))/y

const tokens = (text: string): ReadonlyArray<Token> => {
  const found: Array<Token> = []
  const end = text.trimEnd().length
  const matcher = new RegExp(pattern)
  while (matcher.lastIndex < end) {
    const start = matcher.lastIndex
    const match = matcher.exec(text)
    if (match === null) return fail(text, start, "a number, a name or an operator", JSON.stringify(text[start]))
    const [, number, name, quoted, sign] = match
    const token = number ?? name ?? quoted ?? sign ?? ""
    const position = matcher.lastIndex - token.length
    if (quoted !== undefined) found.push({ kind: "quoted", text: unquote(text, quoted, position), position })
    else
      found.push({
        kind: number !== undefined ? "number" : name !== undefined ? "name" : "sign",
        text: token,
        position
      })
  }
  return found
}

const unquote = (text: string, quoted: string, position: number): string => {
  try {
    const name: unknown = JSON.parse(quoted)
    if (typeof name === "string" && name !== "") return name
  } catch {
    return fail(text, position, "a quoted name with JSON's escapes", quoted)
  }
  return fail(text, position, "a quoted name that is not empty", quoted)
}
