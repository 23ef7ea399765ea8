// lstm(x, w, r, b)  ⇒  lstm(linear(x, wᵀ, b), _, r)
//
// What the inputs of a recurrent layer give to its gates does not wait for the state before: it becomes a product of its own
// over all steps and both directions, which is tiled, tuned and divided among threads like every product. The bias goes along, except
// where a part of it is multiplied by a gate (a GRU that resets after the product).
//
// Layers of one step stay, and those of few inputs, where it costs more to write the gates' values down than to compute them.
import type { Builder } from "@anneal/ir/Builder"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Schema from "effect/Schema"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "projectRecurrent"

const Config = Schema.Struct({
  /** Inputs of each step at least. */
  leastInputs: Schema.Int
})
type Config = typeof Config.Type

/** w [directions, rows, width] as [width, directions · rows]. */
const sideBySide = ({ data, dtype, shape }: Tensor.Tensor): Tensor.Tensor => {
  const [directions = 1, rows = 1, width = 1] = shape
  const columns = directions * rows
  const made = DTypes.allocate(dtype, width * columns)
  for (let column = 0; column < columns; column++)
    for (let i = 0; i < width; i++) {
      const element = data[column * width + i]
      if (element !== undefined) made[i * columns + column] = element
    }
  return Tensor.make(dtype, [width, columns], made)
}

/** bias [directions, input and recurrent halves] as their sums, [directions · rows]. */
const summed = (bias: Tensor.Tensor): Tensor.Tensor => {
  const [directions = 1, both = 2] = bias.shape
  const rows = both / 2
  const values = Numbers.toNumbers(bias)
  const sums = Array.from({ length: directions * rows }, (_, i) => {
    const first = Math.floor(i / rows) * both + (i % rows)
    return (values[first] ?? 0) + (values[first + rows] ?? 0)
  })
  return Numbers.fromNumbers(bias.dtype, [directions * rows], sums)
}

/** Whether all of the bias is added to the gates as the inputs' share is. */
const isAdded = (node: Node): boolean => !Graphs.isOp(node, Ops.gru) || !node.attributes.linearBeforeReset

const isOf = (value: Value | undefined, x: Value): boolean => value?.type.dtype === x.type.dtype

const project = (config: Config): Local => ({
  ops: ["lstm", "gru", "rnn"],
  apply: (node, editor: Editor) => {
    const [x, w, r, bias, ...others] = editor.inputs(node)
    if (x === undefined || w === undefined || !isOf(w, x)) return false
    // Half-width gates would be rounded once more.
    if (x.type.dtype !== "f32" && x.type.dtype !== "f64") return false
    const [length = 1, , width] = x.type.shape
    if (length === 1 || typeof width !== "number" || width < config.leastInputs) return false
    const weights = editor.read(w.id)
    if (weights === undefined) return false
    const added = bias !== undefined && isAdded(node) && isOf(bias, x) ? editor.read(bias.id) : undefined
    const product = (b: Builder): Value =>
      added === undefined
        ? b.one(Ops.matmul, [x, b.tensor(sideBySide(weights))], {})
        : b.one(Ops.linear, [x, b.tensor(sideBySide(weights)), b.tensor(summed(added))], {})
    editor.replace(node, name, (b) =>
      b.node(node.op, [product(b), undefined, r, added === undefined ? bias : undefined, ...others], node.attributes)
    )
    return true
  }
})

export const projectRecurrent: Rewrite.Rewrite<Config> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "a recurrent layer's product of its inputs ⇒ one product before it, over all steps and directions",
  config: Config,
  defaults: { leastInputs: 32 },
  rewriting: (config) => Driver.settle([project(config)])
})
