/**
 * HostGraph: a node that is left to the oracle, as a graph of its own whose inputs are the node's operands, by their place.
 */
import type { Graph, Node } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import type { View } from "@anneal/lower/View"

/** In memory, held by the host, or absent. */
export type HostOperand = View | { readonly host: string } | null

export const isView = (operand: HostOperand | undefined): operand is View =>
  operand !== null && operand !== undefined && "buffer" in operand

/** `typeOf`: of a value that the host holds, by the name that the program gives it. */
export const of = (node: Node, operands: ReadonlyArray<HostOperand>, typeOf: (held: string) => TensorType): Graph => {
  const name = (place: number): string => `operand${place}`
  return {
    name: "host",
    inputs: node.inputs.flatMap((id, place) => {
      const operand = operands[place]
      if (id === null || operand === null || operand === undefined) return []
      const type = isView(operand) ? { dtype: operand.dtype, shape: operand.shape } : typeOf(operand.host)
      return [{ id: name(place), name: name(place), type }]
    }),
    outputs: node.outputs.map(({ id }, place) => ({ name: `result${place}`, id })),
    constants: new Map(),
    nodes: [{ ...node, inputs: node.inputs.map((id, place) => (id === null ? null : name(place))) }],
    constraints: [],
    aliases: []
  }
}
