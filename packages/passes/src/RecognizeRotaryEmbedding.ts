// x·cos + rotateHalf(x)·sin  ⇒  rotaryEmbedding(x, cos, sin), with cos and sin cut to the half that repeats
// concat(x₁·cos − x₂·sin, x₂·cos + x₁·sin)  ⇒  rotaryEmbedding(x, cos, sin)
//
// rotateHalf(x) is concat(−x₂, x₁) of the halves of the last axis; the second form is also known with the halves being
// every other element (interleaved), stacked and flattened. Su et al. 2021.
import type { Builder } from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Elementwise from "./Elementwise.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeRotaryEmbedding"

type Part = "first" | "second" | "even" | "odd"
interface Half {
  readonly x: Value
  /** Of x seen as [.., dim]. */
  readonly shape: ReadonlyArray<Dim.Dim>
  readonly part: Part
  readonly nodes: ReadonlyArray<Node>
}

const isEqual = (a: Dim.Dim | undefined, b: Dim.Dim | undefined): boolean =>
  a !== undefined && b !== undefined && Dim.equal(a, b) === true

/** Which half of the last axis of x a value is. */
const halfOf = (editor: Editor, id: string | undefined): Half | undefined => {
  const node = editor.producer(id)
  if (Graphs.isOp(node, Ops.reshape)) return pairMember(editor, node)
  if (!Graphs.isOp(node, Ops.slice)) return undefined
  const [x] = editor.inputs(node)
  const extent = x?.type.shape.at(-1)
  if (x === undefined || typeof extent !== "number" || extent % 2 !== 0) return undefined
  const { sizes, starts, steps } = node.attributes
  const last = x.type.shape.length - 1
  for (let axis = 0; axis < last; axis++)
    if (!isEqual(starts[axis], 0) || !isEqual(sizes[axis], x.type.shape[axis]) || steps[axis] !== 1) return undefined
  const [start, size, step] = [starts[last], sizes[last], steps[last]]
  if (size !== extent / 2) return undefined
  const { shape } = x.type
  if (step === 1 && (start === 0 || start === extent / 2))
    return { x, shape, part: start === 0 ? "first" : "second", nodes: [node] }
  if (step === 2 && (start === 0 || start === 1)) return { x, shape, part: start === 0 ? "even" : "odd", nodes: [node] }
  return undefined
}

/** Element 0 or 1 of the pairs of reshape x to [.., dim/2, 2], squeezed to [.., dim/2]. */
const pairMember = (editor: Editor, squeeze: Node): Half | undefined => {
  const slice = editor.producer(squeeze.inputs[0])
  const result = squeeze.outputs[0]
  if (!Graphs.isOp(slice, Ops.slice) || result === undefined) return undefined
  const paired = editor.producer(slice.inputs[0])
  const x = paired === undefined ? undefined : editor.inputs(paired)[0]
  const pairs = paired?.outputs[0]?.type.shape
  if (!Graphs.isOp(paired, Ops.reshape) || x === undefined || pairs === undefined || pairs.at(-1) !== 2)
    return undefined
  const outer = pairs.slice(0, -1)
  if (result.type.shape.length !== outer.length || !outer.every((dim, axis) => isEqual(dim, result.type.shape[axis])))
    return undefined
  const { sizes, starts, steps } = slice.attributes
  const last = pairs.length - 1
  const covers = pairs.every((dim, axis) => axis === last || (isEqual(starts[axis], 0) && isEqual(sizes[axis], dim)))
  if (!covers || sizes[last] !== 1 || steps.some((step) => step !== 1)) return undefined
  const part = starts[last] === 0 ? "even" : starts[last] === 1 ? "odd" : undefined
  const shape = [...outer.slice(0, -1), Dim.mul(outer.at(-1) ?? 0, 2)]
  return part === undefined ? undefined : { x, shape, part, nodes: [squeeze, slice, paired] }
}

// ---- cos and sin that repeat their first half -----------------------------------------------------------------------

