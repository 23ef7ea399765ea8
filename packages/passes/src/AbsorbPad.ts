// pad 1 with zeros → conv  ⇒  conv with pads 1;   pad with zeros → averagePool  ⇒  averagePool that counts its pads
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "absorbPad"

interface Padded {
  readonly x: Value
  readonly node: Node
  /** One a spatial axis. */
  readonly before: ReadonlyArray<Dim.Dim>
  readonly after: ReadonlyArray<Dim.Dim>
}

const isZero = (dim: Dim.Dim | undefined): boolean => dim !== undefined && Dim.equal(dim, 0) === true

/** A pad of spatial axes with one number, that only `user` takes. */
const padOf = (
  editor: Editor,
  id: string | null | undefined,
  user: Node,
  holds: (value: number) => boolean
): Padded | undefined => {
  const node = editor.producer(id)
  if (!Graphs.isOp(node, Ops.pad) || typeof id !== "string" || !editor.isOnlyUsedBy(id, user)) return undefined
  const [x, value] = editor.inputs(node)
  const { after, before, mode } = node.attributes
  const filled = value === undefined ? 0 : ScalarConstant.read(editor, value.id)
  if (x === undefined || mode !== "constant" || filled === undefined || !holds(filled)) return undefined
  if (![before[0], before[1], after[0], after[1]].every(isZero)) return undefined
  return { x, node, before: before.slice(2), after: after.slice(2) }
}

const plus = (pads: ReadonlyArray<Dim.Dim>, more: ReadonlyArray<Dim.Dim>): ReadonlyArray<Dim.Dim> =>
  pads.map((dim, axis) => Dim.add(dim, more[axis] ?? 0))

const intoConv: Local = {
  ops: ["conv"],
  apply: (node, editor) => {
    const pad = padOf(editor, node.inputs[0], node, (value) => value === 0)
    if (!Graphs.isOp(node, Ops.conv) || pad === undefined) return false
    const { attributes } = node
    const [, w, bias] = editor.inputs(node)
    const padsBegin = plus(attributes.padsBegin, pad.before)
    const padsEnd = plus(attributes.padsEnd, pad.after)
    editor.replace(
      node,
      `${name}/conv`,
      (b) => [b.one(Ops.conv, [pad.x, w, bias], { ...attributes, padsBegin, padsEnd })],
      [node, pad.node]
    )
    return true
  }
}

/** Rounding up drops windows that start in the padding, and those differ. */
const intoAveragePool: Local = {
  ops: ["averagePool"],
  apply: (node, editor) => {
    const pad = padOf(editor, node.inputs[0], node, (value) => value === 0)
    if (!Graphs.isOp(node, Ops.averagePool) || pad === undefined || node.attributes.ceil) return false
    const { attributes } = node
    const hasNone = [...attributes.padsBegin, ...attributes.padsEnd].every(isZero)
    if (!attributes.includePad && !hasNone) return false
    const padsBegin = plus(attributes.padsBegin, pad.before)
    const padsEnd = plus(attributes.padsEnd, pad.after)
    editor.replace(
      node,
      `${name}/averagePool`,
      (b) => [b.one(Ops.averagePool, [pad.x], { ...attributes, padsBegin, padsEnd, includePad: true })],
      [node, pad.node]
    )
    return true
  }
}

/** Padding with −∞ is what maxPool does by itself, as long as every window sees an element. */
const intoMaxPool: Local = {
  ops: ["maxPool"],
  apply: (node, editor) => {
    const pad = padOf(editor, node.inputs[0], node, (value) => value === -Infinity)
    if (!Graphs.isOp(node, Ops.maxPool) || pad === undefined || node.attributes.ceil) return false
    const { attributes } = node
    const [, indices] = node.outputs
    // Positions are counted in the padded tensor.
    if (indices !== undefined && (editor.users(indices.id).length > 0 || editor.isOutput(indices.id))) return false
    const padsBegin = plus(attributes.padsBegin, pad.before)
    const padsEnd = plus(attributes.padsEnd, pad.after)
    const seesData = [...padsBegin.entries(), ...padsEnd.entries()].every(
      ([axis, dim]) =>
        typeof dim === "number" && dim < (attributes.kernel[axis] ?? 1) && attributes.dilations[axis] === 1
    )
    if (!seesData) return false
    editor.replace(
      node,
      `${name}/maxPool`,
      (b) => [b.one(Ops.maxPool, [pad.x], { ...attributes, padsBegin, padsEnd }), undefined],
      [node, pad.node]
    )
    return true
  }
}

export const absorbPad: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "pad with zeros → conv ⇒ conv with pads",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([intoConv, intoAveragePool, intoMaxPool], { needs: ["pad"] })
})
