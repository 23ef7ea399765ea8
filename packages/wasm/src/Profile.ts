/**
 * Profile: the steps of a program one by one, with the time of each: where a run's time goes. One thread; the caller's
 * inputs are in place.
 *
 * A step is timed once in a run, since it may write over what it reads; runs are repeated, and the median counts. What
 * calling and looking at the clock take is measured by itself and taken off.
 */
import * as Dim from "@anneal/ir/Dim"
import type { StepTime } from "@anneal/runtime/Executor"
import * as Effect from "effect/Effect"
import type { Binding } from "./Binding.ts"
import type { Heap } from "./Heap.ts"
import type * as Image from "./Image.ts"
import * as Places from "./Places.ts"
import type { Exported, Global } from "./WebAssembly.ts"

type Call = (begin: number, end: number) => void

const isGlobal = (exported: Exported | undefined): exported is Global =>
  typeof exported === "object" && "value" in exported

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** Milliseconds that two looks at the clock with nothing between are apart. */
const overhead = (): number => {
  const gaps: Array<number> = []
  for (let i = 0; i < 101; i++) {
    const begin = performance.now()
    gaps.push(performance.now() - begin)
  }
  return median(gaps)
}

/** Times of the steps of one program, over many runs. */
export class Meter {
  readonly #binding: Binding
  readonly #heap: Heap
  readonly #calls: ReadonlyArray<Call>
  readonly #units: ReadonlyArray<number>
  /** Milliseconds of each step, a run each; the order is that of the first run. */
  readonly #steps = new Map<number, Array<number>>()
  readonly #hosts = new Map<number, Array<number>>()
  readonly #onStep: ((step: Image.Step) => void) | undefined
  readonly #order: Array<{ readonly kind: "step" | "host"; readonly number: number }> = []

  /** `onStep`: told of each step when it has run, outside what is timed. */
  constructor(binding: Binding, heap: Heap, onStep?: (step: Image.Step) => void) {
    const { image, instance } = binding.program
    this.#binding = binding
    this.#heap = heap
    this.#onStep = onStep
    const bindings = new Map(image.symbols.map((name, place) => [name, binding.symbols[place] ?? 0]))
    this.#units = image.steps.map(({ units }) => Dim.evaluate(units, bindings) ?? 0)
    this.#calls = image.steps.map((_, number) => {
      const exported = instance.exports[`step_${number}`]
      if (typeof exported !== "function") throw new Error(`there is no step ${number} in the code`)
      return exported
    })
  }

  /** What `run_N` sets when it begins. */
  #enter(): void {
    const { image, instance } = this.#binding.program
    const set = (name: string, value: number): void => {
      const global = instance.exports[name]
      if (isGlobal(global)) global.value = value
    }
    set("table", this.#binding.table)
    set("arena", this.#binding.arena)
    set("scratch", this.#binding.scratch)
    set("overlay", -1)
    for (const place of image.symbols.keys()) set(`symbol_${place}`, this.#binding.symbols[place] ?? 0)
  }

  #note(times: Map<number, Array<number>>, kind: "step" | "host", number: number, took: number): void {
    const known = times.get(number)
    if (known !== undefined) known.push(took)
    else {
      times.set(number, [took])
      this.#order.push({ kind, number })
    }
  }

  /** Runs a stretch of generated code, step by step. */
  part({ calls }: Extract<Image.Action, { readonly kind: "run" }>): void {
    this.#enter()
    const visit = (list: ReadonlyArray<Image.Call>): void => {
      for (const call of list) {
        if (typeof call === "number") {
          const units = this.#units[call] ?? 0
          const begin = performance.now()
          this.#calls[call]?.(0, units)
          this.#note(this.#steps, "step", call, performance.now() - begin)
          const step = this.#binding.program.image.steps[call]
          if (step !== undefined) this.#onStep?.(step)
          continue
        }
        const { data } = Places.read(this.#binding.locate(call.condition), this.#heap.memory.buffer)
        visit(Number(data[0] ?? 0) !== 0 ? call.whenTrue : call.whenFalse)
      }
    }
    visit(calls)
  }

  /** Times what the host does. */
  host<A, E>(number: number, step: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const begin = performance.now()
      return Effect.tap(step, () =>
        Effect.sync(() => this.#note(this.#hosts, "host", number, performance.now() - begin))
      )
    })
  }

  /** Forgets what was measured: what ran while code was still compiled. */
  reset(): void {
    this.#steps.clear()
    this.#hosts.clear()
    this.#order.length = 0
  }

  times(): ReadonlyArray<StepTime> {
    const { image } = this.#binding.program
    const cost = overhead()
    const time = (samples: ReadonlyArray<number>) => ({
      nanoseconds: Math.max(0, median(samples) - cost) * 1e6,
      runs: samples.length
    })
    return this.#order.flatMap(({ kind, number }): ReadonlyArray<StepTime> => {
      if (kind === "host") {
        const host = image.hosts[number]
        const samples = this.#hosts.get(number) ?? []
        return host === undefined ? [] : [{ id: `host ${number}`, node: host.node, kernel: "host", ...time(samples) }]
      }
      const step = image.steps[number]
      const samples = this.#steps.get(number) ?? []
      return step === undefined ? [] : [{ id: step.id, node: step.node, kernel: step.kernel, ...time(samples) }]
    })
  }
}
