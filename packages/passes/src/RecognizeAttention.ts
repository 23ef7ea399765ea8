// softmax(q·kᵀ·scale + mask)·v  ⇒  attention(q, k, v, mask)
//
// The scale may be before or after the product, on q, on k, or on both; the mask added, or chosen by select against −∞;
// a constant lower-triangular mask becomes `causal`; keys and values repeated for groups of heads by expand and reshape
// are taken before they are repeated. Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries).
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
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeAttention"

const isEqual = (a: Dim.Dim | undefined, b: Dim.Dim | undefined): boolean =>
  a !== undefined && b !== undefined && Dim.equal(a, b) === true

/** The node that makes a value which only `user` takes. */
const own = (editor: Editor, id: string | null | undefined, user: Node): Node | undefined =>
  typeof id === "string" && editor.isOnlyUsedBy(id, user) ? editor.producer(id) : undefined

// ---- scales ---------------------------------------------------------------------------------------------------------

interface Scaled {
  readonly value: Value
  readonly scale: number
  /** Who takes `value` now. */
  readonly user: Node
  readonly nodes: ReadonlyArray<Node>
}

/** Takes products with and quotients by scalars off. */
const unscaled = (editor: Editor, value: Value, user: Node): Scaled => {
  let result: Scaled = { value, scale: 1, user, nodes: [] }
  for (let step = 0; step < 4; step++) {
    const node = own(editor, result.value.id, result.user)
    const next = node === undefined ? undefined : oneScale(editor, node, result)
    if (next === undefined) break
    result = next
  }
  return result
}

const oneScale = (editor: Editor, node: Node, { nodes, scale, value }: Scaled): Scaled | undefined => {
  const [a, b] = editor.inputs(node)
  const isMul = node.op.name === Ops.mul.name
  if (a === undefined || b === undefined || (!isMul && node.op.name !== Ops.div.name)) return undefined
  for (const [inner, factor] of isMul ? [[a, b] as const, [b, a] as const] : [[a, b] as const]) {
    const number = ScalarConstant.read(editor, factor.id)
    if (number === undefined || number === 0 || !Number.isFinite(number)) continue
    if (!ScalarConstant.sameType(inner, value)) continue
    return { value: inner, scale: isMul ? scale * number : scale / number, user: node, nodes: [...nodes, node] }
  }
  return undefined
}

// ---- masks ----------------------------------------------------------------------------------------------------------

interface Masked {
  readonly logits: Value
  readonly user: Node
  readonly causal: boolean
  readonly mask: ((b: Builder) => Value) | undefined
  readonly nodes: ReadonlyArray<Node>
}

/** Logits at least this low get a weight of 0 beside any ordinary one, and swallow what is added to them. */
const lowest = -1e30

const isMinusInfinity = (editor: Editor, id: string): boolean => {
  const value = ScalarConstant.splat(editor, id)
  return value !== undefined && value === -Infinity
}

const unmasked = (editor: Editor, value: Value, user: Node): Masked | undefined => {
  const node = own(editor, value.id, user)
  if (node === undefined) return undefined
  const plain: Masked = { logits: value, user, causal: false, mask: undefined, nodes: [] }
  const operands = editor.inputs(node)
  if (node.op.name === Ops.add.name) {
    const [a, b] = operands
    if (a === undefined || b === undefined) return plain
    for (const [logits, mask] of [[a, b] as const, [b, a] as const]) {
      if (!ScalarConstant.sameType(logits, value) || !leadsToProduct(editor, logits, node)) continue
      if (isCausal(editor, mask, value)) return { logits, user: node, causal: true, mask: undefined, nodes: [node] }
      return { logits, user: node, causal: false, mask: () => mask, nodes: [node] }
    }
    return plain
  }
  if (node.op.name !== Ops.select.name) return plain
  const [condition, yes, no] = operands
  if (condition === undefined || yes === undefined || no === undefined) return plain
  const { dtype } = value.type
  for (const [logits, other, keeps] of [[yes, no, true] as const, [no, yes, false] as const]) {
    if (!isMinusInfinity(editor, other.id) || !ScalarConstant.sameType(logits, value)) continue
    const mask = (b: Builder): Value => {
      const [zero, low] = [b.tensor(Numbers.scalar(dtype, 0)), b.tensor(Numbers.scalar(dtype, -Infinity))]
      return b.one(Ops.select, [condition, keeps ? zero : low, keeps ? low : zero], {})
    }
    return { logits, user: node, causal: false, mask, nodes: [node] }
  }
  return plain
}

