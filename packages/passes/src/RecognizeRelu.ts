// max(x, 0)  ⇒  relu(x);   clip(x, 0, none)  ⇒  relu(x)
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeRelu"

const rectify = (root: P.Pattern): P.Rule =>
  P.rule(name, root, (found, editor) => {
    const x = found.value("x")
    const output = found.nodes[0]?.outputs[0]
    if (output === undefined || !ScalarConstant.sameType(x, output) || !DTypes.isSigned(x.type.dtype)) return undefined
    return Object.is(ScalarConstant.splat(editor, found.value("zero").id), 0)
      ? (b) => b.one(Ops.relu, [x], {})
      : undefined
  })

export const recognizeRelu: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "max(x, 0) ⇒ relu",
  ...Rewrite.noConfig,
  rewriting: () =>
    Driver.rules(name, [
      rectify(P.op(Ops.max, [P.any("x"), P.constant("zero")])),
      rectify(P.op(Ops.clip, [P.any("x"), P.constant("zero"), undefined]))
    ])
})
