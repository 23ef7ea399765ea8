import { assert, describe, it } from "@effect/vitest"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import { layerReference } from "@anneal/pipeline/Target"
import { layerOff } from "@anneal/pipeline/Validation"
import * as Quantize from "@anneal/quantize/Quantize"
import * as RangesTable from "@anneal/quantize/RangesTable"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { parse } from "./Text.ts"

const graph = parse(`
  input "x" %x : f32[1, 2]
  constant %m : f32[2, 1] = [1, 2]
  %y : f32[1, 1] = matmul(%x, %m)
  output "y" = %y`)

const lineOf = (text: string): string => {
  try {
    RangesTable.parse(text)
  } catch (error) {
    if (error instanceof RangesTable.RangesTableError) return `${error.line}: ${error.detail}`
    throw error
  }
  return "read"
}

describe("RangesTable", () => {
  const Id = Schema.String
  it.prop(
    "prints and reads back, whatever the ids",
    [Schema.Array(Id), Schema.Finite, Schema.Finite],
    ([ids, a, b]) => {
      const range = { min: Math.min(a, b) + 0, max: Math.max(a, b) + 0 }
      const table = { measuredOn: "abc", of: Object.fromEntries(ids.map((id) => [id, range])) }
      assert.deepStrictEqual(RangesTable.parse(RangesTable.print(table)), table)
    }
  )

  it("is a table that people can read", () => {
    assert.strictEqual(
      RangesTable.print({ measuredOn: "abc", of: { conv1: { min: -0.25, max: 3.5 } } }),
      '# anneal ranges 1, measured on abc\n"conv1"\t-0.25\t3.5\n'
    )
    const edited = '# anneal ranges 1, measured on abc\r\n\r\n# my own\r\n"conv1"\t-1\t1e2\r\n'
    assert.deepStrictEqual(RangesTable.parse(edited), { measuredOn: "abc", of: { conv1: { min: -1, max: 100 } } })
  })

  it("names the line that is wrong", () => {
    const title = "# anneal ranges 1, measured on abc"
    assert.match(lineOf('"x"\t0\t1'), /^1: it must start with/)
    assert.match(lineOf(`${title}\n"x"\t0\t1\nx 0 1`), /^3: expected a quoted id/)
    assert.match(lineOf(`${title}\n\n"x"\t2\t1`), /^3: \[2, 1\] is no range/)
    assert.match(lineOf(`${title}\n"x"\tzero\t1`), /^2: \[zero, 1\] is no range/)
    assert.match(lineOf(`${title}\n"x"\t0\tInfinity`), /^2: /)
    assert.match(lineOf(`${title}\n"x\\q"\t0\t1`), /^2: "x\\q" is no text/)
    assert.match(lineOf(`${title}\n"x"\t0\t1\n"x"\t0\t2`), /^3: %x is there twice/)
  })

  const use = (table: string) =>
    Pipeline.on(GraphTag)
      .through(RangesTable.readRanges({ table }))
      .through(Quantize.quantize({ bits: 8, keep: [] }))
      .build()
      .pipe(Effect.provide([Layer.succeed(GraphTag, graph), layerReference, layerOff]))

  it.effect("takes the place of calibration, for the graph that it was measured on", () =>
    Effect.gen(function* () {
      const measuredOn = yield* Artefact.digestOf(GraphTag, graph)
      const table = RangesTable.print({ measuredOn, of: { x: { min: -1, max: 1 } } })
      const { known } = yield* use(table)
      assert.include(
        Pipeline.get(known, GraphTag)
          .nodes.map(({ op }) => op.name)
          .join(" "),
        "quantize"
      )
      const stale = yield* Effect.flip(use(table.replace(measuredOn, "0".repeat(64))))
      assert.strictEqual(stale._tag, "StaleArtefact")
      const unknown = yield* Effect.flip(use(table.replace('"x"', '"nothing"')))
      assert.include(unknown.message, "line 2: the graph has no value %nothing")
    })
  )

  it.effect("a table without a value leaves its products float, and says so", () =>
    Effect.gen(function* () {
      const measuredOn = yield* Artefact.digestOf(GraphTag, graph)
      const { known, ledger } = yield* use(RangesTable.print({ measuredOn, of: {} }))
      assert.strictEqual(Pipeline.get(known, GraphTag), graph)
      const found = JSON.stringify(ledger)
      assert.include(found, "not-quantized")
      assert.include(found, "matmul %y")
    })
  )
})
