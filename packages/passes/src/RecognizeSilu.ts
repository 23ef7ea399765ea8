// x · sigmoid(x)  ⇒  silu(x);   1 / (1 + exp(−x))  ⇒  sigmoid(x);   x / (1 + exp(−x))  ⇒  silu(x)
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeSilu"

const onePlusExp = P.op(Ops.add, [P.op(Ops.exp, [P.op(Ops.neg, [P.any("x")])]), P.constant("one")])

const isOne = (editor: Editor, found: P.Captures, title: string): boolean =>
  ScalarConstant.splat(editor, found.value(title).id) === 1

const isFloat = (found: P.Captures): boolean => DTypes.isFloat(found.value("x").type.dtype)
const keepsType = (found: P.Captures): boolean => {
  const output = found.nodes[0]?.outputs[0]
  return output !== undefined && isFloat(found) && ScalarConstant.sameType(found.value("x"), output)
}

const rules: ReadonlyArray<P.Rule> = [
  P.rule("sigmoid", P.op(Ops.reciprocal, [onePlusExp]), (found, editor) =>
    keepsType(found) && isOne(editor, found, "one") ? (b) => b.one(Ops.sigmoid, [found.value("x")], {}) : undefined
  ),
  P.rule("sigmoid", P.op(Ops.div, [P.constant("numerator"), onePlusExp]), (found, editor) =>
    keepsType(found) && isOne(editor, found, "one") && isOne(editor, found, "numerator")
      ? (b) => b.one(Ops.sigmoid, [found.value("x")], {})
      : undefined
  ),
  P.rule("silu", P.op(Ops.mul, [P.op(Ops.sigmoid, [P.any("x")]), P.any("x")]), (found) =>
    keepsType(found) ? (b) => b.one(Ops.silu, [found.value("x")], {}) : undefined
  ),
  P.rule("silu", P.op(Ops.div, [P.any("x"), onePlusExp]), (found, editor) =>
    keepsType(found) && isOne(editor, found, "one") ? (b) => b.one(Ops.silu, [found.value("x")], {}) : undefined
  )
]

export const recognizeSilu: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "x · sigmoid(x) ⇒ silu; 1 / (1 + exp(−x)) ⇒ sigmoid",
  ...Rewrite.noConfig,
  rewriting: () => Driver.rules(name, rules, ["sigmoid", "exp"])
})
