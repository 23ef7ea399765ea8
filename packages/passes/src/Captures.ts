// What the sub-graphs of a node take from outside without state: the captured operands of if, loop and scan.
import type { Editor } from "@anneal/ir/Editor"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Scope } from "./Driver.ts"

/** Number of operands before the captured ones. */
const firstCaptured = (node: Node): number | undefined => {
  if (node.op.name === Ops.branch.name) return 1
  if (Graphs.isOp(node, Ops.loop)) return 2 + node.attributes.carried
  if (Graphs.isOp(node, Ops.scan)) return node.attributes.carried + node.attributes.scanned
  return undefined
}

/** Positions of the captured operands; none for a node that is no built-in control flow. */
export const positions = (node: Node): ReadonlyArray<number> => {
  if (node.op.graphs === undefined) return []
  const first = firstCaptured(node)
  return first === undefined ? [] : node.inputs.flatMap((_, position) => (position >= first ? [position] : []))
}

/** Which input of the sub-graphs an operand becomes. */
export const innerPosition = (node: Node, position: number): number =>
  node.op.name === Ops.branch.name ? position - 1 : position

/** The node without some captured operands; `adapt` makes up for the inputs that each sub-graph loses. */
export const drop = (
  node: Node,
  editor: Editor,
  scope: Scope,
  dropped: ReadonlyArray<number>,
  rewrite: string,
  adapt: (graph: Graph) => Graph
): void => {
  const inner = new Set(dropped.map((position) => innerPosition(node, position)))
  const graphs = Object.fromEntries(
    Object.entries(node.graphs).map(([name, graph]) => {
      const adapted = adapt(graph)
      return [name, { ...adapted, inputs: adapted.inputs.filter((_, position) => !inner.has(position)) }] as const
    })
  )
  const inputs = editor.inputs(node).filter((_, position) => !dropped.includes(position))
  editor.replace(node, rewrite, (b) => {
    const results = b.node(node.op, inputs, node.attributes, { graphs })
    // Inference made new symbols for the sizes that only the data decides.
    for (const [position, result] of results.entries()) {
      const before = node.outputs[position]
      if (before !== undefined) scope.bind(before.type, result.type)
    }
    return results
  })
}
