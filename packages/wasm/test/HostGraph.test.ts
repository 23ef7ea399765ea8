// Nodes that are left to the oracle: their operands may be values of nodes that lowering made.
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

const constant = (builder: Builder.Builder, shape: ReadonlyArray<number>, values: ReadonlyArray<number>) =>
  builder.constant(Constant.fromTensor(Numbers.fromNumbers("f32", shape, values)))

it.effect("runs a composite over sizes that the data decides", () =>
  Effect.gen(function* () {
    const builder = Builder.make("rows by data")
    const x = builder.input("x", { dtype: "f32", shape: [Dim.symbol("n")] })
    const size = builder.input("size", { dtype: "i64", shape: [2] })
    const sizes = [Dim.unbacked("u0"), 2]
    builder.one(Ops.readDims, [size], { symbols: [Dim.unbacked("u0"), Dim.unbacked("u1")] })
    const rows = builder.one(Ops.reshape, [x], { shape: sizes })
    const weight = constant(builder, [2, 3], [1, 2, 3, 4, 5, 6])
    builder.output("y", builder.one(Ops.linear, [rows, weight, constant(builder, [3], [10, 20, 30])], {}))
    const session = yield* Session.open(yield* engineOf(builder.finish()))
    const { y } = yield* session.run({
      x: Numbers.fromNumbers("f32", [4], [1, 0, 0, 1]),
      size: Numbers.fromNumbers("i64", [2], [2, 2])
    })
    expect(y?.shape).toEqual([2, 3])
    expect([...(y?.data ?? [])]).toEqual([11, 22, 33, 14, 25, 36])
  }).pipe(Effect.provide(Executor.layer().pipe(Layer.provide(Reference.layer()))), Effect.scoped)
)
