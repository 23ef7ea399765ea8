// Where two threads lose: each step of an engine alone, on one thread and shared by two, and whole runs of both ways.
//
//   node --conditions=@anneal/source bench/wasm/ThreadSteps.ts ENGINE [--symbols batch=1,length=288] [--rounds 40] [--all]
//
// Per step: units, microseconds of one thread and of two, what is lost against half of the first, and how long the calling
// thread waits for the other at the end. Units are handed out as `Threading.shareUnits` does. Least eighth of the rounds.
import * as Engine from "@anneal/engine/Engine"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import { Arena, Binding } from "@anneal/wasm/Binding"
import { Heap } from "@anneal/wasm/Heap"
import { Loaded } from "@anneal/wasm/Loaded"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import { ThreadPool } from "@anneal/wasm/Threads"
import type { Instance, Memory, Module } from "@anneal/wasm/WebAssembly"
import { host } from "@anneal/wasm/WebAssembly"
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"

interface Given {
  readonly module: Module
  readonly memory: Memory
  readonly control: SharedArrayBuffer
  readonly globals: Readonly<Record<string, number>>
  readonly steps: number
}
/** epoch, step, units, chunk, counter (16), done (32), busy nanoseconds (48) */
const words = 64

const take = (control: Int32Array, isBack: boolean, call: (begin: number, end: number) => void): void => {
  const [units, chunk] = [control[2] ?? 0, control[3] ?? 1]
  const last = Math.ceil(units / chunk) - 1
  for (;;) {
    const taken = Atomics.add(control, 16, isBack ? 0x10000 : 1)
    const [front, back] = [taken & 0xffff, last - (taken >>> 16)]
    if (front > back) return
    const begin = (isBack ? back : front) * chunk
    call(begin, Math.min(units, begin + chunk))
  }
}

const callsOf = (instance: Instance, globals: Readonly<Record<string, number>>, steps: number) => {
  for (const [name, value] of Object.entries(globals)) {
    const global = instance.exports[name]
    if (typeof global === "object" && "value" in global) global.value = value
  }
  return Array.from({ length: steps }, (_, step) => {
    const exported = instance.exports[`step_${step}`]
    if (typeof exported !== "function") throw new Error(`there is no step ${step} in the code`)
    return (begin: number, end: number): void => void exported(begin, end)
  })
}

if (!isMainThread) {
  const { control: shared, globals, memory, module, steps }: Given = workerData
  const control = new Int32Array(shared)
  const calls = callsOf(new host.Instance(module, { env: { memory } }), globals, steps)
  parentPort?.postMessage("ready")
  let seen = 0
  for (;;) {
    while (Atomics.load(control, 0) === seen);
    seen++
    if (Atomics.load(control, 1) < 0) process.exit()
    const call = calls[control[1] ?? 0]
    const begin = performance.now()
    if (call !== undefined) take(control, true, call)
    control[48] = (performance.now() - begin) * 1e6
    Atomics.add(control, 32, 1)
  }
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "40" },
    symbols: { type: "string" },
    all: { type: "boolean", default: false }
  }
})
const file = positionals[0] ?? ""
const engine = Engine.parse(readFileSync(file), file)
const variant = engine.manifest.variants.find(({ target }) => target === "wasm")
if (variant === undefined) throw new Error("no wasm variant")
const heap = new Heap({ shared: true })
const loaded = new Loaded(engine, variant, heap)
const unit = loaded.units.filter(({ wide }) => !wide).sort((a, b) => b.features.length - a.features.length)[0]
if (unit === undefined) throw new Error("no unit")
const program = loaded.program(unit)
const given = new Map(
  (options.symbols ?? "")
    .split(",")
    .filter(Boolean)
    .map((text) => [text.split("=")[0] ?? "", Number(text.split("=")[1])])
)
const symbols = program.image.symbols.map((name) => given.get(name) ?? 1)
const pool = new ThreadPool({ threads: 2, spawn: NodeThreads.spawn })
const team = pool.team(heap)
await pool.start()
const arena = new Arena(heap)
const binding = new Binding({ heap, arena, team }, program, symbols, "own")
for (const port of binding.inputs) {
  const { data } = port
  const isFloat = DTypes.isFloat(port.dtype)
  for (let i = 0; i < data.length; i++)
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(i % 7)
    else data[i] = isFloat ? Math.sin(i) : i % 7
}
binding.enter()
// As threads have it: scratch memory of their own, none of it in the arena.
const meter = { table: binding.table, arena: arena.address, scratch: arena.scratch }
const globals: Record<string, number> = { ...meter, overlay: 0 }
program.image.symbols.forEach((_, place) => void (globals[`symbol_${place}`] = symbols[place] ?? 0))
const stride = Math.ceil(program.scratch(symbols) / 64) * 64
const shared = new SharedArrayBuffer(4 * words)
const control = new Int32Array(shared)
const calls = callsOf(program.instance, globals, program.image.steps.length)
const worker = new Worker(new URL(import.meta.url), {
  workerData: {
    module: program.module,
    memory: heap.memory,
    control: shared,
    globals: { ...globals, scratch: meter.scratch + stride },
    steps: calls.length
  } satisfies Given
})
await new Promise((resolve) => worker.once("message", resolve))

