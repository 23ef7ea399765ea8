/**
 * Engines without the user's weights: `strip` leaves out every constant that is in the user's model as it is, by digest;
 * `restore` puts them back from the model. What passes computed (folded, quantised) stays in the file.
 */
import type { Constant } from "@anneal/ir/Constant"
import type { Graph } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import { mapConstants } from "@anneal/pipeline/Graph"
import type { Engine } from "./Engine.ts"
import * as Engines from "./Engine.ts"
import { refuse } from "./EngineError.ts"
import type { Layout } from "./Safetensors.ts"

/** The same engine without the weights of the user's model. */
export const strip = (engine: Engine, ops?: ReadonlyMap<string, OpDefinition>): Layout =>
  Engines.assembleWith({
    about: Engines.aboutOf(engine),
    variants: Engines.variantsOf(engine, ops),
    weights: engine.manifest.weights,
    strip: new Set(engine.manifest.weights.map(({ digest }) => digest))
  })

/**
 * The whole engine again. `weights` are the model's constants; `relower` packs them for the kernels of a target that packs.
 * Throws `EngineError` with all that are missing.
 */
export const restore = (
  engine: Engine,
  weights: Iterable<Constant>,
  ops?: ReadonlyMap<string, OpDefinition>,
  relower?: Engines.Relower
): Layout => {
  const byDigest = new Map([...weights].map((constant) => [constant.digest, constant]))
  const absent = engine.manifest.sections.filter(
    ({ origin, sha256, stripped }) => stripped === true && !byDigest.has(origin?.constant ?? sha256)
  )
  if (absent.length > 0)
    return refuse(
      "Missing",
      engine.file,
      `${absent.length} stripped weights`,
      `the model does not have ${absent.map(({ name, sha256 }) => `${name} (sha256:${sha256.slice(0, 12)}…)`).join(", ")}`,
      "Restore from the very model that the engine was built from"
    )
  const packedLeftOut = engine.manifest.sections.some(
    ({ origin, stripped }) => stripped === true && origin !== undefined
  )
  const graph = (one: Graph): Graph =>
    mapConstants(one, (constant) => {
      const found = byDigest.get(constant.digest)
      return found === undefined ? constant : { ...constant, bytes: found.bytes }
    })
  const variants = Engines.variantsOf(engine, ops, { graph, relower: packedLeftOut ? relower : "keep" })
  return Engines.assembleWith({
    about: Engines.aboutOf(engine),
    variants,
    weights: engine.manifest.weights,
    strip: new Set()
  })
}

/** Bytes of the constants that a file lacks. */
export const strippedBytes = (engine: Engine): number =>
  engine.manifest.sections.reduce((total, { bytes, stripped }) => (stripped === true ? total + bytes : total), 0)
