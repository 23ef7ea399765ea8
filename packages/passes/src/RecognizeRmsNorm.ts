// x / √(mean x² + ε) · scale  ⇒  rmsNorm(x, scale)
//
// Zhang and Sennrich 2019.
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Normalisation from "./Normalisation.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeRmsNorm"

const quotient: Local = {
  ops: ["div", "mul"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    for (const found of Normalisation.quotients(editor, node)) {
      const root = Normalisation.rootOf(editor, found.what.root)
      const mean = Normalisation.meanOf(editor, root?.what.mean)
      const square = mean === undefined ? undefined : Normalisation.squareOf(editor, mean.what.x.id)
      const x = found.what.numerator
      if (output === undefined || root === undefined || mean === undefined || square?.what.id !== x.id) continue
      if (!DTypes.isFloat(x.type.dtype) || !ScalarConstant.sameType(x, output)) continue
      const nodes = [...found.nodes, ...root.nodes, ...mean.nodes, ...square.nodes]
      if (!Driver.isUsedOnlyBy(editor, found.what.root, new Set(nodes))) continue
      const attributes = { axis: mean.what.axis, epsilon: root.what.epsilon }
      editor.replace(node, name, (b) => [b.one(Ops.rmsNorm, [x], attributes)], nodes)
      return true
    }
    return false
  }
}

const withScale: Local = {
  ops: ["mul"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    for (const [value, other] of [[a, b] as const, [b, a] as const]) {
      const norm = editor.producer(value.id)
      if (!Graphs.isOp(norm, Ops.rmsNorm) || !editor.isOnlyUsedBy(value.id, node)) continue
      const [x, scale] = editor.inputs(norm)
      if (x === undefined || scale !== undefined || !ScalarConstant.sameType(x, output)) continue
      const { attributes } = norm
      const parameter = Normalisation.parameter(editor, other, x.type.shape.slice(attributes.axis))
      if (parameter === undefined) continue
      editor.replace(
        node,
        `${name}/scale`,
        (builder) => [builder.one(Ops.rmsNorm, [x, parameter(builder)], attributes)],
        [node, norm]
      )
      return true
    }
    return false
  }
}

/** The norm of a narrow x computed in f32 and cast back is the op on the narrow x: its arithmetic is f32 at least. */
const betweenCasts: Local = {
  ops: ["cast"],
  apply: (node, editor) => {
    const norm = editor.producer(node.inputs[0])
    if (!Graphs.isOp(node, Ops.cast) || !Graphs.isOp(norm, Ops.rmsNorm) || norm.inputs.length !== 1) return false
    const value = norm.outputs[0]
    const widening = editor.producer(norm.inputs[0])
    const x = widening === undefined ? undefined : editor.inputs(widening)[0]
    if (!Graphs.isOp(widening, Ops.cast) || x === undefined || value === undefined) return false
    const { dtype } = x.type
    if (!DTypes.isNarrowFloat(dtype) || value.type.dtype !== "f32" || node.attributes.to !== dtype) return false
    if (!editor.isOnlyUsedBy(value.id, node)) return false
    const { attributes } = norm
    editor.replace(node, `${name}/narrow`, (b) => [b.one(Ops.rmsNorm, [x], attributes)], [node, norm, widening])
    return true
  }
}

export const recognizeRmsNorm: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "x / √(mean x² + ε) · scale ⇒ rmsNorm",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([quotient, withScale, betweenCasts], { needs: ["sqrt", "rmsNorm"] })
})
