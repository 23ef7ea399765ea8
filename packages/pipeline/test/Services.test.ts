import { assert, describe, it } from "@effect/vitest"
import * as Numbers from "@anneal/ir/Numbers"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Progress from "@anneal/pipeline/Progress"
import * as Samples from "@anneal/pipeline/Samples"
import * as Target from "@anneal/pipeline/Target"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

const sample = (...values: ReadonlyArray<number>) => ({ x: Numbers.fromNumbers("f32", [values.length], values) })

describe("Samples", () => {
  it.effect("gives what is there, in order, and knows itself by content", () =>
    Effect.gen(function* () {
      const all = [sample(1, 2), sample(3, 4), sample(5, 6)]
      const first = yield* Effect.provide(Samples.take(2), Samples.layerArray(all))
      assert.deepStrictEqual(first, all.slice(0, 2))
      const identity = (samples: ReadonlyArray<Samples.Sample>) =>
        Effect.provide(
          Effect.map(Samples.Samples, (service) => service.identity),
          Samples.layerArray(samples)
        )
      assert.deepStrictEqual(yield* identity(all), yield* identity([sample(1, 2), sample(3, 4), sample(5, 6)]))
      assert.notDeepEqual(yield* identity(all), yield* identity([sample(1, 2), sample(3, 4), sample(5, 7)]))
    })
  )
})

describe("Tuner", () => {
  const candidate = (name: string) => ({ name, config: {} })
  const decide = (candidates: ReadonlyArray<Tuner.Candidate>) =>
    Effect.provide(
      Effect.flatMap(Tuner.Tuner, (tuner) => tuner.decide([{ key: "k", node: "conv1", candidates }])),
      Tuner.layerReference
    )
  const refusal = <A>(decided: Effect.Effect<A, Tuner.TunerError | Tuner.LockMiss>) =>
    Effect.flip(Effect.catchTag(decided, "LockMiss", Effect.die))
  it.effect("all that cannot be decided is said at once", () =>
    Effect.gen(function* () {
      const tuner = yield* Tuner.Tuner
      const choices = [
        { key: "k1", node: "conv1", candidates: [] },
        { key: "k2", node: "conv2", candidates: [candidate("a")] },
        { key: "k3", node: "conv3", candidates: [candidate("a"), candidate("b")] }
      ]
      const { problems } = yield* refusal(tuner.decide(choices))
      assert.deepStrictEqual(
        problems.map(({ key, reason }) => `${key} ${reason}`),
        ["k1 NoCandidate", "k3 Undecided"]
      )
    }).pipe(Effect.provide(Tuner.layerReference))
  )
  it("candidates are ordered by what is predicted, then by name and configuration", () => {
    const list: ReadonlyArray<Tuner.Candidate> = [
      { name: "b", config: { x: 2, a: 1 } },
      { name: "b", config: { a: 1, x: 1 } },
      { name: "a", config: {} },
      { name: "z", config: {}, cost: 5 },
      { name: "y", config: {}, cost: 4 }
    ]
    assert.deepStrictEqual(list.toSorted(Tuner.byPrediction).map(Tuner.identify), [
      "y {}",
      "z {}",
      "a {}",
      'b {"a":1,"x":1}',
      'b {"a":1,"x":2}'
    ])
  })
  it.effect("the reference takes the only candidate and does not guess", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* decide([candidate("plain")]), [{ key: "k", candidate: candidate("plain") }])
      const none = yield* refusal(decide([]))
      assert.deepStrictEqual(
        none.problems.map(({ reason }) => reason),
        ["NoCandidate"]
      )
      const several = yield* refusal(decide([candidate("a"), candidate("b")]))
      assert.deepStrictEqual(
        several.problems.map(({ reason }) => reason),
        ["Undecided"]
      )
      assert.include(several.message, "conv1: 2 candidates (a, b)")
    })
  )
})

describe("Target", () => {
  it.effect("the reference runs INT8 with static per-tensor activations and per-axis weights", () =>
    Effect.gen(function* () {
      const { identity, quantization } = yield* Target.Target
      assert.strictEqual(identity?.name, "reference")
      assert.deepStrictEqual(quantization.weights[0], {
        bits: 8,
        symmetric: true,
        granularity: { per: "axis" },
        scale: "f32",
        range: "static"
      })
    }).pipe(Effect.provide(Target.layerReference))
  )
})

describe("Progress", () => {
  it.effect("watchers see events as they come, with the clock's time and the stage's place", () =>
    Effect.gen(function* () {
      const { emit, events } = yield* Progress.make()
      const watcher = yield* Effect.forkChild(Stream.runCollect(Stream.take(events, 2)))
      yield* TestClock.adjust("5 seconds")
      const work = Effect.andThen(Progress.step("samples", 1, 10), Progress.step("samples", 2))
      yield* work.pipe(
        Effect.provideService(Progress.Progress, emit),
        Effect.provideService(Progress.Place, "int8/calibrate@1")
      )
      const seen = yield* Fiber.join(watcher)
      assert.deepStrictEqual(seen, [
        { _tag: "Step", stage: "int8/calibrate@1", at: 5000, what: "samples", done: 1, total: 10 },
        { _tag: "Step", stage: "int8/calibrate@1", at: 5000, what: "samples", done: 2 }
      ])
      assert.deepStrictEqual(seen.map(Progress.format), ["int8/calibrate@1 samples 1/10", "int8/calibrate@1 samples 2"])
    })
  )
})

describe("Diagnostic", () => {
  it.effect("goes to whoever collects, and on", () =>
    Effect.gen(function* () {
      const finding = { severity: "warning", code: "c", message: "m", node: "conv1", action: "a" } as const
      const [[value, inner], outer] = yield* Diagnostic.collect(
        Diagnostic.collect(Effect.as(Diagnostic.report(finding), 1))
      )
      assert.strictEqual(value, 1)
      assert.deepStrictEqual(inner, [finding])
      assert.deepStrictEqual(outer, [finding])
      assert.strictEqual(Diagnostic.format(finding), "warning: conv1: m (a)")
    })
  )
})
