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

export interface Point {
  /** Symbols with their only value. */
  readonly fixed: ReadonlyMap<string, number>
  /** A value for every symbol that stays free: what kernels are chosen for. */
  readonly typical: ReadonlyMap<string, number>
}

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
const close = (graph: Graph, known: Map<string, number>): void => {
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

/** How far sizes are looked through for one that the constraints allow. */
const mostGuess = 1024

/** A value for a symbol of which nothing is known: the wanted one, or the least that breaks the fewest constraints. */
const guessed = (graph: Graph, known: ReadonlyMap<string, number>, symbol: string, wanted: number): number => {
  const about = constraintsOf(graph).filter(({ left, right }) =>
    [...Dim.symbols(left), ...Dim.symbols(right)].includes(symbol)
  )
  const broken = (value: number): number => {
    const trial = new Map([...known, [symbol, value]])
    return about.filter(({ left, right }) => {
      const [a, b] = [Dim.evaluate(left, trial), Dim.evaluate(right, trial)]
      return a !== undefined && b !== undefined && a !== b
    }).length
  }
  let [best, least] = [wanted, broken(wanted)]
  for (let value = 1; least > 0 && value <= mostGuess; value++) {
    const count = broken(value)
    if (count < least) [best, least] = [value, count]
  }
  return best
}

/** The point with what follows from it. */
const closed = (graph: Graph, symbols: ReadonlyArray<string>, { fixed, typical }: Point): Point => {
  const decided = new Map(fixed)
  close(graph, decided)
  const known = new Map(decided)
  for (const symbol of symbols) {
    if (!known.has(symbol)) known.set(symbol, guessed(graph, known, symbol, typical.get(symbol) ?? guess))
    close(graph, known)
  }
  const of = (names: ReadonlyArray<string>) => new Map(names.map((name) => [name, known.get(name) ?? guess]))
  return {
    fixed: of(symbols.filter((name) => decided.has(name))),
    typical: of(symbols.filter((name) => !decided.has(name)))
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
  for (const symbol of symbols) {
    const range = dims[symbol]
    if (range !== undefined && range.min === range.max) {
      narrow.set(symbol, range.min)
      optimum.set(symbol, range.min)
    } else {
      if (range !== undefined) optimum.set(symbol, range.opt)
      else if (batch.has(symbol)) optimum.set(symbol, 1)
      typical.set(symbol, range?.opt ?? (batch.has(symbol) ? 4 : guess))
    }
  }
  const rest = new Map([...typical].filter(([symbol]) => !optimum.has(symbol)))
  return [
    { fixed: optimum, typical: rest },
    { fixed: narrow, typical }
  ]
}

const keyOf = ({ fixed }: Point): string =>
  [...fixed]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([symbol, value]) => `${symbol}=${value}`)
    .join()

/** What programs to make, in the order in which a run looks for one that fits: the most special first. */
export const points = (graph: Graph, profiles: ReadonlyArray<Profile>): ReadonlyArray<Point> => {
  const symbols = symbolsOf(graph)
  const batch = leading(graph)
  const open: Profile = { name: "any", dims: {} }
  const all = (profiles.length === 0 ? [open] : profiles)
    .flatMap((profile) => pointsOf(symbols, batch, profile))
    .map((point) => closed(graph, symbols, point))
  const unique = new Map(all.map((point) => [keyOf(point), point]))
  return [...unique.values()].sort((a, b) => b.fixed.size - a.fixed.size)
}