/** Whether the last axis is two equal halves, by how the value was made. */
const repeats = (editor: Editor, id: string, depth = 12): boolean => {
  const { shape } = editor.type(id)
  const extent = shape.at(-1)
  if (editor.constant(id) !== undefined) return constantRepeats(editor, id)
  const node = editor.producer(id)
  if (node === undefined || depth === 0 || typeof extent !== "number" || extent % 2 !== 0) return false
  const operands = editor.inputs(node)
  const [x] = operands
  if (x === undefined) return false
  const sameLast = isEqual(x.type.shape.at(-1), extent)
  const inner = (): boolean => sameLast && repeats(editor, x.id, depth - 1)
  if (Graphs.isOp(node, Ops.concat)) {
    const axis = node.attributes.axis < 0 ? node.attributes.axis + shape.length : node.attributes.axis
    if (axis === shape.length - 1) return operands.length === 2 && operands[1]?.id === x.id
    return operands.every((part) => part !== undefined && repeats(editor, part.id, depth - 1))
  }
  if (Elementwise.unary.includes(node.op.name)) return inner()
  if (Elementwise.broadcasting.includes(node.op.name))
    return operands.every(
      (operand) =>
        operand === undefined ||
        operand.type.shape.length === 0 ||
        operand.type.shape.at(-1) === 1 ||
        repeats(editor, operand.id, depth - 1)
    )
  if (Graphs.isOp(node, Ops.reshape) || Graphs.isOp(node, Ops.expand)) return inner()
  if (Graphs.isOp(node, Ops.transpose)) return node.attributes.permutation.at(-1) === shape.length - 1 && inner()
  if (Graphs.isOp(node, Ops.slice)) {
    const last = x.type.shape.length - 1
    return isEqual(node.attributes.starts[last], 0) && node.attributes.steps[last] === 1 && inner()
  }
  if (Graphs.isOp(node, Ops.gather)) {
    const rank = x.type.shape.length
    const axis = node.attributes.axis < 0 ? node.attributes.axis + rank : node.attributes.axis
    return axis !== rank - 1 && inner()
  }
  return false
}

const constantRepeats = (editor: Editor, id: string): boolean => {
  const tensor = editor.read(id)
  const extent = tensor?.shape.at(-1)
  if (tensor === undefined || extent === undefined || extent % 2 !== 0) return false
  const numbers = Numbers.toNumbers(tensor)
  return numbers.every((value, index) => index % extent < extent / 2 || Object.is(value, numbers[index - extent / 2]))
}

// ---- x·cos + rotateHalf(x)·sin --------------------------------------------------------------------------------------

/** x, of concat(−x₂, x₁). */
const rotatedOf = (editor: Editor, id: string): Half | undefined => {
  const node = editor.producer(id)
  const rank = node?.outputs[0]?.type.shape.length ?? 0
  if (!Graphs.isOp(node, Ops.concat) || node.inputs.length !== 2) return undefined
  if (node.attributes.axis !== rank - 1 && node.attributes.axis !== -1) return undefined
  const [negative, first] = editor.inputs(node)
  const neg = editor.producer(negative?.id)
  if (neg?.op.name !== Ops.neg.name) return undefined
  const second = halfOf(editor, neg.inputs[0] ?? undefined)
  const start = halfOf(editor, first?.id)
  if (second?.part !== "second" || start?.part !== "first" || second.x.id !== start.x.id) return undefined
  return { x: start.x, shape: start.shape, part: "first", nodes: [node, neg, ...second.nodes, ...start.nodes] }
}

interface Product {
  readonly factors: readonly [Value, Value]
  readonly node: Node
}
const productOf = (editor: Editor, id: string | undefined, user: Node): Product | undefined => {
  const node = editor.producer(id)
  if (node?.op.name !== Ops.mul.name || id === undefined || !editor.isOnlyUsedBy(id, user)) return undefined
  const [a, b] = editor.inputs(node)
  return a === undefined || b === undefined ? undefined : { factors: [a, b], node }
}

const ordersOf = ({ factors: [a, b] }: Product): ReadonlyArray<readonly [Value, Value]> => [
  [a, b],
  [b, a]
]

const rotateHalf: Local = {
  ops: ["add"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined || !DTypes.isFloat(output.type.dtype)) return false
    for (const [straight, turned] of [[a, b] as const, [b, a] as const]) {
      const [left, right] = [productOf(editor, straight.id, node), productOf(editor, turned.id, node)]
      if (left === undefined || right === undefined) continue
      for (const [rotated, sin] of ordersOf(right)) {
        const found = rotatedOf(editor, rotated.id)
        const match = ordersOf(left).find(([x]) => x.id === found?.x.id)
        if (found === undefined || match === undefined || !ScalarConstant.sameType(found.x, output)) continue
        const [x, cos] = match
        if (!editor.isOnlyUsedBy(rotated.id, right.node)) continue
        if (!repeats(editor, cos.id) || !repeats(editor, sin.id)) continue
        const half = (Number(x.type.shape.at(-1)) || 0) / 2
        editor.replace(
          node,
          name,
          (builder) => {
            const [c, s] = [cos, sin].map((angles) =>
              builder.one(Ops.slice, [angles], {
                starts: angles.type.shape.map(() => 0),
                sizes: [...angles.type.shape.slice(0, -1), half],
                steps: angles.type.shape.map(() => 1)
              })
            )
            return [builder.one(Ops.rotaryEmbedding, [x, c, s], { interleaved: false })]
          },
          [node, left.node, right.node, ...found.nodes]
        )
        return true
      }
    }
    return false
  }
}

// ---- concat(x₁·cos − x₂·sin, x₂·cos + x₁·sin) -----------------------------------------------------------------------

const sameShape = (a: ReadonlyArray<Dim.Dim>, b: ReadonlyArray<Dim.Dim>): boolean =>
  a.length === b.length && a.every((dim, axis) => isEqual(dim, b[axis]))

