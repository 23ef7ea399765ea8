// Assembled programs through engines and sessions: right, shared weights, shapes that change, traps by name.
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Assemble from "@anneal/wasm/Assemble"
import * as Executor from "@anneal/wasm/Executor"
import * as Payloads from "@anneal/wasm/Payloads"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { adding, graphOf, programOf } from "./Program.ts"

const plain = { relaxed: false, wide: false, threads: false }

const engineOf = (n: Dim.Dim, trap = false): Engine.Engine => {
  const graph = graphOf(n)
  const assembled = Assemble.assemble(programOf(n), {
    features: plain,
    kernel: (region) => adding(region, { trap: trap && region.id === "y" }),
    packs: new Map()
  })
  const payload = Payloads.of("wasm", [{ fixed: new Map(), features: plain, assembled }])
  const layout = Engine.assemble({
    about: Manifest.aboutModel("two", "0"),
    source: graph,
    variants: [
      { name: "wasm", target: "wasm", features: ["simd128"], graph, profiles: [{ name: "any", dims: {} }], payload }
    ]
  })
  return Engine.parse(Safetensors.toBytes(layout), "two.engine")
}

const layer = Executor.layer().pipe(Layer.provide(Reference.layer()))
const x = (values: ReadonlyArray<number>) => ({ x: Numbers.fromNumbers("f32", [values.length], values) })

it.effect("runs a program of fixed sizes", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(5))
    const { y } = yield* session.run(x([1, 2, 3, 4, 5]))
    expect(y?.shape).toEqual([5])
    expect([...(y?.data ?? [])]).toEqual([8, 10, 12, 14, 16])
    const { y: again } = yield* session.run(x([0, 0, 0, 0, 1]))
    expect([...(again?.data ?? [])]).toEqual([6, 6, 6, 6, 8])
    // The first result was a copy.
    expect([...(y?.data ?? [])]).toEqual([8, 10, 12, 14, 16])
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("takes sizes as they come, and sessions share the weights", () =>
  Effect.gen(function* () {
    const engine = engineOf(Dim.symbol("n"))
    const one = yield* Session.open(engine)
    const two = yield* Session.open(engine)
    for (const count of [3, 7, 3, 100_000, 0, 1]) {
      const values = Array.from({ length: count }, (_, i) => i)
      for (const session of [one, two]) {
        const { y } = yield* session.run(x(values))
        expect([...(y?.data ?? [])]).toEqual(values.map((value) => 2 * (value + 3)))
      }
    }
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("names the region of a trap", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(2, true))
    const error = yield* Effect.flip(session.run(x([1, 2])))
    expect(error).toMatchObject({ _tag: "ExecutionError", target: "wasm" })
    expect(error.message).toContain("/double")
    expect(error.message).toContain("trapping")
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("refuses an engine whose features this host lacks", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Session.open(engineOf(2)))
    expect(error._tag).toBe("TargetError")
    expect(error.message).toContain("simd128")
  }).pipe(
    Effect.provide(Executor.layer({ without: ["simd128"] }).pipe(Layer.provide(Reference.layer()))),
    Effect.scoped
  )
)

it.effect("says how much memory it would need", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(Dim.symbol("n")))
    const error = yield* Effect.flip(session.run(x(new Array<number>(100_000).fill(0))))
    expect(error.message).toContain("400000 bytes were asked for")
  }).pipe(
    Effect.provide(Executor.layer({ memoryLimit: 300_000 }).pipe(Layer.provide(Reference.layer()))),
    Effect.scoped
  )
)
