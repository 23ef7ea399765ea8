// Operators that are one elementwise op of one operand: Sqrt(x) ⇒ sqrt(x). With known content, evaluated where exact.
import * as DTypes from "@anneal/ir/DType"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { Operator } from "../Operator.ts"

type Evaluate = (dtype: DTypes.DType, element: Content.Element) => Content.Element | undefined

const list: ReadonlyArray<readonly [name: string, op: OpDefinition<{}>, evaluate?: Evaluate]> = [
  ["Abs", Ops.abs, Content.abs],
  ["Acos", Ops.acos],
  ["Acosh", Ops.acosh],
  ["Asin", Ops.asin],
  ["Asinh", Ops.asinh],
  ["Atan", Ops.atan],
  ["Atanh", Ops.atanh],
  ["BitwiseNot", Ops.bitwiseNot],
  ["Ceil", Ops.ceil, Content.ceil],
  ["Cos", Ops.cos],
  ["Cosh", Ops.cosh],
  ["Erf", Ops.erf],
  ["Exp", Ops.exp],
  ["Floor", Ops.floor, Content.floor],
  ["IsNaN", Ops.isNaN],
  ["Log", Ops.log],
  ["Neg", Ops.neg, Content.neg],
  ["Not", Ops.not, Content.not],
  ["Reciprocal", Ops.reciprocal],
  ["Round", Ops.round],
  ["Sigmoid", Ops.sigmoid],
  ["Sign", Ops.sign],
  ["Sin", Ops.sin],
  ["Sinh", Ops.sinh],
  ["Sqrt", Ops.sqrt, Content.sqrt],
  ["Tan", Ops.tan],
  ["Tanh", Ops.tanh]
]

export const all: ReadonlyArray<Operator> = list.map(([name, op, evaluate]) => ({
  name,
  since: [1],
  translate: (c) => {
    const content = evaluate === undefined ? undefined : c.content(0)
    const known = content === undefined || evaluate === undefined ? undefined : Content.unary(content, evaluate)
    return known === undefined ? c.e.unary(op, c.input(0)) : c.known(known)
  }
}))

export const isInf: Operator = {
  name: "IsInf",
  since: [10],
  translate: (c) =>
    c.e.b.one(Ops.isInf, [c.input(0)], {
      positive: c.attribute.flag("detect_positive", true),
      negative: c.attribute.flag("detect_negative", true)
    })
}
