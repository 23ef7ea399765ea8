// (x − mean x) / √(mean (x − mean x)² + ε) · scale + bias  ⇒  layerNorm(x, scale, bias)
//
// The quotient first, then the scale and the bias after it; or in one in TensorFlow's form, x·f + (bias − mean·f) with
// f = scale / √(variance + ε). Ba, Kiros and Hinton 2016.
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import type { Found, Mean } from "./Normalisation.ts"
import * as Normalisation from "./Normalisation.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeLayerNorm"

/** x and its mean's axis, of x − mean(x). */
const centredOf = (editor: Editor, id: string): Found<Mean> | undefined => {
  const node = editor.producer(id)
  if (node?.op.name !== Ops.sub.name) return undefined
  const [x, taken] = editor.inputs(node)
  const mean = Normalisation.meanOf(editor, taken?.id)
  if (x === undefined || mean?.what.x.id !== x.id) return undefined
  return { what: mean.what, nodes: [node, ...mean.nodes] }
}

/** mean((x − mean x)²). */
const varianceOf = (editor: Editor, id: string): Found<Mean> | undefined => {
  const variance = Normalisation.meanOf(editor, id)
  const square = variance === undefined ? undefined : Normalisation.squareOf(editor, variance.what.x.id)
  const centred = square === undefined ? undefined : centredOf(editor, square.what.id)
  if (variance === undefined || square === undefined || centred?.what.axis !== variance.what.axis) return undefined
  return { what: centred.what, nodes: [...variance.nodes, ...square.nodes, ...centred.nodes] }
}

/** The same as mean(x²) − (mean x)², kept from going below 0 or not. */
const differenceOf = (editor: Editor, id: string): Found<Mean> | undefined => {
  const limit = editor.producer(id)
  const inner = limit?.op.name === Ops.relu.name ? editor.producer(limit.inputs[0]) : limit
  if (limit === undefined || inner?.op.name !== Ops.sub.name) return undefined
  const [squares, square] = editor.inputs(inner)
  const outer = Normalisation.meanOf(editor, squares?.id)
  const under = outer === undefined ? undefined : Normalisation.squareOf(editor, outer.what.x.id)
  const squared = square === undefined ? undefined : Normalisation.squareOf(editor, square.id)
  const mean = Normalisation.meanOf(editor, squared?.what.id)
  if (outer === undefined || under === undefined || squared === undefined || mean === undefined) return undefined
  if (mean.what.x.id !== under.what.id || mean.what.axis !== outer.what.axis) return undefined
  return {
    what: mean.what,
    nodes: [...new Set([limit, inner, ...outer.nodes, ...under.nodes, ...squared.nodes, ...mean.nodes])]
  }
}

/** x, the axis and ε, of √(variance + ε). */
const spreadOf = (editor: Editor, id: string): Found<Mean & { readonly epsilon: number }> | undefined => {
  const root = Normalisation.rootOf(editor, id)
  if (root === undefined) return undefined
  const variance = varianceOf(editor, root.what.mean) ?? differenceOf(editor, root.what.mean)
  if (variance === undefined) return undefined
  return { what: { ...variance.what, epsilon: root.what.epsilon }, nodes: [...root.nodes, ...variance.nodes] }
}

const quotient: Local = {
  ops: ["div", "mul"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    for (const found of Normalisation.quotients(editor, node)) {
      const centred = centredOf(editor, found.what.numerator.id)
      const spread = spreadOf(editor, found.what.root)
      if (output === undefined || centred === undefined || spread === undefined) continue
      const { axis, epsilon, x } = spread.what
      if (centred.what.x.id !== x.id || centred.what.axis !== axis || !DTypes.isFloat(x.type.dtype)) continue
      if (!ScalarConstant.sameType(x, output)) continue
      const nodes = [...found.nodes, ...spread.nodes, ...centred.nodes]
      // What others use of it would be computed twice.
      if (!Driver.isUsedOnlyBy(editor, found.what.root, new Set(nodes))) continue
      if (!Driver.isUsedOnlyBy(editor, found.what.numerator.id, new Set(nodes))) continue
      editor.replace(node, name, (b) => [b.one(Ops.layerNorm, [x], { axis, epsilon })], [...new Set(nodes)])
      return true
    }
    return false
  }
}

/** layerNorm(x) · scale, layerNorm(x, scale) + bias. */
const withParameter: Local = {
  ops: ["mul", "add"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    for (const [value, other] of [[a, b] as const, [b, a] as const]) {
      const norm = editor.producer(value.id)
      if (!Graphs.isOp(norm, Ops.layerNorm) || !editor.isOnlyUsedBy(value.id, node)) continue
      const [x, scale, bias] = editor.inputs(norm)
      if (x === undefined || bias !== undefined || !ScalarConstant.sameType(x, output)) continue
      if (node.op.name === Ops.mul.name && scale !== undefined) continue
      const { attributes } = norm
      const parameter = Normalisation.parameter(editor, other, x.type.shape.slice(attributes.axis))
      if (parameter === undefined) continue
      editor.replace(
        node,
        `${name}/${node.op.name === Ops.mul.name ? "scale" : "bias"}`,
        (builder) => {
          const next = parameter(builder)
          const operands = node.op.name === Ops.mul.name ? [x, next] : [x, scale, next]
          return [builder.one(Ops.layerNorm, operands, attributes)]
        },
        [node, norm]
      )
      return true
    }
    return false
  }
}

