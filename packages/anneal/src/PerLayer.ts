/**
 * The first layer that differs: two graphs of one model run on the same inputs, and every value that both have (by its
 * id, which rewrites keep for what they leave alone) is compared in the order of the second.
 */
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import { Oracle, type OracleError } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import type { Agreement, Tolerance } from "./Compare.ts"
import * as Compare from "./Compare.ts"

export interface Layer {
  readonly value: string
  /** The node in the second graph, by its path in the user's model. */
  readonly node: string
  readonly agreement: Agreement
}

export interface Layers {
  /** Values that both graphs have. */
  readonly compared: number
  /** Those out of tolerance, in order; the first is where to look. */
  readonly differing: ReadonlyArray<Layer>
}

/** Runs both graphs. `inputs` are by the user's names and have been checked. */
export const compare = (
  a: Graph,
  b: Graph,
  inputs: Readonly<Record<string, Tensor>>,
  tolerance: Tolerance
): Effect.Effect<Layers, OracleError, Oracle> =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    const inOrder = (graph: Graph) => graph.inputs.flatMap(({ name }) => inputs[name] ?? [])
    const made = new Set(a.nodes.flatMap(({ outputs }) => outputs.map(({ id }) => id)))
    const nodes = new Map(b.nodes.flatMap((node) => node.outputs.map(({ id }) => [id, node] as const)))
    const expected = new Map<string, Tensor>()
    yield* oracle.observe(a, inOrder(a), (id, tensor) => {
      if (nodes.has(id)) expected.set(id, tensor)
    })
    const differing: Array<Layer> = []
    let compared = 0
    yield* oracle.observe(b, inOrder(b), (id, tensor) => {
      const node = nodes.get(id)
      const wanted = expected.get(id)
      if (node === undefined || wanted === undefined || !made.has(id)) return
      compared++
      const agreement = Compare.compare(tensor, wanted, tolerance)
      if (!agreement.agree) differing.push({ value: id, node: Graphs.nodeName(node), agreement })
    })
    return { compared, differing }
  })
