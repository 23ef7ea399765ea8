import { assert, describe, it } from "@effect/vitest"
import * as Measurer from "@anneal/pipeline/Measurer"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Protocol from "@anneal/tune/Protocol"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"
import * as Timing from "@anneal/tune/Timing"
import * as VirtualClock from "@anneal/tune/VirtualClock"
import * as Weather from "@anneal/tune/Weather"
import * as Effect from "effect/Effect"

const candidatesOf = (times: Readonly<Record<string, number>>): ReadonlyArray<Tuner.Candidate> =>
  Object.keys(times).map((name) => ({ name, config: {} }))

interface Race {
  readonly times: Readonly<Record<string, number>>
  readonly exposure?: Readonly<Record<string, number>>
  readonly weather?: Weather.Weather
  readonly settings?: Protocol.Settings
  /** Nanoseconds. */
  readonly budget?: number
  /** Wraps a candidate's runs. */
  readonly wrap?: (name: string, run: Measurer.Run) => Measurer.Run
}

/** Races candidates with these times; the outcomes by name, and the virtual nanoseconds that it took. */
const race = (options: Race) => {
  const time = VirtualClock.make()
  const { times, exposure = {} } = options
  const choice: Tuner.Choice = { key: "k", node: "n", candidates: candidatesOf(times) }
  const runs: Array<string> = []
  return Effect.gen(function* () {
    const measurer = yield* SimulatedMeasurer.make({
      time,
      checking: 0,
      weather: options.weather ?? Weather.calm,
      simulate: (_, { name }) => ({
        kernel: SimulatedMeasurer.right,
        time: times[name] ?? Number.NaN,
        exposure: exposure[name] ?? 1
      }),
      onRun: (_, { name }) => runs.push(name)
    })
    const checked = yield* Effect.forEach(choice.candidates, (candidate) => measurer.check(choice, candidate))
    const start = time.now()
    const outcomes = yield* Protocol.race(
      checked.map((one) => Object.assign({}, one, { run: options.wrap?.(one.candidate.name, one.run) ?? one.run })),
      {
        settings: options.settings ?? Protocol.quick,
        yardstick: measurer.yardstick ?? (() => Effect.die("none")),
        deadline: start + (options.budget ?? Infinity)
      }
    )
    const byName = new Map(outcomes.map((outcome) => [outcome.checked.candidate.name, outcome]))
    const timing = (name: string): Timing.Timing | undefined => {
      const outcome = byName.get(name)
      return outcome?._tag === "Timed" ? outcome.timing : undefined
    }
    const ranked = Timing.rank(choice.candidates, ({ name }) => {
      const one = timing(name)
      return one === undefined ? [] : [one]
    })
    return { byName, timing, ranked, runs, took: time.now() - start }
  }).pipe(Effect.scoped, VirtualClock.provide(time))
}

const chosen = (result: { readonly ranked: ReadonlyArray<Timing.Ranked> }, tolerance = 0.02) =>
  Timing.choose(result.ranked, tolerance)?.chosen.candidate.name

