// Runs on two threads: the same bits as on one; a trap in either, and a worker that is gone, are errors and not the end.
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Assemble from "@anneal/wasm/Assemble"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import * as Payloads from "@anneal/wasm/Payloads"
import type { Spawn, WorkerHandle } from "@anneal/wasm/Threads"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { adding, graphOf, programOf } from "./Program.ts"

const features = { relaxed: false, wide: false, threads: true }

const engineOf = (n: Dim.Dim, trap = false): Engine.Engine => {
  const graph = graphOf(n)
  const assembled = Assemble.assemble(programOf(n), {
    features,
    kernel: (region) => ({ ...adding(region, { trap: trap && region.id === "y" }), cost: 1e6 }),
    packs: new Map()
  })
  const payload = Payloads.of("wasm", [{ fixed: new Map(), features, assembled }])
  const profiles = [{ name: "any", dims: {} }]
  const layout = Engine.assemble({
    about: Manifest.aboutModel("two", "0"),
    source: graph,
    variants: [{ name: "wasm", target: "wasm", features: ["simd128"], graph, profiles, payload }]
  })
  return Engine.parse(Safetensors.toBytes(layout), "two.engine")
}

const layer = (spawn: Spawn, deadline = 5_000) =>
  Executor.layer({ threads: { threads: 2, spawn, deadline } }).pipe(Layer.provide(Reference.layer()))
const x = (values: ReadonlyArray<number>) => ({ x: Numbers.fromNumbers("f32", [values.length], values) })

it.live("computes the same on two threads, again and again, at changing sizes", () =>
  Effect.gen(function* () {
    const engine = engineOf(Dim.symbol("n"))
    const one = yield* Session.open(engine)
    const two = yield* Session.open(engine)
    for (let round = 0; round < 300; round++) {
      const count = 1 + ((round * 7919) % 4000)
      const values = Array.from({ length: count }, (_, i) => i + round)
      const { y } = yield* (round % 2 === 0 ? one : two).run(x(values))
      expect(y?.data.findIndex((value, i) => value !== 2 * ((values[i] ?? 0) + 3))).toBe(-1)
    }
  }).pipe(Effect.provide(layer(NodeThreads.spawn)), Effect.scoped)
)

it.live("names the region of a trap on any thread, and goes on", () =>
  Effect.gen(function* () {
    const bad = yield* Session.open(engineOf(1000, true))
    for (let round = 0; round < 5; round++) {
      const error = yield* Effect.flip(bad.run(x(new Array<number>(1000).fill(1))))
      expect(error._tag).toBe("ExecutionError")
      expect(error.message).toContain("/double")
    }
  }).pipe(Effect.provide(layer(NodeThreads.spawn)), Effect.scoped)
)

it.live("does not hang when a worker dies, and starts another", () => {
  const workers: Array<WorkerHandle> = []
  const spawn: Spawn = () => {
    const worker = NodeThreads.spawn()
    workers.push(worker)
    return worker
  }
  return Effect.gen(function* () {
    const session = yield* Session.open(engineOf(1000))
    const values = Array.from({ length: 1000 }, (_, i) => i)
    yield* session.run(x(values))
    workers[0]?.terminate()
    // The first run after that may be one that the dead worker is missing from.
    yield* Effect.exit(session.run(x(values)))
    const { y } = yield* session.run(x(values))
    expect(Array.from(y?.data ?? [], Number)).toEqual(values.map((value) => 2 * (value + 3)))
    expect(workers.length).toBe(2)
  }).pipe(Effect.provide(layer(spawn, 200)), Effect.scoped)
})
