// Puts a sub-graph's nodes in the place of the node that held it.
import type { Builder } from "@anneal/ir/Builder"
import { refuse } from "@anneal/ir/Errors"
import type { Graph, Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Type from "@anneal/ir/Type"
import type { Scope } from "./Driver.ts"

/** Builds the graph's nodes on the given inputs; gives the values of its outputs. `rewrite` is what the nodes went through. */
export const inline = (
  b: Builder,
  graph: Graph,
  inputs: ReadonlyArray<Value>,
  scope: Scope,
  place: Node,
  rewrite: string
): ReadonlyArray<Value> => {
  const values = new Map<string, Value>()
  for (const [position, input] of graph.inputs.entries()) {
    const given = inputs[position] ?? refuse("WrongArity", `${graph.name}: input ${input.name} is missing`)
    values.set(input.id, given)
    scope.bind(input.type, given.type)
  }
  for (const [id, { constant, name }] of graph.constants)
    values.set(id, b.constant(constant, name === undefined ? { id } : { id, name }))
  const lookup = (id: string): Value =>
    values.get(id) ?? refuse("UnknownValue", `no value %${id} in graph ${graph.name}`)
  for (const node of graph.nodes) {
    const results = b.node(
      node.op,
      node.inputs.map((id) => (id === null ? undefined : lookup(id))),
      node.attributes,
      {
        graphs: node.graphs,
        ids: node.outputs.map(({ id }) => id),
        lineage: Graphs.mergeLineage([place.lineage, node.lineage], rewrite)
      }
    )
    for (const [position, output] of node.outputs.entries()) {
      const result = results[position]
      if (result === undefined) continue
      values.set(output.id, result)
      scope.bind(output.type, result.type)
    }
  }
  return graph.outputs.map(({ id }) => lookup(id))
}

/** The types of a graph's outputs. */
export const outputTypes = (graph: Graph): ReadonlyArray<Type.TensorType> => {
  const index = Graphs.index(graph)
  return graph.outputs.map(({ id }) => index.type(id))
}
