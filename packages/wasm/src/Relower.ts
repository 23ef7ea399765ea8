/**
 * Relower: the code of an engine for other weights, by the decisions that the engine holds: for refits, and for weights
 * that were left out.
 *
 *   Refit.refit(engine, { "fc.weight": tensor }, ops, Relower.of(engine))
 */
import type { Engine, Relower } from "@anneal/engine/Engine"
import * as Report from "@anneal/lower/Report"
import type { Candidate } from "@anneal/pipeline/Tuner"
import * as Predicate from "effect/Predicate"
import * as Compile from "./Compile.ts"
import type { Features } from "./Emission.ts"
import * as Image from "./Image.ts"
import * as Target from "./Target.ts"

const isText = (value: unknown): value is string => typeof value === "string"

/** Ids of the fusions that the build was told not to make. */
const fusionsOff = (decisions: unknown): ReadonlyArray<string> =>
  Predicate.hasProperty(decisions, "fusionsOff") && Array.isArray(decisions.fusionsOff)
    ? decisions.fusionsOff.filter(isText)
    : []

/** What makes the payload of this engine's variants again. */
export const of =
  (engine: Engine): Relower =>
  (variant, graph) => {
    if (variant.target !== Target.name) return undefined
    const [index, ...rest] = variant.payload
    if (index === undefined) return undefined
    const kinds = new Map(engine.manifest.sections.map(({ kind, name }) => [name, kind]))
    const decisions = new Map<string, Candidate>()
    for (const name of rest)
      if (kinds.get(name) === "report")
        for (const { config, kernel, key } of Report.decode(engine.section(name)).regions)
          decisions.set(key, { name: kernel, config })
    const flavours = new Map<string, Features>()
    for (const { features, wide } of Image.decodeIndex(engine.section(index)).units)
      flavours.set(`${features.join()} ${wide}`, {
        relaxed: features.includes("relaxed-simd"),
        threads: features.includes("threads"),
        wide
      })
    return Compile.again(graph, decisions, {
      profiles: variant.profiles,
      flavours: [...flavours.values()],
      variant: variant.name,
      lowering: { fusionsOff: fusionsOff(engine.manifest.decisions), layouts: {} }
    })
  }