describe("Protocol", () => {
  it.effect("in quiet, ratios are exact, also of those dropped early", () =>
    Effect.gen(function* () {
      const { timing } = yield* race({ times: { a: 1000, b: 1100, c: 1500, d: 3000 } })
      const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => timing(name))
      assert.closeTo(a?.relative ?? 0, 1, 1e-4)
      assert.closeTo(b?.relative ?? 0, 1.1, 1e-4)
      assert.closeTo(c?.relative ?? 0, 1.5, 1e-4)
      assert.closeTo(d?.relative ?? 0, 3, 1e-3)
      assert.strictEqual(a?.end, "finalist")
      assert.strictEqual(b?.end, "slower")
      assert.strictEqual(d?.samples, 3)
    })
  )

  it.effect("candidates are sampled in turns, beginning at another one each round", () =>
    Effect.gen(function* () {
      const { runs, timing } = yield* race({ times: { a: 1000, b: 1001, c: 1002 } })
      const rounds = timing("a")?.samples ?? 0
      assert.isAtLeast(rounds, Protocol.quick.rounds.least)
      // Each sample is three batches; before the rounds there is warming up.
      const sampled = runs.slice(-9 * rounds)
      const firsts = new Set<string | undefined>()
      for (let round = 0; round < rounds; round++) {
        const turn = sampled.slice(9 * round, 9 * round + 9)
        assert.match(turn.join(""), /^(aaa|bbb|ccc){3}$/)
        assert.strictEqual(new Set(turn).size, 3)
        firsts.add(turn[0])
      }
      assert.strictEqual(firsts.size, 3)
    })
  )

  it.effect("what is hopeless is not sampled, and is known all the same", () =>
    Effect.gen(function* () {
      const { timing } = yield* race({ times: { a: 1000, b: 50_000 } })
      const b = timing("b")
      assert.strictEqual(b?.end, "hopeless")
      assert.strictEqual(b?.samples, 1)
      assert.closeTo(b?.relative ?? 0, 50, 1)
    })
  )

  it.effect("what becomes fast only after a while is not given up", () =>
    Effect.gen(function* () {
      for (const late of [20, 200]) {
        let runs = 0
        const { ranked, timing } = yield* race({
          times: { a: 1000, late: 900 },
          // Interpreted for its first runs: forty times slower.
          wrap: (name, run) => (batch) => {
            if (name !== "late") return run(batch)
            runs += batch.iterations
            return Effect.map(run(batch), (took) => (runs < late ? 40 * took : took))
          }
        })
        assert.strictEqual(ranked[0]?.candidate.name, "late", `${late} runs`)
        assert.closeTo(timing("late")?.relative ?? 0, 0.9, 0.001)
        assert.isAtLeast((timing("late")?.iterations ?? 0) * 900, Protocol.quick.batch * 0.9)
      }
    })
  )

  it.effect("a short run is batched, a long one is not", () =>
    Effect.gen(function* () {
      const { timing } = yield* race({ times: { short: 20, long: 30 } })
      assert.isAtLeast((timing("short")?.iterations ?? 0) * 20, Protocol.quick.batch * 0.9)
      const { timing: slow } = yield* race({ times: { slow: 50e6 } })
      assert.strictEqual(slow("slow")?.iterations, 1)
    })
  )

  it.effect("a clock that slows by a quarter in the middle changes no ratio", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 20; seed++) {
        const weather = Weather.all(Weather.throttled(1.25, 0.02 + 0.002 * seed), Weather.jitter(0.003, seed))
        const { timing } = yield* race({ times: { a: 1000, b: 1080, c: 1160 }, weather })
        assert.closeTo((timing("b")?.relative ?? 0) / (timing("a")?.relative ?? 1), 1.08, 0.02)
        assert.closeTo((timing("c")?.relative ?? 0) / (timing("a")?.relative ?? 1), 1.16, 0.02)
      }
    })
  )

  it.effect("races at different speeds of the clock give timings that compare", () =>
    Effect.gen(function* () {
      const fast = yield* race({ times: { a: 1000 }, weather: Weather.jitter(0.003, 1) })
      const slow = yield* race({
        times: { b: 1050 },
        weather: Weather.all(() => 1.25, Weather.jitter(0.003, 2))
      })
      assert.isAbove(slow.timing("b")?.median ?? 0, 1300)
      assert.closeTo((slow.timing("b")?.relative ?? 0) / (fast.timing("a")?.relative ?? 1), 1.05, 0.01)
    })
  )

  it.effect("noise, drift and a neighbour: what is chosen is within 5 % of the best, in each of 100 races", () =>
    Effect.gen(function* () {
      const times = { a: 1000, b: 1015, c: 1040, d: 1100, e: 1250, f: 2000 }
      const exposure = { a: 1, b: 0.2, c: 0.6, d: 0, e: 1, f: 1 }
      for (let seed = 0; seed < 100; seed++) {
        const weather = Weather.all(
          Weather.drift(1.25, 0.3),
          Weather.neighbour({ slower: 1.6, share: 0.35, burst: 15, seed }),
          Weather.jitter(0.01, seed)
        )
        const result = yield* race({ times, exposure, weather })
        assert.include(["a", "b", "c"], chosen(result), `seed ${seed}`)
      }
    })
  )

  it.effect("found wrong while being timed: rejected, and the race goes on", () =>
    Effect.gen(function* () {
      const trap = new Measurer.Rejected({ reason: "Trap", detail: "unreachable", evidence: null })
      let runs = 0
      const { byName, timing } = yield* race({
        times: { a: 1000, bad: 900, c: 1050 },
        wrap: (name, run) => (name === "bad" ? (batch) => (++runs > 12 ? Effect.fail(trap) : run(batch)) : run)
      })
      assert.strictEqual(byName.get("bad")?._tag, "Rejected")
      assert.strictEqual(timing("a")?.end, "finalist")
    })
  )

  it.effect("a measurer whose clock stands still, or gives no number, is a typed failure", () =>
    Effect.gen(function* () {
      for (const took of [1, 0, Number.NaN, Infinity]) {
        const error = yield* Effect.flip(race({ times: { a: 1000 }, wrap: () => () => Effect.succeed(took) }))
        assert.strictEqual(error._tag, "MeasurerError")
        assert.include(error.message, "runs took")
      }
    })
  )

  it.effect("ends by the deadline; without time for three samples of anything, nothing is said", () =>
    Effect.gen(function* () {
      const times = { a: 1000, b: 1004, c: 1008, d: 1012 }
      const weather = Weather.jitter(0.05, 3)
      const settings = { ...Protocol.full, tolerance: 0.0001 }
      const all = yield* race({ times, weather, settings })
      const budget = all.took * 0.5
      const half = yield* race({ times, weather, settings, budget })
      assert.isAtMost(half.took, budget)
      assert.isAbove(half.ranked.length, 0)
      assert.strictEqual(half.timing("a")?.end, "budget")
      const none = yield* race({ times, weather, settings, budget: 1e6 })
      assert.deepStrictEqual(
        [...none.byName.values()].map(({ _tag }) => _tag),
        ["Skipped", "Skipped", "Skipped", "Skipped"]
      )
      assert.isAtMost(none.took, 3e6)
    })
  )

  it.effect("with time for some, the fastest are kept", () =>
    Effect.gen(function* () {
      const settings = { ...Protocol.quick, hopeless: Infinity }
      // A sample of b is 30 ms: three of them do not fit.
      const { ranked } = yield* race({ times: { a: 1000, b: 30e6 }, settings, budget: 95e6 })
      assert.deepStrictEqual(
        ranked.map(({ candidate }) => candidate.name),
        ["a"]
      )
    })
  )

  it.effect("inputs are rotated when asked for", () =>
    Effect.gen(function* () {
      const seen = new Set<Measurer.Inputs>()
      const { timing } = yield* race({
        times: { a: 1000 },
        settings: { ...Protocol.quick, inputs: "rotated" },
        wrap: (_, run) => (batch) => {
          seen.add(batch.inputs)
          return run(batch)
        }
      })
      assert.deepStrictEqual([...seen], ["rotated"])
      assert.strictEqual(timing("a")?.inputs, "rotated")
    })
  )
})

