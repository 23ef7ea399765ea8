/**
 * Points: for which sizes programs are made. Symbols that have one value in a program are constants in its code; the
 * others are arguments.
 *
 *   batch 1…8 (opt 4)   ⇒   batch = 4, and any batch
 *   no profile          ⇒   the leading sizes of the inputs = 1, and any sizes
 *
 * What the graph's constraints say of other symbols then is fixed, too: a state of as many rows as there are in the batch.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Constraint, Graph } from "@anneal/ir/Graph"
import type { Profile } from "@anneal/engine/Manifest"
import type { Limit } from "./SizeLimits.ts"
import * as SizeLimits from "./SizeLimits.ts"

export interface Point {
  /** Symbols with their only value. */
  readonly fixed: ReadonlyMap<string, number>
  /** A value for every symbol that stays free: what kernels are chosen for. */
  readonly typical: ReadonlyMap<string, number>
  /** What the profiles allow, for symbols that they know and that stay free. */
  readonly ranges?: ReadonlyMap<string, Range>
}

export interface Range {
  readonly min: number
  readonly max: number
}

type Bindings = ReadonlyMap<string, number>

/** The value of a size of which nothing is known, to choose kernels by. */
const guess = 64

const symbolsOf = (graph: Graph): ReadonlyArray<string> =>
  [...new Set(graph.inputs.flatMap(({ type }) => type.shape.flatMap((dim) => Dim.symbols(dim))))].sort()

/** Leading sizes that are a symbol and nothing else: the batch, by custom. */
const leading = (graph: Graph): ReadonlySet<string> =>
  new Set(
    graph.inputs.flatMap(({ type: { shape } }) => {
      const [first] = shape
      if (first === undefined || typeof first === "number" || shape.length < 2) return []
      const names = Dim.symbols(first)
      return names.length === 1 && Dim.equal(first, Dim.symbol(names[0] ?? "")) === true ? names : []
    })
  )

/**
 * Constraints of the graph and of its branches. Those of a branch need not hold where it is not taken: a run that breaks
 * one finds the program for any sizes.
 */
const constraintsOf = (graph: Graph): ReadonlyArray<Constraint> => [
  ...graph.constraints,
  ...graph.nodes.flatMap(({ graphs }) => Object.values(graphs).flatMap(constraintsOf))
]

/** Adds the symbols that the graph's constraints decide, given those that are known. */
export const close = (graph: Graph, known: Map<string, number>): void => {
  const decide = (dim: Dim.Dim, other: Dim.Dim): boolean => {
    const value = Dim.evaluate(other, known)
    const solved = value === undefined ? undefined : Dim.solve(dim, value, known)
    if (solved === undefined || known.has(solved.name)) return false
    known.set(solved.name, solved.value)
    return true
  }
  for (let progress = true; progress;) {
    progress = false
    for (const { left, right } of constraintsOf(graph)) if (decide(left, right) || decide(right, left)) progress = true
  }
}

/** Sizes that are tried in the place of one that breaks a limit: near ones first, every one up to a thousand, then far ones. */
const others = (wanted: number): ReadonlyArray<number> => {
  const doubled = Array.from({ length: 18 }, (_, power) => wanted * 2 ** power)
  const every = Array.from({ length: 1024 }, (_, place) => place + 1)
  return [...doubled.filter((size) => size <= 1024), ...every, ...doubled.filter((size) => size > 1024)]
}

/** A value for a symbol of which nothing is known: the wanted one, or the first that breaks the fewest limits. */
const guessed = (limits: ReadonlyArray<Limit>, known: Bindings, symbol: string, wanted: number): number => {
  const about = limits.filter(({ symbols }) => symbols.has(symbol))
  const count = (size: number): number => countBroken(about, new Map([...known, [symbol, size]]))
  let [best, least] = [wanted, count(wanted)]
  for (const size of others(wanted)) {
    if (least === 0) break
    const broken = count(size)
    if (broken < least) [best, least] = [size, broken]
  }
  return best
}

const countBroken = (limits: ReadonlyArray<Limit>, values: Bindings): number =>
  limits.filter(({ broken }) => broken(values)).length

/** A value for a symbol, given those that are known. */
type Choose = (known: Bindings, symbol: string, wanted: number) => number

