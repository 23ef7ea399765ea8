import * as Engine from "@anneal/engine/Engine"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { layerReference } from "@anneal/runtime/Executor"
import * as MicroBatcher from "@anneal/runtime/MicroBatcher"
import * as Session from "@anneal/runtime/Session"
import * as Reference from "@anneal/reference/Reference"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"

/** y = −x, and z = the row sums of x. */
const engine = () => {
  const b = Builder.make("negated")
  const x = b.input("x", Type.make("f32", [Dim.symbol("batch"), Dim.symbol("width")]))
  b.output("y", b.one(Ops.neg, [x], {}))
  b.output("z", b.one(Ops.reduceSum, [x], { axes: [1], keepDims: false }))
  return Engine.ofGraph(b.finish(), "negated.engine")
}

const row = (...values: ReadonlyArray<number>) => ({
  x: Tensor.make("f32", [1, values.length], Float32Array.from(values))
})

/** A session that counts its runs and remembers the shapes. */
const counted = Effect.map(Session.open(engine()), (session) => {
  const shapes: Array<string> = []
  const watched: Session.Session = {
    ...session,
    run: (inputs, options) => {
      shapes.push(inputs["x"]?.shape.join("x") ?? "")
      return session.run(inputs, options)
    }
  }
  return { session: watched, shapes }
})

const layer = Layer.provide(layerReference, Reference.layer())
const options = { maxRows: 4, maxDelay: "10 millis", capacity: 16 } as const

describe("MicroBatcher", () => {
  it.effect("runs four requests as one, and gives each its own rows", () =>
    Effect.gen(function* () {
      const { session, shapes } = yield* counted
      const batcher = yield* MicroBatcher.make(session, options)
      const answers = yield* Effect.forEach([1, 2, 3, 4], (value) => batcher.run(row(value, 10)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(shapes, ["4x2"])
      assert.deepStrictEqual(
        answers.map(({ y, z }) => [[...(y?.data ?? [])], [...(z?.data ?? [])]]),
        [1, 2, 3, 4].map((value) => [[-value, -10], [value + 10]])
      )
      assert.deepStrictEqual(yield* batcher.counts, { requests: 4, batches: 1, fill: 1 })
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("does not wait for ever, and keeps other widths apart", () =>
    Effect.gen(function* () {
      const { session, shapes } = yield* counted
      const batcher = yield* MicroBatcher.make(session, options)
      const fibers = yield* Effect.forEach([row(1), row(2, 3), row(4)], (inputs) =>
        Effect.forkChild(batcher.run(inputs))
      )
      yield* TestClock.adjust("9 millis")
      assert.deepStrictEqual(shapes, [])
      yield* TestClock.adjust("30 millis")
      const answers = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(shapes, ["2x1", "1x2"])
      assert.deepStrictEqual([...(answers[2]?.["y"]?.data ?? [])], [-4])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("a bad request fails alone", () =>
    Effect.gen(function* () {
      const { session } = yield* counted
      const batcher = yield* MicroBatcher.make(session, options)
      const bad = { w: Tensor.make("f32", [1, 1], Float32Array.from([1])) }
      const exits = yield* Effect.forEach(
        [row(1), bad, row(2), row(3), row(4)],
        (one) => Effect.exit(batcher.run(one)),
        {
          concurrency: "unbounded"
        }
      ).pipe(Effect.forkChild)
      yield* TestClock.adjust("50 millis")
      const results = yield* Fiber.join(exits)
      assert.deepStrictEqual(results.map(Exit.isSuccess), [true, false, true, true, true])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("refuses beyond its capacity when asked to", () =>
    Effect.gen(function* () {
      const { session } = yield* counted
      const never: Session.Session = { ...session, run: () => Effect.never }
      const batcher = yield* MicroBatcher.make(never, { ...options, maxRows: 1, capacity: 2, overload: "refuse" })
      // One in the session, two waiting.
      for (const value of [1, 2, 3]) {
        yield* Effect.forkChild(batcher.run(row(value)))
        yield* TestClock.adjust("1 millis")
      }
      const refused = yield* Effect.flip(batcher.run(row(4)))
      assert.strictEqual(refused._tag, "Overloaded")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("leaves out requests whose callers are gone", () =>
    Effect.gen(function* () {
      const { session, shapes } = yield* counted
      const batcher = yield* MicroBatcher.make(session, options)
      const gone = yield* Effect.forkChild(batcher.run(row(1)))
      const kept = yield* Effect.forkChild(batcher.run(row(2)))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.interrupt(gone)
      yield* TestClock.adjust("20 millis")
      yield* Fiber.join(kept)
      assert.deepStrictEqual(shapes, ["1x1"])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("refuses what has no open first size", () =>
    Effect.gen(function* () {
      const b = Builder.make("fixed")
      b.output("y", b.one(Ops.neg, [b.input("x", Type.make("f32", [1, 2]))], {}))
      const session = yield* Session.open(Engine.ofGraph(b.finish(), "fixed.engine"))
      const refused = yield* Effect.flip(MicroBatcher.make(session, options))
      assert.match(refused.message, /fixed.engine cannot be batched/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
