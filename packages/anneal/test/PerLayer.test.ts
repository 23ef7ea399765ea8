import * as Host from "anneal/Host"
import * as PerLayer from "anneal/PerLayer"
import * as Plugin from "anneal/Plugin"
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Builder from "@anneal/ir/Builder"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Session from "@anneal/runtime/Session"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Compile from "@anneal/wasm/Compile"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

/** y = tanh(x·w)·w: two regions at least. `other`: what is put after ids, for a graph whose values are called otherwise. */
const graphOf = (w: ReadonlyArray<number>, other = ""): Graph => {
  const b = Builder.make("net")
  const from = (source: string, id: string) => ({
    ids: [`${id}${other}`],
    lineage: { sources: [source], rewrites: [] }
  })
  const x = b.input("x", Type.make("f32", [3, 4]), { id: "x" })
  const weight = b.tensor(Numbers.fromNumbers("f32", [4, 4], w), { id: "w", name: "w" })
  const product = b.one(Ops.matmul, [x, weight], {}, from("/fc", "product"))
  const softened = b.one(Ops.tanh, [product], {}, from("/tanh", "softened"))
  b.output("y", b.one(Ops.matmul, [softened, weight], {}, from("/again", "y")))
  return b.finish()
}

const weights = Array.from({ length: 16 }, (_, i) => (i - 7) / 8)
const x = Numbers.fromNumbers("f32", [3, 4], [1, -2, 3, 0, 0.5, 1, -1, 2, 4, -3, 0.25, 1])
const tolerance = { atol: 1e-5, rtol: 1e-5 }

const open = (graph: Graph, target: "wasm" | "reference") =>
  Effect.gen(function* () {
    const payload = target === "wasm" ? (yield* Compile.compile(graph)).payload : []
    const profiles = [{ name: "any", dims: {} }]
    const layout = Engine.assemble({
      about: Manifest.aboutModel(graph.name, "0"),
      source: graph,
      variants: [{ name: target, target, features: [], graph, profiles, payload }]
    })
    return yield* Session.open(Engine.parse(Safetensors.toBytes(layout), "net.engine"))
  }).pipe(Effect.provide(HeuristicTuner.layer))

describe("the first layer that differs", () => {
  const services = Host.execution(Plugin.none)

  it.effect("is none where generated code agrees with the oracle, region by region", () =>
    Effect.gen(function* () {
      const graph = graphOf(weights)
      const session = yield* open(graph, "wasm")
      const seen = new Map<string, string>()
      assert.isTrue(yield* session.observe({ x }, (id, _, kernel) => void seen.set(id, kernel)))
      assert.isTrue(seen.has("y"))
      assert.match(seen.get("y") ?? "", /gemm/)
      const { compared, differing } = yield* PerLayer.compare(graph, { graph, session }, { x }, tolerance)
      assert.deepStrictEqual(differing, [])
      assert.strictEqual(compared, seen.size)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.effect("is none where code leaves out what nobody reads: the part that it has is compared", () =>
    Effect.gen(function* () {
      const netOf = (w: ReadonlyArray<number>): Graph => {
        const b = Builder.make("net")
        const image = b.input("x", Type.make("f32", [1, 2, 8, 8]), { id: "x" })
        const weight = b.tensor(Numbers.fromNumbers("f32", [4, 2, 1, 1], w), { id: "w" })
        const window = { strides: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0], dilations: [1, 1] }
        const made = b.one(Ops.conv, [image, weight, undefined], { ...window, groups: 1 }, { ids: ["made"] })
        const pool = { ...window, kernel: [3, 3], strides: [3, 3], ceil: false, indexOrder: "rowMajor" as const }
        const [y] = b.node(Ops.maxPool, [made], pool)
        if (y === undefined) throw new Error("a pool has a result")
        b.output("y", y)
        return b.finish()
      }
      const inputs = {
        x: Numbers.fromNumbers(
          "f32",
          [1, 2, 8, 8],
          Array.from({ length: 128 }, (_, i) => Math.sin(i))
        )
      }
      const right = [1, -2, 0.5, 3, -1, 2, 0.25, -0.75]
      const graph = netOf(right)
      const session = yield* open(graph, "wasm")
      const shapes = new Map<string, string>()
      yield* session.observe(inputs, (id, { shape }) => void shapes.set(id, shape.join()))
      assert.strictEqual(shapes.get("made"), "1,4,6,6")
      const same = yield* PerLayer.compare(graph, { graph, session }, inputs, tolerance)
      assert.deepStrictEqual([same.compared, same.differing], [2, []])
      const wrong = netOf(right.with(3, 3.5))
      const watched = { graph: wrong, session: yield* open(wrong, "wasm") }
      const { differing } = yield* PerLayer.compare(graph, watched, inputs, tolerance)
      assert.strictEqual(differing[0]?.value, "made")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  for (const target of ["wasm", "reference"] as const)
    it.effect(`is named with its node, run by ${target}`, () =>
      Effect.gen(function* () {
        const wrong = graphOf(weights.with(5, 9))
        const session = yield* open(wrong, target)
        const watched = { graph: wrong, session }
        const { differing } = yield* PerLayer.compare(graphOf(weights), watched, { x }, tolerance)
        assert.match(differing[0]?.node ?? "", target === "wasm" ? /^\/(fc|tanh)/ : /^\/fc/)
        assert.strictEqual(differing[0]?.kernel === undefined, target === "reference")
        assert.isFalse(differing[0]?.agreement.agree)
      }).pipe(Effect.scoped, Effect.provide(services))
    )

  it.effect("is found by lineage where ids are others", () =>
    Effect.gen(function* () {
      const renamed = graphOf(weights, ".new")
      const session = yield* open(renamed, "reference")
      const same = yield* PerLayer.compare(graphOf(weights), { graph: renamed, session }, { x }, tolerance)
      assert.deepStrictEqual([same.compared, same.differing], [3, []])
      const other = graphOf(weights.with(0, 7), ".new")
      const watched = { graph: other, session: yield* open(other, "reference") }
      const { differing } = yield* PerLayer.compare(graphOf(weights), watched, { x }, tolerance)
      assert.match(differing[0]?.node ?? "", /^\/fc/)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
