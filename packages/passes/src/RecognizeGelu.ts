// x·0.5·(1 + erf(x/√2))  ⇒  gelu(x);   x·0.5·(1 + tanh(√(2/π)·(x + 0.044715·x³)))  ⇒  gelu(x), tanh form
//
// In any association and order: the argument of erf or tanh is compared as a polynomial in x, and the result as one in
// x and erf(…) or tanh(…). Hendrycks and Gimpel 2016.
import type { Editor } from "@anneal/ir/Editor"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Polynomial from "./Polynomial.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "recognizeGelu"

const outer = Math.sqrt(2 / Math.PI)

interface Form {
  readonly approximate: "none" | "tanh"
  /** Of the argument of the gate. */
  readonly argument: Readonly<Record<string, number>>
}
const forms: Readonly<Record<string, Form>> = {
  erf: { approximate: "none", argument: { "1,0": Math.SQRT1_2 } },
  tanh: { approximate: "tanh", argument: { "1,0": outer, "3,0": outer * 0.044715 } }
}
/** x/2 + x·gate/2. */
const whole = { "1,0": 0.5, "1,1": 0.5 }

/** Values below `id` through arithmetic, itself too: what x may be. */
const candidatesBelow = (editor: Editor, id: string, depth: number, found: Set<string>): void => {
  const value = editor.value(id)
  if (found.has(value.id) || editor.constant(value.id) !== undefined) return
  found.add(value.id)
  const node = editor.producer(value.id)
  if (node === undefined || depth === 0 || !Polynomial.arithmetic.has(node.op.name)) return
  for (const input of node.inputs) if (input !== null) candidatesBelow(editor, input, depth - 1, found)
}

/** Nodes above the gate through arithmetic: what the whole may be, outermost last. */
const candidatesAbove = (editor: Editor, node: Node, depth: number, found: Set<Node>): void => {
  for (const output of node.outputs)
    for (const user of editor.users(output.id)) {
      if (depth === 0 || found.has(user) || !Polynomial.arithmetic.has(user.op.name)) continue
      found.add(user)
      candidatesAbove(editor, user, depth - 1, found)
    }
}

/** The x for which the gate's argument has the wanted form. */
const argumentOf = (
  editor: Editor,
  gate: Node,
  form: Form
): { readonly x: Value; readonly nodes: Set<Node> } | undefined => {
  const [argument] = editor.inputs(gate)
  if (argument === undefined) return undefined
  const candidates = new Set<string>()
  candidatesBelow(editor, argument.id, 8, candidates)
  for (const id of candidates) {
    const nodes = new Set<Node>()
    const polynomial = Polynomial.of(editor, argument.id, { x: id }, nodes)
    if (Polynomial.isAbout(polynomial, form.argument, argument.type.dtype)) return { x: editor.value(id), nodes }
  }
  return undefined
}

const gated: Local = {
  ops: Object.keys(forms),
  apply: (gate, editor) => {
    const form = forms[gate.op.name]
    const value = gate.outputs[0]
    if (form === undefined || value === undefined || !DTypes.isFloat(value.type.dtype)) return false
    const found = argumentOf(editor, gate, form)
    if (found === undefined || !ScalarConstant.sameType(found.x, value)) return false
    const roots = new Set<Node>()
    candidatesAbove(editor, gate, 5, roots)
    for (const root of roots) {
      const output = root.outputs[0]
      if (output === undefined || !ScalarConstant.sameType(found.x, output)) continue
      const nodes = new Set<Node>()
      const polynomial = Polynomial.of(editor, output.id, { x: found.x.id, g: value.id }, nodes)
      if (!Polynomial.isAbout(polynomial, whole, value.type.dtype)) continue
      // The gate computed for somebody else as well would be computed twice.
      if (!Driver.isUsedOnlyBy(editor, value.id, nodes)) continue
      const { approximate } = form
      const from = [root, ...[...nodes].filter((node) => node !== root), gate, ...found.nodes]
      editor.replace(root, name, (b) => [b.one(Ops.gelu, [found.x], { approximate })], from)
      return true
    }
    return false
  }
}

export const recognizeGelu: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "reassociating",
  summary: "x·0.5·(1 + erf(x/√2)), or its tanh form ⇒ gelu",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([gated])
})
