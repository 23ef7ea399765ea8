/** What must not type-check. Each `@ts-expect-error` fails the build if its line compiles. */
import { assert, it } from "@effect/vitest"
import type { Calibrator } from "@anneal/pipeline/Calibrator"
import type { Evaluator } from "@anneal/pipeline/Evaluator"
import { Graph } from "@anneal/pipeline/Graph"
import type { Oracle } from "@anneal/pipeline/Oracle"
import * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import { Ranges } from "@anneal/pipeline/Ranges"
import type { Samples } from "@anneal/pipeline/Samples"
import type { Target } from "@anneal/pipeline/Target"
import * as Budget from "@anneal/quantize/Budget"
import * as Calibrate from "@anneal/quantize/Calibrate"
import * as Narrow from "@anneal/quantize/Narrow"
import * as Quantize from "@anneal/quantize/Quantize"
import * as RangesTable from "@anneal/quantize/RangesTable"
import * as Schema from "effect/Schema"

const rewrite = Pass.make({
  name: "rewrite",
  version: 1,
  claims: "exact",
  config: Schema.Struct({}),
  run: (graph) => ({ graph, replaced: new Map(), changed: false })
})({})

const model = Pipeline.on(Graph)
const calibrated = model.through(Calibrate.calibrate({ limit: null }))
const int8 = Quantize.quantize({ bits: 8, keep: [] })
const within = Quantize.quantizeWithin({ bits: 8, keep: [] })
const budget = Budget.fitBudget({ bits: 8, keep: [], maxDrop: 0, rankingSamples: 8 })
/** A pipeline that needs `In` and nothing else. */
const needs =
  <In>() =>
  <Out, E>(pipeline: Pipeline.Pipeline<Graph, Out, E, In>) =>
    pipeline

it("composes what fits", () => {
  needs<Calibrator | Samples | Oracle | Target>()(calibrated.through(int8))
  needs<Calibrator | Samples | Oracle | Target | Evaluator>()(calibrated.through(budget).through(within))
  needs<Target>()(model.through(RangesTable.readRanges({ table: "" })).through(int8))
  needs<Target>()(model.through(Narrow.narrowUnchecked({ to: "f16", keep: [] })))
  assert.deepStrictEqual(calibrated.through(int8).steps, ["calibrate@1", "quantize@2"])
})

it("refuses what does not", () => {
  // @ts-expect-error  INT8 without calibration: nothing gives Ranges
  needs<Calibrator | Samples | Oracle | Target>()(model.through(int8))
  // @ts-expect-error  a calibrator without samples
  needs<Calibrator | Oracle | Target>()(calibrated.through(int8))
  // @ts-expect-error  samples without a calibrator
  needs<Samples | Oracle | Target>()(calibrated)
  // @ts-expect-error  ranges older than the graph
  needs<Calibrator | Samples | Oracle | Target>()(calibrated.through(rewrite).through(int8))
  // @ts-expect-error  a budget without an evaluator
  needs<Calibrator | Samples | Oracle | Target>()(calibrated.through(budget))
  // @ts-expect-error  decisions of a budget that nobody made
  needs<Calibrator | Samples | Oracle | Target>()(calibrated.through(within))
  // @ts-expect-error  narrowing by ranges without ranges
  needs<Target>()(model.through(Narrow.narrow({ to: "f16", keep: [] })))
  assert.strictEqual(Ranges.key, "@anneal/pipeline/Ranges")
})
