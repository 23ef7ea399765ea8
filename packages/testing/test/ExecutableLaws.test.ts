import { assert, describe, it } from "@effect/vitest"
import type * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Reference from "@anneal/reference/Reference"
import { ExecutionError } from "@anneal/runtime/RuntimeError"
import * as ExecutableLaws from "@anneal/testing/ExecutableLaws"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const oracle = Reference.make()

/** The oracle as a target; `change` spoils its results. */
const prepare =
  (
    change: (
      outputs: ReadonlyArray<Tensor.Tensor>,
      inputs: ReadonlyArray<Tensor.Tensor>
    ) => ReadonlyArray<Tensor.Tensor> = (outputs) => outputs
  ) =>
  (graph: Graph.Graph) =>
    Effect.succeed({
      target: "mine",
      run: (inputs: ReadonlyArray<Tensor.Tensor>) =>
        oracle.run(graph, inputs).pipe(
          Effect.map((outputs) => change(outputs, inputs)),
          Effect.mapError(({ detail }) => new ExecutionError({ engine: "none", target: "mine", detail }))
        )
    })

const laws = (change: Parameters<typeof prepare>[0]) =>
  Effect.map(Effect.flip(ExecutableLaws.check(prepare(change), { graphs: 12 })), (error) => {
    if (error._tag !== "LawsBroken") throw error
    return error.breaches.map(({ law }) => law)
  })

const scaled = (factor: () => number) => (outputs: ReadonlyArray<Tensor.Tensor>) =>
  outputs.map((tensor) =>
    tensor.dtype === "f32"
      ? Numbers.fromNumbers(
          "f32",
          tensor.shape,
          Numbers.toNumbers(tensor).map((x) => x * factor())
        )
      : tensor
  )

describe("ExecutableLaws", () => {
  it.live("a right target keeps them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ExecutableLaws.check(prepare()), { graphs: 30, refused: 0 })
    })
  )

  it.live("wrong values, other values each time, and changed inputs are caught", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* laws(scaled(() => 1.01)), ["right"])
      let calls = 0
      assert.include(yield* laws(scaled(() => 1 + 1e-7 * calls++)), "repeatable")
      assert.include(
        yield* laws((outputs, inputs) => {
          for (const { data } of inputs) data[0] = 1
          return outputs
        }),
        "inputs"
      )
      assert.deepStrictEqual(yield* laws((outputs) => outputs.slice(1)), ["right"])
    })
  )

  it.live("a target may refuse graphs, but not all of them", () =>
    Effect.gen(function* () {
      class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", {}) {}
      const picky = (graph: Graph.Graph) =>
        graph.nodes.some(({ op }) => op.name === "if") ? Effect.fail(new Unsupported()) : prepare()(graph)
      const report = yield* ExecutableLaws.check(picky, { graphs: 60 })
      assert.isAbove(report.refused, 0)
      const error = yield* Effect.flip(ExecutableLaws.check(() => Effect.fail(new Unsupported()), { graphs: 3 }))
      assert.include(error.message, "all of them were refused")
    })
  )
})
