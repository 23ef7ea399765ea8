// reshape → relu → reshape  ⇒  reshape → relu;   reshape(matmul(reshape x, w))  ⇒  matmul(x, w)
//
// Reshapes in a row become one; they move down through elementwise ops towards the next one, past biases along an
// unchanged last axis, and a flattening around a matrix product goes. A transpose that moves only axes of extent 1 is a
// reshape.
import type { Builder } from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Elementwise from "./Elementwise.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "cancelReshapes"

const reductions = [Ops.reduceSum, Ops.reduceMean, Ops.reduceMax, Ops.reduceMin, Ops.reduceProd]

type Shape = ReadonlyArray<Dim.Dim>

const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dim, axis) => Dim.equal(dim, b[axis] ?? 0) === true)

interface Reshaped {
  readonly x: Value
  readonly shape: Shape
  readonly node: Node
}

const reshapeOf = (editor: Editor, id: string | null | undefined): Reshaped | undefined => {
  const node = editor.producer(id)
  if (!Graphs.isOp(node, Ops.reshape)) return undefined
  const [x] = editor.inputs(node)
  return x === undefined ? undefined : { x, shape: node.attributes.shape, node }
}

/** The reshape that makes a value which only `user` takes. */
const ownReshapeOf = (editor: Editor, id: string | null | undefined, user: Node): Reshaped | undefined =>
  typeof id === "string" && editor.isOnlyUsedBy(id, user) ? reshapeOf(editor, id) : undefined

const reshape = (b: Builder, x: Value, shape: Shape): Value =>
  sameShape(x.type.shape, shape) ? x : b.one(Ops.reshape, [x], { shape })

const mergeTwo: Local = {
  ops: ["reshape"],
  apply: (node, editor) => {
    const inner = reshapeOf(editor, node.inputs[0])
    if (!Graphs.isOp(node, Ops.reshape) || inner === undefined) return false
    const { shape } = node.attributes
    editor.replace(node, `${name}/merge`, (b) => [reshape(b, inner.x, shape)], [node, inner.node])
    return true
  }
}

/** transpose [n, 1, c] by [0, 2, 1] moves nothing. */
const transposeOfOnes: Local = {
  ops: ["transpose"],
  apply: (node, editor) => {
    const [x] = editor.inputs(node)
    if (!Graphs.isOp(node, Ops.transpose) || x === undefined) return false
    const moving = node.attributes.permutation.filter((axis) => x.type.shape[axis] !== 1)
    if (moving.some((axis, index) => index > 0 && axis < (moving[index - 1] ?? 0))) return false
    const shape = node.outputs[0]?.type.shape ?? []
    editor.replace(node, `${name}/transpose`, (b) => [reshape(b, x, shape)])
    return true
  }
}

/**
 * Whether a reshape waits below, behind elementwise ops at most: sinking towards nothing gains nothing. `alone`: their
 * other operands are single elements or reshapes themselves, so that nothing is in the way.
 */
const meetsReshape = (editor: Editor, node: Node, alone: boolean, depth = 8): boolean => {
  const id = node.outputs[0]?.id
  if (id === undefined || editor.isOutput(id)) return false
  const users = editor.users(id)
  if (users.some((user) => user.op.name === Ops.reshape.name)) return true
  const [next, ...more] = users
  if (next === undefined || more.length > 0 || depth === 0 || !Elementwise.names.includes(next.op.name)) return false
  const others = editor.inputs(next).filter((value) => value !== undefined && value.id !== editor.value(id).id)
  const goesAlong = (value: Value | undefined): boolean =>
    value !== undefined && (isOnes(value) || editor.producer(value.id)?.op.name === Ops.reshape.name)
  if (alone && !others.every(goesAlong)) return false
  return meetsReshape(editor, next, alone, depth - 1)
}

const isOnes = (value: Value): boolean => value.type.shape.every((dim) => dim === 1)

/** f(reshape x, reshape y) ⇒ reshape f(x, y). */
const sinkElementwise: Local = {
  ops: Elementwise.names,
  apply: (node, editor) => {
    const operands = editor.inputs(node)
    const own = operands.map((value) => ownReshapeOf(editor, value?.id, node))
    const first = own.find((found) => found !== undefined)
    const output = node.outputs[0]
    if (first === undefined || output === undefined || !sameShape(first.shape, output.type.shape)) return false
    const under: Array<Value | undefined> = []
    let count = 0
    for (const [position, operand] of operands.entries()) {
      const found = own[position]
      if (operand === undefined) under.push(undefined)
      else if (
        found !== undefined &&
        sameShape(found.x.type.shape, first.x.type.shape) &&
        sameShape(found.shape, first.shape)
      ) {
        under.push(found.x)
        count++
      } else if (isOnes(operand) && operand.type.shape.length <= first.x.type.shape.length) under.push(operand)
      else return false
    }
    if (count < 2 && !meetsReshape(editor, node, true)) return false
    const from = [node, ...own.flatMap((found) => (found === undefined ? [] : [found.node]))]
    const { shape } = output.type
    editor.replace(node, `${name}/sink`, (b) => [reshape(b, b.one(node.op, under, node.attributes), shape)], from)
    return true
  }
}

