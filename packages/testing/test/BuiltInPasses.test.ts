/** Every built-in pass keeps the laws of passes on generated graphs; whether it fires is for its own tests to show. */
import { assert, describe, it } from "@effect/vitest"
import * as All from "@anneal/passes/All"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as PassLaws from "@anneal/testing/PassLaws"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

describe("built-in passes", () => {
  for (const name of All.names)
    it.live(name, () =>
      Effect.gen(function* () {
        const oracle = Context.make(Oracle, yield* Oracle)
        for (const listed of All.passes.filter((one) => one.name === name).slice(0, 1)) {
          const check = PassLaws.checkWith(listed.pass(), () => Effect.succeed(oracle), { graphs: 40, seed: 11 })
          const result = yield* Effect.result(check)
          if (result._tag === "Success") assert.strictEqual(result.success.claims, listed.claim)
          else if (result.failure._tag !== "LawsBroken") return assert.fail(result.failure.message)
          else
            assert.deepStrictEqual(
              result.failure.breaches.filter(({ law }) => law !== "fires"),
              [],
              result.failure.message
            )
        }
      }).pipe(Effect.provide(Reference.layer()))
    )
})