/** Sizes for all symbols: those decided, what follows from them, and in turn what is chosen for the next. */
const filled = (
  graph: Graph,
  symbols: ReadonlyArray<string>,
  decided: Bindings,
  wanted: (symbol: string) => number,
  choose: Choose
): Bindings => {
  const known = new Map(decided)
  for (const symbol of symbols) {
    if (!known.has(symbol)) known.set(symbol, choose(known, symbol, wanted(symbol)))
    close(graph, known)
  }
  return known
}

/** The point with what follows from it. */
const closed = (
  graph: Graph,
  limits: ReadonlyArray<Limit>,
  symbols: ReadonlyArray<string>,
  { fixed, ranges, typical }: Point
): Point => {
  const decided = new Map(fixed)
  close(graph, decided)
  const trial = (common: number, choose: Choose): Bindings =>
    filled(graph, symbols, decided, (symbol) => typical.get(symbol) ?? common, choose)
  // What fits one by one may be too much together: a table of positions holds what is past and what is new.
  const commons = [guess, guess / 2, guess / 4, guess / 8, guess / 16, guess / 32, 1]
  const alike = commons.map((common) => () => trial(common, (_known, _symbol, wanted) => wanted))
  const searched = commons.map((common) => () => trial(common, (...given) => guessed(limits, ...given)))
  let [known, least]: [Bindings, number] = [new Map(), Infinity]
  for (const make of [...alike, ...searched]) {
    if (least === 0) break
    const made = make()
    const broken = countBroken(limits, made)
    if (broken < least) [known, least] = [made, broken]
  }
  const of = (names: ReadonlyArray<string>) => new Map(names.map((name) => [name, known.get(name) ?? guess]))
  return {
    fixed: of(symbols.filter((name) => decided.has(name))),
    typical: of(symbols.filter((name) => !decided.has(name))),
    ...(ranges === undefined ? {} : { ranges })
  }
}

const pointsOf = (
  symbols: ReadonlyArray<string>,
  batch: ReadonlySet<string>,
  { dims }: Profile
): ReadonlyArray<Point> => {
  const narrow = new Map<string, number>()
  const optimum = new Map<string, number>()
  const typical = new Map<string, number>()
  const ranges = new Map<string, Range>()
  for (const symbol of symbols) {
    const range = dims[symbol]
    if (range !== undefined && range.min !== range.max)
      ranges.set(symbol, { min: range.min, max: range.max ?? Infinity })
    if (range !== undefined && range.min === range.max) {
      narrow.set(symbol, range.min)
      optimum.set(symbol, range.min)
    } else {
      if (range !== undefined) optimum.set(symbol, range.opt)
      else if (batch.has(symbol)) optimum.set(symbol, 1)
      const stated = range?.opt ?? (batch.has(symbol) ? 4 : undefined)
      if (stated !== undefined) typical.set(symbol, stated)
    }
  }
  return [
    { fixed: optimum, typical: new Map() },
    { fixed: narrow, typical, ...(ranges.size === 0 ? {} : { ranges }) }
  ]
}

/** One program for the sizes of both. */
const joined = (one: Point | undefined, other: Point): Point => {
  if (one === undefined) return other
  // What one of them does not limit is open.
  const ranges = [...(other.ranges ?? [])].flatMap(
    ([symbol, { max, min }]): ReadonlyArray<readonly [string, Range]> => {
      const known = one.ranges?.get(symbol)
      return known === undefined ? [] : [[symbol, { min: Math.min(min, known.min), max: Math.max(max, known.max) }]]
    }
  )
  const { fixed, typical } = other
  return ranges.length === 0 ? { fixed, typical } : { fixed, typical, ranges: new Map(ranges) }
}

const keyOf = ({ fixed }: Point): string =>
  [...fixed]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([symbol, value]) => `${symbol}=${value}`)
    .join()

/** What programs to make, in the order in which a run looks for one that fits: the most special first. */
export const points = (graph: Graph, profiles: ReadonlyArray<Profile>): ReadonlyArray<Point> => {
  const symbols = symbolsOf(graph)
  const limits = SizeLimits.of(graph)
  const batch = leading(graph)
  const open: Profile = { name: "any", dims: {} }
  const all = (profiles.length === 0 ? [open] : profiles)
    .flatMap((profile) => pointsOf(symbols, batch, profile))
    .map((point) => closed(graph, limits, symbols, point))
  const unique = new Map<string, Point>()
  for (const point of all) unique.set(keyOf(point), joined(unique.get(keyOf(point)), point))
  return [...unique.values()].sort((a, b) => b.fixed.size - a.fixed.size)
}
