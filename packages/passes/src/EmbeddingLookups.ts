// What a value is when rows of constant tables make it: a sum of lookups, with what was done to the rows since.
//
//   transpose(relu(gather(table [rows, width], i)))   is the lookup of relu(table) by i, transposed
import * as Dim from "@anneal/ir/Dim"
import type { Builder } from "@anneal/ir/Builder"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Elementwise from "./Elementwise.ts"
import * as PerChannel from "./PerChannel.ts"

/** Rows of one table, chosen by index. */
export interface Lookup {
  readonly rows: number
  /** The table, [rows, width], as it is in the graph or computed from constants alone. */
  readonly table: (b: Builder) => Value
  /** Which row stands at each place: [...places]. */
  readonly indices: (b: Builder) => Value
}

/** The sum of lookups, [...places, width], and where its axes are in the value: axis i of the value is `order[i]` of the sum. */
export interface Lookups {
  readonly parts: readonly [Lookup, ...ReadonlyArray<Lookup>]
  readonly places: ReadonlyArray<Dim.Dim>
  readonly width: number
  readonly order: ReadonlyArray<number>
}

/** More tables than this cost more than the products they stand for. */
export const mostParts = 8

const identity = (rank: number): ReadonlyArray<number> => Array.from({ length: rank }, (_, axis) => axis)
const isIdentity = (order: ReadonlyArray<number>): boolean => order.every((axis, position) => axis === position)
const sameShape = (a: ReadonlyArray<Dim.Dim>, b: ReadonlyArray<Dim.Dim>): boolean =>
  a.length === b.length && a.every((dim, axis) => Dim.equal(dim, b[axis] ?? 0) === true)

const unary = new Set(Elementwise.unary)
const binary = new Set(["add", "sub", "mul", "div", "pow", "min", "max"])

/** Whether a value is made of constants alone. */
export const isKnown = (editor: Editor, id: string | null | undefined): boolean => {
  if (editor.constant(id) !== undefined) return true
  const producer = editor.producer(id)
  if (producer === undefined || producer.op.binds === true || producer.inputs.length === 0) return false
  if (Object.keys(producer.graphs).length > 0 || producer.op.name.startsWith("random")) return false
  return producer.inputs.every((input) => input === null || isKnown(editor, input))
}

/** What `value` is as lookups; undefined where something else is in it. */
export const of = (editor: Editor, value: Value | undefined): Lookups | undefined => {
  const node = editor.producer(value?.id)
  if (node === undefined) return undefined
  if (Graphs.isOp(node, Ops.gather)) return gathered(editor, node, node.attributes.axis)
  if (Graphs.isOp(node, Ops.transpose)) {
    const inner = of(editor, editor.inputs(node)[0])
    if (inner === undefined) return undefined
    return { ...inner, order: node.attributes.permutation.map((axis) => inner.order[axis] ?? 0) }
  }
  if (node.op.name === Ops.reshape.name) return reshaped(editor, node)
  if (unary.has(node.op.name))
    return onRows(of(editor, editor.inputs(node)[0]), (b, table) => b.one(node.op, [table], node.attributes))
  if (Graphs.isOp(node, Ops.layerNorm) || Graphs.isOp(node, Ops.rmsNorm) || Graphs.isOp(node, Ops.softmax))
    return normalised(editor, node, node.attributes.axis)
  return binary.has(node.op.name) ? (combined(editor, node) ?? summed(editor, node)) : undefined
}

const gathered = (editor: Editor, node: Node, axis: number): Lookups | undefined => {
  const [data, indices] = editor.inputs(node)
  const [rows, width] = data?.type.shape ?? []
  if (data === undefined || indices === undefined || data.type.shape.length !== 2 || (axis !== 0 && axis !== -2))
    return undefined
  if (typeof rows !== "number" || typeof width !== "number" || !isKnown(editor, data.id)) return undefined
  const places = indices.type.shape
  const part: Lookup = { rows, table: () => data, indices: () => indices }
  return { parts: [part], places, width, order: identity(places.length + 1) }
}

