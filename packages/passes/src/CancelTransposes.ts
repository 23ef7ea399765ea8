// transpose [0,2,3,1] → relu → transpose [0,3,1,2]  ⇒  relu
//
// Transposes move down through elementwise ops, reductions, softmax, concat, pad and slice until they meet another:
// two in a row compose, and the identity goes.
import type { Builder } from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Elementwise from "./Elementwise.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "cancelTransposes"

type Permutation = ReadonlyArray<number>

const inverse = (permutation: Permutation): Permutation => permutation.map((_, axis) => permutation.indexOf(axis))
const isIdentity = (permutation: Permutation): boolean => permutation.every((axis, index) => axis === index)

/** First `inner`, then `outer`, as one. */
const compose = (inner: Permutation, outer: Permutation): Permutation => outer.map((axis) => inner[axis] ?? axis)

/** Entries that belonged to the axes of the result, in the order of the operand's axes. */
const unpermute = <T>(list: ReadonlyArray<T>, permutation: Permutation): ReadonlyArray<T> =>
  inverse(permutation).flatMap((position) => list.slice(position, position + 1))

interface Transposed {
  readonly x: Value
  readonly permutation: Permutation
  readonly node: Node
}

/** The transpose that makes a value, when only `user` takes it. */
const transposeOf = (editor: Editor, id: string | null | undefined, user: Node): Transposed | undefined => {
  const node = editor.producer(id)
  if (!Graphs.isOp(node, Ops.transpose) || id === null || id === undefined) return undefined
  const [x] = editor.inputs(node)
  if (x === undefined || !editor.isOnlyUsedBy(id, user)) return undefined
  return { x, permutation: node.attributes.permutation, node }
}

const transpose = (b: Builder, x: Value, permutation: Permutation): Value =>
  isIdentity(permutation) ? x : b.one(Ops.transpose, [x], { permutation })

const composeTwo: Local = {
  ops: ["transpose"],
  apply: (node, editor) => {
    const inner = editor.producer(node.inputs[0])
    if (!Graphs.isOp(node, Ops.transpose) || !Graphs.isOp(inner, Ops.transpose)) return false
    const [x] = editor.inputs(inner)
    if (x === undefined) return false
    const permutation = compose(inner.attributes.permutation, node.attributes.permutation)
    editor.replace(node, `${name}/compose`, (b) => [transpose(b, x, permutation)], [node, inner])
    return true
  }
}

/** An operand of an elementwise op seen from under a transpose; undefined where it would have to be transposed itself. */
const underneath = (
  editor: Editor,
  operand: Value,
  rank: number,
  permutation: Permutation,
  user: Node
): ((b: Builder) => Value) | undefined => {
  const found = transposeOf(editor, operand.id, user)
  if (found !== undefined && found.permutation.length === rank)
    return found.permutation.join() === permutation.join() ? () => found.x : undefined
  const shape = operand.type.shape
  if (shape.every((dim) => dim === 1)) return shape.length > rank ? undefined : () => operand
  const entry = editor.constant(operand.id)
  if (entry === undefined) return undefined
  // A constant is permuted as a new one; where only one axis is not 1 its bytes stay the same.
  const full = [...Array.from({ length: rank - shape.length }, () => 1), ...entry.constant.shape]
  const under = unpermute(full, permutation)
  if (full.filter((extent) => extent !== 1).length <= 1)
    return (b) => b.constant(Constants.reshaped(entry.constant, under))
  return (b) => {
    const reshaped = b.constant(Constants.reshaped(entry.constant, full))
    return b.one(Ops.transpose, [reshaped], { permutation: inverse(permutation) })
  }
}

/** f(transpose x, …) ⇒ transpose f(x, …), for an elementwise op: at least one operand is a transpose. */
const sinkElementwise: Local = {
  ops: Elementwise.names,
  apply: (node, editor) => {
    const operands = editor.inputs(node)
    const output = node.outputs[0]
    const rank = output?.type.shape.length ?? 0
    const first = operands.map((value) => transposeOf(editor, value?.id, node)).find((found) => found !== undefined)
    if (first === undefined || first.permutation.length !== rank) return false
    const { permutation } = first
    const makers = operands.map((operand) =>
      operand === undefined ? undefined : underneath(editor, operand, rank, permutation, node)
    )
    if (makers.some((maker, position) => maker === undefined && operands[position] !== undefined)) return false
    editor.replace(
      node,
      `${name}/sink`,
      (b) => {
        const inner = b.one(
          node.op,
          makers.map((maker) => maker?.(b)),
          node.attributes
        )
        return [transpose(b, inner, permutation)]
      },
      [node, first.node]
    )
    return true
  }
}

