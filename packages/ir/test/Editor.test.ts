import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import * as Editor from "@anneal/ir/Editor"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import { assert, describe, it } from "@effect/vitest"

const chain = (): Graph.Graph =>
  Text.parse(
    `graph "chain" {
      input "x" %x : f32[2]
      %a : f32[2] = neg(%x) from "A"
      %b : f32[2] = neg(%a) from "B"
      %c : f32[2] = exp(%b)
      %d : f32[2] = add(%b, %c)
      output "y" = %d
    }`,
    { ops: Ops.table() }
  )

const nodeOf = (editor: Editor.Editor, id: string): Graph.Node => {
  const node = editor.producer(id)
  if (node === undefined) throw new Error(`no producer of ${id}`)
  return node
}

describe("the editor", () => {
  it("replaces a value by one that is there, and rewires its users", () => {
    const editor = Editor.open(chain())
    editor.replace(nodeOf(editor, "b"), "doubleNegation", () => [editor.value("x")])
    editor.remove(nodeOf(editor, "a"))
    const { changed, graph, replaced } = editor.finish()
    assert.isTrue(changed)
    assert.strictEqual(replaced.get("b"), "x")
    assert.deepStrictEqual(
      graph.nodes.map((node) => node.inputs),
      [["x"], ["x", "c"]]
    )
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("keeps nodes that nothing changed as the same objects", () => {
    const graph = chain()
    const editor = Editor.open(graph)
    editor.replace(nodeOf(editor, "c"), "test", (b) => [b.one(Ops.tanh, [editor.value("b")], {})])
    const next = editor.finish().graph
    assert.strictEqual(next.nodes[0], graph.nodes[0])
    assert.strictEqual(next.nodes[1], graph.nodes[1])
    assert.deepStrictEqual(next.nodes[2]?.lineage.rewrites, ["test"])
  })

  it("follows chains of replacements, whatever their order", () => {
    const editor = Editor.open(chain())
    editor.replace(nodeOf(editor, "a"), "one", (b) => [b.one(Ops.abs, [editor.value("x")], {})])
    editor.replace(nodeOf(editor, "b"), "two", () => [editor.value("a")])
    const { graph, replaced } = editor.finish()
    assert.strictEqual(replaced.get("b"), replaced.get("a"))
    assert.strictEqual(graph.nodes.at(-1)?.inputs[0], replaced.get("a"))
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("refuses another type, a used value's removal and a node that has gone", () => {
    const editor = Editor.open(chain())
    const node = nodeOf(editor, "c")
    assert.throws(() => editor.remove(nodeOf(editor, "b")), /still used/)
    assert.throws(
      () => editor.replace(node, "bad", (b) => [b.one(Ops.reshape, [editor.value("b")], { shape: [1, 2] })]),
      /cannot replace/
    )
    const other = Editor.open(chain())
    assert.throws(() => other.replace(node, "bad", () => [other.value("x")]), /no longer in the graph/)
  })

  it("replaces a graph's output, and says when nothing changed", () => {
    const editor = Editor.open(chain())
    editor.replace(nodeOf(editor, "d"), "out", () => [editor.value("c")])
    assert.strictEqual(editor.finish().graph.outputs[0]?.id, "c")
    const same = chain()
    assert.strictEqual(Editor.open(same).finish().graph, same)
  })

  it("notes which constants a pass reads, and drops those that nothing uses", () => {
    const b = Builder.make("g")
    const x = b.input("x", Type.make("f32", [2]))
    const one = b.tensor(Numbers.scalar("f32", 1), { id: "one" })
    const two = b.tensor(Numbers.scalar("f32", 2), { id: "two" })
    b.output("y", b.one(Ops.add, [b.one(Ops.mul, [x, one], {}), two], {}))
    const reader = Constant.makeReader()
    const editor = Editor.open(b.finish(), reader)
    assert.strictEqual(editor.read("one")?.data[0], 1)
    assert.isUndefined(editor.read("x"))
    assert.strictEqual(reader.digests().length, 1)
    editor.replace(nodeOf(editor, "mul"), "mulByOne", () => [editor.value("x")])
    assert.deepStrictEqual([...editor.finish().graph.constants.keys()], ["two"])
  })
})
