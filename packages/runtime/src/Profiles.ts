/**
 * Profiles: which shapes an engine is made for. `x: f32[batch, 3]` under `batch 1…8` takes `[4, 3]` and refuses
 * `[9, 3]`, listing every profile.
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Bind from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import { formatProfile } from "@anneal/engine/Inspect"
import type { DimRange, Profile } from "@anneal/engine/Manifest"

/** Whether the extents are within a profile. */
export const fits = ({ dims }: Profile, bindings: Bindings): boolean =>
  Object.entries(dims).every(([symbol, { max, min }]) => {
    const extent = bindings.get(symbol)
    return extent === undefined || (extent >= min && (max === null || extent <= max))
  })

/** The first profile that takes these extents. */
export const choose = (profiles: ReadonlyArray<Profile>, bindings: Bindings): Profile | undefined =>
  profiles.find((profile) => fits(profile, bindings))

export const list = (profiles: ReadonlyArray<Profile>): string => profiles.map(formatProfile).join("; ")

/** Symbols of the inputs, in order. */
export const symbolsOf = (graph: Graph): ReadonlyArray<string> => [
  ...new Set(graph.inputs.flatMap(({ type }) => type.shape.flatMap((dim) => Dim.symbols(dim))))
]

/** Concrete shapes of some inputs, by the user's names. */
export type Shapes = ReadonlyMap<string, ReadonlyArray<number>>

/**
 * The extents that shapes give to the symbols. Inputs that are not named are left open. Throws `BindError`: unknown
 * input, wrong rank, contradictions.
 */
export const bindShapes = (graph: Graph, shapes: Shapes): Bindings => {
  const known = new Set(graph.inputs.map(({ name }) => name))
  const strangers = [...shapes.keys()].filter((name) => !known.has(name))
  if (strangers.length > 0)
    throw new Bind.BindError({
      graph: graph.name,
      problems: strangers.map((name) => `there is no input ${name} (inputs: ${[...known].join(", ")})`)
    })
  const named = graph.inputs.filter(({ name }) => shapes.has(name))
  return Bind.bind(
    { ...graph, inputs: named },
    named.map(({ name }) => shapes.get(name))
  )
}

/** One profile from least, best and greatest shapes; what is not given is open. */
export const profileOf = (
  graph: Graph,
  name: string,
  shapes: { readonly min?: Shapes; readonly opt?: Shapes; readonly max?: Shapes }
): Profile => {
  const none: Shapes = new Map()
  const bound = (which: "least" | "best" | "greatest", given: Shapes = none) => {
    try {
      return bindShapes(graph, given)
    } catch (error) {
      if (!(error instanceof Bind.BindError)) throw error
      const problems = error.problems.map((problem) => `${which} shapes of ${name}: ${problem}`)
      throw new Bind.BindError({ graph: graph.name, problems })
    }
  }
  const min = bound("least", shapes.min)
  const max = bound("greatest", shapes.max)
  const opt = bound("best", shapes.opt)
  const dims: Record<string, DimRange> = {}
  const problems: Array<string> = []
  for (const symbol of symbolsOf(graph)) {
    const least = min.get(symbol)
    const most = max.get(symbol)
    const best = opt.get(symbol)
    if (least === undefined && most === undefined && best === undefined) continue
    const range = { min: least ?? 0, opt: best ?? most ?? least ?? 0, max: most ?? null }
    if (range.min > range.opt || (range.max !== null && range.opt > range.max))
      problems.push(`${symbol}: ${range.min} ≤ ${range.opt} ≤ ${range.max ?? "∞"} does not hold`)
    dims[symbol] = range
  }
  if (problems.length > 0) throw new Bind.BindError({ graph: graph.name, problems })
  return { name, dims }
}
