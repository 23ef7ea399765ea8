/**
 * A tuning over simulated targets with a journal, in virtual time but for a moment of real time a run, so that it can be
 * killed in the middle. Run by KilledTuning.test.ts: `node KilledTuning.ts JOURNAL`.
 *
 * Prints `ready` before it measures, `time KEY CANDIDATE` before a candidate is first run for timing, `check KEY CANDIDATE`
 * before it is checked, and what it decided at the end.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as EvolutionaryTuner from "@anneal/tune/EvolutionaryTuner"
import * as Journal from "@anneal/tune/Journal"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"
import * as VirtualClock from "@anneal/tune/VirtualClock"
import * as Weather from "@anneal/tune/Weather"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { writeSync } from "node:fs"
import * as Space from "./Space.ts"

const tell = (text: string) => writeSync(1, `${text}\n`)
const rest = new Int32Array(new SharedArrayBuffer(4))
const time = VirtualClock.make()
const timed = new Set<string>()

const simulate: SimulatedMeasurer.Options["simulate"] = (choice, candidate) => {
  tell(`check ${choice.key} ${Tuner.identify(candidate)}`)
  const simulated = Space.simulate(choice, candidate)
  // One in ten is wrong.
  return Space.isFaulty(choice, candidate) ? { ...simulated, kernel: () => {} } : simulated
}

const measurer = SimulatedMeasurer.layer({
  time,
  simulate,
  // Another noise each time it runs.
  weather: Weather.all(Weather.jitter(0.02, process.pid), Weather.drift(1.25, 0.5)),
  onRun: ({ key }, candidate) => {
    const name = `${key} ${Tuner.identify(candidate)}`
    if (timed.has(name)) return
    timed.add(name)
    tell(`time ${name}`)
    Atomics.wait(rest, 0, 0, 1)
  }
})

const main = Effect.gen(function* () {
  const tuner = yield* Tuner.Tuner
  tell("ready")
  const decisions = yield* tuner.decide(Space.killed)
  tell(`decided ${JSON.stringify(decisions.map(({ key, candidate }) => [key, Tuner.identify(candidate)]))}`)
}).pipe(
  Effect.provide(
    EvolutionaryTuner.layer({ trials: 24, width: 5 }).pipe(
      Layer.provide([measurer, Journal.layerFile(process.argv[2] ?? "").pipe(Layer.provide(NodeFileSystem.layer))])
    )
  ),
  VirtualClock.provide(time)
)

Effect.runPromise(main).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
