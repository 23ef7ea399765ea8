// if(true) { then: f(x) } { else: g(x) }  ⇒  f(x)
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Inline from "./Inline.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "foldIf"

const decided: Local = {
  ops: ["if"],
  apply: (node, editor, scope) => {
    const condition = ScalarConstant.read(editor, node.inputs[0])
    const branch = condition === undefined ? undefined : node.graphs[condition === 0 ? "else" : "then"]
    if (branch === undefined) return false
    const captured = editor.inputs(node).slice(1)
    const given = captured.flatMap((value) => (value === undefined ? [] : [value]))
    if (given.length !== branch.inputs.length) return false
    editor.replace(node, name, (b) => {
      const results = Inline.inline(b, branch, given, scope, node, name)
      for (const [position, output] of node.outputs.entries()) {
        const result = results[position]
        if (result !== undefined) scope.bind(output.type, result.type)
      }
      return results
    })
    return true
  }
}

export const foldIf: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "if on a constant ⇒ the branch",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([decided])
})
