/**
 * ExamSizes: the sizes that kernels of a program with free symbols are examined at, beside those that they are chosen for.
 *
 *   batch 1…64, tokens 1…   ⇒   (1, 4), (3, 10), (2, 7), (5, 16), …, the greatest
 *
 * Code for any size goes by tiles, and has code of its own for what is left over. Tiles are at most sixteen long, so that
 * seventeen sizes in a row leave every remainder of every tile; symbols go through theirs at once, each in another order.
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Dims from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Footprint from "@anneal/lower/Footprint"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { Point } from "./Points.ts"
import * as Points from "./Points.ts"
import * as SizeLimits from "./SizeLimits.ts"

/** A prime: every step through so many places comes by all of them. */
const count = 17

/** Places of the list, those first that differ most: where there is little time the others are left out. */
const order = [0, 2, 1, 4, 3, 6, 7, 8, 5, 12, 15, 16, 14, 10, 9, 11, 13]

/** Operations, or bytes four times, that the further sizes of one region may take together. */
const mostWork = 8e6
/** One node is computed by the oracle of graphs, which takes longer. */
const mostNodeWork = 1e6

/** Sizes that are tried all the same, if they do not cost more than those that the region is chosen for. */
const always = 1

/** Sizes at which a program can run: the most telling first. None where it has no free symbols. */
export const of = (graph: Graph, { fixed, ranges = new Map(), typical }: Point): ReadonlyArray<Bindings> => {
  const symbols = [...typical.keys()]
  if (symbols.length === 0) return []
  const limits = SizeLimits.of(graph)
  /** The sizes with what follows from them; undefined where the program cannot run at them. */
  const completed = (wanted: (symbol: string, place: number) => number): Bindings | undefined => {
    const known = new Map(fixed)
    for (const [place, symbol] of symbols.entries()) {
      if (!known.has(symbol)) known.set(symbol, wanted(symbol, place))
      Points.close(graph, known)
    }
    const isInRange = symbols.every((symbol) => {
      const size = known.get(symbol) ?? 0
      const { max, min } = ranges.get(symbol) ?? { min: 1, max: Infinity }
      return size >= min && size <= max
    })
    return isInRange && !limits.some(({ broken }) => broken(known)) ? known : undefined
  }
  const usual = (symbol: string): number => typical.get(symbol) ?? 1
  const only = (varied: string, size: number) => completed((symbol) => (symbol === varied ? size : usual(symbol)))
  const least = new Map(
    symbols.map((symbol) => [
      symbol,
      leastOf(ranges.get(symbol)?.min ?? 1, usual(symbol), (size) => only(symbol, size) !== undefined)
    ])
  )
  const found: Array<Bindings> = []
  const add = (sizes: Bindings | undefined): void => {
    if (sizes !== undefined) found.push(sizes)
  }
  for (const step of order) {
    const at = (symbol: string, place: number): number =>
      (least.get(symbol) ?? 1) + ((step * (2 * place + 1) + 3 * place) % count)
    const together = completed(at)
    if (together !== undefined) add(together)
    // What each may be on its own may be too much, or too little, together.
    else for (const [place, symbol] of symbols.entries()) add(only(symbol, at(symbol, place)))
  }
  const isBounded = symbols.every((symbol) => Number.isFinite(ranges.get(symbol)?.max))
  if (isBounded) add(completed((symbol) => ranges.get(symbol)?.max ?? 1))
  return found
}

/** So many sizes in a row are looked at where every second or fourth alone may fit. */
const near = 8

/** About the least size from `from` on that fits, where those beyond it do; `usual` where there is none below it. */
const leastOf = (from: number, usual: number, fits: (size: number) => boolean): number => {
  let [bad, good] = [from - 1, usual]
  while (good - bad > 1) {
    const middle = Math.floor((good + bad) / 2)
    if (Array.from({ length: Math.min(near, good - middle) }, (_, more) => middle + more).some(fits)) good = middle
    else bad = middle
  }
  return good
}

const symbolsOf = (region: Region): ReadonlyArray<string> => {
  const views = [...Regions.reads(region), ...Regions.writes(region)].flatMap((view) => (view === null ? [] : [view]))
  return [
    ...new Set(
      views.flatMap(({ offset, shape, strides }) => [offset, ...shape, ...strides].flatMap((dim) => Dims.symbols(dim)))
    )
  ]
}

/**
 * Whether a recurrent layer has as many rows of each state as of its input: in a branch that is not taken the graph need not
 * say so.
 */
const fits = (region: Region, at: Bindings): boolean => {
  if (region.kind !== "recurrent") return true
  const [x, , , , lengths, ...states] = region.operands
  const rows = [x?.shape[1], lengths?.shape[0], ...states.map((view) => view?.shape.at(-2))]
  const known = rows.flatMap((dim) => (dim === undefined ? [] : [Dims.evaluate(dim, at)]))
  return known.every((size) => size === known[0])
}

/** Those of the sizes that a region is examined at: each that is another one for it, while they do not cost much. */
export const forRegion = (
  region: Region,
  sizes: ReadonlyArray<Bindings>,
  typical: Bindings
): ReadonlyArray<Bindings> => {
  const symbols = symbolsOf(region)
  if (symbols.length === 0) return []
  const { bytes, operations } = Footprint.of(region)
  const work = (at: Bindings): number =>
    (Dims.evaluate(operations, at) ?? Infinity) + 4 * (Dims.evaluate(bytes, at) ?? Infinity)
  const key = (at: Bindings): string => symbols.map((symbol) => at.get(symbol)).join()
  const seen = new Set([key(typical)])
  const chosen: Array<Bindings> = []
  const most = region.kind === "recurrent" || region.kind === "whole" ? mostNodeWork : mostWork
  let spent = 0
  for (const at of sizes) {
    if (seen.has(key(at)) || !fits(region, at)) continue
    seen.add(key(at))
    const own = work(at)
    if (spent + own > most && (chosen.length >= always || own > work(typical))) continue
    chosen.push(at)
    spent += own
  }
  return chosen
}