const reshape = (b: Builder, x: Value, shape: ReadonlyArray<Dim.Dim>): Value =>
  sameShape(x.type.shape, shape) ? x : b.one(Ops.reshape, [x], { shape })

interface Rotation {
  readonly x: Value
  readonly shape: ReadonlyArray<Dim.Dim>
  readonly cos: Value
  readonly sin: Value
  readonly interleaved: boolean
  readonly nodes: ReadonlyArray<Node>
}

/** The operands of the first half, x₁·cos − x₂·sin, and of the second, x₂·cos + x₁·sin. */
const rotationOf = (editor: Editor, first: Value, second: Value): Rotation | undefined => {
  const [minus, plus] = [editor.producer(first.id), editor.producer(second.id)]
  if (minus?.op.name !== Ops.sub.name || plus?.op.name !== Ops.add.name) return undefined
  const [p, q] = editor.inputs(minus).map((value) => productOf(editor, value?.id, minus))
  const [r, s] = editor.inputs(plus).map((value) => productOf(editor, value?.id, plus))
  if (p === undefined || q === undefined || r === undefined || s === undefined) return undefined
  for (const [x1, cos] of ordersOf(p))
    for (const [x2, sin] of ordersOf(q)) {
      const [one, two] = [halfOf(editor, x1.id), halfOf(editor, x2.id)]
      if (one === undefined || two?.x.id !== one.x.id || !sameShape(one.shape, two.shape)) continue
      const interleaved = one.part === "even" && two.part === "odd"
      if (!interleaved && !(one.part === "first" && two.part === "second")) continue
      const isProduct = (product: Product, u: Value, v: Value): boolean =>
        ordersOf(product).some(([left, right]) => left.id === u.id && right.id === v.id)
      const agrees =
        (isProduct(r, x2, cos) && isProduct(s, x1, sin)) || (isProduct(s, x2, cos) && isProduct(r, x1, sin))
      if (!agrees) continue
      const nodes = [minus, plus, p.node, q.node, r.node, s.node, ...one.nodes, ...two.nodes]
      return { x: one.x, shape: one.shape, cos, sin, interleaved, nodes }
    }
  return undefined
}

const splitHalves: Local = {
  ops: ["concat"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    const [first, second] = editor.inputs(node)
    if (!Graphs.isOp(node, Ops.concat) || output === undefined || first === undefined || second === undefined)
      return false
    const rank = output.type.shape.length
    if (node.inputs.length !== 2 || (node.attributes.axis !== rank - 1 && node.attributes.axis !== -1)) return false
    const found = rotationOf(editor, first, second)
    if (found === undefined || found.interleaved || !ScalarConstant.sameType(found.x, output)) return false
    if (!editor.isOnlyUsedBy(first.id, node) || !editor.isOnlyUsedBy(second.id, node)) return false
    const { cos, nodes, sin, x } = found
    editor.replace(node, `${name}/halves`, (b) => [b.one(Ops.rotaryEmbedding, [x, cos, sin], { interleaved: false })], [
      node,
      ...nodes
    ])
    return true
  }
}

/** reshape(concat(reshape a [.., 1], reshape b [.., 1])) puts a and b next to each other. */
const interleavedPairs: Local = {
  ops: ["reshape"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    const stacked = editor.producer(node.inputs[0])
    if (output === undefined || !Graphs.isOp(stacked, Ops.concat) || stacked.inputs.length !== 2) return false
    const rank = stacked.outputs[0]?.type.shape.length ?? 0
    if (stacked.attributes.axis !== rank - 1 && stacked.attributes.axis !== -1) return false
    const columns = stacked.inputs.map((id) => editor.producer(id))
    const values = columns.map((column) => (column === undefined ? undefined : editor.inputs(column)[0]))
    const [first, second] = values
    if (!columns.every((column) => Graphs.isOp(column, Ops.reshape)) || first === undefined || second === undefined)
      return false
    if (first.type.shape.length !== rank - 1 || second.type.shape.length !== rank - 1) return false
    const found = rotationOf(editor, first, second)
    if (found === undefined || !found.interleaved || !DTypes.isFloat(output.type.dtype)) return false
    const { cos, nodes, shape, sin, x } = found
    const from = [node, stacked, ...columns.flatMap((column) => (column === undefined ? [] : [column])), ...nodes]
    editor.replace(
      node,
      `${name}/interleaved`,
      (b) => {
        const rotated = b.one(Ops.rotaryEmbedding, [reshape(b, x, shape), cos, sin], { interleaved: true })
        return [reshape(b, rotated, output.type.shape)]
      },
      from
    )
    return true
  }
}

export const recognizeRotaryEmbedding: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "x·cos + rotateHalf(x)·sin ⇒ rotaryEmbedding",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([rotateHalf, splitHalves, interleavedPairs], { needs: ["concat"] })
})
