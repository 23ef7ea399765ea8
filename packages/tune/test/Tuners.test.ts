// The tuners over simulated targets: what they decide, what they never do twice, what they do with little time.
import { assert, describe, it } from "@effect/vitest"
import * as Measurer from "@anneal/pipeline/Measurer"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Progress from "@anneal/pipeline/Progress"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Event from "@anneal/tune/Event"
import * as EvolutionaryTuner from "@anneal/tune/EvolutionaryTuner"
import * as ExhaustiveTuner from "@anneal/tune/ExhaustiveTuner"
import * as FileError from "@anneal/tune/FileError"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Journal from "@anneal/tune/Journal"
import * as MachineTurn from "@anneal/tune/MachineTurn"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"
import * as Stability from "@anneal/tune/Stability"
import * as VirtualClock from "@anneal/tune/VirtualClock"
import * as Weather from "@anneal/tune/Weather"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Space from "./Space.ts"

type TunerLayer = Layer.Layer<Tuner.Tuner, never, Measurer.Measurer | Journal.Journal>

interface Setting {
  readonly simulate?: SimulatedMeasurer.Options["simulate"]
  readonly weather?: Weather.Weather
  readonly generator?: string
  readonly journal?: Layer.Layer<Journal.Journal>
  readonly parallel?: number
}

const sameTime = (a: number, b: number) => Math.abs(a - b) < 1e-9

/** Tunes a space in virtual time: decisions, events, what was run for timing, virtual seconds. */
const tune = (tuner: TunerLayer, space: ReadonlyArray<Tuner.Choice>, setting: Setting = {}) =>
  Effect.suspend(() => {
    const time = VirtualClock.make()
    const timed = new Set<string>()
    const measurer = SimulatedMeasurer.layer({
      time,
      simulate: setting.simulate ?? Space.simulate,
      weather: setting.weather ?? Weather.calm,
      parallel: setting.parallel ?? 2,
      generator: setting.generator ?? "simulated@1",
      onRun: ({ key }, candidate) => timed.add(`${key} ${Tuner.identify(candidate)}`)
    })
    const work = Effect.gen(function* () {
      const service = yield* Tuner.Tuner
      const [decisions, events] = yield* Event.collect(service.decide(space))
      return { decisions, events, timed, seconds: time.now() / 1e9, service }
    })
    const layer = Layer.provide(tuner, [measurer, setting.journal ?? Journal.layerMemory])
    return work.pipe(Effect.provide(layer), VirtualClock.provide(time))
  })

/** How many times slower than the best possible the decisions are, in the worst choice. */
const worst = (space: ReadonlyArray<Tuner.Choice>, decisions: ReadonlyArray<Tuner.Decision>) =>
  Math.max(
    ...space.map((choice, i) => {
      const decision = decisions[i]
      return decision === undefined ? Infinity : Space.timeOf(choice, decision.candidate) / Space.bestTime(choice)
    })
  )

const small = Space.space(6, Space.tiles([2, 4, 6], [1, 2, 4], [1, 2]))
const large = Space.space(3, Space.tiles([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6], [1, 2, 4, 8, 16]))

/** A journal that stays, for several tunings. */
const keptJournal = () => {
  const entries: Array<Parameters<Journal.JournalService["append"]>[0][number]> = []
  const layer = Layer.succeed(Journal.Journal, {
    name: "kept",
    read: Effect.sync(() => ({ entries: [...entries], damaged: [] })),
    append: (more) => Effect.sync(() => void entries.push(...more))
  })
  return { entries, layer }
}

describe("heuristic", () => {
  it.effect("takes what is predicted to cost least, without a measurer", () =>
    Effect.gen(function* () {
      const tuner = yield* Tuner.Tuner
      const decisions = yield* tuner.decide(small)
      for (const [i, { candidates }] of small.entries()) {
        assert.strictEqual(
          decisions[i]?.candidate.cost,
          candidates.reduce((least, { cost = Infinity }) => Math.min(least, cost), Infinity)
        )
      }
      assert.deepStrictEqual(tuner.identity, { name: "heuristic", version: 1, config: {} })
    }).pipe(Effect.provide(HeuristicTuner.layer))
  )

  it.effect("says everything that cannot be decided", () =>
    Effect.gen(function* () {
      const tuner = yield* Tuner.Tuner
      const other = { key: "k0", node: "/other", candidates: [{ name: "else", config: {} }] }
      const error = yield* Effect.flip(tuner.decide([...small, other, { key: "e", node: "/e", candidates: [] }]))
      if (error._tag !== "TunerError") return assert.fail(error._tag)
      assert.deepStrictEqual(
        error.problems.map(({ reason, node }) => [reason, node]),
        [
          ["Ambiguous", "/other"],
          ["NoCandidate", "/e"]
        ]
      )
      assert.include(error.message, "/other: it has the key of /layer0, but other candidates")
    }).pipe(Effect.provide(HeuristicTuner.layer))
  )
})

