import { assert, describe, it } from "@effect/vitest"
import { reference, type TargetService } from "@anneal/pipeline/Target"
import * as TargetLaws from "@anneal/testing/TargetLaws"
import * as Effect from "effect/Effect"

const laws = (changes: Partial<TargetService>) =>
  Effect.map(Effect.flip(TargetLaws.check({ ...reference, ...changes })), ({ breaches }) =>
    breaches.map(({ law }) => law)
  )

describe("TargetLaws", () => {
  it.effect("the reference target keeps them", () =>
    Effect.gen(function* () {
      yield* TargetLaws.check(reference)
      assert.strictEqual(reference.name, "reference")
    })
  )

  it.effect("each breach is caught", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* laws({ identity: undefined }), ["identified"])
      assert.deepStrictEqual(yield* laws({ features: ["b", "a"] }), ["features"])
      assert.deepStrictEqual(yield* laws({ features: ["a", "a"] }), ["features"])
      const [scheme] = reference.quantization.weights
      if (scheme === undefined) return assert.fail("no scheme")
      const weights = [{ ...scheme, granularity: { per: "block" as const, size: 0 } }]
      assert.deepStrictEqual(yield* laws({ quantization: { activations: [], weights } }), ["schemes"])
      assert.deepStrictEqual(yield* laws({ quantization: { activations: [], weights: [scheme, scheme] } }), ["schemes"])
      const nine = [{ ...scheme, usedBits: scheme.bits + 1 }]
      assert.deepStrictEqual(yield* laws({ quantization: { activations: [], weights: nine } }), ["schemes"])
      let asked = 0
      assert.deepStrictEqual(yield* laws({ supports: () => asked++ % 2 === 0 }), ["supports"])
      assert.deepStrictEqual(yield* laws({ supports: () => false }), ["supports"])
      assert.deepStrictEqual(yield* laws({ memory: { total: 1, perAllocation: 2 } }), ["memory"])
    })
  )
})
