// Other weights in an engine with packed ones: the same bytes as a build with those weights; left out and put back: the
// same bytes as before.
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Refit from "@anneal/engine/Refit"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Strip from "@anneal/engine/Strip"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Compile from "@anneal/wasm/Compile"
import * as Executor from "@anneal/wasm/Executor"
import * as Relower from "@anneal/wasm/Relower"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Heuristic from "./Heuristic.ts"

const weight = (seed: number) =>
  Numbers.fromNumbers(
    "f32",
    [20, 12],
    Array.from({ length: 240 }, (_, i) => Math.fround(Math.sin(seed * 1000 + i)))
  )

const graphOf = (w: ReturnType<typeof weight>) => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [Dim.symbol("batch"), 20]))
  const from = { lineage: { sources: ["/fc"], rewrites: [] } }
  const product = b.one(Ops.matmul, [x, b.tensor(w, { id: "w", name: "fc.weight" })], {}, from)
  b.output("y", b.one(Ops.relu, [product], {}, { lineage: { sources: ["/act"], rewrites: [] } }))
  return b.finish()
}

const built = (seed: number, refits: ReadonlyArray<ReadonlyArray<string>> = []) =>
  Effect.map(Effect.provide(Compile.compile(graphOf(weight(seed))), Heuristic.layer), ({ payload }) => {
    const graph = graphOf(weight(seed))
    const layout = Engine.assemble({
      about: { ...Manifest.aboutModel("net", "0"), refits },
      source: graph,
      variants: [
        { name: "wasm", target: "wasm", features: ["simd128"], graph, profiles: [{ name: "any", dims: {} }], payload }
      ]
    })
    return Safetensors.toBytes(layout)
  })

it.effect("a refit engine is the engine of the other weights", () =>
  Effect.gen(function* () {
    const engine = Engine.parse(yield* built(1))
    const refitted = Refit.refit(engine, { "fc.weight": weight(2) }, undefined, Relower.of(engine))
    expect(Safetensors.toBytes(refitted)).toEqual(yield* built(2, [["fc.weight"]]))
    const session = yield* Session.open(Engine.parse(Safetensors.toBytes(refitted)))
    const ones = Numbers.fromNumbers("f32", [1, 20], new Array<number>(20).fill(1))
    const { y } = yield* session.run({ x: ones })
    const { data } = weight(2)
    const sums = Array.from({ length: 12 }, (_, n) =>
      Math.max(
        0,
        Array.from({ length: 20 }, (_k, k) => Number(data[12 * k + n])).reduce((a, b) => a + b, 0)
      )
    )
    for (const [n, sum] of sums.entries()) expect(Number(y?.data[n])).toBeCloseTo(sum, 4)
    expect(() => Refit.refit(engine, { "fc.weight": weight(2) })).toThrow(/packed for the kernels of wasm/)
  }).pipe(Effect.provide(Executor.layer().pipe(Layer.provide(Reference.layer()))), Effect.scoped)
)

it.effect("weights that were left out come back", () =>
  Effect.gen(function* () {
    const bytes = yield* built(1)
    const engine = Engine.parse(bytes)
    const stripped = Engine.parse(Safetensors.toBytes(Strip.strip(engine)))
    expect(stripped.byteLength).toBeLessThan(bytes.length - 900)
    const constants = Graphs.allConstants(graphOf(weight(1))).values()
    expect(Safetensors.toBytes(Strip.restore(stripped, constants, undefined, Relower.of(stripped)))).toEqual(bytes)
  })
)
