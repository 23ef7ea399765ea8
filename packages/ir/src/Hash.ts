// What a graph is, as a digest. Ids, lineage and value names are left out: they are how it is written, not what it is.
//
// - `content`: everything that decides results, weights by digest. Equal content, equal outputs.
// - `structure`: the same without the constants' bytes: two fine-tunings of one model share it.
import { sha256 } from "./Digest.ts"
import * as Dim from "./Dim.ts"
import type { Graph } from "./Graph.ts"
import * as Op from "./Op.ts"
import * as Type from "./Type.ts"

export const content = (graph: Graph): string => sha256(describe(graph, true))

export const structure = (graph: Graph): string => sha256(describe(graph, false))

const describe = (graph: Graph, withBytes: boolean): string => {
  const numbers = new Map<string, number>()
  const number = (id: string): number => {
    const next = numbers.get(id) ?? numbers.size
    numbers.set(id, next)
    return next
  }
  const lines: Array<string> = []
  for (const input of graph.inputs)
    lines.push(`i ${number(input.id)} ${JSON.stringify(input.name)} ${Type.format(input.type)}`)
  for (const [id, { constant }] of graph.constants) {
    const type = Type.format({ dtype: constant.dtype, shape: constant.shape })
    lines.push(`c ${number(id)} ${type}${withBytes ? ` ${constant.digest}` : ""}`)
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((id) => (id === null ? "_" : number(id))).join()
    const attributes = Op.attributesText(node.op, node.attributes)
    const inner = Object.entries(node.graphs).map(([name, sub]) => `${name}{${describe(sub, withBytes)}}`)
    const outputs = node.outputs.map(({ id, type }) => `${number(id)} ${Type.format(type)}`).join()
    lines.push(`n ${node.op.name} ${inputs} ${attributes} ${inner.join()} ${outputs}`)
  }
  for (const { left, right } of graph.constraints) lines.push(`r ${Dim.format(left)} = ${Dim.format(right)}`)
  for (const output of graph.outputs) lines.push(`o ${JSON.stringify(output.name)} ${number(output.id)}`)
  for (const alias of graph.aliases) lines.push(`a ${JSON.stringify([alias.input, alias.output])}`)
  return lines.join("\n")
}
