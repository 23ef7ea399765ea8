// A tuner of your own: which kernels are worth measuring is your decision; checking, timing, the journal and the budget
// are the measuring tuner's.
//
// This one walks: it measures what is predicted to be best, then those candidates that differ from the fastest so far in
// one parameter, until none of them is faster. It knows nothing of what the parameters mean. The model is built twice, by
// the heuristic, which measures nothing, and by the walk, and what each chose is held against the other.
import { join } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Build, Compare, type Compiling, Host, IR, Onnx, Pipeline, Runtime, Tune } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

type Candidate = Pipeline.Tuner.Candidate

/** The parameters of a candidate, its kernel's name among them. */
const parameters = ({ config, name }: Candidate): Readonly<Record<string, unknown>> =>
  typeof config === "object" && config !== null
    ? Object.fromEntries([["name", name], ...Object.entries(config)])
    : { name }

const distance = (a: Candidate, b: Candidate): number => {
  const [left, right] = [parameters(a), parameters(b)]
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].filter((name) => JSON.stringify(left[name]) !== JSON.stringify(right[name])).length
}

const walk: Tune.Strategy.Strategy = {
  identity: { name: "walk", version: 1, config: {} },
  propose: ({ measured, open }) => {
    const [fastest] = measured
    // `open` is sorted by what is predicted; nothing proposed: this choice is done.
    if (fastest === undefined) return open.slice(0, 1)
    return open.filter((candidate) => distance(candidate, fastest.candidate) === 1)
  }
}

const settings = Tune.Protocol.quick
const tuner = Tune.MeasuringTuner.layer(walk, { budget: "10 seconds", settings })

/** A wide and a narrow layer, one row at a time or many: products of very different shapes. */
const network = (): IR.Graph.Graph => {
  const { Dsl } = IR
  const g = Dsl.graph("three layers")
  const weight = <const R extends number, const C extends number>(rows: R, columns: C) =>
    g.constant(
      "f32",
      [rows, columns],
      Array.from({ length: rows * columns }, (_, i) => Math.fround(Math.sin(i) / Math.sqrt(rows)))
    )
  const x = g.input("x", "f32", [32, 256])
  const wide = Dsl.tanh(Dsl.matmul(x, weight(256, 384)))
  const narrow = Dsl.silu(Dsl.matmul(wide, weight(384, 48)))
  g.output("y", Dsl.softmax(Dsl.matmul(narrow, weight(48, 10)), 1))
  return g.finish()
}

const input = () =>
  IR.Numbers.fromNumbers(
    "f32",
    [32, 256],
    Array.from({ length: 32 * 256 }, (_, i) => Math.cos(i))
  )

/** What one region's kernel is called in a lock. */
const tacticOf = ({ candidate, config }: Tune.Lock.LockEntry): string =>
  Pipeline.Tuner.identify({ name: candidate, config })

/** Least time of one run of each engine, in turns, in microseconds: what a neighbour does hurts both. */
const race = (engines: ReadonlyArray<Runtime.Executor.Bound>, rounds: number): ReadonlyArray<number> => {
  const least = engines.map(() => Infinity)
  for (let round = 0; round < rounds; round++)
    for (const [place, { run }] of engines.entries()) {
      const began = performance.now()
      for (let i = 0; i < 10; i++) run()
      least[place] = Math.min(least[place] ?? Infinity, (1000 * (performance.now() - began)) / 10)
    }
  return least
}

const claim = (holds: boolean, what: string): Effect.Effect<void> =>
  holds ? Effect.void : Effect.die(new Error(`this example's claim does not hold: ${what}`))

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  const model = join(folder, "net.onnx")
  yield* files.writeFile(model, yield* Onnx.exportModel(network()))
  const build = (name: string, by: Compiling.TunerLayer) =>
    Build.build({ model, output: join(folder, `${name}.engine`), tuner: by })

  const heuristic = yield* build("heuristic", Tune.HeuristicTuner.layer)
  // Everything that a tuner does can be watched.
  const timed = new Map<string, number>()
  const own = yield* build("walk", tuner).pipe(
    Effect.provideService(Tune.Event.Listener, (event) => {
      if (event._tag === "Timed") timed.set(`${event.key} ${event.candidate}`, event.timing.relative)
      return event._tag === "Checked" ? Effect.void : Console.log(`  ${Tune.Event.format(event)}`)
    })
  )

  yield* Console.log(`\n${own.decided?.timed ?? 0} candidates timed. What was predicted, and what was measured:`)
  const walked = own.decided?.lock.decisions ?? []
  const predicted = new Map(heuristic.decided?.lock.decisions.map((entry) => [entry.key, entry]))
  for (const entry of walked) {
    const before = predicted.get(entry.key)
    if (before === undefined) return yield* Effect.die(new Error(`the heuristic decided nothing for ${entry.key}`))
    const [from, to] = [before, entry].map((one) => timed.get(`${one.key} ${tacticOf(one)}`))
    const gain = from === undefined || to === undefined ? undefined : from / to
    const how = gain === undefined ? "nothing to measure" : `${gain.toFixed(2)} times as fast`
    yield* Console.log(
      tacticOf(before) === tacticOf(entry)
        ? `  ${entry.nodes.join(", ")}: ${tacticOf(entry)}, as predicted`
        : `  ${entry.nodes.join(", ")}: ${tacticOf(before)} → ${tacticOf(entry)}: ${how}`
    )
    // Of equals the one predicted to be cheaper is taken: up to twice the tolerance may lie between.
    yield* claim(gain === undefined || gain >= 1 / (1 + 2 * settings.tolerance), `${entry.key} was measured slower`)
  }
  yield* claim(timed.size > 0, "the walk measured something")

  const x = input()
  const sessions = yield* Effect.forEach([heuristic, own], ({ output }) => Runtime.Session.load(output))
  const results = yield* Effect.forEach(sessions, (session) => session.run({ x }))
  const [first, second] = results.map(({ y }) => y)
  if (first === undefined || second === undefined) return yield* Effect.die(new Error("an engine gives no y"))
  const agreement = Compare.compare(second, first, { atol: 1e-6, rtol: 1e-4 })
  yield* claim(agreement.agree, `both engines compute the same: ${Compare.format(agreement)}`)

  const bound = yield* Effect.forEach(sessions, (session) => session.bind({ x: x.shape }))
  race(bound, 200)
  const [before = NaN, after = NaN] = race(bound, 500)
  yield* Console.log(
    `\none inference: heuristic ${before.toFixed(1)} µs, own tuner ${after.toFixed(1)} µs, ${(before / after).toFixed(2)} times as fast; outputs agree`
  )
  yield* claim(after <= 1.15 * before, "what was measured to be faster is not slower as a whole")
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(Host.wasm()), Effect.provide(NodeServices.layer)))