/** Same for ops that speak of axes: `adapt` gives the node on the untransposed operand, and how its result is permuted. */
const sinkAlong = (
  ops: ReadonlyArray<string>,
  adapt: (
    node: Node,
    permutation: Permutation
  ) =>
    | {
        readonly make: (b: Builder, x: Value, rest: ReadonlyArray<Value | undefined>) => Value
        readonly result: Permutation
      }
    | undefined
): Local => ({
  ops,
  apply: (node, editor) => {
    const found = transposeOf(editor, node.inputs[0], node)
    const plan = found === undefined ? undefined : adapt(node, found.permutation)
    if (found === undefined || plan === undefined) return false
    const rest = editor.inputs(node).slice(1)
    editor.replace(node, `${name}/sink`, (b) => [transpose(b, plan.make(b, found.x, rest), plan.result)], [
      node,
      found.node
    ])
    return true
  }
})

const reductions = [Ops.reduceSum, Ops.reduceMean, Ops.reduceMax, Ops.reduceMin, Ops.reduceProd]

const sinkReduction = sinkAlong(
  reductions.map((op) => op.name),
  (node, permutation) => {
    const op = reductions.find((one) => one.name === node.op.name)
    if (op === undefined || !Graphs.isOp(node, op)) return undefined
    const { axes, keepDims } = node.attributes
    const under = axes.map((axis) => permutation[axis] ?? axis)
    // Another order of the summands would round differently.
    if (under.some((axis, index) => index > 0 && axis < (under[index - 1] ?? 0))) return undefined
    const left = permutation.filter((axis) => !under.includes(axis))
    const sorted = [...left].sort((a, b) => a - b)
    const result = keepDims ? permutation : left.map((axis) => sorted.indexOf(axis))
    return { make: (b, x) => b.one(op, [x], { axes: under, keepDims }), result }
  }
)

const axisOps = [Ops.softmax, Ops.logSoftmax]
const sinkSoftmax = sinkAlong(
  axisOps.map((op) => op.name),
  (node, permutation) => {
    const op = axisOps.find((one) => one.name === node.op.name)
    if (op === undefined || !Graphs.isOp(node, op)) return undefined
    const { axis } = node.attributes
    const under = permutation[axis < 0 ? axis + permutation.length : axis] ?? axis
    return { make: (b, x) => b.one(op, [x], { axis: under }), result: permutation }
  }
)

const sinkPad = sinkAlong(["pad"], (node, permutation) => {
  if (!Graphs.isOp(node, Ops.pad)) return undefined
  const { after, before, mode } = node.attributes
  const attributes = { before: unpermute(before, permutation), after: unpermute(after, permutation), mode }
  return { make: (b, x, [value]) => b.one(Ops.pad, [x, value], attributes), result: permutation }
})

const sinkSlice = sinkAlong(["slice"], (node, permutation) => {
  if (!Graphs.isOp(node, Ops.slice)) return undefined
  const { sizes, starts, steps } = node.attributes
  const attributes = {
    starts: unpermute(starts, permutation),
    sizes: unpermute(sizes, permutation),
    steps: unpermute(steps, permutation)
  }
  return { make: (b, x) => b.one(Ops.slice, [x], attributes), result: permutation }
})

const sinkConcat: Local = {
  ops: ["concat"],
  apply: (node, editor) => {
    if (!Graphs.isOp(node, Ops.concat)) return false
    const parts = node.inputs.map((id) => transposeOf(editor, id, node))
    const permutation = parts[0]?.permutation
    if (permutation === undefined || parts.length < 2) return false
    const xs = parts.flatMap((part) => (part?.permutation.join() === permutation.join() ? [part.x] : []))
    if (xs.length !== parts.length) return false
    const { axis } = node.attributes
    const under = permutation[axis < 0 ? axis + permutation.length : axis] ?? axis
    const from = [node, ...parts.flatMap((part) => (part === undefined ? [] : [part.node]))]
    editor.replace(
      node,
      `${name}/sink`,
      (b) => [transpose(b, b.one(Ops.concat, xs, { axis: under }), permutation)],
      from
    )
    return true
  }
}

export const cancelTransposes: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "transpose → elementwise → inverse transpose ⇒ elementwise",
  ...Rewrite.noConfig,
  rewriting: () =>
    Driver.settle([composeTwo, sinkElementwise, sinkReduction, sinkSoftmax, sinkPad, sinkSlice, sinkConcat], {
      needs: ["transpose"],
      rounds: 40
    })
})
