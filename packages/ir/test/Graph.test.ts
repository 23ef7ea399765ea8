import { assert, describe, it } from "@effect/vitest"
import * as Bind from "@anneal/ir/Bind"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Editor from "@anneal/ir/Editor"
import * as Graph from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as P from "@anneal/ir/Pattern"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"

const batch = Dim.symbol("batch")

const sample = (): Graph.Graph => {
  const b = Builder.make("sample")
  const x = b.input("x", Type.make("f32", [batch, 3]))
  const w = b.tensor(
    Numbers.fromNumbers(
      "f32",
      [3, 8],
      Array.from({ length: 24 }, (_, i) => i / 7)
    ),
    { id: "w", name: "fc.weight" }
  )
  const bias = b.tensor(Numbers.fromNumbers("f32", [8], [0, 1, 2, 3, 4, 5, 6, -0]), { id: "bias" })
  const product = b.one(Ops.matmul, [x, w], {}, { lineage: { sources: ["fc"], rewrites: [] } })
  const sum = b.one(Ops.add, [bias, product], {})
  const flat = b.one(Ops.reshape, [sum], { shape: [Dim.mul(batch, 8)] })
  b.output("y", flat)
  return b.finish()
}

describe("graphs", () => {
  it("print and parse round trip, to the same hashes", () => {
    const graph = sample()
    const text = Text.print(graph)
    const constants = Graph.allConstants(graph)
    const parsed = Text.parse(text, { ops: Ops.table(), constant: (digest) => constants.get(digest) })
    assert.strictEqual(Text.print(parsed), text)
    assert.strictEqual(Hash.content(parsed), Hash.content(graph))
    assert.include(text, '%reshape : f32[8*batch] = reshape(%add) {"shape":["8*batch"]}')
    assert.deepStrictEqual(Verify.verify(parsed), [])
  })

  it("parse like another graph: what is written the same is the same object, the rest is new", () => {
    const graph = sample()
    const constant = (digest: string) => Graph.allConstants(graph).get(digest)
    const text = Text.print(graph).replace("%add : f32[batch, 8] = add", "%add : f32[batch, 8] = sub")
    const parsed = Text.parse(text, { ops: Ops.table(), constant, like: graph })
    assert.strictEqual(Text.print(parsed), text)
    assert.deepStrictEqual(
      parsed.nodes.map((node, index) => [node.op.name, node === graph.nodes[index]]),
      [
        ["matmul", true],
        ["sub", false],
        ["reshape", true]
      ]
    )
    // Another op of the same name is another op.
    const ops = new Map(Ops.table()).set("matmul", { ...Ops.matmul })
    const [matmul] = Text.parse(text, { ops, constant, like: graph }).nodes
    assert.strictEqual(matmul?.op, ops.get("matmul"))
  })

  it("parse like another graph inside sub-graphs, each like its own", () => {
    const branch = (op: string) =>
      `graph "branch" {\n    input "a" %a : f32[2]\n    %b : f32[2] = ${op}(%a)\n    output "b" = %b\n  }`
    const text = (then: string, otherwise: string) =>
      `graph "g" {\n  input "c" %c : bool[]\n  input "x" %x : f32[2]\n  %y : f32[2] = if(%c, %x) with then ${branch(then)} with else ${branch(otherwise)}\n  output "y" = %y\n}\n`
    const graph = Text.parse(text("relu", "neg"), { ops: Ops.table() })
    const parsed = Text.parse(text("relu", "relu"), { ops: Ops.table(), like: graph })
    assert.strictEqual(Text.print(parsed), text("relu", "relu"))
    const inner = (of: Graph.Graph, name: string) => of.nodes[0]?.graphs[name]?.nodes[0]
    assert.strictEqual(inner(parsed, "then"), inner(graph, "then"))
    assert.notStrictEqual(inner(parsed, "else"), inner(graph, "then"))
    assert.strictEqual(inner(parsed, "else")?.op.name, "relu")
  })

  it("refuse a broken text with the line", () => {
    assert.throws(
      () => Text.parse('graph "g" {\n  %y : f32[2] = relu(%x)\n}', { ops: Ops.table() }),
      /line 2: %x is used before/
    )
    assert.throws(
      () => Text.parse('graph "g" {\n  input "x" %x : f32[', { ops: Ops.table() }),
      /line 2: expected a type/
    )
  })

  it("structure leaves bytes out, content does not", () => {
    const make = (value: number): Graph.Graph => {
      const b = Builder.make("g")
      const x = b.input("x", Type.make("f32", [2]))
      b.output("y", b.one(Ops.mul, [x, b.tensor(Numbers.scalar("f32", value))], {}))
      return b.finish()
    }
    assert.strictEqual(Hash.structure(make(1)), Hash.structure(make(2)))
    assert.notStrictEqual(Hash.content(make(1)), Hash.content(make(2)))
  })

  it("bind their symbols, or say what does not fit", () => {
    const graph = sample()
    assert.strictEqual(Bind.bind(graph, [[4, 3]]).get("batch"), 4)
    assert.throws(() => Bind.bind(graph, [[4, 5]]), /axis 1 is 5, expected 3/)
    assert.throws(() => Bind.bind(graph, [[4]]), /rank 1/)
  })

  it("infer types and refuse mismatches", () => {
    const b = Builder.make("g")
    const x = b.input("x", Type.make("f32", [batch, 3]))
    const y = b.input("y", Type.make("f32", [4, 5]))
    assert.throws(() => b.one(Ops.matmul, [x, y], {}), /contracted extents: 3 is not 4/)
    assert.throws(() => b.one(Ops.add, [x, b.tensor(Numbers.scalar("f64", 1))], {}), /dtypes differ/)
  })
})

