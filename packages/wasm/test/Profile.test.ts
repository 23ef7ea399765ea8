// Steps of assembled programs, one by one: all of them, in order, and the results are those of a whole run.
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

const n = Dim.symbol("n")
const plain = { relaxed: false, wide: false, threads: false }
const graph = graphOf(n)
const assembled = Assemble.assemble(programOf(n), {
  features: plain,
  kernel: (region) => adding(region),
  packs: new Map()
})
const payload = Payloads.of("wasm", [{ fixed: new Map(), features: plain, assembled }])
const profiles = [{ name: "any", dims: {} }]
const layout = Engine.assemble({
  about: Manifest.aboutModel("two", "0"),
  source: graph,
  variants: [{ name: "wasm", target: "wasm", features: ["simd128"], graph, profiles, payload }]
})
const engine = Engine.parse(Safetensors.toBytes(layout), "two.engine")
const layer = Executor.layer().pipe(Layer.provide(Reference.layer()))
const x = (count: number) => ({
  x: Numbers.fromNumbers(
    "f32",
    [count],
    Array.from({ length: count }, (_, i) => i)
  )
})

it.effect("times each step, at the sizes of the inputs", () =>
  Effect.gen(function* () {
    const session = yield* Session.open(engine)
    const small = yield* session.profile(x(4), { milliseconds: 4 })
    expect(small?.steps.map(({ id, kernel, node }) => [id, node, kernel])).toEqual([
      ["t", "/sum (add %add)", "adding"],
      ["y", "/double (add %add_0)", "adding"]
    ])
    expect(small?.fixed).toEqual({})
    for (const { nanoseconds, runs } of small?.steps ?? []) {
      expect(runs).toBeGreaterThanOrEqual(2)
      expect(nanoseconds).toBeGreaterThanOrEqual(0)
    }
    const { y } = yield* session.run(x(3))
    expect([...(y?.data ?? [])]).toEqual([6, 8, 10])
  }).pipe(Effect.provide(layer), Effect.scoped)
)