describe("exhaustive", () => {
  it.effect("finds the fastest of every choice, and says what it did", () =>
    Effect.gen(function* () {
      const [{ decisions, events, timed }, progress] = yield* Progress.collect(tune(ExhaustiveTuner.layer(), small))
      assert.isAtMost(worst(small, decisions), 1.02)
      assert.strictEqual(timed.size, 6 * 18)
      const count = (tag: Event.Event["_tag"]) => events.filter(({ _tag }) => _tag === tag).length
      assert.deepStrictEqual(
        [count("Checked"), count("Timed"), count("Decided"), count("OutOfBudget")],
        [108, 108, 6, 0]
      )
      const steps = progress.flatMap((event) => (event._tag === "Step" ? [`${event.done}/${event.total ?? "?"}`] : []))
      assert.strictEqual(steps.at(-1), "108/108")
      for (const event of events) assert.isAbove(Event.format(event).length, 10)
    })
  )

  it.effect("equal keys are measured once and decided alike", () =>
    Effect.gen(function* () {
      const [first] = small
      if (first === undefined) return assert.fail("no choice")
      const space = [first, { ...first, node: "/again" }, { ...first, node: "/and again" }]
      const { decisions, events } = yield* tune(ExhaustiveTuner.layer(), space)
      assert.strictEqual(decisions.length, 3)
      assert.deepStrictEqual(decisions[0], decisions[2])
      assert.strictEqual(events.filter(({ _tag }) => _tag === "Timed").length, 18)
    })
  )

  it.effect("what is journalled is not measured again, and decides the same", () =>
    Effect.gen(function* () {
      const { layer, entries } = keptJournal()
      const first = yield* tune(ExhaustiveTuner.layer(), small, { journal: layer })
      const known = entries.length
      const second = yield* tune(ExhaustiveTuner.layer(), small, { journal: layer })
      assert.strictEqual(second.timed.size, 0)
      assert.strictEqual(entries.length, known)
      assert.deepStrictEqual(second.decisions, first.decisions)
      // Measurements of another generator are of other kernels.
      const third = yield* tune(ExhaustiveTuner.layer(), small, { journal: layer, generator: "simulated@2" })
      assert.strictEqual(third.timed.size, 108)
    })
  )

  it.effect("what it waits for other processes is no part of its budget", () =>
    Effect.gen(function* () {
      const tuned = (wait: number) =>
        Effect.suspend(() => {
          const tuner = ExhaustiveTuner.layer({ budget: "2 seconds" })
          return Effect.provideService(tune(tuner, large), MachineTurn.MachineTurn, (effect) =>
            Effect.andThen(Effect.sleep(wait), effect)
          )
        })
      const [alone, waiting] = [yield* tuned(0), yield* tuned(3_600_000)]
      assert.isAbove(alone.timed.size, 1)
      assert.deepStrictEqual([...waiting.timed], [...alone.timed])
      assert.isAbove(waiting.seconds, alone.seconds + 3_600)
    })
  )

  it.effect("stays within the budget, gives every choice a share of it, and decides all", () =>
    Effect.gen(function* () {
      const whole = yield* tune(ExhaustiveTuner.layer(), large)
      assert.isAtMost(worst(large, whole.decisions), 1.02)
      for (const seconds of [0, 0.005, 0.5, 2, 5]) {
        const budget = `${1000 * seconds} millis` as const
        const { decisions, events, seconds: took } = yield* tune(ExhaustiveTuner.layer({ budget }), large)
        assert.isAtMost(took, seconds + 0.003)
        assert.strictEqual(decisions.length, 3)
        assert.strictEqual(events.filter(({ _tag }) => _tag === "OutOfBudget").length, 1)
        const measured = new Set(events.flatMap((event) => (event._tag === "Timed" ? [event.key] : [])))
        assert.strictEqual(measured.size, seconds < 0.1 ? 0 : 3, `${seconds} s`)
        if (seconds >= 0.5) assert.isAtMost(worst(large, decisions), 1.15)
      }
    })
  )

  it.effect("whatever goes on beside it, what it decides is as fast", () =>
    Effect.gen(function* () {
      const quiet = yield* tune(ExhaustiveTuner.layer(), small, { weather: Weather.jitter(0.005, 0) })
      for (let seed = 1; seed <= 12; seed++) {
        const weather = Weather.all(
          Weather.jitter(0.01, seed),
          Weather.drift(1.25, 5),
          seed % 3 === 0 ? Weather.throttled(1.25, 1) : Weather.calm,
          Weather.neighbour({ slower: 1.5, share: 0.3, burst: 20 * seed, seed })
        )
        const busy = yield* tune(ExhaustiveTuner.layer(), small, { weather })
        const total = (decisions: ReadonlyArray<Tuner.Decision>) =>
          small.reduce((sum, choice, i) => {
            const decision = decisions[i]
            return sum + (decision === undefined ? Infinity : Space.timeOf(choice, decision.candidate))
          }, 0)
        assert.isAtMost(Math.abs(total(busy.decisions) / total(quiet.decisions) - 1), 0.05, `seed ${seed}`)
        assert.isAtMost(worst(small, busy.decisions), 1.05, `seed ${seed}`)
      }
    })
  )

  it.effect("noise alone changes next to no decision: equals are told apart by what is predicted", () =>
    Effect.gen(function* () {
      // All unrollings are equally fast.
      const simulate: SimulatedMeasurer.Options["simulate"] = (choice, { config }) => {
        const { nr } = Object.fromEntries(typeof config === "object" && config !== null ? Object.entries(config) : [])
        return {
          kernel: SimulatedMeasurer.right,
          time: typeof nr === "number" ? 1000 + 100 * nr + choice.key.length : 0
        }
      }
      const space = Space.space(4, Space.tiles([4], [1, 2, 4], [1, 2, 4]))
      const one = yield* tune(ExhaustiveTuner.layer(), space, { simulate, weather: Weather.jitter(0.01, 7) })
      for (let seed = 20; seed < 30; seed++) {
        const two = yield* tune(ExhaustiveTuner.layer(), space, { simulate, weather: Weather.jitter(0.01, seed) })
        assert.deepStrictEqual(two.decisions, one.decisions)
      }
    })
  )

  it.effect("one candidate is checked, not timed; a wrong one is no decision", () =>
    Effect.gen(function* () {
      const space = small.map((choice) => ({ ...choice, candidates: choice.candidates.slice(0, 1) }))
      const { events, timed } = yield* tune(ExhaustiveTuner.layer(), space)
      assert.strictEqual(timed.size, 0)
      assert.strictEqual(events.filter(({ _tag }) => _tag === "Checked").length, 6)
      const simulate: SimulatedMeasurer.Options["simulate"] = (choice) => ({
        kernel: choice.key === "k3" || choice.key === "k4" ? () => {} : SimulatedMeasurer.right,
        time: 1000
      })
      const error = yield* Effect.flip(tune(ExhaustiveTuner.layer(), space, { simulate }))
      if (error._tag !== "TunerError") return assert.fail(error._tag)
      assert.deepStrictEqual(
        error.problems.map(({ reason, key }) => [reason, key]),
        [
          ["AllRejected", "k3"],
          ["AllRejected", "k4"]
        ]
      )
      assert.include(error.message, "none of its 1 candidates is right")
    })
  )

  it.effect("a target that cannot measure is a typed failure", () =>
    Effect.gen(function* () {
      const failing = Layer.effect(
        Measurer.Measurer,
        Measurer.make({
          name: "none",
          generator: "none@1",
          features: [],
          parallel: 1,
          prepare: () => Effect.fail(new Measurer.MeasurerError({ detail: "no worker starts", action: "free memory" }))
        })
      )
      const error = yield* Effect.gen(function* () {
        const tuner = yield* Tuner.Tuner
        assert.isUndefined(tuner.identity)
        return yield* Effect.flip(tuner.decide(small))
      }).pipe(Effect.provide(Layer.provide(ExhaustiveTuner.layer(), [failing, Journal.layerMemory])))
      if (error._tag !== "TunerError") return assert.fail(error._tag)
      assert.strictEqual(error.problems[0]?.reason, "Measurer")
      assert.include(error.message, "no worker starts (free memory)")
    })
  )

  it.effect("a journal that cannot be written costs a warning, one", () =>
    Effect.gen(function* () {
      const full = new FileError.FileError({ reason: "Full", operation: "write", path: "j", detail: "no space" })
      const journal = Layer.succeed(Journal.Journal, {
        name: "j",
        read: Effect.succeed({ entries: [], damaged: [] }),
        append: () => Effect.fail(full)
      })
      const [{ decisions }, findings] = yield* Diagnostic.collect(tune(ExhaustiveTuner.layer(), small, { journal }))
      assert.isAtMost(worst(small, decisions), 1.02)
      assert.deepStrictEqual(
        findings.map(({ code }) => code),
        ["journal-not-written"]
      )
    })
  )

  it.effect("its identity says what its decisions depend on", () =>
    Effect.gen(function* () {
      const { service } = yield* tune(ExhaustiveTuner.layer({ budget: "1 second" }), [])
      const { service: other } = yield* tune(ExhaustiveTuner.layer({ budget: "2 seconds" }), [])
      assert.strictEqual(service.identity?.name, "exhaustive")
      assert.notDeepEqual(service.identity, other.identity)
    })
  )
})