const leadsToProduct = (editor: Editor, value: Value, user: Node): boolean => {
  const { value: inner, user: next } = unscaled(editor, value, user)
  return own(editor, inner.id, next)?.op.name === Ops.matmul.name
}

/** Whether a constant mask is 0 for keys up to the query's own place, counted from the end, and −∞ beyond. */
const isCausal = (editor: Editor, mask: Value, logits: Value): boolean => {
  const [queries, keys] = logits.type.shape.slice(-2)
  if (typeof queries !== "number" || typeof keys !== "number" || keys < queries) return false
  if (mask.type.shape.length < 2 || mask.type.shape.slice(0, -2).some((dim) => dim !== 1)) return false
  if (mask.type.shape.at(-2) !== queries || mask.type.shape.at(-1) !== keys || queries < 2) return false
  const tensor = editor.read(mask.id)
  if (tensor === undefined) return false
  return Numbers.toNumbers(tensor).every((value, index) => {
    const [query, key] = [Math.floor(index / keys), index % keys]
    return key <= query + keys - queries ? value === 0 : value <= lowest
  })
}

// ---- keys and values ------------------------------------------------------------------------------------------------

/** Swaps the last two of four axes. */
const swapped = ([a = 0, b = 1, c = 2, d = 3]: ReadonlyArray<number>): ReadonlyArray<number> => [a, b, d, c]

interface Keys {
  readonly build: (b: Builder) => Value
  readonly shape: ReadonlyArray<Dim.Dim>
  readonly scale: number
  readonly nodes: ReadonlyArray<Node>
}

/** k, of the transposed keys, without scales and without repeats. */
const keysOf = (editor: Editor, transposed: Value, user: Node): Keys | undefined => {
  const outer = unscaled(editor, transposed, user)
  const node = own(editor, outer.value.id, outer.user)
  const [x] = node === undefined ? [] : editor.inputs(node)
  if (!Graphs.isOp(node, Ops.transpose) || x === undefined || x.type.shape.length !== 4) return undefined
  const permutation = swapped(node.attributes.permutation)
  const inner = unscaled(editor, x, node)
  const common = { scale: outer.scale * inner.scale, nodes: [...outer.nodes, node, ...inner.nodes] }
  const { value } = inner
  if (permutation.every((axis, index) => axis === index)) {
    const repeated = unrepeated(editor, value)
    return { build: () => repeated.value, shape: repeated.value.type.shape, ...common }
  }
  const shape = permutation.map((axis) => value.type.shape[axis] ?? 1)
  return { build: (b) => b.one(Ops.transpose, [value], { permutation }), shape, ...common }
}

/**
 * `[b, h, s, d]` before each head was repeated: reshape(expand(reshape x to [b, h, 1, s, d])) to [b, h·group, s, d]. The
 * value itself where nothing was repeated.
 */
const unrepeated = (editor: Editor, value: Value): { readonly value: Value; readonly nodes: ReadonlyArray<Node> } => {
  const none = { value, nodes: [] }
  const flat = editor.producer(value.id)
  if (!Graphs.isOp(flat, Ops.reshape)) return none
  const expanded = editor.producer(flat.inputs[0])
  if (!Graphs.isOp(expanded, Ops.expand)) return none
  const apart = editor.producer(expanded.inputs[0])
  const [x] = apart === undefined ? [] : editor.inputs(apart)
  if (!Graphs.isOp(apart, Ops.reshape) || x === undefined || x.type.shape.length !== 4) return none
  const [batch, heads, length, dim] = x.type.shape
  const split = apart.attributes.shape
  const repeatedShape = expanded.attributes.shape
  if (split.length !== 5 || repeatedShape.length !== 5 || split[2] !== 1) return none
  const fits = [batch, heads, 1, length, dim].every((size, axis) => isEqual(size, split[axis]))
  const keeps = [0, 1, 3, 4].every((axis) => isEqual(split[axis], repeatedShape[axis]))
  const joined = isEqual(value.type.shape[1], Dim.mul(repeatedShape[1] ?? 1, repeatedShape[2] ?? 1))
  const rest = [0, 2, 3].every((axis) => isEqual(value.type.shape[axis], x.type.shape[axis]))
  return fits && keeps && joined && rest ? { value: x, nodes: [flat, expanded, apart] } : none
}

// ---- the whole ------------------------------------------------------------------------------------------------------

