// conv → batchNorm  ⇒  conv;   conv → mul by a constant a channel  ⇒  conv;   batchNorm alone  ⇒  mul → add
//
// w' = w·s, bias' = (bias − mean)·s + shift, with s = scale / √(variance + ε), in float64, rounded once. Also for
// convTranspose, linear and matmul with constant weights. Jacob et al. 2018, section 3.2.
import type { Builder } from "@anneal/ir/Builder"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type * as Tensor from "@anneal/ir/Tensor"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as PerChannel from "./PerChannel.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "foldBatchNorm"

/** y = x · scale + shift, a pair of numbers a channel. */
interface Affine {
  readonly scale: Float64Array
  readonly shift: Float64Array
}

/** The affine map of a batchNorm with constant parameters. */
const affineOf = (node: Graphs.Node<{ readonly epsilon: number }>, editor: Editor): Affine | undefined => {
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((position) => PerChannel.vector(editor, node.inputs[position]))
  if (scale === undefined || bias === undefined || mean === undefined || variance === undefined) return undefined
  const factor = scale.map((value, c) => value / Math.sqrt((variance[c] ?? 0) + node.attributes.epsilon))
  const shift = bias.map((value, c) => value - (mean[c] ?? 0) * (factor[c] ?? 0))
  return [...factor, ...shift].every(Number.isFinite) ? { scale: factor, shift } : undefined
}

// ---- into the op before ---------------------------------------------------------------------------------------------

/** An op whose result an affine map a channel can be moved into. */
interface Weighted {
  readonly channels: number
  /** Which axis of the result has the channels. */
  readonly axis: number
  /** Undefined where the new weights would not be finite. */
  readonly prepare: (affine: Affine) => ((b: Builder) => Value) | undefined
}

/** Widths whose weights can be scaled and rounded within the error of the products themselves. */
const isWide = (value: Value): boolean => value.type.dtype === "f32" || value.type.dtype === "f64"

const weighted = (node: Node, editor: Editor): Weighted | undefined => {
  const [x, w, bias] = editor.inputs(node)
  const rank = node.outputs[0]?.type.shape.length ?? 0
  if (x === undefined || w === undefined || !isWide(x) || editor.constant(w.id) === undefined) return undefined
  if (bias !== undefined && editor.constant(bias.id) === undefined) return undefined
  const [rows, columns] = w.type.shape
  if (typeof rows !== "number" || typeof columns !== "number") return undefined

  const shifted = ({ scale, shift }: Affine): Tensor.Tensor | undefined => {
    const before = bias === undefined ? undefined : PerChannel.vector(editor, bias.id)
    const values = shift.map((value, c) => value + (before?.[c] ?? 0) * (scale[c] ?? 0))
    return PerChannel.rounded(x.type.dtype, [values.length], values)
  }
  const scaledBy = (axis: number, factor: (channel: number, index: number) => number): Tensor.Tensor | undefined => {
    const tensor = editor.read(w.id)
    return tensor === undefined ? undefined : PerChannel.scaled(tensor, axis, factor)
  }
  /** Without a bias before, and none needed after, there is none. */
  const needsBias = ({ shift }: Affine): boolean => bias !== undefined || shift.some((value) => value !== 0)
  const prepared = (
    weights: Tensor.Tensor | undefined,
    affine: Affine,
    make: (b: Builder, weights: Value, bias: Value | undefined) => Value
  ): ((b: Builder) => Value) | undefined => {
    const vector = shifted(affine)
    if (weights === undefined || vector === undefined) return undefined
    return (b) => make(b, b.tensor(weights), needsBias(affine) ? b.tensor(vector) : undefined)
  }

  if (Graphs.isOp(node, Ops.conv)) {
    const { attributes } = node
    return {
      channels: rows,
      axis: 1,
      prepare: (affine) =>
        prepared(
          scaledBy(0, (channel) => affine.scale[channel] ?? 0),
          affine,
          (b, weights, vector) => b.one(Ops.conv, [x, weights, vector], attributes)
        )
    }
  }
  if (Graphs.isOp(node, Ops.convTranspose)) {
    const { attributes } = node
    const perGroup = rows / attributes.groups
    const rowSize = w.type.shape.slice(1).reduce<number>((size, dim) => size * Number(dim), 1)
    // w is [channels, out/groups, …]: the row says the group, the column the channel in it.
    const factor = (affine: Affine, column: number, index: number): number =>
      affine.scale[Math.floor(Math.floor(index / rowSize) / perGroup) * columns + column] ?? 0
    return {
      channels: columns * attributes.groups,
      axis: 1,
      prepare: (affine) =>
        prepared(
          scaledBy(1, (column, index) => factor(affine, column, index)),
          affine,
          (b, weights, vector) => b.one(Ops.convTranspose, [x, weights, vector], attributes)
        )
    }
  }
  if (node.op.name !== Ops.linear.name && node.op.name !== Ops.matmul.name) return undefined
  if (w.type.shape.length !== 2) return undefined
  return {
    channels: columns,
    axis: rank - 1,
    prepare: (affine) =>
      prepared(
        scaledBy(1, (column) => affine.scale[column] ?? 0),
        affine,
        (b, weights, vector) =>
          vector === undefined ? b.one(Ops.matmul, [x, weights], {}) : b.one(Ops.linear, [x, weights, vector], {})
      )
  }
}

