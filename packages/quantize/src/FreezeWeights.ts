// dequantize(quantize(weight))  ⇒  the float constant that it is
//
// For measuring only: a quantised graph is scored on hundreds of samples, and its weights are the same in each. The graph
// that is built keeps its quantise and dequantise nodes.
import * as Constant from "@anneal/ir/Constant"
import * as Graph from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { OracleError, OracleService } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"

const isGrid = (node: Graph.Node): boolean => node.op.name === Ops.quantize.name || node.op.name === Ops.dequantize.name

/** One node on its own; all its operands are constants. */
const alone = (node: Graph.Node, constants: Graph.Graph["constants"]): Graph.Graph => {
  const used = new Set(node.inputs)
  return {
    name: Graph.nodeName(node),
    inputs: [],
    outputs: node.outputs.map(({ id }) => ({ id, name: id })),
    constants: new Map([...constants].filter(([id]) => used.has(id))),
    nodes: [node],
    constraints: [],
    aliases: []
  }
}

/** The graph with what quantise and dequantise make of constants as constants. Results are the same bit for bit. */
export const freeze = (graph: Graph.Graph, oracle: OracleService): Effect.Effect<Graph.Graph, OracleError> =>
  Effect.gen(function* () {
    const constants = new Map(graph.constants)
    const nodes: Array<Graph.Node> = []
    for (const node of graph.nodes) {
      if (!isGrid(node) || !node.inputs.every((id) => id === null || constants.has(id))) {
        nodes.push(node)
        continue
      }
      const results = yield* oracle.run(alone(node, constants), [])
      for (const [position, { id }] of node.outputs.entries()) {
        const tensor = results[position]
        if (tensor !== undefined) constants.set(id, { constant: Constant.fromTensor(tensor) })
      }
    }
    return { ...graph, nodes, constants }
  })
