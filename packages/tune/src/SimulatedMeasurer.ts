/**
 * SimulatedMeasurer: a measurer without a machine, for tests of tuners. Its kernels are functions over a small memory,
 * checked for real: against the right result, with guard cells, poison, a limit of steps. Their time is a number, made
 * worse by the weather, in virtual time.
 *
 * The task of every kernel: `output[i] = 2·input[i] + 1` for i < length.
 */
import * as Measurer from "@anneal/pipeline/Measurer"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Seeded from "./Seeded.ts"
import type { VirtualClock } from "./VirtualClock.ts"
import * as Weather from "./Weather.ts"

/** A memory with an input and an output in it, at offsets. A kernel can reach all of it, as generated code can. */
export interface Memory {
  readonly cells: Float32Array
  readonly input: number
  readonly output: number
  readonly length: number
}

/** Calls `step` in every loop; it ends what does not end. */
export type Kernel = (memory: Memory, step: () => void) => void

export interface Simulated {
  /** Undefined: it cannot be generated, and why. */
  readonly kernel: Kernel | { readonly refused: string }
  /** Nanoseconds of one run, undisturbed. */
  readonly time: number
  /** How much of a neighbour's harm reaches it; default 1. */
  readonly exposure?: number
}

export interface Options {
  readonly time: VirtualClock
  readonly simulate: (choice: Choice, candidate: Candidate) => Simulated
  readonly weather?: Weather.Weather
  readonly parallel?: number
  readonly generator?: string
  readonly features?: ReadonlyArray<string>
  /** Milliseconds that a check takes; default 2. */
  readonly checking?: number
  /** Called when a candidate is run for timing. */
  readonly onRun?: (choice: Choice, candidate: Candidate) => void
}

/** A right kernel. */
export const right: Kernel = ({ cells, input, output, length }, step) => {
  for (let i = 0; i < length; i++) {
    step()
    cells[output + i] = 2 * (cells[input + i] ?? 0) + 1
  }
}

const GUARD = 8
const GUARD_VALUE = -12345.5
const POISON = -777.25
const STEPS = 10_000
/** Lengths around the widths that kernels are made for. */
const LENGTHS = [1, 3, 4, 5, 7, 8, 15, 16, 17, 33]

class OutOfSteps extends Error {}

type Place = "apart" | "output first" | "in place"

const layOut = (length: number, place: Place): Memory => {
  const [first, second] = [GUARD, GUARD + length + GUARD]
  const cells = new Float32Array(second + length + GUARD).fill(GUARD_VALUE)
  const [input, output] =
    place === "apart" ? [first, second] : place === "output first" ? [second, first] : [first, first]
  // What is never written must not look right by chance.
  cells.fill(POISON, output, output + length)
  return { cells, input, output, length }
}

const reject = (reason: Measurer.RejectionReason, detail: string, evidence: Measurer.Rejected["evidence"]) =>
  new Measurer.Rejected({ reason, detail, evidence })

/** Runs a kernel once on these inputs, and says what is wrong. */
const tryOnce = (
  kernel: Kernel,
  memory: Memory,
  values: ReadonlyArray<number>,
  round: number
): Measurer.Rejected | undefined => {
  const { cells, input, output, length } = memory
  const given = { length, round, inPlace: input === output }
  cells.set(values, input)
  const before = cells.slice()
  let steps = 0
  try {
    kernel(memory, () => {
      if (++steps > STEPS) throw new OutOfSteps()
    })
  } catch (error) {
    if (error instanceof OutOfSteps) return reject("Hang", `not done after ${STEPS} steps`, given)
    return reject("Trap", error instanceof Error ? error.message : String(error), given)
  }
  for (const [i, value] of cells.entries()) {
    if (i >= output && i < output + length) {
      const expected = Math.fround(2 * (values[i - output] ?? 0) + 1)
      if (Object.is(value, expected) || value === expected) continue
      const evidence = { ...given, index: i - output, expected: String(expected), found: String(value) }
      const notFinite = Number.isNaN(value) || (!Number.isFinite(value) && Number.isFinite(expected))
      return reject(notFinite ? "NotFinite" : "Wrong", `element ${i - output} is ${value}, not ${expected}`, evidence)
    }
    if (!Object.is(value, before[i]))
      return reject("StrayWrite", `cell ${i - output} from the output was written`, given)
  }
  return undefined
}

const tryAll = (kernel: Kernel, seed: string): Measurer.Rejected | undefined => {
  const random = Seeded.make("inputs", seed)
  const edges = [0, -0, 1e-40, 3e38, -3e38, 16777216]
  for (const length of LENGTHS) {
    for (const place of ["apart", "output first", "in place"] as const) {
      const memory = layOut(length, place)
      // Twice in one memory: what a kernel leaves behind must not change what it does next.
      for (let round = 0; round < 2; round++) {
        const values = Array.from({ length }, () =>
          Math.fround(random.next() < 0.2 ? (edges[random.below(edges.length)] ?? 0) : random.normal())
        )
        const rejected = tryOnce(kernel, memory, values, round)
        if (rejected !== undefined) return rejected
      }
    }
  }
  return undefined
}

/** The measurer; `identity` is of the generator alone, since what it simulates is a function. */
export const make = (options: Options): Effect.Effect<Measurer.MeasurerService> => {
  const { time, simulate, weather = Weather.calm, checking = 2 } = options
  const generator = options.generator ?? "simulated@1"
  const passing =
    (nanoseconds: number, exposure: number): Measurer.Run =>
    ({ iterations }) =>
      Effect.sync(() => {
        const took = Math.max(1, iterations * nanoseconds * weather({ at: time.now(), exposure }))
        // Calling and reading the clock take time too, and are not measured.
        time.pass(took + 2_000)
        return took
      })
  return Measurer.make({
    name: "simulated",
    identity: { name: "simulated", version: 1, config: { generator } },
    generator,
    features: options.features ?? ["simulated"],
    parallel: options.parallel ?? 2,
    // No neighbour reaches it: the worst for comparing races by it.
    yardstick: passing(1_000, 0),
    prepare: (choice, candidate) =>
      Effect.suspend(() => {
        const simulated = simulate(choice, candidate)
        const { kernel } = simulated
        if (typeof kernel !== "function") return Effect.fail(reject("Refused", kernel.refused, null))
        const run = passing(simulated.time, simulated.exposure ?? 1)
        const verdict = Effect.suspend(() => {
          const rejected = tryAll(kernel, choice.key)
          return Effect.fromResult(rejected === undefined ? Result.void : Result.fail(rejected))
        })
        return Effect.succeed({
          check: Effect.andThen(Effect.sleep(Duration.millis(checking)), verdict),
          run: (batch: Measurer.Batch) => {
            options.onRun?.(choice, candidate)
            return run(batch)
          }
        })
      })
  })
}

export const layer = (options: Options): Layer.Layer<Measurer.Measurer> =>
  Layer.effect(Measurer.Measurer, make(options))
