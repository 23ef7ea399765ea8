// pow(x, 2)  ⇒  x·x;   (x·2)·3  ⇒  x·6;   min(max(x, 0), 6)  ⇒  clip(x, 0, 6);   x + 0  ⇒  x
//
// Equal up to rounding and the sign of zero. Division by a constant stays a division: x·(1/c) rounds twice.
import type { Builder } from "@anneal/ir/Builder"
import type { Editor } from "@anneal/ir/Editor"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "simplifyAlgebra"

/** Whether a value is at least 0 (or NaN) whatever the inputs: what may be under a root. */
const isNonNegative = (editor: Editor, id: string, depth = 8): boolean => {
  const constant = ScalarConstant.read(editor, id)
  if (constant !== undefined) return constant >= 0 && !Object.is(constant, -0)
  const node = editor.producer(id)
  if (node === undefined || depth === 0) return false
  const [first, second] = node.inputs
  const inner = (operand: string | null | undefined): boolean =>
    operand !== null && operand !== undefined && isNonNegative(editor, operand, depth - 1)
  switch (node.op.name) {
    case "abs":
    case "exp":
    case "sigmoid":
      return true
    case "mul":
      return (
        (typeof first === "string" &&
          typeof second === "string" &&
          editor.value(first).id === editor.value(second).id) ||
        (inner(first) && inner(second))
      )
    case "add":
      return inner(first) && inner(second)
    case "reduceMean":
    case "reduceSum":
    case "sqrt":
    case "reshape":
    case "transpose":
      return inner(first)
    default:
      return false
  }
}

const isFloat = (value: Value): boolean => value.type.dtype === "f32" || value.type.dtype === "f64"

// ---- powers ---------------------------------------------------------------------------------------------------------

const power = P.rule("power", P.op(Ops.pow, [P.any("x"), P.any("exponent")]), (found, editor) => {
  const x = found.value("x")
  const exponent = ScalarConstant.splat(editor, found.value("exponent").id)
  const output = found.nodes[0]?.outputs[0]
  if (exponent === undefined || output === undefined || !ScalarConstant.sameType(x, output)) return undefined
  // Narrow floats would round between the factors.
  if (exponent === 2) return (b) => b.one(Ops.mul, [x, x], {})
  if (!isFloat(x)) return undefined
  if (exponent === 3) return (b) => b.one(Ops.mul, [b.one(Ops.mul, [x, x], {}), x], {})
  if (exponent === -1) return (b) => b.one(Ops.reciprocal, [x], {})
  if (!isNonNegative(editor, x.id)) return undefined
  if (exponent === 0.5) return (b) => b.one(Ops.sqrt, [x], {})
  if (exponent === -0.5) return (b) => b.one(Ops.reciprocal, [b.one(Ops.sqrt, [x], {})], {})
  return undefined
})

const oneOver = P.rule("one over", P.op(Ops.div, [P.constant("one"), P.any("x")]), (found, editor) => {
  const x = found.value("x")
  const output = found.nodes[0]?.outputs[0]
  if (output === undefined || !DTypes.isFloat(x.type.dtype) || !ScalarConstant.sameType(x, output)) return undefined
  return ScalarConstant.splat(editor, found.value("one").id) === 1 ? (b) => b.one(Ops.reciprocal, [x], {}) : undefined
})

// ---- neutral and cancelling operands --------------------------------------------------------------------------------

const plusZero = P.rule("plus 0", P.op(Ops.add, [P.any("x"), P.constant("zero")]), (found, editor) => {
  const x = found.value("x")
  const output = found.nodes[0]?.outputs[0]
  if (output === undefined || !ScalarConstant.sameType(x, output)) return undefined
  return ScalarConstant.splat(editor, found.value("zero").id) === 0 ? () => x : undefined
})

const minusZero = P.rule("minus 0", P.op(Ops.sub, [P.any("x"), P.constant("zero")]), (found, editor) => {
  const x = found.value("x")
  const output = found.nodes[0]?.outputs[0]
  if (output === undefined || !ScalarConstant.sameType(x, output)) return undefined
  return ScalarConstant.splat(editor, found.value("zero").id) === 0 ? () => x : undefined
})

/** For integers alone: a float's NaN and infinities minus themselves are NaN. */
const minusItself = P.rule("minus itself", P.op(Ops.sub, [P.any("x"), P.any("x")]), (found) => {
  const x = found.value("x")
  const shape = x.type.shape
  if (!DTypes.isInteger(x.type.dtype)) return undefined
  return (b) => b.one(Ops.expand, [b.tensor(Numbers.scalar(x.type.dtype, 0))], { shape })
})

/** a − (−b) ⇒ a + b, a + (−b) ⇒ a − b. */
const minusNegative = P.rule(
  "minus negative",
  P.op(Ops.sub, [P.any("a"), P.op(Ops.neg, [P.any("b")])]),
  (found) => (b) => b.one(Ops.add, [found.value("a"), found.value("b")], {})
)
const plusNegative = P.rule(
  "plus negative",
  P.op(Ops.add, [P.any("a"), P.op(Ops.neg, [P.any("b")])]),
  (found) => (b) => b.one(Ops.sub, [found.value("a"), found.value("b")], {})
)

