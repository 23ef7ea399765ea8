// x → relu → (nobody)  ⇒  nothing
//
// Nodes whose results nobody uses go, except those that define sizes which used nodes mention. Values that a sub-graph
// captures and never uses are no longer handed to it.
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Rewriting, Scope } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Captures from "./Captures.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "eliminateDeadCode"

const rewriting: Rewriting = (editor, scope) => {
  Driver.sweep(editor)
  for (const node of editor.nodes()) dropCaptures(node, editor, scope)
}

/** Captured values that no sub-graph of the node uses. */
const dropCaptures = (node: Node, editor: Editor, scope: Scope): void => {
  const captured = Captures.positions(node)
  const unused = captured.filter((position) =>
    Object.values(node.graphs).every((graph) => {
      const input = graph.inputs[Captures.innerPosition(node, position)]
      return input !== undefined && !isUsed(graph, input.id) && !definesSizes(input.type, graph)
    })
  )
  if (unused.length > 0) Captures.drop(node, editor, scope, unused, name, (graph) => graph)
}

const isUsed = (graph: Graph, id: string): boolean =>
  graph.nodes.some((node) => node.inputs.includes(id)) || graph.outputs.some((output) => output.id === id)

/** Whether the input's type names sizes that the sub-graph binds by it. */
const definesSizes = (type: Type.TensorType, graph: Graph): boolean => {
  const names = new Set(Type.symbols(type))
  if (names.size === 0) return false
  for (const node of Graphs.allNodes(graph)) {
    if (node.outputs.some((output) => Type.symbols(output.type).some((symbol) => names.has(symbol)))) return true
    if (Op.attributeSymbols(node.attributes).some((symbol) => names.has(symbol))) return true
  }
  return false
}

/** Constraints on sizes that nothing defines any more said something about code that is gone. */
const dropConstraints = (graph: Graph): Graph => {
  const defined = new Set<string>()
  for (const input of graph.inputs) for (const symbol of Type.symbols(input.type)) defined.add(symbol)
  for (const node of Graphs.allNodes(graph)) {
    for (const output of node.outputs) for (const symbol of Type.symbols(output.type)) defined.add(symbol)
    if (Graphs.isOp(node, Ops.readDims)) for (const symbol of Op.attributeSymbols(node.attributes)) defined.add(symbol)
  }
  const isOpen = (dim: Dim.Dim): boolean =>
    Dim.symbols(dim).some((symbol) => Dim.isUnbackedName(symbol) && !defined.has(symbol))
  const constraints = graph.constraints.filter(({ left, right }) => !isOpen(left) && !isOpen(right))
  return constraints.length === graph.constraints.length ? graph : { ...graph, constraints }
}

export const eliminateDeadCode: Rewrite.Rewrite<{}> = Rewrite.whole({
  name,
  version: 1,
  claim: "exact",
  summary: "a node whose results nobody uses ⇒ nothing",
  ...Rewrite.noConfig,
  apply: (graph, reader) => {
    const edited = Driver.everywhere(graph, reader, rewriting)
    const next = dropConstraints(edited.graph)
    return next === edited.graph ? edited : { ...edited, graph: next, changed: true }
  }
})
