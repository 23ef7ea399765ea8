// A tuner of your own: which kernels are worth measuring is your decision; checking, timing, the journal and the budget
// are the measuring tuner's.
//
// This one walks: it measures what is predicted to be best, then those candidates that differ from the fastest so far in
// one parameter, until none of them is faster. It knows nothing of what the parameters mean.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Compiling, Host, IR, Pipeline, Tune } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

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

const graph = (): IR.Graph.Graph => {
  const g = IR.Dsl.graph("two layers")
  const weight = <const R extends number, const C extends number>(rows: R, columns: C) =>
    g.constant(
      "f32",
      [rows, columns],
      Array.from({ length: rows * columns }, (_, i) => Math.sin(i))
    )
  const x = g.input("x", "f32", [32, 256])
  const hidden = IR.Dsl.tanh(IR.Dsl.matmul(x, weight(256, 128)))
  g.output("y", IR.Dsl.matmul(hidden, weight(128, 10)))
  return g.finish()
}

const program = Effect.gen(function* () {
  const target = yield* Pipeline.Target.Target
  const tuner = Tune.MeasuringTuner.layer(walk, { budget: "15 seconds" })
  const { decided } = yield* Compiling.compile(target, graph(), [], { tuner }).pipe(
    // Everything that the tuner does can be watched.
    Effect.provideService(Tune.Event.Listener, (event) => Console.log(`  ${Tune.Event.format(event)}`))
  )
  yield* Console.log(`${decided?.timed ?? 0} candidates timed; the decisions, as a lock file has them:`)
  for (const { candidate, config, nodes } of decided?.lock.decisions ?? [])
    yield* Console.log(`  ${nodes.join(", ")}: ${candidate} ${JSON.stringify(config)}`)
})

NodeRuntime.runMain(program.pipe(Effect.provide(Host.wasm()), Effect.provide(NodeServices.layer)))
