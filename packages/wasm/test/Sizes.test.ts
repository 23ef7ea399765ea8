// A program for any sizes serves them all with the code that it was loaded with: nothing is compiled or instantiated for a
// size that comes later.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import { host } from "@anneal/wasm/WebAssembly"
import { afterEach, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { engineOf } from "./Build.ts"
import * as Random from "./Random.ts"

const floats = (count: number, seed: number): Float32Array => {
  const next = Random.signed(seed)
  return Float32Array.from({ length: count }, () => next())
}

const [batch, time] = [Dim.symbol("batch"), Dim.symbol("time")]

/** softmax(x · w + b) and its greatest along time: a product, rows and a reduction, over two free sizes. */
const graph = () => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [batch, time, 12]))
  const w = b.tensor(Numbers.fromNumbers("f32", [12, 20], floats(12 * 20, 1)), { name: "w" })
  const bias = b.tensor(Numbers.fromNumbers("f32", [20], floats(20, 2)), { name: "b" })
  const y = b.one(Ops.softmax, [b.one(Ops.add, [b.one(Ops.matmul, [x, w], {}), bias], {})], { axis: 2 })
  b.output("y", y)
  b.output("most", b.one(Ops.reduceMax, [y], { axes: [1], keepDims: false }))
  return b.finish()
}

const sizes = Array.from({ length: 60 }, (_, place) => [1 + (place % 5), 1 + ((place * 37) % 200)] as const)

const input = ([rows, steps]: readonly [number, number]): Tensor =>
  Numbers.fromNumbers("f32", [rows, steps, 12], floats(rows * steps * 12, rows * 1000 + steps))

afterEach(() => void vi.restoreAllMocks())

it.live("sixty sizes, and nothing is compiled after the first of each program", () =>
  Effect.gen(function* () {
    const net = graph()
    const oracle = yield* Oracle
    const session = yield* Session.open(yield* engineOf(net))
    // One program is for batch 1, the other for any.
    for (const size of [
      [1, 3],
      [2, 3]
    ] as const)
      yield* session.run({ x: input(size) })
    const made = [vi.spyOn(host, "Module"), vi.spyOn(host, "Instance"), vi.spyOn(host, "compile")]
    for (const size of sizes) {
      const x = input(size)
      const results = yield* session.run({ x })
      const [y, most] = yield* oracle.run(net, [x])
      for (const [found, known] of [
        [results["y"], y],
        [results["most"], most]
      ] as const) {
        expect(found?.shape).toEqual(known?.shape)
        const expected = known === undefined ? [] : Numbers.toNumbers(known)
        const values = found === undefined ? [] : Numbers.toNumbers(found)
        for (const [place, value] of expected.entries())
          if (!(Math.abs((values[place] ?? NaN) - value) <= 1e-6))
            expect.fail(`${size.join("×")}: ${values[place]}, not ${value}`)
      }
    }
    expect(made.map((one) => one.mock.calls.length)).toEqual([0, 0, 0])
  }).pipe(Effect.provide(Executor.layer().pipe(Layer.provideMerge(Reference.layer()))), Effect.scoped)
)
