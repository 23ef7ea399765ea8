// The pieces that layer norm and RMS norm are written with: means over trailing axes, roots of a mean plus ε, scales.
import type { Builder } from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as ScalarConstant from "./ScalarConstant.ts"

/** Something found, with the nodes that it is made by. */
export interface Found<A> {
  readonly what: A
  readonly nodes: ReadonlyArray<Node>
}

export interface Mean {
  readonly x: Value
  /** The first averaged axis; all after it are averaged too, and kept with extent 1. */
  readonly axis: number
}

const trailing = (node: Node, op: typeof Ops.reduceMean, editor: Editor): Mean | undefined => {
  const [x] = editor.inputs(node)
  if (!Graphs.isOp(node, op) || x === undefined || !node.attributes.keepDims) return undefined
  const { axes } = node.attributes
  const axis = x.type.shape.length - axes.length
  return axes.length > 0 && axes.every((one, index) => one === axis + index) ? { x, axis } : undefined
}

/** reduceMean(x), reduceSum(x) / n, or reduceSum(x) · (1/n). */
export const meanOf = (editor: Editor, id: string | undefined): Found<Mean> | undefined => {
  const node = editor.producer(id)
  if (node === undefined) return undefined
  const direct = trailing(node, Ops.reduceMean, editor)
  if (direct !== undefined) return { what: direct, nodes: [node] }
  if (node.op.name !== Ops.div.name && node.op.name !== Ops.mul.name) return undefined
  const [a, b] = editor.inputs(node)
  for (const [sum, factor] of node.op.name === Ops.div.name ? [[a, b] as const] : [[a, b] as const, [b, a] as const]) {
    const producer = editor.producer(sum?.id)
    const number = ScalarConstant.read(editor, factor?.id)
    const found = producer === undefined ? undefined : trailing(producer, Ops.reduceSum, editor)
    if (producer === undefined || found === undefined || number === undefined || sum === undefined) continue
    const count = Dims.product(found.x.type.shape.slice(found.axis))
    if (typeof count !== "number") continue
    const wanted = node.op.name === Ops.div.name ? count : 1 / count
    if (ScalarConstant.isAbout(number, wanted, found.x.type.dtype)) return { what: found, nodes: [node, producer] }
  }
  return undefined
}

/** x, of x·x or x². */
export const squareOf = (editor: Editor, id: string): Found<Value> | undefined => {
  const node = editor.producer(id)
  if (node === undefined) return undefined
  const [a, b] = editor.inputs(node)
  if (a === undefined || b === undefined) return undefined
  if (node.op.name === Ops.mul.name && a.id === b.id) return { what: a, nodes: [node] }
  if (node.op.name === Ops.pow.name && ScalarConstant.read(editor, b.id) === 2) return { what: a, nodes: [node] }
  return undefined
}

/** v, of √(v + ε). */
export const rootOf = (
  editor: Editor,
  id: string | undefined
): Found<{ readonly mean: string; readonly epsilon: number }> | undefined => {
  const root = editor.producer(id)
  if (root?.op.name !== Ops.sqrt.name) return undefined
  const sum = editor.producer(root.inputs[0])
  if (sum?.op.name !== Ops.add.name) return undefined
  const [a, b] = editor.inputs(sum)
  for (const [mean, added] of [[a, b] as const, [b, a] as const]) {
    const epsilon = ScalarConstant.read(editor, added?.id)
    if (mean === undefined || epsilon === undefined || !(epsilon >= 0)) continue
    return { what: { mean: mean.id, epsilon }, nodes: [root, sum] }
  }
  return undefined
}

/** Both ways to divide by a root: `numerator / √…` and `numerator · (1/√…)`, each with the root's id. */
export const quotients = (
  editor: Editor,
  node: Node
): ReadonlyArray<Found<{ readonly numerator: Value; readonly root: string }>> => {
  const [a, b] = editor.inputs(node)
  if (a === undefined || b === undefined) return []
  if (node.op.name === Ops.div.name) return [{ what: { numerator: a, root: b.id }, nodes: [node] }]
  if (node.op.name !== Ops.mul.name) return []
  return [[a, b] as const, [b, a] as const].flatMap(([numerator, other]) => {
    const inverse = editor.producer(other.id)
    const root = inverse?.inputs[0]
    return inverse?.op.name === Ops.reciprocal.name && typeof root === "string"
      ? [{ what: { numerator, root }, nodes: [node, inverse] }]
      : []
  })
}

/**
 * A scale or bias in the normalised axes' shape: a value that has it, or a constant with leading axes of 1. Undefined
 * for anything that broadcasts otherwise.
 */
export const parameter = (
  editor: Editor,
  value: Value,
  normalized: ReadonlyArray<Dim>
): ((b: Builder) => Value) | undefined => {
  const { shape } = value.type
  const offset = shape.length - normalized.length
  if (offset < 0) return undefined
  if (!normalized.every((dim, axis) => Dims.equal(dim, shape[axis + offset] ?? 0) === true)) return undefined
  if (offset === 0) return () => value
  const entry = editor.constant(value.id)
  if (entry === undefined || shape.slice(0, offset).some((dim) => dim !== 1)) return undefined
  const options = entry.name === undefined ? {} : { name: entry.name }
  return (b) => b.constant(Constants.reshaped(entry.constant, entry.constant.shape.slice(offset)), options)
}
