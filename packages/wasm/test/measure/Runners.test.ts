// Workers of a build: used again, started ahead, ended with the scope.
import * as Runners from "@anneal/wasm/measure/Runners"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

describe("workers that are kept", () => {
  it.effect("one that is given back is taken again; a second at a time is another", () =>
    Effect.gen(function* () {
      const runners = yield* Runners.make
      const first = yield* Effect.scoped(runners.take)
      const [again, other] = yield* Effect.scoped(Effect.all([runners.take, runners.take]))
      expect(again).toBe(first)
      expect(other).not.toBe(first)
    }).pipe(Effect.scoped)
  )

  it.effect("those that were started ahead are taken first, and one that was ended is not taken", () =>
    Effect.gen(function* () {
      const runners = yield* Runners.make
      yield* runners.start(2)
      const [a, b] = yield* Effect.scoped(Effect.all([runners.take, runners.take]))
      yield* runners.start(2)
      a.end()
      const [c, d] = yield* Effect.scoped(Effect.all([runners.take, runners.take]))
      expect([c, d]).toContain(b)
      expect([c, d]).not.toContain(a)
    }).pipe(Effect.scoped)
  )

  it.effect("all end with the scope", () =>
    Effect.gen(function* () {
      const one = yield* Effect.scoped(
        Effect.flatMap(Runners.make, (runners) => Effect.andThen(runners.start(1), runners.take))
      )
      expect(one.ended).toBe(true)
    })
  )
})
