import { assert, describe, it } from "@effect/vitest"
import * as Graph from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import * as Reference from "@anneal/reference/Reference"
import * as Graphs from "@anneal/testing/Graphs"
import * as Template from "@anneal/testing/Template"
import * as Templates from "@anneal/testing/Templates"
import * as Effect from "effect/Effect"

const many = Array.from({ length: 200 }, (_, seed) => Graphs.generate(seed))

describe("Graphs", () => {
  it("are sound, with a source for every node and at least one output", () => {
    for (const graph of many) {
      assert.deepStrictEqual(Verify.verify(graph), [], Text.print(graph))
      assert.isNotEmpty(graph.outputs)
      for (const { lineage } of graph.nodes) assert.strictEqual(lineage.sources.length, 1)
    }
  })

  it("are the same for a seed, others for another, and come back from their text", () => {
    const texts = many.map((graph) => Text.print(graph))
    assert.deepStrictEqual(
      many.slice(0, 20).map((_, seed) => Text.print(Graphs.generate(seed))),
      texts.slice(0, 20)
    )
    assert.strictEqual(new Set(texts).size, texts.length)
    for (const [index, graph] of many.entries()) {
      const constants = Graph.allConstants(graph)
      const parsed = Text.parse(texts[index] ?? "", { ops: Ops.table(), constant: (digest) => constants.get(digest) })
      assert.strictEqual(Text.print(parsed), texts[index])
    }
  })

  it("use every template, and symbolic sizes", () => {
    const counts = new Map<string, number>()
    const counting = Templates.all.map(({ build, name }) =>
      Template.make(name, (site) => {
        const made = build(site)
        if (made !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1)
        return made
      })
    )
    for (let seed = 0; seed < 300; seed++) Graphs.generate(seed, { templates: counting })
    for (const { name } of Templates.all) assert.isAbove(counts.get(name) ?? 0, 3, name)
    assert.isNotEmpty(many.filter((graph) => Text.print(graph).includes("[n, 3]")))
  })

  it.live("run on the oracle, mostly with finite results", () =>
    Effect.gen(function* () {
      const oracle = Reference.make()
      let [finite, total] = [0, 0]
      for (const graph of many.slice(0, 80)) {
        const inputs = Graphs.inputsOf(graph, 1)
        for (const { data } of yield* oracle.run(graph, inputs)) {
          total += data.length
          for (const value of data) if (Number.isFinite(Number(value))) finite++
        }
      }
      assert.isAbove(finite / total, 0.95)
    })
  )

  it.prop("arbitrary gives sound graphs", [Graphs.arbitrary({ steps: 3 })], ([graph]) => {
    assert.deepStrictEqual(Verify.verify(graph), [])
  })
})
