// Fifty faults planted in candidates: each is found when the candidate is checked, and none is ever timed.
import { assert, describe, it } from "@effect/vitest"
import * as Measurer from "@anneal/pipeline/Measurer"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Event from "@anneal/tune/Event"
import * as ExhaustiveTuner from "@anneal/tune/ExhaustiveTuner"
import * as Journal from "@anneal/tune/Journal"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"
import * as VirtualClock from "@anneal/tune/VirtualClock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"

type Kernel = SimulatedMeasurer.Kernel
const { right } = SimulatedMeasurer

/** A kernel of so many lanes with something wrong in it. */
const faults: Readonly<Record<string, readonly [Measurer.RejectionReason, (lanes: number) => Kernel]>> = {
  "no tail": [
    "Wrong",
    (lanes) => (memory, step) => right({ ...memory, length: memory.length - (memory.length % lanes) }, step)
  ],
  "tail too long": [
    "StrayWrite",
    (lanes) => (memory, step) => right({ ...memory, length: Math.ceil(memory.length / lanes) * lanes }, step)
  ],
  "a lane is missing": [
    "Wrong",
    (lanes) =>
      ({ cells, input, output, length }, step) => {
        for (let i = 0; i < length; i++) {
          step()
          if (i % lanes !== lanes - 1) cells[output + i] = 2 * (cells[input + i] ?? 0) + 1
        }
      }
  ],
  "lanes are swapped": [
    "Wrong",
    (lanes) => (memory, step) => {
      right(memory, step)
      const { cells, output, length } = memory
      for (let i = 0; i + 1 < length; i += lanes) {
        const first = cells[output + i] ?? 0
        cells[output + i] = cells[output + i + 1] ?? 0
        cells[output + i + 1] = first
      }
    }
  ],
  "overlapping buffers": [
    // Writes a block ahead of reading it: wrong as soon as input and output are one.
    "Wrong",
    (lanes) =>
      ({ cells, input, output, length }, step) => {
        for (let i = length - 1; i >= 0; i--) {
          step()
          const from = input === output ? input + ((i + lanes) % length) : input + i
          cells[output + i] = 2 * (cells[from] ?? 0) + 1
        }
      }
  ],
  "writes before the output": [
    "StrayWrite",
    (lanes) => (memory, step) => {
      right(memory, step)
      memory.cells[memory.output - lanes] = 0
    }
  ],
  trap: [
    "Trap",
    (lanes) => (memory, step) => {
      if (memory.length > lanes) throw new RangeError("unreachable")
      right(memory, step)
    }
  ],
  "endless loop": [
    "Hang",
    (lanes) => (memory, step) => {
      right(memory, step)
      for (let i = memory.length % lanes; i !== lanes; i = i === 0 ? 0 : i) step()
    }
  ],
  "not finite": [
    "NotFinite",
    (lanes) => (memory, step) => {
      right(memory, step)
      const { cells, output, length } = memory
      if (length > lanes) cells[output + lanes] = 0 / 0
    }
  ],
  "adds to what was there": [
    "Wrong",
    (lanes) =>
      ({ cells, input, output, length }, step) => {
        for (let i = 0; i < length; i++) {
          step()
          const before = i % lanes === 0 ? (cells[output + i] ?? 0) : 0
          cells[output + i] = before + 2 * (cells[input + i] ?? 0) + 1
        }
      }
  ]
}
const WIDTHS = [2, 3, 4, 5, 8]

const candidate = (fault: string, lanes: number): Tuner.Candidate => ({ name: fault, config: { lanes }, cost: 1 })
const planted = Object.keys(faults).flatMap((fault) => WIDTHS.map((lanes) => candidate(fault, lanes)))
const sound: Tuner.Candidate = { name: "sound", config: { lanes: 4 }, cost: 100 }

const kernelOf = ({ name, config }: Tuner.Candidate): Kernel => {
  const { lanes } = Object.fromEntries(typeof config === "object" && config !== null ? Object.entries(config) : [])
  return faults[name]?.[1](typeof lanes === "number" ? lanes : 4) ?? right
}

