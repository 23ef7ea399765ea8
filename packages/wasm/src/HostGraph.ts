/**
 * HostGraph: a node that is left to the oracle, as a graph of its own whose inputs are the node's operands, by their place.
 */
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import type { View } from "@anneal/lower/View"

/** In memory, held by the host, or absent. */
export type HostOperand = View | { readonly host: string } | null

export const isView = (operand: HostOperand | undefined): operand is View =>
  operand !== null && operand !== undefined && "buffer" in operand

export const of = (graph: Graph, node: Node, operands: ReadonlyArray<HostOperand>): Graph => {
  const name = (place: number): string => `operand${place}`
  const { type } = Graphs.index(graph)
  return {
    name: "host",
    inputs: node.inputs.flatMap((id, place) => {
      if (id === null) return []
      const operand = operands[place]
      const given = isView(operand) ? { dtype: operand.dtype, shape: operand.shape } : type(id)
      return [{ id: name(place), name: name(place), type: given }]
    }),
    outputs: node.outputs.map(({ id }, place) => ({ name: `result${place}`, id })),
    constants: new Map(),
    nodes: [{ ...node, inputs: node.inputs.map((id, place) => (id === null ? null : name(place))) }],
    constraints: [],
    aliases: []
  }
}