const units = program.image.steps.map(
  ({ units: dim }) => Dim.evaluate(dim, new Map(program.image.symbols.map((name, i) => [name, symbols[i] ?? 0]))) ?? 0
)
const ordered = program.image.actions.flatMap((action) =>
  action.kind === "run" ? action.calls.filter((call) => typeof call === "number") : []
)
const one = calls.map((): Array<number> => [])
const two = calls.map((): Array<number> => [])
const waits = calls.map((): Array<number> => [])
const sharedRun = (step: number): readonly [number, number] => {
  const count = units[step] ?? 0
  control[1] = step
  control[2] = count
  control[3] = Math.max(1, Math.floor(count / 16))
  control[16] = 0
  control[32] = 0
  const begin = performance.now()
  Atomics.add(control, 0, 1)
  const call = calls[step]
  if (call !== undefined) take(control, false, call)
  const own = performance.now()
  while (Atomics.load(control, 32) === 0);
  const end = performance.now()
  return [end - begin, end - own]
}
const rounds = Number(options.rounds)
const least = (times: ReadonlyArray<number>): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 8)] ?? 0
const wholes: { alone: Array<number>; joined: Array<number> } = { alone: [], joined: [] }
for (let round = 0; round < 3 * rounds; round++) {
  // What the other way left in the caches of two cores is not what this way finds: the first of three rounds does not count.
  const warm = round < rounds || round % 3 === 0
  for (const way of round % 6 < 3 ? (["one"] as const) : (["two"] as const))
    for (const step of ordered) {
      if (way === "one") {
        const begin = performance.now()
        calls[step]?.(0, units[step] ?? 0)
        if (!warm) one[step]?.push(performance.now() - begin)
      } else {
        const [took, waited] = sharedRun(step)
        if (warm) continue
        two[step]?.push(took)
        waits[step]?.push(waited)
      }
    }
}
control[1] = -1
Atomics.add(control, 0, 1)
await new Promise((resolve) => worker.once("exit", resolve))
const words32 = new Int32Array(heap.memory.buffer, binding.table, program.image.words)
for (let round = 0; round < 2 * rounds + 15; round++) {
  for (const way of ["alone", "joined"] as const) {
    for (let k = 0; k < 3; k++) {
      const begin = performance.now()
      program.joins.forEach((join, part) => {
        if (way === "alone" || join === undefined) program.parts[part]?.(meter.table, meter.arena, binding.scratch)
        else {
          words32.fill(0, program.image.meetings)
          team.run(program, part, join, { ...meter, stride })
        }
      })
      if (round >= 15) wholes[way].push(performance.now() - begin)
    }
  }
}
let [sumOne, sumTwo, sumBest] = [0, 0, 0]
const rows = ordered.map((step) => {
  const [a, b, w] = [least(one[step] ?? []) * 1e3, least(two[step] ?? []) * 1e3, least(waits[step] ?? []) * 1e3]
  sumOne += a
  sumTwo += b
  sumBest += a / 2
  const { id, kernel } = program.image.steps[step] ?? { id: "", kernel: "" }
  return { step, id, kernel, units: units[step] ?? 0, one: a, two: b, lost: b - a / 2, wait: w }
})
for (const row of options.all ? rows : rows.toSorted((a, b) => b.lost - a.lost).slice(0, 16))
  console.log(
    `${String(row.step).padStart(3)} ${row.id.slice(0, 24).padEnd(24)} ${row.kernel.slice(0, 22).padEnd(22)} units ${String(row.units).padStart(5)}  one ${row.one.toFixed(0).padStart(6)}  two ${row.two.toFixed(0).padStart(6)}  ${(row.one / row.two).toFixed(2)}x  lost ${row.lost.toFixed(0).padStart(5)}  wait ${row.wait.toFixed(0).padStart(5)}`
  )
const median = (times: ReadonlyArray<number>) => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0
console.log(
  `steps: one ${sumOne.toFixed(0)}, two ${sumTwo.toFixed(0)}, ideal ${sumBest.toFixed(0)};  runs: one ${(least(wholes.alone) * 1e3).toFixed(0)}, two ${(least(wholes.joined) * 1e3).toFixed(0)} = ${(least(wholes.alone) / least(wholes.joined)).toFixed(2)}x (median ${(median(wholes.alone) / median(wholes.joined)).toFixed(2)}x)  meetings ${program.image.words - program.image.meetings}`
)
await pool.release()
