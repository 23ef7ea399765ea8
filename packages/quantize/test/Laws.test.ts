/** The passes of this package keep the laws of passes, on generated graphs. */
import { assert, describe, it } from "@effect/vitest"
import type * as Graph from "@anneal/ir/Graph"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import { Ranges } from "@anneal/pipeline/Ranges"
import { reference, Target } from "@anneal/pipeline/Target"
import * as Narrow from "@anneal/quantize/Narrow"
import * as Precision from "@anneal/quantize/Precision"
import * as Quantize from "@anneal/quantize/Quantize"
import * as Reference from "@anneal/reference/Reference"
import * as PassLaws from "@anneal/testing/PassLaws"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** A target, a range for every value, and the decision to quantise all of them. */
const given = (graph: Graph.Graph) =>
  Effect.gen(function* () {
    const ids = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].map(({ id }) => id)
    const of = Object.fromEntries(ids.map((id) => [id, { min: -4, max: 4 }]))
    const measuredOn = yield* Artefact.digestOf(GraphTag, graph)
    const score = { metric: "none", value: 0, higherIsBetter: true, count: 0 }
    const decided = { decidedOn: measuredOn, products: {}, before: score, after: score, maxDrop: 0 }
    return Context.make(Target, reference).pipe(
      Context.add(Ranges, { measuredOn, of }),
      Context.add(Precision.Precision, decided)
    )
  })

describe("laws", () => {
  it.live("quantize", () =>
    Effect.gen(function* () {
      const report = yield* PassLaws.checkWith(Quantize.quantize({ bits: 8, keep: [] }), given, { graphs: 100 })
      assert.strictEqual(report.claims, "lossy")
      assert.isAbove(report.fired, 10)
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.live("quantizeWithin", () =>
    Effect.gen(function* () {
      const report = yield* PassLaws.checkWith(Quantize.quantizeWithin({ bits: 8, keep: [] }), given, { graphs: 60 })
      assert.isAbove(report.fired, 5)
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.live("narrow", () =>
    Effect.gen(function* () {
      for (const to of ["f16", "bf16"] as const) {
        const report = yield* PassLaws.checkWith(Narrow.narrow({ to, keep: [] }), given)
        assert.isAbove(report.fired, 10)
      }
    }).pipe(Effect.provide(Reference.layer()))
  )
})
