// Indices that the data holds: right ones give what the oracle gives, wrong ones a typed error that names the node, and the
// session goes on.
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { engineOf } from "./Build.ts"

const rows = 50
const width = 40

/** Rows of a table by number, twice themselves: a gather with what is fused to it. */
const lookup = () => {
  const builder = Builder.make("lookup")
  const n = Dim.symbol("n")
  const ids = builder.input("ids", { dtype: "i64", shape: [n] })
  const table = builder.constant(
    Constant.fromTensor(
      Numbers.fromNumbers(
        "f32",
        [rows, width],
        Array.from({ length: rows * width }, (_, at) => at)
      )
    )
  )
  const found = builder.one(Ops.gather, [table, ids], { axis: 0 })
  builder.output("y", builder.one(Ops.add, [found, found], {}))
  return builder.finish()
}

const hosts: ReadonlyArray<readonly [string, Executor.Options]> = [
  ["one thread", {}],
  ["two threads", { threads: { threads: 2, spawn: NodeThreads.spawn } }]
]

for (const [name, options] of hosts)
  it.live(`refuses an index out of range, and goes on: ${name}`, () =>
    Effect.gen(function* () {
      const session = yield* Session.open(yield* engineOf(lookup()))
      const idsOf = (values: ReadonlyArray<number>) => ({ ids: Numbers.fromNumbers("i64", [values.length], values) })
      const many = Array.from({ length: 3000 }, (_, at) => (at % (2 * rows)) - rows)
      for (const good of [[0, 49, -1, -50], many]) {
        const { y } = yield* session.run(idsOf(good))
        const expected = good.flatMap((id) =>
          Array.from({ length: width }, (_, at) => 2 * (((id + rows) % rows) * width + at))
        )
        expect([...(y?.data ?? [])]).toEqual(expected)
        for (const bad of [50, -51, 100_000]) {
          const ids = good.map((id, at) => (at === good.length - 1 ? bad : id))
          const error = yield* Effect.flip(session.run(idsOf(ids)))
          expect(error).toMatchObject({ _tag: "ExecutionError", target: "wasm" })
          expect(error.message).toMatch(/gather/)
        }
      }
      const { y } = yield* session.run(idsOf([3]))
      expect(y?.data[0]).toBe(2 * 3 * width)
    }).pipe(Effect.provide(Executor.layer(options).pipe(Layer.provide(Reference.layer()))), Effect.scoped)
  )
