/**
 * What a lossy pass may do: put casts, quantise and dequantise between values, and nothing else. Whatever else it wants
 * is a separate pass, checked like any other. So the graphs before and after, with those ops taken out, must be one.
 */
import * as IR from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Key from "./Key.ts"

const conversions: ReadonlySet<string> = new Set([Ops.cast.name, Ops.quantize.name, Ops.dequantize.name])

/** Digests of values, conversions looked through. */
const describe = (graph: IR.Graph): ((id: string) => string) => {
  const known = new Map<string, string>()
  for (const [position, { id, name }] of graph.inputs.entries()) known.set(id, `input ${position} ${name}`)
  for (const [id, { constant }] of graph.constants) {
    known.set(id, `constant ${constant.digest} ${constant.dtype} ${constant.shape.join()}`)
  }
  const of = (id: string | null) => (id === null ? "none" : (known.get(id) ?? `unknown ${id}`))
  for (const node of graph.nodes) {
    if (conversions.has(node.op.name)) {
      for (const { id } of node.outputs) known.set(id, of(node.inputs[0] ?? null))
      continue
    }
    const inner = Object.entries(node.graphs).map(([name, sub]) => {
      const value = describe(sub)
      return [name, sub.outputs.map(({ id }) => value(id))]
    })
    const whole = Key.digest([node.op.name, Op.attributesText(node.op, node.attributes), node.inputs.map(of), inner])
    for (const [position, { id }] of node.outputs.entries()) known.set(id, `${whole} ${position}`)
  }
  return of
}

/** The first node of the graph before that has no like after, or undefined when only conversions were put in. */
export const firstOtherChange = (before: IR.Graph, after: IR.Graph): string | undefined => {
  const [old, now] = [describe(before), describe(after)]
  const same =
    before.outputs.length === after.outputs.length &&
    before.outputs.every(({ id, name }, position) => {
      const other = after.outputs[position]
      return other !== undefined && other.name === name && old(id) === now(other.id)
    })
  if (same) return undefined
  const there = new Set(after.nodes.flatMap(({ outputs }) => outputs.map(({ id }) => now(id))))
  const changed = before.nodes.find(
    (node) => !conversions.has(node.op.name) && node.outputs.some(({ id }) => !there.has(old(id)))
  )
  return changed === undefined ? "the graph's outputs" : IR.nodeName(changed)
}
