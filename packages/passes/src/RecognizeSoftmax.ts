// exp(x − max x) / Σ exp(x − max x)  ⇒  softmax(x);   exp(x) / Σ exp(x)  ⇒  softmax(x);   log(softmax(x))  ⇒  logSoftmax(x)
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeSoftmax"

/** The axis of a reduction over one, its extent kept. */
const keptAxis = (
  node: Node | undefined,
  op: typeof Ops.reduceSum
): { readonly axis: number; readonly x: string } | undefined => {
  if (!Graphs.isOp(node, op) || !node.attributes.keepDims) return undefined
  const [axis, ...more] = node.attributes.axes
  const x = node.inputs[0]
  return axis === undefined || more.length > 0 || typeof x !== "string" ? undefined : { axis, x }
}

/** x, of x − max(x) along the axis; the value itself where nothing is taken off. */
const unshifted = (
  editor: Editor,
  id: string,
  axis: number
): { readonly x: Value; readonly nodes: ReadonlyArray<Node> } => {
  const value = editor.value(id)
  const node = editor.producer(id)
  if (node?.op.name !== Ops.sub.name) return { x: value, nodes: [] }
  const [x, taken] = editor.inputs(node)
  const peak = editor.producer(taken?.id)
  const greatest = keptAxis(peak, Ops.reduceMax)
  if (x === undefined || peak === undefined || greatest?.axis !== axis || editor.value(greatest.x).id !== x.id)
    return { x: value, nodes: [] }
  return { x, nodes: [node, peak] }
}

/** e / Σe or e · (1/Σe): the two values. */
const quotient = (
  editor: Editor,
  node: Node
): { readonly power: Value; readonly sum: Node; readonly inside: ReadonlyArray<Node> } | undefined => {
  const [a, b] = editor.inputs(node)
  if (a === undefined || b === undefined) return undefined
  if (node.op.name === Ops.div.name) {
    const sum = editor.producer(b.id)
    return sum === undefined ? undefined : { power: a, sum, inside: [] }
  }
  for (const [power, other] of [[a, b] as const, [b, a] as const]) {
    const inverse = editor.producer(other.id)
    if (inverse?.op.name !== Ops.reciprocal.name || !editor.isOnlyUsedBy(other.id, node)) continue
    const sum = editor.producer(inverse.inputs[0])
    if (sum !== undefined) return { power, sum, inside: [inverse] }
  }
  return undefined
}

const normalisedPowers: Local = {
  ops: ["div", "mul"],
  apply: (node, editor) => {
    const found = quotient(editor, node)
    const output = node.outputs[0]
    if (found === undefined || output === undefined || !DTypes.isFloat(output.type.dtype)) return false
    const total = keptAxis(found.sum, Ops.reduceSum)
    const exp = editor.producer(found.power.id)
    if (total === undefined || exp?.op.name !== Ops.exp.name || editor.value(total.x).id !== found.power.id)
      return false
    const argument = exp.inputs[0]
    if (typeof argument !== "string") return false
    if (!Driver.isUsedOnlyBy(editor, found.power.id, new Set([node, found.sum]))) return false
    const { nodes, x } = unshifted(editor, argument, total.axis)
    if (!ScalarConstant.sameType(x, output)) return false
    const from = [node, found.sum, ...found.inside, exp, ...nodes]
    editor.replace(node, name, (b) => [b.one(Ops.softmax, [x], { axis: total.axis })], from)
    return true
  }
}

const logOfSoftmax = P.rule("log", P.op(Ops.log, [P.op(Ops.softmax, [P.any("x")], { as: "softmax" })]), (found) => {
  const { axis } = found.node("softmax").attributes
  return typeof axis === "number" ? (b) => b.one(Ops.logSoftmax, [found.value("x")], { axis }) : undefined
})

/** (x − max) − log Σ exp(x − max). */
const shiftedLog: Local = {
  ops: ["sub"],
  apply: (node, editor) => {
    const [down, log] = editor.inputs(node)
    const logNode = editor.producer(log?.id)
    const output = node.outputs[0]
    if (down === undefined || output === undefined || logNode?.op.name !== Ops.log.name) return false
    const sum = editor.producer(logNode.inputs[0])
    const total = keptAxis(sum, Ops.reduceSum)
    const exp = editor.producer(total?.x)
    const argument = exp?.inputs[0]
    if (sum === undefined || total === undefined || exp?.op.name !== Ops.exp.name || typeof argument !== "string")
      return false
    if (editor.value(argument).id !== down.id) return false
    const { nodes, x } = unshifted(editor, argument, total.axis)
    if (nodes.length === 0 || !ScalarConstant.sameType(x, output)) return false
    if (!Driver.isUsedOnlyBy(editor, down.id, new Set([node, exp]))) return false
    const from = [node, logNode, sum, exp, ...nodes]
    editor.replace(node, `${name}/log`, (b) => [b.one(Ops.logSoftmax, [x], { axis: total.axis })], from)
    return true
  }
}

export const recognizeSoftmax: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "exp(x − max) / Σ exp(x − max) ⇒ softmax",
  ...Rewrite.noConfig,
  rewriting: () =>
    Driver.settle([normalisedPowers, shiftedLog, Driver.fromRule(name, logOfSoftmax)], { needs: ["exp", "softmax"] })
})