/** The softmax of the weights, between casts to f32 and back where there are any. */
const softmaxOf = (
  editor: Editor,
  weights: Value,
  user: Node
): { readonly logits: Value; readonly user: Node; readonly nodes: ReadonlyArray<Node> } | undefined => {
  const node = own(editor, weights.id, user)
  if (Graphs.isOp(node, Ops.softmax)) {
    const [logits] = editor.inputs(node)
    const { axis } = node.attributes
    if (logits === undefined || (axis !== -1 && axis !== logits.type.shape.length - 1)) return undefined
    return { logits, user: node, nodes: [node] }
  }
  const { dtype } = weights.type
  const softmax = Graphs.isOp(node, Ops.cast) ? own(editor, node.inputs[0], node) : undefined
  if (node === undefined || !Graphs.isOp(softmax, Ops.softmax) || !DTypes.isNarrowFloat(dtype)) return undefined
  const widening = own(editor, softmax.inputs[0], softmax)
  const [logits] = widening === undefined ? [] : editor.inputs(widening)
  const { axis } = softmax.attributes
  if (!Graphs.isOp(widening, Ops.cast) || logits?.type.dtype !== dtype || widening.attributes.to !== "f32")
    return undefined
  if (axis !== -1 && axis !== logits.type.shape.length - 1) return undefined
  return { logits, user: widening, nodes: [node, softmax, widening] }
}

const whole: Local = {
  ops: ["matmul"],
  apply: (node, editor) => {
    const [weights, values] = editor.inputs(node)
    const output = node.outputs[0]
    if (weights === undefined || values === undefined || output === undefined) return false
    if (weights.type.shape.length !== 4 || values.type.shape.length !== 4 || !DTypes.isFloat(output.type.dtype))
      return false
    const softmax = softmaxOf(editor, weights, node)
    const masked = softmax === undefined ? undefined : unmasked(editor, softmax.logits, softmax.user)
    if (softmax === undefined || masked === undefined) return false
    const logits = unscaled(editor, masked.logits, masked.user)
    const product = own(editor, logits.value.id, logits.user)
    if (product?.op.name !== Ops.matmul.name) return false
    const [left, right] = editor.inputs(product)
    if (left === undefined || right === undefined || left.type.shape.length !== 4) return false
    const q = unscaled(editor, left, product)
    const k = keysOf(editor, right, product)
    if (k === undefined) return false
    const v = unrepeated(editor, values)
    const fullKeys = unwound(k, right, v.value, values)
    if (fullKeys === undefined || !fits(q.value, fullKeys.shape, fullKeys.v)) return false
    const scale = logits.scale * q.scale * k.scale
    if (!Number.isFinite(scale)) return false
    const { causal } = masked
    const from = [node, ...softmax.nodes, ...masked.nodes, ...logits.nodes, product, ...q.nodes, ...k.nodes]
    editor.replace(
      node,
      name,
      (b) => [b.one(Ops.attention, [q.value, fullKeys.build(b), fullKeys.v, masked.mask?.(b)], { scale, causal })],
      from
    )
    return true
  }
}

/** Keys and values with one number of heads: both before they were repeated, or else neither. */
const unwound = (
  k: Keys,
  transposed: Value,
  v: Value,
  values: Value
): { readonly build: (b: Builder) => Value; readonly shape: ReadonlyArray<Dim.Dim>; readonly v: Value } | undefined => {
  if (isEqual(k.shape[1], v.type.shape[1])) return { build: k.build, shape: k.shape, v }
  // The keys are as many heads as the transposed ones: then the values are taken as they are, too.
  return isEqual(k.shape[1], transposed.type.shape[1]) && isEqual(k.shape[1], values.type.shape[1])
    ? { build: k.build, shape: k.shape, v: values }
    : undefined
}

const fits = (q: Value, k: ReadonlyArray<Dim.Dim>, v: Value): boolean => {
  const [batch, heads, , dim] = q.type.shape
  const [vBatch, vHeads, vKeys] = v.type.shape
  if (k.length !== 4 || q.type.shape.length !== 4 || v.type.shape.length !== 4) return false
  if (!isEqual(batch, k[0]) || !isEqual(batch, vBatch) || !isEqual(dim, k[3])) return false
  if (!isEqual(k[1], vHeads) || !isEqual(k[2], vKeys)) return false
  return heads !== undefined && k[1] !== undefined && isEqual(Dim.mod(heads, k[1]), 0)
}

export const recognizeAttention: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "softmax(q·kᵀ·scale + mask)·v ⇒ attention",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([whole], { needs: ["softmax"] })
})