const bias = ["add", "sub", "mul", "div", "max", "min"]

/**
 * The shape in which a constant that broadcasts against a reshaped value broadcasts against the value itself: where the
 * last axis stays and the constant is a vector along it, or where the reshape only puts in and takes out axes of 1.
 */
const shapeUnder = (constant: ReadonlyArray<number>, outer: Shape, inner: Shape): ReadonlyArray<number> | undefined => {
  const full = [...Array.from({ length: outer.length - constant.length }, () => 1), ...constant]
  const last = outer.length - 1
  if (full.slice(0, -1).every((extent) => extent === 1) && inner.length > 0)
    if (Dim.equal(inner.at(-1) ?? 0, outer[last] ?? -1) === true) return full.slice(-1)
  const outerAxes = outer.flatMap((dim, axis) => (dim === 1 ? [] : [axis]))
  const innerAxes = inner.flatMap((dim, axis) => (dim === 1 ? [] : [axis]))
  if (outerAxes.length !== innerAxes.length) return undefined
  if (!outerAxes.every((axis, index) => Dim.equal(outer[axis] ?? 0, inner[innerAxes[index] ?? 0] ?? -1) === true))
    return undefined
  return inner.map((_, axis) => {
    const position = innerAxes.indexOf(axis)
    return position < 0 ? 1 : (full[outerAxes[position] ?? 0] ?? 1)
  })
}

/** reshape(y) + c ⇒ reshape(y + c), for a constant that y can take as well. */
const sinkPastConstant: Local = {
  ops: bias,
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    for (const [value, other, isFirst] of [[a, b, true] as const, [b, a, false] as const]) {
      const found = ownReshapeOf(editor, value.id, node)
      const entry = editor.constant(other.id)
      if (found === undefined || entry === undefined || isOnes(other)) continue
      if (!sameShape(found.shape, output.type.shape) || other.type.shape.length > found.shape.length) continue
      const shape = shapeUnder(entry.constant.shape, found.shape, found.x.type.shape)
      if (shape === undefined) continue
      const title = entry.name === undefined ? {} : { name: entry.name }
      editor.replace(
        node,
        `${name}/bias`,
        (builder) => {
          const same = shape.join() === entry.constant.shape.join()
          const c = same ? other : builder.constant(Constants.reshaped(entry.constant, shape), title)
          const inner = builder.one(node.op, isFirst ? [found.x, c] : [c, found.x], node.attributes)
          return [reshape(builder, inner, output.type.shape)]
        },
        [node, found.node]
      )
      return true
    }
    return false
  }
}

/** A reduction that drops its axes above a reshape that may put them back: kept, and then reshaped. */
const keepReduced: Local = {
  ops: reductions.map((op) => op.name),
  apply: (node, editor) => {
    const op = reductions.find((one) => one.name === node.op.name)
    const [x] = editor.inputs(node)
    const output = node.outputs[0]
    if (op === undefined || !Graphs.isOp(node, op) || x === undefined || output === undefined) return false
    const { axes, keepDims } = node.attributes
    if (keepDims || axes.length === 0 || !meetsReshape(editor, node, false)) return false
    const { shape } = output.type
    editor.replace(node, `${name}/reduction`, (b) => [reshape(b, b.one(op, [x], { axes, keepDims: true }), shape)])
    return true
  }
}

/** reshape [.., n] of a product of a flattened x [.., k]  ⇒  the product of x itself. */
const unflattenProduct: Local = {
  ops: ["reshape"],
  apply: (node, editor) => {
    const product = editor.producer(node.inputs[0])
    if (!Graphs.isOp(node, Ops.reshape) || product === undefined) return false
    if (product.op.name !== Ops.matmul.name && product.op.name !== Ops.linear.name) return false
    const [, w, bias] = editor.inputs(product)
    const flat = reshapeOf(editor, product.inputs[0])
    const id = product.outputs[0]?.id
    if (w === undefined || flat === undefined || id === undefined || !editor.isOnlyUsedBy(id, node)) return false
    const from = flat.x.type.shape
    if (w.type.shape.length !== 2 || flat.shape.length !== 2 || from.length < 2) return false
    if (Dim.equal(from.at(-1) ?? 0, flat.shape.at(-1) ?? -1) !== true) return false
    if (!sameShape([...from.slice(0, -1), w.type.shape[1] ?? 0], node.attributes.shape)) return false
    editor.replace(
      node,
      `${name}/product`,
      (b) => [
        product.op.name === Ops.linear.name
          ? b.one(Ops.linear, [flat.x, w, bias], {})
          : b.one(Ops.matmul, [flat.x, w], {})
      ],
      [node, product, flat.node]
    )
    return true
  }
}

export const cancelReshapes: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "reshapes in a row, or around elementwise ops and matrix products ⇒ one or none",
  ...Rewrite.noConfig,
  rewriting: () =>
    Driver.settle([transposeOfOnes, mergeTwo, unflattenProduct, keepReduced, sinkPastConstant, sinkElementwise], {
      needs: ["reshape", "transpose"]
    })
})