/** (x − mean x) · (scale / √…): the scale is multiplied with the reciprocal first. */
const scaledFirst: Local = {
  ops: ["mul"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    for (const [difference, f] of [[a, b] as const, [b, a] as const]) {
      const factor = factorOf(editor, f.id)
      const centred = centredOf(editor, difference.id)
      const spread = factor?.scale === undefined ? undefined : spreadOf(editor, factor.root)
      if (factor?.scale === undefined || centred === undefined || spread?.what.x.id !== centred.what.x.id) continue
      const { axis, epsilon, x } = spread.what
      if (centred.what.axis !== axis || !DTypes.isFloat(x.type.dtype) || !ScalarConstant.sameType(x, output)) continue
      const scale = Normalisation.parameter(editor, factor.scale, x.type.shape.slice(axis))
      const nodes = [...new Set([node, ...factor.nodes, ...spread.nodes, ...centred.nodes])]
      if (scale === undefined || !Driver.isUsedOnlyBy(editor, f.id, new Set(nodes))) continue
      if (!Driver.isUsedOnlyBy(editor, difference.id, new Set(nodes))) continue
      editor.replace(
        node,
        `${name}/scaled`,
        (builder) => [builder.one(Ops.layerNorm, [x, scale(builder)], { axis, epsilon })],
        nodes
      )
      return true
    }
    return false
  }
}

// ---- TensorFlow's form ----------------------------------------------------------------------------------------------

interface Factor {
  readonly scale: Value | undefined
  readonly root: string
  readonly nodes: ReadonlyArray<Node>
}

/** f = 1/√… or scale · 1/√… . */
const factorOf = (editor: Editor, id: string): Factor | undefined => {
  const node = editor.producer(id)
  if (node === undefined) return undefined
  const root = node.inputs[0]
  if (node.op.name === Ops.reciprocal.name && typeof root === "string") return { scale: undefined, root, nodes: [node] }
  const [found] = Normalisation.quotients(editor, node)
  return found === undefined ? undefined : { scale: found.what.numerator, root: found.what.root, nodes: found.nodes }
}

/** The two operands of a product of which one is `id`: the other one. */
const otherFactor = (editor: Editor, node: Node | undefined, id: string): Value | undefined => {
  if (node?.op.name !== Ops.mul.name) return undefined
  const [a, b] = editor.inputs(node)
  return a?.id === id ? b : b?.id === id ? a : undefined
}

/** x·f + (bias − mean·f). */
const scaledAndShifted: Local = {
  ops: ["add"],
  apply: (node, editor) => {
    const [a, b] = editor.inputs(node)
    const output = node.outputs[0]
    if (a === undefined || b === undefined || output === undefined) return false
    for (const [left, right] of [[a, b] as const, [b, a] as const]) {
      const product = editor.producer(left.id)
      const difference = editor.producer(right.id)
      if (product?.op.name !== Ops.mul.name || difference?.op.name !== Ops.sub.name) continue
      const [bias, taken] = editor.inputs(difference)
      const offset = editor.producer(taken?.id)
      if (bias === undefined || offset === undefined) continue
      for (const f of editor.inputs(product)) {
        const factor = f === undefined ? undefined : factorOf(editor, f.id)
        const x = f === undefined ? undefined : otherFactor(editor, product, f.id)
        const mean = f === undefined ? undefined : Normalisation.meanOf(editor, otherFactor(editor, offset, f.id)?.id)
        if (f === undefined || factor === undefined || x === undefined || mean?.what.x.id !== x.id) continue
        const spread = spreadOf(editor, factor.root)
        if (spread?.what.x.id !== x.id || spread.what.axis !== mean.what.axis) continue
        if (!DTypes.isFloat(x.type.dtype) || !ScalarConstant.sameType(x, output)) continue
        const { axis, epsilon } = spread.what
        const normalized = x.type.shape.slice(axis)
        const shift = Normalisation.parameter(editor, bias, normalized)
        const scale = factor.scale === undefined ? undefined : Normalisation.parameter(editor, factor.scale, normalized)
        if (shift === undefined || (factor.scale !== undefined && scale === undefined)) continue
        const nodes = [node, product, difference, offset, ...factor.nodes, ...spread.nodes, ...mean.nodes]
        if (!Driver.isUsedOnlyBy(editor, f.id, new Set(nodes))) continue
        editor.replace(
          node,
          `${name}/shifted`,
          (builder) => [builder.one(Ops.layerNorm, [x, scale?.(builder), shift(builder)], { axis, epsilon })],
          [...new Set(nodes)]
        )
        return true
      }
    }
    return false
  }
}

export const recognizeLayerNorm: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "(x − mean) / √(variance + ε) · scale + bias ⇒ layerNorm",
  ...Rewrite.noConfig,
  rewriting: () =>
    Driver.settle([scaledAndShifted, scaledFirst, quotient, withParameter], { needs: ["sqrt", "layerNorm"] })
})