/** Other places, the same rows. */
const reshaped = (editor: Editor, node: Node): Lookups | undefined => {
  const given = of(editor, editor.inputs(node)[0])
  const inner = given === undefined ? undefined : rowsLast(given)
  const shape = node.outputs[0]?.type.shape ?? []
  if (inner === undefined || shape.at(-1) !== inner.width) return undefined
  const places = shape.slice(0, -1)
  const [first, ...others] = inner.parts
  const moved = (part: Lookup): Lookup => ({
    ...part,
    indices: (b) => b.one(Ops.reshape, [part.indices(b)], { shape: places })
  })
  return { ...inner, parts: [moved(first), ...others.map(moved)], places, order: identity(shape.length) }
}

/** What is done to each row of a single lookup. */
const onRows = (found: Lookups | undefined, change: (b: Builder, table: Value) => Value): Lookups | undefined => {
  const [only, ...more] = found?.parts ?? []
  if (found === undefined || only === undefined || more.length > 0) return undefined
  return { ...found, parts: [{ ...only, table: (b) => change(b, only.table(b)) }] }
}

/** A norm of each row. */
const normalised = (editor: Editor, node: Node, axis: number): Lookups | undefined => {
  const operands = editor.inputs(node)
  const inner = of(editor, operands[0])
  const rank = operands[0]?.type.shape.length ?? 0
  if (inner === undefined || inner.order.at(-1) !== rank - 1 || (axis !== rank - 1 && axis !== -1)) return undefined
  const rest = operands.slice(1)
  const fits = rest.every(
    (one) => one === undefined || (one.type.shape.length <= 1 && editor.constant(one.id) !== undefined)
  )
  if (!fits) return undefined
  return onRows(inner, (b, table) => b.one(node.op, [table, ...rest], { ...node.attributes, axis: 1 }))
}

/** A binary op with a constant that is the same at each place. */
const combined = (editor: Editor, node: Node): Lookups | undefined => {
  const operands = editor.inputs(node)
  for (const position of [0, 1]) {
    const [x, other] = [operands[position], operands[1 - position]]
    const entry = editor.constant(other?.id)
    if (x === undefined || other === undefined || entry === undefined) continue
    const inner = of(editor, x)
    const rank = x.type.shape.length
    if (inner === undefined || other.type.shape.length > rank) continue
    if (PerChannel.read(editor, other.id, rank, inner.order.indexOf(rank - 1), inner.width) === undefined) continue
    const shape = entry.constant.shape.every((extent) => extent === 1) ? [] : [inner.width]
    const row = (b: Builder): Value =>
      other.type.shape.length === shape.length ? other : b.one(Ops.reshape, [other], { shape })
    return onRows(inner, (b, table) =>
      b.one(node.op, position === 0 ? [table, row(b)] : [row(b), table], node.attributes)
    )
  }
  return undefined
}

/** The sum of two sums over the same places. */
const summed = (editor: Editor, node: Node): Lookups | undefined => {
  if (node.op.name !== Ops.add.name) return undefined
  const [a, b] = editor.inputs(node)
  if (a === undefined || b === undefined || !sameShape(a.type.shape, b.type.shape)) return undefined
  const [left, right] = [of(editor, a), of(editor, b)]
  if (left === undefined || right === undefined || left.width !== right.width) return undefined
  if (left.order.join() !== right.order.join() || left.parts.length + right.parts.length > mostParts) return undefined
  return { ...left, parts: [...left.parts, ...right.parts] }
}

/** The same with the width last; undefined where the value's last axis is another. */
export const rowsLast = (found: Lookups): Lookups | undefined => {
  const rank = found.order.length
  if (found.order.at(-1) !== rank - 1) return undefined
  if (isIdentity(found.order)) return found
  const permutation = found.order.slice(0, -1)
  const [first, ...others] = found.parts
  const moved = (part: Lookup): Lookup => ({
    ...part,
    indices: (b) => b.one(Ops.transpose, [part.indices(b)], { permutation })
  })
  return {
    ...found,
    parts: [moved(first), ...others.map(moved)],
    places: permutation.map((axis) => found.places[axis] ?? 1),
    order: identity(rank)
  }
}

/** The sum as nodes, [...places, width of the tables]. */
export const build = (b: Builder, parts: Lookups["parts"]): Value => {
  const one = (part: Lookup): Value => b.one(Ops.gather, [part.table(b), part.indices(b)], { axis: 0 })
  const [first, ...others] = parts
  return others.reduce((sum, part) => b.one(Ops.add, [sum, one(part)], {}), one(first))
}
