import { assert, describe, it } from "@effect/vitest"
import * as Numbers from "@anneal/ir/Numbers"
import * as Artefact from "@anneal/pipeline/Artefact"
import * as Evaluator from "@anneal/pipeline/Evaluator"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import { Ranges } from "@anneal/pipeline/Ranges"
import * as Samples from "@anneal/pipeline/Samples"
import { layerReference } from "@anneal/pipeline/Target"
import * as Budget from "@anneal/quantize/Budget"
import * as Calibrate from "@anneal/quantize/Calibrate"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as Precision from "@anneal/quantize/Precision"
import * as Quantize from "@anneal/quantize/Quantize"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { labelled, samples } from "./Model.ts"
import * as TestOracle from "./TestOracle.ts"
import { parse } from "./Text.ts"

/** Four products in parallel; the coarser a weight, the more noise. */
const model = parse(`
  input "x" %x : f32[1, 3]
  constant %w1 : f32[3, 1] = [1, 1, 1]
  constant %w2 : f32[3, 1] = [127, 0.6, 0.4]
  constant %w3 : f32[3, 1] = [1, 0.5, -1]
  constant %w4 : f32[3, 1] = [127, 20.4, 0.45]
  %a : f32[1, 1] = matmul(%x, %w1) from "fine"
  %b : f32[1, 1] = matmul(%x, %w2) from "worst"
  %c : f32[1, 1] = matmul(%x, %w3) from "good"
  %d : f32[1, 1] = matmul(%x, %w4) from "bad"
  %ab : f32[1, 1] = add(%a, %b)
  %cd : f32[1, 1] = add(%c, %d)
  output "y" = %ab
  output "z" = %cd`)

/** The score that a graph gets, by how many of its products are quantised; counts how often it is asked. */
const scorer = (valueOf: (quantized: number) => number) => {
  const asked: Array<number> = []
  const service: Evaluator.EvaluatorService = {
    name: "toy",
    identity: undefined,
    count: 4,
    samples: Stream.fromIterable(labelled(4, 5)),
    score: (runner) =>
      Effect.gen(function* () {
        yield* runner({ x: Numbers.fromNumbers("f32", [1, 3], [1, 2, 3]) })
        const quantized = asked.length
        asked.push(quantized)
        return { metric: "toy", value: valueOf(quantized), higherIsBetter: true, count: 4 }
      })
  }
  return { asked, layer: Layer.succeed(Evaluator.Evaluator, service) }
}

const config = { maxDrop: 0.01, bits: 8, keep: [], rankingSamples: 8 } as const

const fit = (
  evaluator: Layer.Layer<Evaluator.Evaluator>,
  options: Partial<Parameters<typeof Budget.fitBudget>[0]> = {}
) =>
  Pipeline.on(GraphTag)
    .through(Calibrate.calibrate({ limit: null }))
    .through(Budget.fitBudget({ ...config, ...options }))
    .build()
    .pipe(
      Effect.map(({ known, ledger }) => ({ precision: Pipeline.get(known, Precision.Precision), ledger })),
      Effect.provide([
        Layer.succeed(GraphTag, model),
        Samples.layerArray(samples(40)),
        MinMaxCalibrator.layer,
        TestOracle.layer,
        layerReference,
        evaluator
      ])
    )

const floats = ({ products }: Precision.Choices): ReadonlyArray<string> =>
  Object.entries(products).flatMap(([id, { precision }]) => (precision === "float" ? [id] : []))

