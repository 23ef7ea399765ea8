// relu(x), relu(x)  ⇒  one relu(x);   x·c, x·d with equal constants c and d  ⇒  one x·c
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Rewriting, Scope } from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "eliminateCommonSubexpressions"

/** Attributes as text: keys sorted, dims in canonical form, the sign of zero kept. */
const attributesKey = (value: unknown): string => {
  if (Dim.isSymbolic(value)) return `dim(${Dim.format(value)})`
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value)
  if (Array.isArray(value)) return `[${value.map(attributesKey).join()}]`
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${key}:${attributesKey(item)}`)
      .join()}}`
  return JSON.stringify(value) ?? "undefined"
}

/** Equal keys, equal results; undefined for a node that is not compared. */
const keyOf = (node: Node, representative: (id: string) => string, editor: Editor): string | undefined => {
  if (Object.keys(node.graphs).length > 0) return undefined
  const inputs = node.inputs.map((id) => (id === null ? "_" : representative(editor.value(id).id)))
  if (node.op.commutative === true) inputs.sort()
  // Names that a node gives to sizes are no part of what it computes.
  const attributes = Graphs.isOp(node, Ops.readDims) ? "" : attributesKey(node.attributes)
  return `${node.op.name}(${inputs.join()})${attributes}`
}

/** Ids of equal constants map to one of them; two that the user named differently stay apart, for refit. */
const equalConstants = (scope: Scope): ReadonlyMap<string, string> => {
  const first = new Map<string, { id: string; isNamed: boolean }>()
  const equal = new Map<string, string>()
  for (const [id, { constant, name: title }] of scope.graph.constants) {
    const key = `${constant.digest} ${constant.dtype}[${constant.shape.join()}]`
    const before = first.get(key)
    if (before === undefined) first.set(key, { id, isNamed: title !== undefined })
    else if (title === undefined) equal.set(id, before.id)
    else if (!before.isNamed) {
      equal.set(before.id, id)
      first.set(key, { id, isNamed: true })
    }
  }
  return equal
}

const rewriting: Rewriting = (editor, scope) => {
  const equal = equalConstants(scope)
  const representative = (id: string): string => {
    let end = id
    for (let next = equal.get(end); next !== undefined; next = equal.get(end)) end = next
    return end
  }
  const seen = new Map<string, Node>()
  for (const node of editor.nodes()) {
    const key = keyOf(node, representative, editor)
    if (key === undefined) continue
    const before = seen.get(key)
    if (before === undefined) {
      seen.set(key, node)
      continue
    }
    editor.replace(node, name, () =>
      node.outputs.map((output, position) => {
        const value = before.outputs[position]
        if (value !== undefined) scope.bind(output.type, value.type)
        return value
      })
    )
    if (Graphs.isOp(node, Ops.readDims) && Graphs.isOp(before, Ops.readDims))
      scope.bind({ dtype: "i64", shape: node.attributes.symbols }, { dtype: "i64", shape: before.attributes.symbols })
  }
}

export const eliminateCommonSubexpressions: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "two nodes that compute the same ⇒ one",
  ...Rewrite.noConfig,
  rewriting: () => rewriting
})
