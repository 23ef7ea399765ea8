// x·1, x − 0, x/1, reshape to the same shape, transpose by the identity, a slice of everything, −(−x) …  ⇒  x
//
// Only what holds bit for bit: x + 0 stays here, since −0 + 0 is 0 (see SimplifyAlgebra), x + (−0) goes.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "eliminateNoOps"

// ---- a node that passes its first operand on ------------------------------------------------------------------------

/** The node goes where `holds`; the operand must have the result's type. */
const passesOn = <A extends Attributes>(
  op: OpDefinition<A>,
  holds: (node: Node<A>, x: Value, editor: Editor) => boolean
): Local => ({
  ops: [op.name],
  apply: (node, editor) => {
    const [x] = editor.inputs(node)
    const output = node.outputs[0]
    if (!Graphs.isOp(node, op) || x === undefined || output === undefined || node.outputs.length !== 1) return false
    if (!ScalarConstant.sameType(x, output) || !holds(node, x, editor)) return false
    editor.replace(node, `${name}/${op.name}`, () => [x])
    return true
  }
})

const always = (): boolean => true
const zeros = (dims: ReadonlyArray<Dim.Dim>): boolean => dims.every((dim) => Dim.equal(dim, 0) === true)
const isOne = (dim: Dim.Dim | undefined): boolean => dim === 1
const alongOnes = (axes: ReadonlyArray<number>, x: Value): boolean =>
  axes.every((axis) => isOne(x.type.shape[axis < 0 ? axis + x.type.shape.length : axis]))

const structural: ReadonlyArray<Local> = [
  passesOn(Ops.reshape, always),
  passesOn(Ops.expand, always),
  passesOn(Ops.cast, always),
  passesOn(Ops.bitcast, always),
  passesOn(Ops.transpose, ({ attributes }) => attributes.permutation.every((axis, index) => axis === index)),
  passesOn(Ops.slice, ({ attributes }) => zeros(attributes.starts) && attributes.steps.every((step) => step === 1)),
  passesOn(Ops.pad, ({ attributes }) => zeros(attributes.before) && zeros(attributes.after)),
  passesOn(Ops.concat, (node) => node.inputs.length === 1),
  passesOn(Ops.reverse, ({ attributes }, x) => alongOnes(attributes.axes, x)),
  passesOn(Ops.reduceMax, ({ attributes }, x) => alongOnes(attributes.axes, x)),
  passesOn(Ops.reduceMin, ({ attributes }, x) => alongOnes(attributes.axes, x)),
  // A float sum starts from 0, and 0 + −0 is 0: over no axes it still changes −0.
  passesOn(Ops.reduceSum, ({ attributes }, x) => attributes.axes.length === 0 && !DTypes.isFloat(x.type.dtype)),
  passesOn(Ops.reduceProd, ({ attributes }) => attributes.axes.length === 0),
  passesOn(Ops.clip, (node) => node.inputs.slice(1).every((id) => id === null))
]

// ---- arithmetic with a neutral element ------------------------------------------------------------------------------

const neutral = (op: OpDefinition, title: string, holds: (value: number, dtype: DType) => boolean): P.Rule =>
  P.rule(title, P.op(op, [P.any("x"), P.any("c")]), (found, editor) => {
    const x = found.value("x")
    const value = ScalarConstant.splat(editor, found.value("c").id)
    const output = found.nodes[0]?.outputs[0]
    if (value === undefined || output === undefined || !ScalarConstant.sameType(x, output)) return undefined
    return holds(value, x.type.dtype) ? () => x : undefined
  })

/** The left operand of a commutative op may be the neutral one, too; `any` takes the first order that matches. */
const neutralBothWays = (op: OpDefinition, title: string, holds: (value: number, dtype: DType) => boolean) => [
  neutral(op, title, holds),
  P.rule(title, P.op(op, [P.any("x"), P.any("c")]), (found, editor) => {
    const x = found.value("c")
    const value = ScalarConstant.splat(editor, found.value("x").id)
    const output = found.nodes[0]?.outputs[0]
    if (value === undefined || output === undefined || !ScalarConstant.sameType(x, output)) return undefined
    return holds(value, x.type.dtype) ? () => x : undefined
  })
]

/** Adding −0 to a float changes nothing; adding 0 turns −0 into 0. */
const addsNothing = (value: number, dtype: DType): boolean =>
  DTypes.isFloat(dtype) ? Object.is(value, -0) : value === 0

/** The value of operand `position` of the op in operand 0. */
const idempotent = (op: OpDefinition): P.Rule =>
  P.rule(
    `${op.name} of ${op.name}`,
    P.op(op, [P.op(op, [P.any("x")], { as: "inner", shared: true })]),
    (found, editor) => {
      const inner = found.node("inner").outputs[0]
      return inner === undefined ? undefined : () => editor.value(inner.id)
    }
  )