describe("fitBudget", () => {
  it.effect("everything stays quantised when the budget holds: the set runs twice", () =>
    Effect.gen(function* () {
      const { asked, layer } = scorer(() => 0.9)
      const { ledger, precision } = yield* fit(layer)
      assert.deepStrictEqual(floats(precision), [])
      assert.strictEqual(asked.length, 2)
      assert.strictEqual(precision.after.value, 0.9)
      assert.include(JSON.stringify(ledger), "4 of 4 products quantised")
    })
  )

  it.effect("reverts the worst offenders, as few as bisection finds, and says so", () =>
    Effect.gen(function* () {
      // In turn: float; 0, 3, 1, 2 reverted. Two are needed.
      const { asked, layer } = scorer((turn) => [0.9, 0.5, 0.9, 0.7, 0.895][turn] ?? 0)
      const { precision } = yield* fit(layer)
      assert.strictEqual(asked.length, 5)
      const noise = Object.entries(precision.products).toSorted(([, a], [, b]) => b.noise - a.noise)
      assert.deepStrictEqual(
        noise
          .slice(0, 2)
          .map(([id]) => id)
          .toSorted(),
        floats(precision).toSorted()
      )
      assert.deepStrictEqual(floats(precision), ["b", "d"])
      assert.strictEqual(precision.products["b"]?.reason, "reverted to meet the budget")
      assert.strictEqual(precision.products["b"]?.node, "worst (matmul %b)")
      assert.deepStrictEqual([precision.before.value, precision.after.value], [0.9, 0.895])
      assert.include(Precision.format(precision), "toy: 0.9 before, 0.895 after, on 4 samples (allowed loss 0.01)")
    })
  )

  it.effect("fails with the list of spenders, worst first, when one quantised product is too much", () =>
    Effect.gen(function* () {
      const { asked, layer } = scorer((turn) => (turn === 0 ? 0.9 : 0.5 + turn / 100))
      const error = yield* Effect.flip(fit(layer))
      assert.strictEqual(asked.length, 3, "float, all quantised, one quantised")
      if (error._tag !== "BudgetExceeded") return assert.fail(error.message)
      assert.deepStrictEqual([error.before, error.quantized, error.best], [0.9, 0.51, 0.52])
      assert.strictEqual(error.spenders.length, 4)
      const noises = error.spenders.map(({ noise }) => noise)
      assert.deepStrictEqual(
        noises,
        noises.toSorted((a, b) => b - a)
      )
      assert.isAbove(noises[0] ?? 0, 0)
      assert.match(error.message, /dB {2}worst \(matmul %b\)/)
      assert.match(error.message, /--max-drop/)
    })
  )

  it.effect("an impossible budget fails though nothing is lost", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(fit(scorer(() => 0.9).layer, { maxDrop: -1 }))
      assert.strictEqual(error._tag, "BudgetExceeded")
    })
  )

  it.effect("what is kept on request is neither ranked nor reverted", () =>
    Effect.gen(function* () {
      const { precision } = yield* fit(scorer(() => 0.9).layer, { keep: ["worst"] })
      assert.deepStrictEqual(floats(precision), ["b"])
      assert.strictEqual(precision.products["b"]?.reason, "kept on request")
    })
  )

  it.effect("a target without the scheme is refused before anything runs", () =>
    Effect.gen(function* () {
      const { asked, layer } = scorer(() => 0.9)
      const error = yield* Effect.flip(fit(layer, { bits: 4 }))
      assert.strictEqual(error._tag, "NoScheme")
      assert.include(error.message, "4-bit weights")
      assert.deepStrictEqual(asked, [])
    })
  )

  it.effect("the decisions are what quantizeWithin does", () =>
    Effect.gen(function* () {
      const { known } = yield* Pipeline.on(GraphTag)
        .through(Calibrate.calibrate({ limit: null }))
        .through(Budget.fitBudget({ ...config, keep: ["bad"] }))
        .through(Quantize.quantizeWithin({ bits: 8, keep: [] }))
        .build()
      const inputs = Pipeline.get(known, GraphTag).nodes.flatMap(({ inputs: ids, op }) =>
        op.name === "matmul" ? [ids] : []
      )
      assert.strictEqual(Pipeline.get(known, Precision.Precision).products["d"]?.reason, "kept on request")
      assert.deepStrictEqual(inputs, [
        ["x_dq", "w1_dq"],
        ["x_dq", "w2_dq"],
        ["x_dq", "w3_dq"],
        ["x", "w4"]
      ])
    }).pipe(
      Effect.provide([
        Layer.succeed(GraphTag, model),
        Samples.layerArray(samples(40)),
        MinMaxCalibrator.layer,
        TestOracle.layer,
        layerReference,
        scorer(() => 0.9).layer
      ])
    )
  )

  it.effect("decisions on another graph are refused", () =>
    Effect.gen(function* () {
      const digest = yield* Artefact.digestOf(GraphTag, model)
      const score = { metric: "toy", value: 1, higherIsBetter: true, count: 1 }
      const error = yield* Pipeline.on(GraphTag, Ranges, Precision.Precision)
        .through(Quantize.quantizeWithin({ bits: 8, keep: [] }))
        .build()
        .pipe(
          Effect.provide([
            Layer.succeed(GraphTag, model),
            Layer.succeed(Ranges, { measuredOn: digest, of: {} }),
            Layer.succeed(Precision.Precision, {
              decidedOn: "0".repeat(64),
              products: {},
              before: score,
              after: score,
              maxDrop: 0
            }),
            layerReference
          ]),
          Effect.flip
        )
      assert.strictEqual(error._tag, "StalePrecision")
    })
  )

  it("a drop is a loss whichever way is better", () => {
    const score = (value: number, higherIsBetter: boolean) => ({ metric: "m", value, higherIsBetter, count: 1 })
    assert.strictEqual(Budget.drop(score(0.75, true), score(0.5, true)), 0.25)
    assert.strictEqual(Budget.drop(score(0.5, false), score(0.75, false)), 0.25)
  })
})