describe("planted faults", () => {
  it.effect("fifty of them: each is rejected for what it is, before anything of it is timed", () => {
    const time = VirtualClock.make()
    const timed = new Set<string>()
    const measurer = SimulatedMeasurer.layer({
      time,
      parallel: 4,
      // Every faulty one would be the fastest.
      simulate: (_, one) => ({ kernel: kernelOf(one), time: one.name === "sound" ? 1000 : 10 }),
      onRun: (_, one) => timed.add(one.name)
    })
    return Effect.gen(function* () {
      assert.strictEqual(planted.length, 50)
      const tuner = yield* Tuner.Tuner
      const choice = { key: "k", node: "/conv", candidates: [...planted, sound] }
      const [decisions, events] = yield* Event.collect(tuner.decide([choice]))
      assert.deepStrictEqual(decisions, [{ key: "k", candidate: sound }])
      assert.deepStrictEqual([...timed], ["sound"])
      const rejected = new Map(
        events.flatMap((event) => (event._tag === "Rejected" ? [[event.candidate, event] as const] : []))
      )
      assert.strictEqual(rejected.size, 50)
      for (const one of planted) {
        assert.strictEqual(rejected.get(Tuner.identify(one))?.reason, faults[one.name]?.[0], Tuner.identify(one))
      }
      const { entries } = yield* (yield* Journal.Journal).read
      assert.strictEqual(entries.filter(({ kind }) => kind === "rejection").length, 50)
      // Next time nothing has to be checked again.
      const [, again] = yield* Event.collect(tuner.decide([choice]))
      assert.deepStrictEqual(
        again.map(({ _tag }) => _tag),
        ["Started", "Decided"]
      )
    }).pipe(
      Effect.provide(Layer.provideMerge(ExhaustiveTuner.layer(), [measurer, Journal.layerMemory])),
      VirtualClock.provide(time)
    )
  })

  it.effect("what cannot be generated is refused, with why", () => {
    const time = VirtualClock.make()
    return Effect.gen(function* () {
      const measurer = yield* SimulatedMeasurer.make({
        time,
        simulate: () => ({ kernel: { refused: "needs 40 registers" }, time: 1 })
      })
      const error = yield* Effect.flip(measurer.check({ key: "k", node: "n", candidates: [sound] }, sound))
      assert.strictEqual(error.message, "Refused: needs 40 registers")
    }).pipe(Effect.scoped, VirtualClock.provide(time))
  })

  it("only what was checked can be timed, by its type", () => {
    const forged = (run: Measurer.Run): Measurer.Checked =>
      // @ts-expect-error  there is no way to a Checked but through a check
      ({ choice: { key: "k", node: "n", candidates: [] }, candidate: sound, run })
    assert.isFunction(forged)
  })

  it.effect("two measurers do not time at the same time", () => {
    const time = VirtualClock.make()
    let [timing, most] = [0, 0]
    const work = Effect.gen(function* () {
      timing++
      most = Math.max(most, timing)
      yield* Effect.sleep("10 millis")
      timing--
    })
    return Effect.gen(function* () {
      const options = { time, simulate: () => ({ kernel: right, time: 1 }) }
      const measurers = yield* Effect.all([SimulatedMeasurer.make(options), SimulatedMeasurer.make(options)])
      yield* Effect.forEach(measurers, ({ alone }) => alone(work), { concurrency: "unbounded" })
      assert.strictEqual(most, 1)
      assert.isAtLeast(time.now(), 20e6)
    }).pipe(VirtualClock.provide(time))
  })

  it.effect("checks run side by side, as many as may; nothing runs beside a timing", () => {
    const time = VirtualClock.make()
    let [running, most, alone] = [0, 0, 0]
    return Effect.gen(function* () {
      const measurer = yield* Measurer.make({
        name: "counting",
        generator: "counting@1",
        features: [],
        parallel: 3,
        prepare: () =>
          Effect.succeed({
            check: Effect.gen(function* () {
              running++
              most = Math.max(most, running)
              yield* Effect.sleep("10 millis")
              running--
            }),
            run: () => Effect.succeed(1)
          })
      })
      const choice = { key: "k", node: "n", candidates: [sound] }
      const checks = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 12 }), () => measurer.check(choice, sound), { concurrency: "unbounded" })
      )
      yield* Effect.sleep("5 millis")
      yield* measurer.alone(
        Effect.gen(function* () {
          alone = running
          yield* Effect.sleep("10 millis")
          alone = Math.max(alone, running)
        })
      )
      yield* Fiber.join(checks)
      assert.strictEqual(most, 3)
      assert.strictEqual(alone, 0)
    }).pipe(Effect.scoped, VirtualClock.provide(time))
  })
})
