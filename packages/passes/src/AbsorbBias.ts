// conv → add a constant a channel  ⇒  conv with a bias;   linear → add a constant  ⇒  linear
import type { Builder } from "@anneal/ir/Builder"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as PerChannel from "./PerChannel.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "absorbBias"

/** An op with a place for a bias. */
interface Biased {
  readonly channels: number
  readonly axis: number
  readonly bias: Value | undefined
  readonly build: (b: Builder, bias: Value) => Value
}

const biased = (node: Node, editor: Editor): Biased | undefined => {
  const [x, w, bias] = editor.inputs(node)
  const rank = node.outputs[0]?.type.shape.length ?? 0
  if (x === undefined || w === undefined || !DTypes.isFloat(x.type.dtype)) return undefined
  const [rows, columns] = w.type.shape
  if (typeof rows !== "number" || typeof columns !== "number") return undefined
  if (Graphs.isOp(node, Ops.conv)) {
    const { attributes } = node
    return { channels: rows, axis: 1, bias, build: (b, next) => b.one(Ops.conv, [x, w, next], attributes) }
  }
  if (Graphs.isOp(node, Ops.convTranspose)) {
    const { attributes } = node
    const channels = columns * attributes.groups
    return { channels, axis: 1, bias, build: (b, next) => b.one(Ops.convTranspose, [x, w, next], attributes) }
  }
  if (node.op.name === Ops.linear.name)
    return { channels: columns, axis: rank - 1, bias, build: (b, next) => b.one(Ops.linear, [x, w, next], {}) }
  return undefined
}

/** The sum of two biases; a narrow one is not rounded twice. */
const sumOf = (editor: Editor, found: Biased, added: Float64Array, sign: number) => {
  const dtype = found.bias?.type.dtype
  if (found.bias === undefined) return added.map((value) => value * sign)
  if (dtype !== "f32" && dtype !== "f64") return undefined
  const before = PerChannel.vector(editor, found.bias.id)
  return before?.map((value, c) => value + sign * (added[c] ?? 0))
}

const addAfter: Local = {
  ops: ["add", "sub"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    const isSum = node.op.name === Ops.add.name
    for (const [value, other] of isSum ? [[a, b] as const, [b, a] as const] : [[a, b] as const]) {
      const producer = editor.producer(value.id)
      if (producer === undefined || editor.constant(other.id) === undefined || !editor.isOnlyUsedBy(value.id, node))
        continue
      const found = biased(producer, editor)
      const rank = output.type.shape.length
      if (found === undefined || rank !== value.type.shape.length) continue
      const added = PerChannel.read(editor, other.id, rank, found.axis, found.channels)
      const sum = added === undefined ? undefined : sumOf(editor, found, added, isSum ? 1 : -1)
      const tensor = sum === undefined ? undefined : PerChannel.rounded(value.type.dtype, [found.channels], sum)
      if (tensor === undefined) continue
      editor.replace(node, name, (builder) => [found.build(builder, builder.tensor(tensor))], [node, producer])
      return true
    }
    return false
  }
}

export const absorbBias: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "conv → add a constant a channel ⇒ conv with a bias",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([addAfter], { needs: ["conv", "convTranspose", "linear"] })
})
