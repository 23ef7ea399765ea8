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
import { Dispatch } from "@anneal/wasm/Dispatch"
import type { Piece } from "@anneal/wasm/Dispatch"
import { Emission } from "@anneal/wasm/Emission"
import { Heap } from "@anneal/wasm/Heap"
import { i32 } from "@anneal/wasm/Instruction"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import type { Spawn, WorkerHandle } from "@anneal/wasm/Threads"
import { ThreadPool } from "@anneal/wasm/Threads"
import * as View from "@anneal/lower/View"
import { host } from "@anneal/wasm/WebAssembly"
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
    void workers[0]?.terminate()
    // The first run after that may be one that the dead worker is missing from.
    yield* Effect.exit(session.run(x(values)))
    const { y } = yield* session.run(x(values))
    expect(Array.from(y?.data ?? [], Number)).toEqual(values.map((value) => 2 * (value + 3)))
    expect(workers.length).toBe(2)
  }).pipe(Effect.provide(layer(spawn, 200)), Effect.scoped)
})

// Words of the table before those that threads meet in: the condition, and what the two sides count.
const condition = 0
const taken = 1
const refused = 2
const meetings = 3

/**
 * A long step writes the condition; the step inside the branch writes other things where the condition lies, whose life has
 * ended. A thread that comes late to the branch must not find those.
 */
const overwriting = (): { readonly bytes: Uint8Array; readonly words: number } => {
  const module = new ModuleBuilder({ shared: true, maximumPages: 65_536 })
  const variable = (name: string) => module.global(name, i32.const(0), { export: true })
  const registers = {
    table: variable("table"),
    arena: variable("arena"),
    scratch: variable("scratch"),
    overlay: variable("overlay"),
    symbols: new Map()
  }
  variable("at")
  const emission = new Emission(module, features, new Map())
  let words = meetings
  const dispatch = new Dispatch({
    module,
    emission,
    registers,
    address: (f) => i32.add(f.global(registers.table), i32.const(4 * condition)),
    word: () => words++
  })
  const decides = module.func("decides", ["i32", "i32"], [], (f) => {
    // Longer than others look before they sleep.
    f.range(i32.const(0), i32.const(300_000), 1, (i) =>
      f.do(i32.store(f.global(registers.table), f.get(i), 4 * condition))
    )
    f.do(i32.store(f.global(registers.table), i32.const(1), 4 * condition))
  })
  const counts = (word: number, leaves: number) =>
    module.func(`counts_${word}`, ["i32", "i32"], [], (f) => {
      f.do(i32.store(f.global(registers.table), i32.const(leaves), 4 * condition))
      const count = i32.add(i32.load(f.global(registers.table), 4 * word), i32.const(1))
      f.do(i32.store(f.global(registers.table), count, 4 * word))
    })
  const call = (step: number, func: ReturnType<typeof counts>): Piece => ({
    kind: "call",
    step,
    func,
    units: 1,
    divided: false
  })
  dispatch.join("join_0", [
    call(0, decides),
    {
      kind: "branch",
      condition: View.contiguous("c", "bool", []),
      whenTrue: [call(1, counts(taken, 0))],
      whenFalse: [call(2, counts(refused, 1))]
    }
  ])
  return { bytes: module.toBytes(), words }
}

it.live("takes one side of a branch on all threads, also when what it writes lies where the condition lay", () =>
  Effect.gen(function* () {
    const { bytes, words } = overwriting()
    const heap = new Heap({ shared: true })
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new ThreadPool({ threads: 2, spawn: NodeThreads.spawn, deadline: 1_000 })),
      (one) => Effect.promise(() => one.release())
    )
    const team = pool.team(heap)
    yield* Effect.promise(() => pool.start())
    const module = new host.Module(bytes)
    const join = new host.Instance(module, { env: { memory: heap.memory } }).exports["join_0"]
    if (typeof join !== "function") return yield* Effect.die("there is nothing to join")
    const table = heap.allocate(4 * words)
    const content = new Int32Array(heap.memory.buffer, table, words)
    content.fill(0)
    const code = { module }
    for (let round = 1; round <= 100; round++) {
      content.fill(0, meetings)
      team.run(code, 0, join, { table, arena: 0, scratch: 0, stride: 0 })
      expect([content[taken], content[refused]]).toEqual([round, 0])
    }
  }).pipe(Effect.scoped)
)

it.live("starts workers once for all engines, and they have ended when the executor has", () => {
  const workers: Array<WorkerHandle> = []
  let ended = 0
  const spawn: Spawn = () => {
    const worker = NodeThreads.spawn()
    workers.push(worker)
    worker.onExit(() => ended++)
    return worker
  }
  return Effect.gen(function* () {
    yield* Effect.gen(function* () {
      for (let round = 0; round < 20; round++)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* Session.open(engineOf(1000))
            const { y } = yield* session.run(x(new Array<number>(1000).fill(round)))
            expect(y?.data.every((value) => Number(value) === 2 * (round + 3))).toBe(true)
          })
        )
      expect([workers.length, ended]).toEqual([1, 0])
    }).pipe(Effect.provide(layer(spawn)))
    expect(ended).toBe(1)
  })
})

it.live("keeps the workers for a session that outlives its executor's layer, and ends them with it", () => {
  let [alive, orders] = [0, 0]
  const spawn: Spawn = () => {
    const worker = NodeThreads.spawn()
    alive++
    worker.onExit(() => alive--)
    return { ...worker, post: (message) => (orders++, worker.post(message)) }
  }
  return Effect.gen(function* () {
    yield* Effect.gen(function* () {
      const session = yield* Session.open(engineOf(1000)).pipe(Effect.provide(layer(spawn)))
      const before = orders
      const { y } = yield* session.run(x(new Array<number>(1000).fill(1)))
      expect(y?.data.every((value) => Number(value) === 8)).toBe(true)
      expect(alive).toBe(1)
      // The program went to the worker: the run was shared.
      expect(orders).toBeGreaterThan(before)
    }).pipe(Effect.scoped)
    expect(alive).toBe(0)
  })
})

it.live("says why a worker did not start", () => {
  const spawn: Spawn = () => ({
    post: () => undefined,
    onReady: () => undefined,
    onExit: (report) => void setTimeout(() => report("its file is missing"), 0),
    terminate: () => Promise.resolve()
  })
  return Effect.gen(function* () {
    const error = yield* Effect.flip(Session.open(engineOf(1000)))
    expect(error.message).toContain("its file is missing")
  }).pipe(Effect.provide(layer(spawn)), Effect.scoped)
})
