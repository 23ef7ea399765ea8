// Tuning twice, alone and beside a busy neighbour: how much slower is the one engine than the other? The limit: 5 %.
//
//   node --conditions=@anneal/source bench/tune-noise.ts MODEL.onnx [quick|full] [SECONDS]
//
// For each region that was decided differently both kernels are timed in turns, in quiet; the engines' times are the sums.
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Import from "@anneal/onnx/Import"
import * as All from "@anneal/passes/All"
import type { Choice } from "@anneal/pipeline/Tuner"
import { Measurer } from "@anneal/pipeline/Measurer"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Reference from "@anneal/reference/Reference"
import * as Event from "@anneal/tune/Event"
import * as Journal from "@anneal/tune/Journal"
import * as Stability from "@anneal/tune/Stability"
import * as TuneLevel from "@anneal/tune/TuneLevel"
import * as Compile from "@anneal/wasm/Compile"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Target from "@anneal/wasm/Target"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const [path, level = "quick", seconds = "30"] = process.argv.slice(2)
const isLevel = (text: string): text is TuneLevel.TuneLevel => text === "none" || text === "quick" || text === "full"
if (path === undefined || !isLevel(level)) throw new Error("MODEL.onnx [quick|full] [SECONDS]")

/** One tuning from nothing; what it did, in a line. */
const decide = (space: ReadonlyArray<Choice>) =>
  Effect.gen(function* () {
    const started = performance.now()
    const [decisions, events] = yield* Event.collect(
      Effect.flatMap(Tuner.Tuner, (tuner) => tuner.decide(space)).pipe(
        Effect.provide(Layer.provide(TuneLevel.layer(level, `${Number(seconds)} seconds`), Journal.layerMemory))
      )
    )
    const count = (tag: Event.Event["_tag"]) => events.filter(({ _tag }) => _tag === tag).length
    const took = ((performance.now() - started) / 1000).toFixed(1)
    console.log(
      `${took} s: ${count("Timed")} timed, ${count("Rejected")} rejected, ${count("OutOfBudget")} budgets ended`
    )
    return decisions
  })

const main = Effect.gen(function* () {
  const { graph } = yield* All.rewriteAll(yield* Import.importModel(path))
  const features = Target.relaxed
  const { offers, planned } = Compile.plan(graph, { flavours: [features] })
  const subjects = Compile.subjects(planned, offers, features)
  const space = [...new Map(planned.flatMap(({ choices }) => choices.map((one) => [one.key, one]))).values()]
  const candidates = space.reduce((sum, choice) => sum + choice.candidates.length, 0)
  console.log(`${space.length} choices, ${candidates} candidates`)
  const measurer = Layer.effect(Measurer, Measure.make({ features, subject: (key) => subjects.get(key), parallel: 2 }))
  const compared = yield* Effect.provide(Stability.tuneTwice(space, decide), measurer)
  for (const { a, b, node, ratio } of compared.choices) {
    if (a !== b) console.log(`${node}: ${a} or ${b}: ${ratio.toFixed(3)}`)
  }
  const same = compared.choices.filter(({ a, b }) => a === b).length
  console.log(
    `${same} of ${compared.choices.length} decisions are the same; time beside / alone: ${compared.ratio.toFixed(4)}`
  )
}).pipe(Effect.scoped, Effect.provide([Reference.layer(), NodeFileSystem.layer]))

Effect.runPromise(main).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