describe("evolutionary", () => {
  it.effect("finds nearly the best of a large space with a quarter of the measurements", () =>
    Effect.gen(function* () {
      const trials = 60
      const { decisions, timed } = yield* tune(EvolutionaryTuner.layer({ trials }), large)
      assert.isAtMost(timed.size, 3 * trials)
      assert.isAtMost(worst(large, decisions), 1.03)
    })
  )

  it.effect("needs no prediction, and does better than as many random ones", () =>
    Effect.gen(function* () {
      const blind = large.map((choice) => ({
        ...choice,
        candidates: choice.candidates.map(({ name, config }) => ({ name, config }))
      }))
      const { decisions } = yield* tune(EvolutionaryTuner.layer({ trials: 60 }), blind)
      assert.isAtMost(worst(blind, decisions), 1.1)
    })
  )

  it.effect("the same seed proposes the same; what the journal has decides what comes next", () =>
    Effect.gen(function* () {
      const run = (seed: number) => tune(EvolutionaryTuner.layer({ trials: 36, seed }), large)
      const [one, two, three] = [yield* run(1), yield* run(1), yield* run(2)]
      assert.deepStrictEqual([...one.timed], [...two.timed])
      assert.notDeepEqual([...one.timed], [...three.timed])
    })
  )

  it.effect("a small space is measured whole", () =>
    Effect.gen(function* () {
      const { decisions, timed } = yield* tune(EvolutionaryTuner.layer(), small)
      assert.isAtMost(worst(small, decisions), 1.02)
      assert.isAtMost(timed.size, 108)
    })
  )
})

describe("Stability", () => {
  it.effect("compares two sets of decisions by their time", () =>
    Effect.gen(function* () {
      const [first] = small
      if (first === undefined) return assert.fail("no choice")
      const decide = (pick: (list: ReadonlyArray<Tuner.Candidate>) => Tuner.Candidate | undefined) =>
        small.flatMap(({ key, candidates }) => {
          const candidate = pick(candidates)
          return candidate === undefined ? [] : [{ key, candidate }]
        })
      const [a, b] = [decide((list) => list[0]), decide((list) => list[5])]
      const time = VirtualClock.make()
      const { ratio, choices } = yield* Stability.compare(small, a, b).pipe(
        Effect.provide(SimulatedMeasurer.layer({ time, simulate: Space.simulate })),
        VirtualClock.provide(time)
      )
      const total = (decisions: ReadonlyArray<Tuner.Decision>) =>
        small.reduce(
          (sum, choice, i) => sum + Space.timeOf(choice, decisions[i]?.candidate ?? { name: "", config: {} }),
          0
        )
      assert.closeTo(ratio, total(b) / total(a), 0.001)
      assert.strictEqual(choices.length, 6)
      assert.isFalse(sameTime(ratio, 1))
    })
  )
})
