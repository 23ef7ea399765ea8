import * as Builder from "@anneal/ir/Builder"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as FreezeWeights from "@anneal/quantize/FreezeWeights"
import * as Reference from "@anneal/reference/Reference"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

describe("freezing weights", () => {
  it.effect("makes constants of quantised weights, leaves activations alone, and changes no bit", () =>
    Effect.gen(function* () {
      const b = Builder.make("g")
      const x = b.input("x", Type.make("f32", [2, 3]))
      const w = b.tensor(Numbers.fromNumbers("f32", [3, 2], [0.3, -1, 0.7, 0.25, 0.9, -0.4]))
      const scale = b.tensor(Numbers.scalar("f32", 0.01))
      const grid = { axis: 0, block: 0 }
      const through = (value: typeof x) =>
        b.one(Ops.dequantize, [b.one(Ops.quantize, [value, scale], { ...grid, to: "i8", saturate: true }), scale], {
          ...grid,
          to: "f32"
        })
      b.output("y", b.one(Ops.matmul, [through(x), through(w)], {}))
      const graph = b.finish()
      const oracle = yield* Oracle
      const frozen = yield* FreezeWeights.freeze(graph, oracle)
      assert.deepStrictEqual(
        frozen.nodes.map(({ op }) => op.name),
        ["quantize", "dequantize", "matmul"]
      )
      assert.deepStrictEqual(Verify.verify(frozen), [])
      const input = Numbers.fromNumbers("f32", [2, 3], [0.1, 0.2, 0.3, -0.5, 1.5, 0.77])
      assert.deepStrictEqual(yield* oracle.run(frozen, [input]), yield* oracle.run(graph, [input]))
    }).pipe(Effect.provide(Reference.layer()))
  )
})