describe("composites", () => {
  it("expand to the types that inference gives", () => {
    const cases: ReadonlyArray<(b: Builder.GraphBuilder) => Graph.Value> = [
      (b) => b.one(Ops.gelu, [b.input("x", Type.make("f16", [batch, 4]))], { approximate: "tanh" }),
      (b) => b.one(Ops.softmax, [b.input("x", Type.make("f32", [batch, 4]))], { axis: -1 }),
      (b) =>
        b.one(
          Ops.attention,
          [
            b.input("q", Type.make("f32", [batch, 8, Dim.symbol("s"), 16])),
            b.input("k", Type.make("f32", [batch, 2, Dim.symbol("t"), 16])),
            b.input("v", Type.make("f32", [batch, 2, Dim.symbol("t"), 16]))
          ],
          { scale: 0.25, causal: true }
        )
    ]
    for (const make of cases) {
      const b = Builder.make("g")
      const value = make(b)
      const inner = b.finish()
      const node = inner.nodes[0]
      assert.isDefined(node)
      const types = Graph.index(inner)
      const inputs = node.inputs.map((id) => (id === null ? undefined : { id, type: types.type(id) }))
      const expanded = node.op.expand?.(b, inputs, node.attributes) ?? []
      assert.notStrictEqual(Type.equal(expanded[0]?.type ?? Type.scalar("bool"), value.type), false)
      assert.deepStrictEqual(Verify.verify(b.finish()), [])
    }
  })
})

describe("rewriting", () => {
  const linear = P.rule(
    "linear",
    P.op(Ops.add, [P.op(Ops.matmul, [P.any("x"), P.any("w")]), P.any("bias")]),
    (found) => (b) => b.one(Ops.linear, [found.value("x"), found.value("w"), found.value("bias")], {})
  )
  it("matches commuted operands and keeps lineage", () => {
    const editor = Editor.open(sample())
    assert.strictEqual(P.rewriteAll([linear], editor, "linear"), 1)
    const { graph, replaced } = editor.finish()
    assert.deepStrictEqual(
      graph.nodes.map((node) => node.op.name),
      ["matmul", "linear", "reshape"]
    )
    assert.deepStrictEqual(graph.nodes[1]?.lineage, { sources: ["fc"], rewrites: ["linear"] })
    assert.strictEqual(replaced.get("add"), "linear")
    assert.deepStrictEqual(Verify.verify(graph), [])
  })
  it("leaves a shared product alone", () => {
    const b = Builder.make("g")
    const x = b.input("x", Type.make("f32", [2, 3]))
    const w = b.input("w", Type.make("f32", [3, 4]))
    const bias = b.input("bias", Type.make("f32", [4]))
    const product = b.one(Ops.matmul, [x, w], {})
    b.output("y", b.one(Ops.add, [product, bias], {}))
    b.output("z", product)
    const editor = Editor.open(b.finish())
    assert.strictEqual(P.rewriteAll([linear], editor, "linear"), 0)
  })
})