/** (x ∘ c) ∘ d ⇒ x ∘ (c ∘ d), for scalars whose combination is an ordinary number. */
const combine = (op: OpDefinition<{}>, compute: (a: number, b: number) => number): P.Rule =>
  P.rule(
    `combine ${op.name}`,
    P.op(op, [P.op(op, [P.any("x"), P.constant("c")]), P.constant("d")]),
    (found, editor) => {
      const x = found.value("x")
      const [c, d] = [
        ScalarConstant.read(editor, found.value("c").id),
        ScalarConstant.read(editor, found.value("d").id)
      ]
      const output = found.nodes[0]?.outputs[0]
      if (c === undefined || d === undefined || output === undefined || !isFloat(x)) return undefined
      if (!ScalarConstant.sameType(x, output)) return undefined
      const value = compute(c, d)
      // Beyond these an intermediate result may have overflowed or lost bits that the combined one keeps.
      if (!Number.isFinite(value) || [c, d, value].some((n) => n !== 0 && (Math.abs(n) > 1e15 || Math.abs(n) < 1e-15)))
        return undefined
      return (b) => b.one(op, [x, b.tensor(Numbers.scalar(x.type.dtype, value))], {})
    }
  )

// ---- limits ---------------------------------------------------------------------------------------------------------

interface Limits {
  readonly low: number | undefined
  readonly high: number | undefined
}

const clipTo = (x: Value, { high, low }: Limits): ((b: Builder) => Value) => {
  const { dtype } = x.type
  return (b) => {
    const limit = (value: number | undefined): Value | undefined =>
      value === undefined ? undefined : b.tensor(Numbers.scalar(dtype, value))
    return b.one(Ops.clip, [x, limit(low), limit(high)], {})
  }
}

/** What a node limits its first operand to, if it is max, min, relu or clip with constants. */
const limitsOf = (editor: Editor, id: string): { readonly x: Value; readonly limits: Limits } | undefined => {
  const node = editor.producer(id)
  if (node === undefined) return undefined
  const [a, b, c] = editor.inputs(node)
  if (a === undefined) return undefined
  if (node.op.name === Ops.relu.name) return { x: a, limits: { low: 0, high: undefined } }
  if (node.op.name === Ops.clip.name) {
    const [low, high] = [ScalarConstant.read(editor, b?.id), ScalarConstant.read(editor, c?.id)]
    if ((b !== undefined && low === undefined) || (c !== undefined && high === undefined)) return undefined
    return { x: a, limits: { low, high } }
  }
  if (b === undefined || (node.op.name !== Ops.max.name && node.op.name !== Ops.min.name)) return undefined
  for (const [x, limit] of [[a, b] as const, [b, a] as const]) {
    const value = ScalarConstant.read(editor, limit.id)
    if (value === undefined || !ScalarConstant.sameType(x, { id, type: editor.type(id) })) continue
    return {
      x,
      limits: node.op.name === Ops.max.name ? { low: value, high: undefined } : { low: undefined, high: value }
    }
  }
  return undefined
}

/** Two limits in a row, the outer one applied last, as one; undefined where one clip does not say the same. */
const mergeLimits = (inner: Limits, outer: Limits): Limits | undefined => {
  if ([inner.low, inner.high, outer.low, outer.high].some(Number.isNaN)) return undefined
  const squeeze = (value: number): number => Math.min(outer.high ?? Infinity, Math.max(outer.low ?? -Infinity, value))
  const low = inner.low === undefined ? outer.low : squeeze(inner.low)
  const high = inner.high === undefined ? outer.high : squeeze(inner.high)
  if ((inner.low ?? -Infinity) > (inner.high ?? Infinity) || (outer.low ?? -Infinity) > (outer.high ?? Infinity))
    return undefined
  return (low ?? -Infinity) <= (high ?? Infinity) ? { low, high } : undefined
}

const mergeClamps: Driver.Local = {
  ops: ["max", "min", "clip", "relu"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    const outer = output === undefined ? undefined : limitsOf(editor, output.id)
    if (outer === undefined || !editor.isOnlyUsedBy(outer.x.id, node)) return false
    const inner = limitsOf(editor, outer.x.id)
    const merged = inner === undefined ? undefined : mergeLimits(inner.limits, outer.limits)
    const producer = editor.producer(outer.x.id)
    if (inner === undefined || merged === undefined || producer === undefined) return false
    if (!DTypes.isFloat(inner.x.type.dtype)) return false
    if (Graphs.isOp(node, Ops.relu) && Graphs.isOp(producer, Ops.relu)) return false
    const build = clipTo(inner.x, merged)
    editor.replace(node, `${name}/limits`, (b) => [build(b)], [node, producer])
    return true
  }
}

const rules: ReadonlyArray<P.Rule> = [
  power,
  oneOver,
  plusZero,
  minusZero,
  minusItself,
  minusNegative,
  plusNegative,
  combine(Ops.mul, (a, b) => a * b),
  combine(Ops.add, (a, b) => a + b)
]

export const simplifyAlgebra: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "x² as x·x, scalars combined, limits merged into clip ⇒ fewer, cheaper nodes",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([...rules.map((rule) => Driver.fromRule(name, rule)), mergeClamps])
})
