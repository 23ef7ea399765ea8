// Sensitivity: how much noise a product makes when it alone is quantised, measured on a few samples. Cheap: each product
// runs on its own, on the operands that the float graph gave it.
import * as Bind from "@anneal/ir/Bind"
import * as Builder from "@anneal/ir/Builder"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import type * as Tensor from "@anneal/ir/Tensor"
import type { InferenceService } from "@anneal/pipeline/Inference"
import type { OracleError, OracleService } from "@anneal/pipeline/Oracle"
import * as Progress from "@anneal/pipeline/Progress"
import type { Sample, SampleError } from "@anneal/pipeline/Samples"
import * as Effect from "effect/Effect"
import * as Calibrate from "./Calibrate.ts"
import * as InsertQuantization from "./InsertQuantization.ts"
import * as Placement from "./Placement.ts"

interface Alone {
  readonly graph: Graph.Graph
  /** In the order of the graph's inputs. */
  readonly operands: ReadonlyArray<Tensor.Tensor>
}

/**
 * One node as a graph of its own, at the sizes of one sample: activations are its inputs, constants come along.
 * Undefined when a size that it needs is known to no input (the data decides it), or an operand was not seen.
 */
const alone = (
  graph: Graph.Graph,
  node: Graph.Node,
  values: ReadonlyMap<string, Tensor.Tensor>,
  bindings: Bind.Bindings
): Alone | undefined => {
  if (Op.attributeSymbols(node.attributes).some((name) => !bindings.has(name))) return undefined
  const builder = Builder.make(Graph.nodeName(node))
  const known = new Map<string, Graph.Value>()
  const operands: Array<Tensor.Tensor> = []
  for (const id of new Set(node.inputs)) {
    if (id === null) continue
    const entry = graph.constants.get(id)
    const tensor = values.get(id)
    if (entry !== undefined) known.set(id, builder.constant(entry.constant, { id }))
    else if (tensor === undefined) return undefined
    else {
      operands.push(tensor)
      known.set(id, builder.input(id, { dtype: tensor.dtype, shape: tensor.shape }, { id }))
    }
  }
  const inputs = node.inputs.map((id) => (id === null ? undefined : known.get(id)))
  const attributes = Bind.attributes(node.attributes, bindings, Graph.nodeName(node))
  builder.output("result", builder.one(node.op, inputs, attributes, { ids: node.outputs.map(({ id }) => id) }))
  return { graph: builder.finish(), operands }
}

interface Powers {
  readonly noise: number
  readonly signal: number
}

/** Σ(a − b)² and Σa², over the elements whose exact value is finite. One that quantising loses counts as all noise. */
const powers = (a: Tensor.Tensor, b: Tensor.Tensor): Powers => {
  const [exact, rounded] = [Numbers.toNumbers(a), Numbers.toNumbers(b)]
  let [noise, signal] = [0, 0]
  for (let i = 0; i < exact.length; i++) {
    const value = exact[i] ?? 0
    if (!Number.isFinite(value)) continue
    const found = rounded[i] ?? 0
    const difference = Number.isFinite(found) ? value - found : value
    noise += difference * difference
    signal += value * value
  }
  return { noise, signal }
}

/**
 * Noise power over signal power of each product's result, by the result's id. `inference` runs the whole graph for what
 * products are given; each product alone runs on the oracle, rounded and not.
 */
export const measure = (
  graph: Graph.Graph,
  options: InsertQuantization.Options,
  samples: ReadonlyArray<Sample>,
  oracle: OracleService,
  inference: InferenceService = oracle
): Effect.Effect<ReadonlyMap<string, number>, OracleError | SampleError> =>
  Effect.gen(function* () {
    const { products } = Placement.place(graph, options.keep)
    const own = { ...options, ranges: InsertQuantization.sharedRanges(graph, options) }
    const totals = new Map<string, Powers>()
    const wanted = new Set(
      products.flatMap((node) => [...node.inputs, node.outputs[0]?.id].filter((id) => typeof id === "string"))
    )
    for (const [position, sample] of samples.entries()) {
      const inputs = yield* Calibrate.inputsOf(graph, sample)
      const values = new Map<string, Tensor.Tensor>()
      const keep = (id: string, tensor: Tensor.Tensor): void => {
        if (wanted.has(id)) values.set(id, tensor)
      }
      yield* Calibrate.observe(graph, sample, inference, keep, wanted)
      const bindings = Bind.bind(
        graph,
        inputs.map(({ shape }) => shape)
      )
      for (const node of products) {
        const id = node.outputs[0]?.id ?? ""
        const single = alone(graph, node, values, bindings)
        const exact = values.get(id)
        if (single === undefined || exact === undefined) continue
        const [rounded] = yield* oracle.run(
          InsertQuantization.insert(single.graph, own, "measure").graph,
          single.operands
        )
        if (rounded === undefined) continue
        const now = powers(exact, rounded)
        const before = totals.get(id) ?? { noise: 0, signal: 0 }
        totals.set(id, { noise: before.noise + now.noise, signal: before.signal + now.signal })
      }
      yield* Progress.step("samples ranked on", position + 1, samples.length)
    }
    return new Map([...totals].map(([id, { noise, signal }]) => [id, ratio(noise, signal)] as const))
  })

const ratio = (noise: number, signal: number): number => (signal > 0 ? noise / signal : noise > 0 ? 1 : 0)