describe("heats", () => {
  it.effect(
    "what comes later is compared with the leader, in the same moments, whatever the weather was before",
    () => {
      const time = VirtualClock.make()
      const times: Readonly<Record<string, number>> = { a: 1000, b: 1200, c: 950, d: 1300, e: 940, f: 960 }
      const choice: Tuner.Choice = { key: "k", node: "n", candidates: candidatesOf(times) }
      let slower = 1
      return Effect.gen(function* () {
        const measurer = yield* SimulatedMeasurer.make({
          time,
          // It slows kernels and leaves the yardstick alone.
          weather: ({ exposure }) => (exposure > 0 ? slower : 1),
          simulate: (_, { name }) => ({ kernel: SimulatedMeasurer.right, time: times[name] ?? Number.NaN })
        })
        const one = Protocol.open({
          settings: { ...Protocol.quick, tolerance: 0.002 },
          yardstick: measurer.yardstick ?? (() => Effect.die("none"))
        })
        const heat = (names: string) =>
          Effect.gen(function* () {
            const candidates = choice.candidates.filter(({ name }) => names.includes(name))
            const checked = yield* Effect.forEach(candidates, (candidate) => measurer.check(choice, candidate))
            return yield* one.heat(checked, Infinity)
          })
        const relative = (outcome: Protocol.Outcome | undefined) =>
          outcome?._tag === "Timed" ? [outcome.checked.candidate.name, Number(outcome.timing.relative.toFixed(3))] : []
        const outcomes: Array<Protocol.Outcome> = []
        assert.isUndefined(one.leader())
        outcomes.push(...(yield* heat("ab")))
        assert.deepStrictEqual(relative(one.leader()), ["a", 1])
        slower = 1.6
        outcomes.push(...(yield* heat("cd")))
        assert.deepStrictEqual(relative(one.leader()), ["c", 0.95])
        slower = 1.2
        outcomes.push(...(yield* heat("ef")))
        assert.deepStrictEqual(relative(one.leader()), ["e", 0.94])
        assert.deepStrictEqual(outcomes.map(relative), [
          ["b", 1.2],
          ["a", 1],
          ["d", 1.3],
          ["c", 0.95],
          ["f", 0.96]
        ])
      }).pipe(Effect.scoped, VirtualClock.provide(time))
    }
  )
})

describe("Timing", () => {
  const ranked = (name: string, relative: number, cost: number, error = 0.001): Timing.Ranked => ({
    candidate: { name, config: {}, cost },
    relative,
    error,
    median: relative
  })

  it("of equals, the one predicted cheapest is taken; what is really faster wins", () => {
    const list = [ranked("a", 1, 30), ranked("b", 1.01, 20), ranked("c", 1.015, 20), ranked("d", 1.1, 1)]
    assert.strictEqual(Timing.choose(list, 0.02)?.chosen.candidate.name, "b")
    assert.strictEqual(Timing.choose(list, 0.02)?.equals, 3)
    assert.strictEqual(Timing.choose(list, 0.001)?.chosen.candidate.name, "a")
    assert.isUndefined(Timing.choose([], 0.02))
  })

  it("noise widens what is equal, up to twice the tolerance", () => {
    const noisy = [ranked("a", 1, 2, 0.05), ranked("b", 1.035, 1, 0.05), ranked("c", 1.05, 0, 0.05)]
    assert.strictEqual(Timing.choose(noisy, 0.02)?.chosen.candidate.name, "b")
  })

  it("timings of several machines are one: the middle one, whatever their order", () => {
    const timing = (relative: number): Timing.Timing => ({
      relative,
      error: 0.01,
      median: relative * 100,
      mad: 1,
      least: 90,
      samples: 7,
      iterations: 3,
      inputs: "warm",
      end: "finalist"
    })
    const rank = (list: ReadonlyArray<number>) =>
      Timing.rank([{ name: "a", config: {} }], () => list.map(timing)).map(({ relative }) => relative)
    assert.deepStrictEqual(rank([3, 1, 2]), [2])
    assert.deepStrictEqual(rank([2, 3, 1]), [2])
    assert.deepStrictEqual(rank([]), [])
  })
})