const involution = (op: OpDefinition): P.Rule =>
  P.rule(
    `${op.name} of ${op.name}`,
    P.op(op, [P.op(op, [P.any("x")], { shared: true })]),
    (found) => () => found.value("x")
  )

const withItself = (op: OpDefinition): P.Rule =>
  P.rule(`${op.name} with itself`, P.op(op, [P.any("x"), P.any("x")]), (found) => () => found.value("x"))

/** Whether every value of `from` has a value of `to` of its own, so that a cast there and back changes nothing. */
const embeds = (from: DType, to: DType): boolean => {
  if (from === to) return true
  if (from === "bool") return true
  if (DTypes.isFloat(from)) return wider[from]?.includes(to) ?? false
  if (to === "bool") return false
  if (DTypes.isFloat(to)) {
    const exact: { readonly [D in DType]?: number } = { f64: 53, f32: 24, f16: 11, bf16: 8 }
    // Magnitudes up to 2^bits: an unsigned type's bits, a signed one's less the sign; fp16 ends at 65504.
    return DTypes.bits(from) - (DTypes.isSigned(from) ? 1 : 0) <= (exact[to] ?? 0)
  }
  const [inner, outer] = [DTypes.integerRange(from), DTypes.integerRange(to)]
  return inner.min >= outer.min && inner.max <= outer.max
}
const wider: { readonly [D in DType]?: ReadonlyArray<DType> } = {
  f8e4m3: ["f16", "bf16", "f32", "f64"],
  f8e5m2: ["f16", "bf16", "f32", "f64"],
  f16: ["f32", "f64"],
  bf16: ["f32", "f64"],
  f32: ["f64"]
}

const castRoundTrip = P.rule(
  "cast there and back",
  P.op(Ops.cast, [P.op(Ops.cast, [P.any("x")], { as: "there", shared: true })], { as: "back" }),
  (found) => {
    const x = found.value("x")
    const middle = found.node("there").outputs[0]?.type.dtype
    const end = found.node("back").outputs[0]?.type.dtype
    if (middle === undefined || end === undefined || !embeds(x.type.dtype, middle)) return undefined
    if (end === x.type.dtype) return () => x
    // Through a type that holds every value, and on: the first step is for nothing.
    if (end === "bool" || (DTypes.isFloat(middle) && DTypes.isInteger(end))) return undefined
    const saturate = found.node("back").attributes["saturate"] !== false
    return (b) => b.one(Ops.cast, [x], { to: end, saturate })
  }
)

const constantCondition = P.rule(
  "select by a constant",
  P.op(Ops.select, [P.any("condition"), P.any("a"), P.any("b")]),
  (found, editor) => {
    const condition = ScalarConstant.splat(editor, found.value("condition").id)
    const output = found.nodes[0]?.outputs[0]
    if (condition === undefined || output === undefined) return undefined
    const chosen = found.value(condition === 0 ? "b" : "a")
    return ScalarConstant.sameType(chosen, output) ? () => chosen : undefined
  }
)

const sameBranches = P.rule(
  "select of equals",
  P.op(Ops.select, [P.any("condition"), P.any("a"), P.any("a")]),
  (found) => {
    const output = found.nodes[0]?.outputs[0]
    return output !== undefined && ScalarConstant.sameType(found.value("a"), output)
      ? () => found.value("a")
      : undefined
  }
)

const arithmetic: ReadonlyArray<P.Rule> = [
  ...neutralBothWays(Ops.mul, "times 1", (value) => value === 1),
  ...neutralBothWays(Ops.add, "plus nothing", addsNothing),
  neutral(Ops.sub, "minus 0", (value) => Object.is(value, 0)),
  neutral(Ops.div, "by 1", (value) => value === 1),
  neutral(Ops.pow, "to the 1", (value) => value === 1),
  ...neutralBothWays(Ops.max, "at least −∞", (value, dtype) => DTypes.isFloat(dtype) && value === -Infinity),
  ...neutralBothWays(Ops.min, "at most ∞", (value, dtype) => DTypes.isFloat(dtype) && value === Infinity),
  ...neutralBothWays(Ops.and, "and true", (value) => value === 1),
  ...neutralBothWays(Ops.or, "or false", (value) => value === 0),
  involution(Ops.neg),
  involution(Ops.not),
  involution(Ops.bitwiseNot),
  idempotent(Ops.abs),
  idempotent(Ops.relu),
  idempotent(Ops.ceil),
  idempotent(Ops.floor),
  idempotent(Ops.round),
  idempotent(Ops.sign),
  withItself(Ops.min),
  withItself(Ops.max),
  withItself(Ops.and),
  withItself(Ops.or),
  castRoundTrip,
  constantCondition,
  sameBranches
]

export const eliminateNoOps: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "x·1, x/1, −(−x), reshape to the same shape, slice of everything … ⇒ x",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([...structural, ...arithmetic.map((rule) => Driver.fromRule(name, rule))])
})
