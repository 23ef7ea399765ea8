// What simulations of tuning stand on: virtual time, weather, choices from a seed; and the levels of tuning.
import { assert, describe, it } from "@effect/vitest"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Journal from "@anneal/tune/Journal"
import * as Seeded from "@anneal/tune/Seeded"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"
import * as TuneLevel from "@anneal/tune/TuneLevel"
import * as VirtualClock from "@anneal/tune/VirtualClock"
import * as Weather from "@anneal/tune/Weather"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Space from "./Space.ts"

describe("VirtualClock", () => {
  it.effect("sleepers wake in their order, at once, at their time; interrupted ones do not", () => {
    const time = VirtualClock.make()
    const woken: Array<string> = []
    const sleeper = (name: string, millis: number) =>
      Effect.andThen(
        Effect.sleep(millis),
        Effect.sync(() => woken.push(`${name} ${time.now() / 1e6}`))
      )
    return Effect.gen(function* () {
      const started = process.hrtime.bigint()
      yield* Effect.all([sleeper("b", 3_600_000), sleeper("a", 1000)], { concurrency: "unbounded" })
      const late = yield* Effect.timeoutOption(sleeper("late", 5000), 100)
      assert.isTrue(Option.isNone(late))
      assert.deepStrictEqual(woken, ["a 1000", "b 3600000"])
      assert.strictEqual(yield* Clock.currentTimeMillis, 3_600_100)
      time.pass(2.5e6)
      assert.strictEqual(yield* Clock.monotonicTimeNanos, 3_600_102_500_000n)
      assert.isBelow(Number(process.hrtime.bigint() - started), 60e9)
    }).pipe(VirtualClock.provide(time))
  })
})

describe("Weather", () => {
  const at = (milliseconds: number, exposure = 1): Weather.Moment => ({ at: milliseconds * 1e6, exposure })
  it("a neighbour works its share of the time, at the same moments for who is exposed and who is not", () => {
    const neighbour = Weather.neighbour({ slower: 2, share: 0.3, burst: 10, seed: 1 })
    const moments = Array.from({ length: 20_000 }, (_, i) => i)
    const busy = moments.filter((moment) => neighbour(at(moment)) > 1)
    assert.closeTo(busy.length / moments.length, 0.3, 0.05)
    assert.isTrue(busy.every((moment) => neighbour(at(moment, 0)) === 1 && neighbour(at(moment, 0.5)) === 1.5))
  })
  it("drift, throttling, jitter, all at once", () => {
    assert.closeTo(Weather.drift(1.25, 2)(at(1000)), 1.25, 1e-9)
    assert.strictEqual(Weather.throttled(1.25, 1)(at(999)), 1)
    assert.strictEqual(Weather.throttled(1.25, 1)(at(1000)), 1.25)
    assert.strictEqual(Weather.all(Weather.throttled(2, 0), Weather.throttled(3, 0))(at(0)), 6)
    const jitter = Weather.jitter(0.01, 1)
    const many = Array.from({ length: 5000 }, () => Math.log(jitter(at(0)))).toSorted((a, b) => a - b)
    assert.closeTo(many[2500] ?? 1, 0, 0.001)
    assert.closeTo((many[4200] ?? 0) - (many[800] ?? 0), 0.02, 0.002)
  })
})

describe("Seeded", () => {
  it("is the same for the same seed, and uniform", () => {
    const draw = (...seed: ReadonlyArray<string | number>) => {
      const random = Seeded.make(...seed)
      return Array.from({ length: 1000 }, () => random.below(10))
    }
    assert.deepStrictEqual(draw("a", 1), draw("a", 1))
    assert.notDeepEqual(draw("a", 1), draw("a", 2))
    for (let digit = 0; digit < 10; digit++) {
      assert.closeTo(draw("a", 1).filter((one) => one === digit).length, 100, 40)
    }
  })
})

describe("TuneLevel", () => {
  const choices = Space.space(2, Space.tiles([1, 2, 4, 6], [1, 2, 4], [1, 2, 4]))
  const tune = (level: TuneLevel.TuneLevel, budget?: "1 millis") =>
    Effect.suspend(() => {
      const time = VirtualClock.make()
      const timed = new Set<string>()
      const measurer = SimulatedMeasurer.layer({
        time,
        simulate: Space.simulate,
        onRun: ({ key }, candidate) => timed.add(`${key} ${Tuner.identify(candidate)}`)
      })
      return Effect.gen(function* () {
        const tuner = yield* Tuner.Tuner
        const decisions = yield* tuner.decide(choices)
        return { timed: timed.size, decisions, identity: tuner.identity }
      }).pipe(
        Effect.provide(Layer.provide(TuneLevel.layer(level, budget), [measurer, Journal.layerMemory])),
        VirtualClock.provide(time)
      )
    })
  it.effect("none measures nothing, quick some, full all of a small space; a budget goes before", () =>
    Effect.gen(function* () {
      const [none, quick, full] = [yield* tune("none"), yield* tune("quick"), yield* tune("full")]
      assert.deepStrictEqual([none.timed, quick.timed, full.timed], [0, 2 * 24, 2 * 36])
      assert.strictEqual((yield* tune("full", "1 millis")).timed, 0)
      assert.notDeepEqual(quick.identity, full.identity)
    })
  )
})
