/** Graphs as text, for before / expected. */
import * as Graph from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import { assert } from "@effect/vitest"

export const parse = (body: string): Graph.Graph => Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() })

/** The nodes of a sound graph, one a line, without types and lineage. */
export const nodesOf = (graph: Graph.Graph): ReadonlyArray<string> => {
  assert.deepStrictEqual(Verify.verify(graph), [])
  return graph.nodes.map((node) => {
    const results = node.outputs.map(({ id }) => id).join(", ")
    return `${results} = ${node.op.name}(${node.inputs.map((id) => id ?? "_").join(", ")})`
  })
}
