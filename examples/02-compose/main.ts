// Compose a pipeline of your own: stages in a row, branches side by side, services as layers.
//
// The model is written in the typed DSL here; a rank or dtype mistake in it would not compile. Two branches come from
// one prefix, which runs once: a float one, and an INT8 one that cannot be written without its calibration.
import { IR, Passes, Pipeline, Quantize, Reference } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const { Dsl } = IR

/** softmax(relu(x · w1 + b1) · w2 + b2), with weights from a simple rule. */
const network = (): IR.Graph.Graph => {
  const wave = (count: number, pace: number) => Array.from({ length: count }, (_, i) => Math.fround(Math.cos(i * pace)))
  const g = Dsl.graph("network")
  const x = g.input("x", "f32", ["batch", 16])
  const hidden = Dsl.relu(
    Dsl.add(Dsl.matmul(x, g.constant("f32", [16, 32], wave(512, 1.3))), g.constant("f32", [32], wave(32, 0.7)))
  )
  const logits = Dsl.add(
    Dsl.matmul(hidden, g.constant("f32", [32, 4], wave(128, 2.1))),
    g.constant("f32", [4], wave(4, 0.2))
  )
  g.output("y", Dsl.softmax(logits, 1))
  return g.finish()
}

/** A source of ours: any Effect that gives a graph can start a pipeline. */
const source = Pipeline.Stage.make({
  name: "network",
  version: 1,
  config: Schema.Struct({}),
  needs: [],
  output: Pipeline.Graph.Graph,
  run: () => Effect.sync(network)
})

const { eliminateDeadCode, foldConstants, formLinear } = Passes

const float = Pipeline.Pipeline.on(Pipeline.Graph.Graph).through(eliminateDeadCode.pass())
const int8 = Pipeline.Pipeline.on(Pipeline.Graph.Graph)
  .through(Quantize.Calibrate.calibrate({ limit: null }))
  .through(Quantize.Quantize.quantize({ bits: 8, keep: [] }))
  .through(foldConstants.pass())

const pipeline = Pipeline.Pipeline.on()
  .through(source({}))
  .through(formLinear.pass())
  .through(Pipeline.Pipeline.branch({ float, int8 }))

/** 600 samples from a fixed rule. */
const samples = Array.from({ length: 600 }, (_, n) => ({
  x: IR.Numbers.fromNumbers(
    "f32",
    [1, 16],
    Array.from({ length: 16 }, (_, i) => Math.sin(n * 16 + i))
  )
}))

const services = Layer.mergeAll(
  Reference.Reference.layer(),
  Pipeline.Target.layerReference,
  Quantize.MseCalibrator.layer,
  Pipeline.Samples.layerArray(samples),
  Pipeline.Store.layerMemory
)

const program = Effect.gen(function* () {
  yield* Console.log(`steps: ${pipeline.steps.join(" → ")}\n`)
  const { known, ledger } = yield* pipeline.build()
  const variants = Pipeline.Pipeline.get(known, Pipeline.Variants.Variants)
  for (const [name, graph] of Object.entries(variants)) {
    yield* Console.log(`${name}:`)
    yield* Console.log(IR.Text.print(graph, { lineage: false, digests: true }))
  }
  for (const { stage, validation } of ledger)
    yield* Console.log(
      `${stage.padEnd(24)} ${validation === undefined ? "" : `${validation.regions} rewrites checked, ${validation.failed} wrong`}`
    )
  yield* Console.log("\nexplained, with everything in the store:")
  for (const explanation of yield* pipeline.explain()) yield* Console.log(`  ${JSON.stringify(explanation)}`)
})

Effect.runPromise(Effect.provide(program, services)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
