import * as Host from "anneal/Host"
import * as Compare from "anneal/Compare"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { Inference } from "@anneal/pipeline/Inference"
import { Oracle } from "@anneal/pipeline/Oracle"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

/** softmax(relu(x·w)), any number of rows: relu and the product would be one region. */
const graph = (() => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [Dim.symbol("n"), 4]), { id: "x" })
  const values = Array.from({ length: 12 }, (_, i) => Math.sin(i))
  const w = b.tensor(Numbers.fromNumbers("f32", [4, 3], values), { id: "w" })
  const product = b.one(Ops.matmul, [x, w], {}, { ids: ["product"] })
  const positive = b.one(Ops.relu, [product], {}, { ids: ["positive"] })
  b.output("y", b.one(Ops.softmax, [positive], { axis: 1 }, { ids: ["y"] }))
  return b.finish()
})()

const rows = (n: number): Tensor =>
  Numbers.fromNumbers(
    "f32",
    [n, 4],
    Array.from({ length: 4 * n }, (_, i) => Math.cos(3 * i))
  )
const tolerance = { atol: 1e-6, rtol: 1e-5 }

describe("inference on generated code", () => {
  it.effect("shows the values that the oracle shows, those that fusion would hide too, at any size", () =>
    Effect.gen(function* () {
      const [inference, oracle] = [yield* Inference, yield* Oracle]
      for (const n of [1, 5, 2]) {
        const expected = new Map<string, Tensor>()
        const wanted = yield* oracle.observe(graph, [rows(n)], (id, tensor) => void expected.set(id, tensor))
        const found = new Map<string, Tensor>()
        const outputs = yield* inference.observe(graph, [rows(n)], (id, tensor) => void found.set(id, tensor))
        assert.deepStrictEqual([...found.keys()].toSorted(), ["positive", "product", "x", "y"])
        for (const [id, tensor] of found) {
          const right = expected.get(id)
          if (right === undefined) assert.fail(`the oracle does not show ${id}`)
          else assert.isTrue(Compare.compare(tensor, right, tolerance).agree, id)
        }
        const [y] = yield* inference.run(graph, [rows(n)])
        for (const one of [outputs[0], y])
          if (one === undefined || wanted[0] === undefined) assert.fail("there is no output")
          else assert.isTrue(Compare.compare(one, wanted[0], tolerance).agree)
      }
    }).pipe(Effect.provide(Host.wasm()), Effect.scoped)
  )

  it.effect("shows only what is watched, and says who it is", () =>
    Effect.gen(function* () {
      const inference = yield* Inference
      const seen: Array<string> = []
      const watch = new Set(["product"])
      yield* inference.observe(graph, [rows(2)], (id) => void seen.push(id), { watch })
      assert.deepStrictEqual(seen, ["x", "product"])
      const oracle = yield* Oracle
      assert.strictEqual(inference.identity?.name, "wasm")
      assert.notDeepEqual(inference.identity, oracle.identity)
      // What is measured must not depend on the machine: nothing whose rounding differs between machines.
      assert.notInclude(JSON.stringify(inference.identity), "relaxed")
    }).pipe(Effect.provide(Host.wasm()), Effect.scoped)
  )

  it.effect("fails as the oracle does, with the reason", () =>
    Effect.gen(function* () {
      const inference = yield* Inference
      const error = yield* Effect.flip(inference.run(graph, [Numbers.fromNumbers("f32", [2, 3], [1, 2, 3, 4, 5, 6])]))
      assert.strictEqual(error._tag, "OracleError")
      assert.match(error.message, /x/)
    }).pipe(Effect.provide(Host.wasm()), Effect.scoped)
  )
})
