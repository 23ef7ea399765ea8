/**
 * Variants: what an engine was assembled from, taken out of it again, to change something and assemble anew: refit, strip,
 * restore.
 */
import type { Graph } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import type { Payload, VariantInput } from "./Assembly.ts"
import type { Engine } from "./Engine.ts"
import { refuse } from "./EngineError.ts"
import type { About, Variant } from "./Manifest.ts"

/** The payload of a variant as it is in the file. Bytes are read when they are written: sections that were left out stay so. */
const payloadOf = (engine: Engine, names: ReadonlyArray<string>): ReadonlyArray<Payload> => {
  const sections = new Map(engine.manifest.sections.map((section) => [section.name, section]))
  return names.map((name) => {
    const {
      bytes,
      kind,
      origin,
      sha256: digest
    } = sections.get(name) ?? refuse("Missing", engine.file, `section ${name}`, "there is no such section")
    if (kind === "graph" || kind === "constant")
      return refuse("BadHeader", engine.file, `section ${name}`, `a ${kind} is no part of a target's payload`)
    return {
      name,
      kind,
      sha256: digest,
      byteLength: bytes,
      bytes: () => engine.section(name),
      ...(origin === undefined ? {} : { origin })
    }
  })
}

/**
 * Makes the payload of a variant again, for a graph whose constants changed; the target's package has one. Undefined: the
 * variant is of another target.
 */
export type Relower = (variant: Variant, graph: Graph) => ReadonlyArray<Payload> | undefined

/**
 * The variants as they were given to `assemble`, with other graphs where `change` makes some: their payload is made again
 * by `relower`. Throws `EngineError` when it has to be and cannot.
 */
export const variantsOf = (
  engine: Engine,
  ops?: ReadonlyMap<string, OpDefinition>,
  change?: {
    readonly graph: (graph: Graph) => Graph
    /** `keep`: the new graph has the same constants. */
    readonly relower?: Relower | "keep" | undefined
  }
): ReadonlyArray<VariantInput> =>
  engine.manifest.variants.map((variant) => {
    const { features, name, payload: own, profiles, target } = variant
    const before = engine.graph(name, ops)
    const graph = change?.graph(before) ?? before
    const payload =
      own.length === 0
        ? []
        : change === undefined || change.relower === "keep"
          ? payloadOf(engine, own)
          : (change.relower?.(variant, graph) ??
            refuse(
              "Missing",
              engine.file,
              `variant ${name}`,
              `its weights are packed for the kernels of ${target}, and the target's package is not at hand to pack others`,
              `Give the function that ${target} brings for it, or build again`
            ))
    return { name, target, features, profiles, graph, payload }
  })

/** The part of the manifest that the build said. */
export const aboutOf = ({ manifest }: Engine): About => {
  const { accuracy, calibration, decisions, model, precision, refits, stages } = manifest
  return { accuracy, calibration, decisions, model, precision, refits, stages }
}
