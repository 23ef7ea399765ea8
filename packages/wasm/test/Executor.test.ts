// Assembled programs through engines and sessions: right, shared weights, shapes that change, traps by name.
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Dim from "@anneal/ir/Dim"
import type { TypedArray } from "@anneal/ir/DType"
import type { Alias } from "@anneal/ir/Graph"
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

const engineOf = (n: Dim.Dim, trap = false, aliases: ReadonlyArray<Alias> = []): Engine.Engine => {
  const graph = { ...graphOf(n), aliases }
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

const fill = (data: TypedArray | undefined, values: ReadonlyArray<number>): void => {
  if (data !== undefined) for (const [place, value] of values.entries()) data[place] = value
}

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

it.effect("has inputs and outputs of a run where values lie, and those of a bound program apart", () =>
  Effect.gen(function* () {
    for (const n of [1024, Dim.symbol("n")]) {
      const session = yield* Session.open(engineOf(n))
      const values = Array.from({ length: 1024 }, (_, i) => i)
      const { y } = yield* session.run(x(values))
      expect(y?.data.length).toBe(1024)
      // x and what is made of it, then that and y in the place of x.
      expect(session.memoryUse()?.values).toBe(2 * 4096)
      const bound = yield* session.bind({ x: [1024] })
      fill(bound.inputs[0]?.data, values)
      bound.run()
      const first = [...(bound.outputs[0]?.data ?? [])]
      expect(first).toEqual([...(y?.data ?? [])])
      // Neither another run nor its own takes the bound input away, and the bound output stays until the next.
      yield* session.run(x(values.map(() => 7)))
      expect([...(bound.outputs[0]?.data ?? [])]).toEqual(first)
      bound.run()
      expect([...(bound.outputs[0]?.data ?? [])]).toEqual(first)
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
    expect(error.message).toContain("800000 bytes were asked for")
  }).pipe(
    Effect.provide(Executor.layer({ memoryLimit: 300_000 }).pipe(Layer.provide(Reference.layer()))),
    Effect.scoped
  )
)

it.effect("binds to shapes: plain views and a plain call", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(Dim.symbol("n")))
    const bound = yield* session.bind({ x: [3] })
    const [input] = bound.inputs
    const [output] = bound.outputs
    fill(input?.data, [1, 2, 3])
    bound.run()
    expect([...(output?.data ?? [])]).toEqual([8, 10, 12])
    // A larger run moves the memory; the bound one goes on.
    yield* session.run(x(new Array<number>(200_000).fill(0)))
    bound.run()
    expect([...(output?.data ?? [])]).toEqual([8, 10, 12])
    const refused = yield* Effect.flip(session.bind({ x: [3, 4] }))
    expect(refused._tag).toBe("InputError")
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("reads a tensor of its own memory where it lies, outputs of the run before too", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(Dim.symbol("n")))
    const given = yield* session.allocate("f32", [4])
    fill(given.data, [1, 2, 3, 4])
    const { y } = yield* session.run({ x: given })
    expect([...(y?.data ?? [])]).toEqual([8, 10, 12, 14])
    yield* session.run(x(new Array<number>(200_000).fill(0)))
    expect([...given.data]).toEqual([1, 2, 3, 4])
    const { y: again } = yield* session.run({ x: given })
    expect([...(again?.data ?? [])]).toEqual([8, 10, 12, 14])
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("gives memory back when a session is closed", () =>
  Effect.gen(function* () {
    const engine = engineOf(Dim.symbol("n"))
    yield* Effect.scoped(
      Effect.gen(function* () {
        const kept = yield* Session.open(engine)
        yield* kept.run(x([1, 2]))
        const before = kept.memoryUse()
        for (let round = 0; round < 20; round++)
          yield* Effect.scoped(
            Effect.flatMap(Session.open(engine), (session) => session.run(x(new Array<number>(50_000).fill(1))))
          )
        const after = kept.memoryUse()
        expect(after).toEqual({ ...before, memory: after?.memory })
        // What one session of 50,000 elements needs (its values lie next to each other), not twenty.
        expect(after?.memory).toBeLessThan(5 * 4 * 50_000)
      })
    )
  }).pipe(Effect.provide(layer), Effect.scoped)
)

it.effect("carries state from one bound run to the next where it lies", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engineOf(Dim.symbol("n"), false, [{ input: "x", output: "y" }]))
    const bound = yield* session.bind({ x: [2] })
    fill(bound.inputs[0]?.data, [0, 1])
    let expected = [0, 1]
    for (let round = 0; round < 6; round++) {
      bound.run()
      expected = expected.map((value) => 2 * (value + 3))
      expect([...(bound.outputs[0]?.data ?? [])]).toEqual(expected)
      bound.carry()
      expect([...(bound.inputs[0]?.data ?? [])]).toEqual(expected)
    }
  }).pipe(Effect.provide(layer), Effect.scoped)
)
