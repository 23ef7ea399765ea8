// What is computed once while loading needs no size of a run, and no room for one.
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
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

it.effect("prepares beside sizes that are quotients of sizes", () =>
  Effect.gen(function* () {
    const builder = Builder.make("quotients")
    const [rows, parts] = [Dim.symbol("rows"), Dim.symbol("parts")]
    const x = builder.input("x", { dtype: "f32", shape: [rows, 4] })
    builder.input("like", { dtype: "f32", shape: [parts] })
    const constant = (shape: ReadonlyArray<number>, values: ReadonlyArray<number>) =>
      builder.constant(Constant.fromTensor(Numbers.fromNumbers("f32", shape, values)))
    // Of constants alone: computed while loading.
    const weight = builder.one(
      Ops.exp,
      [
        constant(
          [4, 4],
          Array.from({ length: 16 }, () => 0)
        )
      ],
      {}
    )
    const width = Dim.floorDiv(Dim.mul(rows, 4), parts)
    const wide = builder.one(Ops.reshape, [builder.one(Ops.matmul, [x, weight], {})], { shape: [parts, width] })
    const turned = builder.one(Ops.transpose, [wide], { permutation: [1, 0] })
    builder.output("y", builder.one(Ops.matmul, [wide, turned], {}))
    const session = yield* Session.open(yield* engineOf(builder.finish()))
    const { y } = yield* session.run({
      x: Numbers.fromNumbers("f32", [2, 4], [1, 0, 0, 0, 1, 1, 0, 0]),
      like: Numbers.fromNumbers("f32", [2], [0, 0])
    })
    expect([...(y?.data ?? [])]).toEqual([4, 8, 8, 16])
  }).pipe(Effect.provide(Executor.layer().pipe(Layer.provide(Reference.layer()))), Effect.scoped)
)
