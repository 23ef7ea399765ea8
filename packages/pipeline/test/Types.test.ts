/** What must not type-check. Each `@ts-expect-error` fails the build if its line compiles. */
import { assert, expectTypeOf, it } from "@effect/vitest"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Calibrator } from "@anneal/pipeline/Calibrator"
import { Graph } from "@anneal/pipeline/Graph"
import * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import { Ranges } from "@anneal/pipeline/Ranges"
import { Samples } from "@anneal/pipeline/Samples"
import * as Stage from "@anneal/pipeline/Stage"
import { Variants } from "@anneal/pipeline/Variants"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

class Engine extends Artefact.make<Engine>()("test/Engine", Artefact.json(Schema.String)) {}
const none = Schema.Struct({})
const read = Stage.make({ name: "read", version: 1, config: none, needs: [], output: Graph, run: () => Effect.never })
const calibrate = Stage.make({
  name: "calibrate",
  version: 1,
  config: none,
  needs: [Graph, Calibrator, Samples],
  output: Ranges,
  run: () => Effect.never
})
const fold = Pass.make({
  name: "fold",
  version: 1,
  claims: "exact",
  config: none,
  transports: [Ranges],
  run: (graph) => ({ graph, replaced: new Map(), changed: false })
})
const cast = Pass.make({
  name: "cast",
  version: 1,
  claims: "lossy",
  config: none,
  run: (graph) => ({ graph, replaced: new Map(), changed: false })
})
const quantize = Pass.make({
  name: "quantize",
  version: 1,
  claims: "lossy",
  config: none,
  needs: [Ranges],
  run: (graph) => Effect.as(Ranges, { graph, replaced: new Map<string, string>(), changed: false })
})
const merge = Stage.make({
  name: "merge",
  version: 1,
  config: none,
  needs: [Variants],
  output: Engine,
  run: () => Effect.succeed("engine")
})

const model = Pipeline.on().through(read({}))
const calibrated = model.through(calibrate({}))
const ready = <Out, E>(whole: Pipeline.Pipeline<never, Out, E, Calibrator | Samples>) => whole.steps
const closed = <Out, E>(whole: Pipeline.Pipeline<never, Out, E, never>) => whole.steps

it("composes what fits", () => {
  const whole = calibrated.through(fold({})).through(quantize({}))
  ready(whole)
  expectTypeOf(whole.layer).toExtend<Layer.Layer<Graph, unknown, Calibrator | Samples>>()
  expectTypeOf(quantize({}).layer).toExtend<Layer.Layer<Graph, unknown, Graph | Ranges>>()
  const branched = model.through(
    Pipeline.branch({ a: Pipeline.on(Graph).through(fold({})), b: Pipeline.on(Graph).through(cast({})) })
  )
  closed(branched.through(merge({})))
  assert.deepStrictEqual(whole.steps, ["read@1", "calibrate@1", "fold@1", "quantize@1"])
})

it("refuses what does not", () => {
  // @ts-expect-error  a hole: merge needs variants, and no step makes them
  ready(model.through(merge({})))
  // @ts-expect-error  a calibrator without samples (and without itself)
  closed(calibrated)
  // @ts-expect-error  INT8 without calibration
  ready(model.through(quantize({})))
  // @ts-expect-error  stale ranges: cast makes another graph and does not transport them
  ready(calibrated.through(cast({})).through(quantize({})))
  // @ts-expect-error  stale ranges, in a branch
  ready(calibrated.through(Pipeline.branch({ a: Pipeline.on(Graph, Ranges).through(cast({})).through(quantize({})) })))
  const sly = { name: "sly", version: 1, config: none, output: Graph, run: () => Samples.use(() => Graph) }
  // @ts-expect-error  Samples is used and not listed: the key would leave it out
  Stage.make({ ...sly, needs: [Graph] })
  Stage.make({ ...sly, needs: [Graph, Samples] })
  assert.deepStrictEqual(model.steps, ["read@1"])
})
