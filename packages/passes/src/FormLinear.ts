// matmul(x [.., k], w [k, n]) + bias [n]  ⇒  linear(x, w, bias)
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import type { Builder } from "@anneal/ir/Builder"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "formLinear"

/** The operand as a vector of n: a vector as it is, a constant with leading axes of 1 reshaped, a scalar repeated. */
const vectorOf = (editor: Editor, value: Value, n: Dim.Dim): ((b: Builder) => Value) | undefined => {
  const { dtype, shape } = value.type
  if (shape.length === 1 && Dim.equal(shape[0] ?? 0, n) === true) return () => value
  const entry = editor.constant(value.id)
  if (entry === undefined || typeof n !== "number") return undefined
  if (shape.at(-1) === n && shape.slice(0, -1).every((dim) => dim === 1))
    return (b) =>
      b.constant(Constants.reshaped(entry.constant, [n]), entry.name === undefined ? {} : { name: entry.name })
  const scalar = ScalarConstant.read(editor, value.id)
  if (scalar === undefined) return undefined
  return (b) => b.tensor(Numbers.fromNumbers(dtype, [n], new Float64Array(n).fill(scalar)))
}

const matmulThenAdd = P.rule(
  name,
  P.op(Ops.add, [P.op(Ops.matmul, [P.any("x"), P.any("w")], { as: "product" }), P.any("bias")]),
  (found, editor) => {
    const [x, w, bias] = [found.value("x"), found.value("w"), found.value("bias")]
    const [product, sum] = [found.node("product").outputs[0], found.nodes[0]?.outputs[0]]
    if (product === undefined || sum === undefined || !ScalarConstant.sameType(product, sum)) return undefined
    if (w.type.shape.length !== 2 || !DTypes.isFloat(x.type.dtype)) return undefined
    const vector = vectorOf(editor, bias, w.type.shape[1] ?? 0)
    return vector === undefined ? undefined : (b) => b.one(Ops.linear, [x, w, vector(b)], {})
  }
)

export const formLinear: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "matmul + bias ⇒ linear",
  ...Rewrite.noConfig,
  rewriting: () => Driver.rules(name, [matmulThenAdd], ["matmul"])
})
