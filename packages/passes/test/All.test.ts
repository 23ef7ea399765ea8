import { assert, describe, it } from "@effect/vitest"
import * as Builders from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph as IrGraph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import * as All from "@anneal/passes/All"
import { Graph } from "@anneal/pipeline/Graph"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { parse, show } from "./Rewriting.ts"

/** A small transformer block as an exporter writes it: every op in its pieces. */
const block = (): IrGraph => {
  const b = Builders.make("block")
  const [batch, seq] = [Dim.symbol("batch"), Dim.symbol("seq")]
  const [heads, dim] = [2, 4]
  const width = heads * dim
  const weight = (rows: number, columns: number, seed: number): Value =>
    b.tensor(
      Numbers.fromNumbers(
        "f32",
        [rows, columns],
        Array.from({ length: rows * columns }, (_, i) => (((i * 7 + seed) % 11) - 5) / 16)
      )
    )
  const scalar = (value: number): Value => b.tensor(Numbers.scalar("f32", value))
  const mul = (left: Value, right: Value): Value => b.one(Ops.mul, [left, right], {})
  const add = (left: Value, right: Value): Value => b.one(Ops.add, [left, right], {})
  const mean = (x: Value): Value => b.one(Ops.reduceMean, [x], { axes: [2], keepDims: true })

  const x = b.input("x", Type.make("f32", [batch, seq, width]))
  const centred = b.one(Ops.sub, [x, mean(x)], {})
  const variance = mean(b.one(Ops.pow, [centred, scalar(2)], {}))
  const norm = mul(
    b.one(Ops.div, [centred, b.one(Ops.sqrt, [add(variance, scalar(1e-5))], {})], {}),
    weight(1, width, 3)
  )
  const split = (value: Value): Value =>
    b.one(Ops.transpose, [b.one(Ops.reshape, [value], { shape: [batch, seq, heads, dim] })], {
      permutation: [0, 2, 1, 3]
    })
  const [q, k, v] = [1, 2, 3].map((seed) =>
    split(add(b.one(Ops.matmul, [norm, weight(width, width, seed)], {}), weight(1, width, seed)))
  )
  const keys = b.one(Ops.transpose, [k], { permutation: [0, 1, 3, 2] })
  const scores = b.one(Ops.div, [b.one(Ops.matmul, [q, keys], {}), scalar(2)], {})
  const down = b.one(Ops.sub, [scores, b.one(Ops.reduceMax, [scores], { axes: [3], keepDims: true })], {})
  const powers = b.one(Ops.exp, [down], {})
  const weights = b.one(Ops.div, [powers, b.one(Ops.reduceSum, [powers], { axes: [3], keepDims: true })], {})
  const mixed = b.one(Ops.transpose, [b.one(Ops.matmul, [weights, v], {})], { permutation: [0, 2, 1, 3] })
  const joined = b.one(Ops.reshape, [mixed], { shape: [batch, seq, width] })
  const attended = add(b.one(Ops.matmul, [joined, weight(width, width, 5)], {}), x)
  const inner = add(b.one(Ops.matmul, [attended, weight(width, 16, 6)], {}), weight(1, 16, 6))
  const gate = add(b.one(Ops.erf, [b.one(Ops.div, [inner, scalar(Math.SQRT2)], {})], {}), scalar(1))
  const gelu = mul(mul(inner, gate), scalar(0.5))
  b.output("y", add(b.one(Ops.matmul, [gelu, weight(16, width, 7)], {}), attended))
  return b.finish()
}

const opsOf = (graph: IrGraph): ReadonlyArray<string> => graph.nodes.map(({ op }) => op.name)

const count = (names: ReadonlyArray<string>): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

describe("all passes", () => {
  it("each name has one version, and is in the list of names once", () => {
    const versions = new Map<string, number>()
    for (const { name, version } of All.passes) {
      assert.strictEqual(versions.get(name) ?? version, version)
      versions.set(name, version)
    }
    assert.deepStrictEqual([...versions.keys()], [...All.names])
  })

  it("a name switches all its places off; an unknown one is refused with the known ones", () => {
    const list = All.without(["foldShapes", "mergeMatmuls"])
    assert.isFalse(list.some(({ name }) => name === "foldShapes" || name === "mergeMatmuls"))
    assert.strictEqual(All.without([]).length, All.passes.length)
    assert.throws(
      () => All.without(["foldShape"]),
      /no pass is called foldShape; there are eliminateDeadCode, foldShapes/
    )
  })

  it("docs/passes.md lists them as they are", () => {
    const page = readFileSync(new URL("../../../docs/passes.md", import.meta.url), "utf8")
    const rows = All.passes.map(
      ({ claim, name, summary }, index) => `| ${index + 1} | \`${name}\` | ${claim} | ${summary} |`
    )
    assert.include(page, rows.join("\n"))
  })

  it.effect("a transformer block in pieces becomes whole ops, through a checked pipeline", () =>
    Effect.gen(function* () {
      const graph = block()
      const { known, ledger } = yield* All.pipeline().build()
      const after = Pipeline.get(known, Graph)
      Verify.check(after, "all passes")
      assert.deepStrictEqual(count(opsOf(after)), {
        layerNorm: 1,
        linear: 2,
        slice: 3,
        reshape: 4,
        transpose: 4,
        attention: 1,
        matmul: 2,
        add: 2,
        gelu: 1
      })
      assert.deepStrictEqual(
        ledger.flatMap(({ diagnostics }) => diagnostics.filter(({ severity }) => severity !== "info")),
        []
      )
      assert.isAbove(graph.nodes.length, after.nodes.length * 2)
    }).pipe(Effect.provide([Layer.sync(Graph, block), Reference.layer()]))
  )

  it.effect("with a pass switched off, what it does is not done", () =>
    Effect.gen(function* () {
      const list = All.without(["recognizeAttention", "mergeMatmuls"])
      const { graph } = yield* All.rewriteAll(block(), list)
      assert.isFalse(opsOf(graph).includes("attention"))
      assert.isTrue(opsOf(graph).includes("softmax"))
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.effect("a second time changes nothing, and the same graph gives the same text", () =>
    Effect.gen(function* () {
      const first = yield* All.rewriteAll(block())
      const again = yield* All.rewriteAll(block())
      const second = yield* All.rewriteAll(first.graph)
      assert.strictEqual(show(again.graph), show(first.graph))
      assert.strictEqual(show(second.graph), show(first.graph))
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.effect("outputs and inputs keep their names and types", () =>
    Effect.gen(function* () {
      const graph = parse(
        `input "x" %x : f32[n, 3]
         constant %one : f32[] = 1
         %a : f32[n, 3] = mul(%x, %one)
         output "same" = %a
         output "also" = %x`
      )
      const edited = yield* All.rewriteAll(graph)
      assert.deepStrictEqual(edited.graph.outputs, [
        { name: "same", id: "x" },
        { name: "also", id: "x" }
      ])
      const oracle = yield* Oracle
      const input = Numbers.fromNumbers("f32", [2, 3], [1, 2, 3, 4, 5, 6])
      assert.deepStrictEqual(yield* oracle.run(edited.graph, [input]), yield* oracle.run(graph, [input]))
    }).pipe(Effect.provide(Reference.layer()))
  )
})
