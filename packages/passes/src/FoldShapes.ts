// sizes [n, 3] → gather 0 → mul 2  ⇒  sizes [2*n];   readDims u0 of [4]  ⇒  [4], and u0 is 4 everywhere
//
// Integer arithmetic on shapes becomes dims, dims that are numbers become constants, and sizes that turn out to be known
// take the place of their unbacked symbols all over the graph.
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as DimContent from "./DimContent.ts"
import type { Scope } from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"
import * as Symbols from "./Symbols.ts"

const name = "foldShapes"
const rewriting = (editor: Editor, scope: Scope): void => {
  const dims = DimContent.make(editor)
  for (const node of editor.nodes()) {
    const content = dims.visit(node)
    if (content === undefined) continue
    if (Graphs.isOp(node, Ops.readDims)) nameKnown(node, dims, editor, scope)
    else write(node, content, editor)
  }
}

/** Dims that are known need no names of their own. */
const nameKnown = (
  node: Graphs.Node<{ readonly symbols: ReadonlyArray<Dim.Dim> }>,
  dims: ReturnType<typeof DimContent.make>,
  editor: Editor,
  scope: Scope
): void => {
  const content = dims.content(node.inputs[0])
  const [x] = editor.inputs(node)
  if (content === undefined || x === undefined) return
  const sizes: Array<readonly [string, Dim.Dim]> = []
  for (const [index, symbol] of node.attributes.symbols.entries()) {
    const size = content[index]
    if (size === undefined) return
    // A negative size, or another one than was named: running says so.
    if (Dim.isNonNegative(size) === false || Dim.equal(size, symbol) === false) return
    const symbolName = Symbols.unbackedName(symbol)
    if (symbolName === undefined && Dim.equal(size, symbol) !== true) return
    if (symbolName !== undefined) sizes.push([symbolName, size])
  }
  editor.replace(node, name, () => [x])
  for (const [symbol, size] of sizes) {
    scope.bindSize(symbol, size)
    dims.learn(symbol, size)
    if (Dim.isNonNegative(size) !== true)
      scope.constrain({ left: size, right: Dim.max(size, 0), what: "a size that must not be negative" })
  }
}

/** Puts what is known in the place of what computed it. */
const write = (node: Node, content: DimContent.Content, editor: Editor): void => {
  const output = node.outputs[0]
  const shape = output === undefined ? undefined : Type.staticShape(output.type)
  if (output === undefined || shape === undefined) return
  const { dtype } = output.type
  if (content.every(Dim.isStatic)) {
    const range = DTypes.integerRange(dtype)
    if (content.some((value) => BigInt(value) < range.min || BigInt(value) > range.max)) return
    editor.replace(node, name, (b) => [b.tensor(Numbers.fromNumbers(dtype, shape, content))])
    return
  }
  // Sizes with symbols stay as they are; what those turn out to be is put in everywhere.
  if (dtype !== "i64" || shape.length > 1 || Graphs.isOp(node, Ops.sizes)) return
  editor.replace(node, name, (b) => [b.one(Ops.sizes, [], { values: content, scalar: shape.length === 0 })])
}

export const foldShapes: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "integer arithmetic on shapes ⇒ dims and constants",
  ...Rewrite.noConfig,
  rewriting: () => Object.assign(rewriting, { ops: new Set([Ops.sizes.name, Ops.readDims.name]) })
})