const moveInto = (
  node: Node,
  producer: Node,
  found: Weighted,
  affine: Affine,
  editor: Editor,
  rule: string
): boolean => {
  if (found.channels !== affine.scale.length || ![...affine.scale, ...affine.shift].every(Number.isFinite)) return false
  const build = found.prepare(affine)
  if (build === undefined) return false
  editor.replace(node, `${name}/${rule}`, (b) => [build(b)], [node, producer])
  return true
}

const batchNormAfter: Local = {
  ops: ["batchNorm"],
  apply: (node, editor) => {
    const [x] = editor.inputs(node)
    const producer = editor.producer(x?.id)
    if (!Graphs.isOp(node, Ops.batchNorm) || x === undefined || producer === undefined) return false
    if (!editor.isOnlyUsedBy(x.id, node)) return false
    const found = weighted(producer, editor)
    const affine = found?.axis === 1 ? affineOf(node, editor) : undefined
    return (
      found !== undefined && affine !== undefined && moveInto(node, producer, found, affine, editor, producer.op.name)
    )
  }
}

/** conv · c and conv / c, for a constant c of one number a channel. */
const scaleAfter: Local = {
  ops: ["mul", "div"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    const orders = node.op.name === Ops.mul.name ? [[a, b] as const, [b, a] as const] : [[a, b] as const]
    for (const [value, factor] of orders) {
      const producer = editor.producer(value.id)
      if (producer === undefined || editor.constant(factor.id) === undefined || !editor.isOnlyUsedBy(value.id, node))
        continue
      const found = weighted(producer, editor)
      const rank = output.type.shape.length
      if (found === undefined || rank !== value.type.shape.length) continue
      const numbers = PerChannel.read(editor, factor.id, rank, found.axis, found.channels)
      if (numbers === undefined) continue
      const scale = node.op.name === Ops.mul.name ? numbers : numbers.map((value) => 1 / value)
      if (moveInto(node, producer, found, { scale, shift: new Float64Array(scale.length) }, editor, "scale"))
        return true
    }
    return false
  }
}

// ---- alone ----------------------------------------------------------------------------------------------------------

/** What no op before takes becomes two elementwise ops, which fuse with anything. */
const alone: Local = {
  ops: ["batchNorm"],
  apply: (node, editor) => {
    const [x] = editor.inputs(node)
    if (!Graphs.isOp(node, Ops.batchNorm) || x === undefined || !isWide(x)) return false
    const affine = affineOf(node, editor)
    if (affine === undefined) return false
    const shape = [affine.scale.length, ...x.type.shape.slice(2).map(() => 1)]
    const scale = PerChannel.rounded(x.type.dtype, shape, affine.scale)
    const shift = PerChannel.rounded(x.type.dtype, shape, affine.shift)
    if (scale === undefined || shift === undefined) return false
    editor.replace(node, `${name}/alone`, (b) => [
      b.one(Ops.add, [b.one(Ops.mul, [x, b.tensor(scale)], {}), b.tensor(shift)], {})
    ])
    return true
  }
}

export const foldBatchNorm: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "conv → batchNorm ⇒ conv; batchNorm alone ⇒ mul → add",
  ...Rewrite.noConfig,
  rewriting: () => {
    const [into, rest] = [Driver.settle([batchNormAfter, scaleAfter]), Driver.settle([alone])]
    return Object.assign(
      (editor: Editor, scope: Driver.Scope) => {
        into(editor, scope)
        rest(editor, scope)
      },
      {
        ops: new Set(["batchNorm", "mul", "div"]),
        needs: new Set(["batchNorm", "conv", "convTranspose", "linear", "matmul"])
      }
    )
  }
})
