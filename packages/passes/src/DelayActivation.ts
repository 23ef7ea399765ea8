// reduceMax(tanh(x))  ⇒  tanh(reduceMax(x));   reduceMax(gelu(x))  ⇒  max(gelu(reduceMax(x)), gelu(reduceMin(x)))
//
// A function that never falls keeps the order of its arguments, so it need only be computed of the extreme; one that falls and then
// rises is greatest at one of the two extremes. Maximum pooling likewise. Cheap activations are left alone: they cost nothing after
// the product before them, which is where targets look for them.
import type { Editor } from "@anneal/ir/Editor"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "delayActivation"

/** Never fall, are defined everywhere, and take long. */
const rising = new Set(
  [Ops.exp, Ops.expm1, Ops.sinh, Ops.asinh, Ops.tanh, Ops.atan, Ops.erf, Ops.sigmoid, Ops.softplus].map((op) => op.name)
)
/** Fall, then rise: −0.75 and −1.28 are where. */
const valley = new Set([Ops.gelu.name, Ops.silu.name])

/** Fewer elements than this to one result are not worth a second reduction. */
const fewest = 4

/** The activation before a reduction, that nothing else uses. */
const activationOf = (node: Node, editor: Editor): Node | undefined => {
  const [x] = editor.inputs(node)
  const activation = editor.producer(x?.id)
  if (x === undefined || activation === undefined || !editor.isOnlyUsedBy(x.id, node)) return undefined
  return rising.has(activation.op.name) || valley.has(activation.op.name) ? activation : undefined
}

const reduction: Local = {
  ops: ["reduceMax", "reduceMin"],
  apply: (node, editor) => {
    const isMax = Graphs.isOp(node, Ops.reduceMax)
    if (!isMax && !Graphs.isOp(node, Ops.reduceMin)) return false
    const activation = activationOf(node, editor)
    const [x] = activation === undefined ? [] : editor.inputs(activation)
    if (activation === undefined || x === undefined) return false
    const { shape } = x.type
    const { axes } = node.attributes
    // The greatest of nothing is −∞, which no function would make of it.
    const extents = (axes.length === 0 ? shape.map((_, axis) => axis) : axes).map((axis) => shape.at(axis))
    const count = extents.reduce<number>((product, extent) => product * (typeof extent === "number" ? extent : 0), 1)
    if (count < fewest) return false
    const isValley = valley.has(activation.op.name)
    if (isValley && !isMax) return false
    editor.replace(
      node,
      name,
      (b) => {
        const { attributes, op } = activation
        const first = b.one(op, [b.one(node.op, [x], node.attributes)], attributes)
        if (!isValley) return [first]
        const other = b.one(op, [b.one(Ops.reduceMin, [x], node.attributes)], attributes)
        return [b.one(Ops.max, [first, other], {})]
      },
      [node, activation]
    )
    return true
  }
}

const pooling: Local = {
  ops: ["maxPool"],
  apply: (node, editor) => {
    if (!Graphs.isOp(node, Ops.maxPool)) return false
    const [, indices] = node.outputs
    // Equal results of different arguments would have another index.
    if (indices !== undefined && (editor.isOutput(indices.id) || editor.users(indices.id).length > 0)) return false
    const activation = activationOf(node, editor)
    const [x] = activation === undefined ? [] : editor.inputs(activation)
    if (activation === undefined || x === undefined || !rising.has(activation.op.name)) return false
    const { kernel, strides } = node.attributes
    // Windows that overlap as much as they are wide leave as many results as elements.
    if (!kernel.some((_, axis) => (strides[axis] ?? 1) > 1)) return false
    editor.replace(
      node,
      name,
      (b) => {
        const pooled = b.one(Ops.maxPool, [x], node.attributes)
        return [b.one(activation.op, [pooled], activation.attributes), undefined]
      },
      [node, activation]
    )
    return true
  }
}

export const delayActivation: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "greatest of activations ⇒ activation of the greatest",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([reduction, pooling], { needs: [...rising, ...valley] })
})
