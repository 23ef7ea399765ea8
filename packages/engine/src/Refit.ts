/**
 * Refit: other weights in the same engine, by the names in the user's model.
 *
 *   refit(engine, { "fc.weight": tensor })  ⇒  the engine of the fine-tuned model, without a build
 *
 * Only weights that the build kept as they were can be replaced; for the others the refusal says which rewrites
 * consumed them. What was measured with the old weights (accuracy) leaves the manifest.
 */
import * as Constants from "@anneal/ir/Constant"
import type { Graph } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Engine } from "./Engine.ts"
import * as Engines from "./Engine.ts"
import { refuse } from "./EngineError.ts"
import type { Weight } from "./Manifest.ts"
import type { Layout } from "./Safetensors.ts"

const described = ({ dtype, shape }: Pick<Weight, "dtype" | "shape">): string => `${dtype}[${shape.join()}]`

/** The problem of one replacement, or undefined. */
const problemOf = (engine: Engine, name: string, tensor: Tensor): string | undefined => {
  const weight = engine.manifest.weights.find((one) => one.name === name)
  if (weight === undefined) {
    const some = engine.manifest.weights.filter(({ state }) => state === "kept").map((one) => one.name)
    return `${name} is not a weight of the model (replaceable: ${some.length === 0 ? "none" : some.slice(0, 12).join(", ")})`
  }
  if (weight.state === "consumed")
    return `${name} is no longer there on its own: ${weight.consumedBy.length === 0 ? "nothing uses it any more" : `consumed by ${weight.consumedBy.join(", ")}`}`
  return described(weight) === described(tensor)
    ? undefined
    : `${name} is ${described(weight)}, the replacement is ${described(tensor)}`
}

/**
 * The engine with these weights. `relower` packs them for the kernels of a target that packs. Throws `EngineError`
 * (`Refit`) with every problem.
 */
export const refit = (
  engine: Engine,
  weights: Readonly<Record<string, Tensor>>,
  ops?: ReadonlyMap<string, OpDefinition>,
  relower?: Engines.Relower
): Layout => {
  const problems = Object.entries(weights).flatMap(([name, tensor]) => problemOf(engine, name, tensor) ?? [])
  if (problems.length > 0)
    return refuse(
      "Refit",
      engine.file,
      `${problems.length} of ${Object.keys(weights).length} weights`,
      problems.join("; "),
      "Give weights of the same type, or rebuild (with --disable PASS for a pass that consumes them)"
    )
  const constants = new Map(Object.entries(weights).map(([name, tensor]) => [name, Constants.fromTensor(tensor)]))
  const about = Engines.aboutOf(engine)
  return Engines.assembleWith({
    about: { ...about, accuracy: null, refits: [...about.refits, [...constants.keys()].sort()] },
    variants: Engines.variantsOf(engine, ops, { graph: (graph) => replaceNamed(graph, constants), relower }),
    weights: engine.manifest.weights.map((weight) => ({
      ...weight,
      digest: constants.get(weight.name)?.digest ?? weight.digest
    })),
    strip: new Set(engine.manifest.sections.flatMap((one) => (one.stripped === true ? [one.sha256] : [])))
  })
}

const replaceNamed = (graph: Graph, constants: ReadonlyMap<string, Constants.Constant>): Graph => ({
  ...graph,
  constants: new Map(
    [...graph.constants].map(([id, entry]) => {
      const constant = entry.name === undefined ? undefined : constants.get(entry.name)
      return [id, constant === undefined ? entry : { ...entry, constant }]
    })
  ),
  nodes: graph.nodes.map((node) => ({
    ...node,
    graphs: Object.fromEntries(
      Object.entries(node.graphs).map(([name, inner]) => [name, replaceNamed(inner, constants)])
    )
  }))
})
