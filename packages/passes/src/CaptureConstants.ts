// if(c, 0.5) { then(h): x·h }  ⇒  if(c) { then(): x·0.5 }
//
// A constant that a sub-graph captures becomes a constant of the sub-graph, so that what is computed from it can fold
// there.
import type { Editor } from "@anneal/ir/Editor"
import type { Graph, Node } from "@anneal/ir/Graph"
import type { Scope } from "./Driver.ts"
import * as Captures from "./Captures.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "captureConstants"

const moveIn = (node: Node, editor: Editor, scope: Scope): void => {
  const constant = Captures.positions(node).filter((position) => editor.constant(node.inputs[position]) !== undefined)
  if (constant.length === 0) return
  Captures.drop(node, editor, scope, constant, name, (graph): Graph => {
    const constants = new Map(graph.constants)
    for (const position of constant) {
      const input = graph.inputs[Captures.innerPosition(node, position)]
      const entry = editor.constant(node.inputs[position])
      if (input !== undefined && entry !== undefined) constants.set(input.id, entry)
    }
    return { ...graph, constants }
  })
}

export const captureConstants: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "a captured constant ⇒ a constant of the sub-graph",
  ...Rewrite.noConfig,
  rewriting: () =>
    Object.assign(
      (editor: Editor, scope: Scope) => {
        for (const node of editor.nodes()) moveIn(node, editor, scope)
      },
      // Nothing but nodes with sub-graphs.
      { ops: new Set<string>() }
    )
})
