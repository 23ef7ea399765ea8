// Two threads against one, alone on the machine and beside a neighbour that takes one core.
//
//   node --conditions=@anneal/source bench/wasm/ThreadNeighbour.ts ENGINE… [--seconds 8] [--turn 400] [--shapes …]
//
// Both ways are sessions of one process that run in turns; a turn is long enough for threads to find out what is faster, as a
// server's runs would. Means count, not medians: a run that waited for a core has waited.
import * as Reference from "@anneal/reference/Reference"
import * as Sessions from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { spawn } from "node:child_process"
import { basename } from "node:path"
import { parseArgs } from "node:util"

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "8" }, turn: { type: "string", default: "400" } }
})

/** A bound session at its profile's best sizes, with inputs that are zeros. */
const open = async (file: string, threads: number): Promise<() => void> => {
  const executors = Executor.layer(threads === 1 ? {} : { threads: { threads, spawn: NodeThreads.spawn } })
  const services = Layer.mergeAll(executors.pipe(Layer.provide(Reference.layer())), NodeServices.layer)
  const session = await Effect.runPromise(
    Sessions.load(file).pipe(Effect.provideService(Scope.Scope, Scope.makeUnsafe()), Effect.provide(services))
  )
  const [profile] = session.profiles
  const shapes = Object.fromEntries(
    session.inputs.map(({ name, shape }) => [
      name,
      shape.map((dim) => (/^\d+$/.test(dim) ? Number(dim) : (profile?.dims[dim]?.opt ?? 1)))
    ])
  )
  const bound = await Effect.runPromise(session.bind(shapes))
  return bound.run
}

const means = async (ways: ReadonlyArray<() => void>): Promise<ReadonlyArray<number>> => {
  const totals = ways.map(() => ({ time: 0, runs: 0 }))
  const end = performance.now() + 1000 * Number(options.seconds)
  while (performance.now() < end)
    for (const [way, run] of ways.entries()) {
      const begin = performance.now()
      let runs = 0
      let now = begin
      while (now < begin + Number(options.turn)) {
        run()
        runs++
        now = performance.now()
      }
      const total = totals[way]
      if (total === undefined) continue
      total.time += now - begin
      total.runs += runs
      await new Promise((resolve) => setImmediate(resolve))
    }
  return totals.map(({ runs, time }) => time / runs)
}

for (const file of positionals) {
  const ways = [await open(file, 1), await open(file, 2)]
  for (const run of ways) for (let count = 0; count < 60; count++) run()
  for (const state of ["alone", "beside a neighbour"]) {
    const neighbour = state === "alone" ? undefined : spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" })
    try {
      const [one = NaN, two = NaN] = await means(ways)
      console.log(`${basename(file)} ${state}: ${one.toFixed(3)} ms, ${two.toFixed(3)} ms: ${(one / two).toFixed(2)}`)
    } finally {
      neighbour?.kill("SIGKILL")
    }
  }
}
process.exit()
