// Runs of one session that are under way together: where the host does a step, others wait or have memory of their own.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { engineOf } from "./Build.ts"

const layer = Executor.layer().pipe(Layer.provide(Reference.layer()))

/** Code, then exponentials in double precision, which the host computes, then code. */
const withHost = () => {
  const builder = Builder.make("withHost")
  const x = builder.input("x", { dtype: "f32", shape: [Dim.symbol("n"), 500] })
  const twice = builder.one(Ops.add, [x, x], {})
  const wide = builder.one(Ops.cast, [twice], { to: "f64", saturate: true })
  const narrow = builder.one(Ops.cast, [builder.one(Ops.exp, [wide], {})], { to: "f32", saturate: true })
  builder.output("y", builder.one(Ops.add, [narrow, twice], {}))
  return builder.finish()
}

const valuesOf = (rows: number) => Array.from({ length: rows * 500 }, (_, at) => ((at + rows) % 7) / 8)

it.live("keeps what a waiting run needs while runs of many other shapes come", () =>
  Effect.gen(function* () {
    const engine = yield* engineOf(withHost())
    const session = yield* Session.open(engine)
    const rows = Array.from({ length: 12 }, (_, at) => 120 - 7 * at)
    const run = (n: number) =>
      Effect.map(session.run({ x: Numbers.fromNumbers("f32", [n, 500], valuesOf(n)) }), ({ y }) => [...(y?.data ?? [])])
    const together = yield* Effect.forEach(rows, run, { concurrency: "unbounded" })
    for (const [place, n] of rows.entries()) {
      const expected = valuesOf(n).map((value) => Math.fround(Math.fround(Math.exp(2 * value)) + 2 * value))
      expect(together[place]).toHaveLength(expected.length)
      const wrong = expected.filter((value, at) => !(Math.abs(Number(together[place]?.[at]) - value) < 1e-5))
      expect(wrong, `${n} rows`).toEqual([])
    }
  }).pipe(Effect.provide(layer), Effect.scoped)
)
