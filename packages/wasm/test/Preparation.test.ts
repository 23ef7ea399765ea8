// What depends on constants alone: by the build where it is worth its bytes, else after loading; the same values.
import * as Builder from "@anneal/ir/Builder"
import type { Graph } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Report from "@anneal/lower/Report"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import * as Image from "@anneal/wasm/Image"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { engineOf } from "./Build.ts"

const rows = 64

/** y = x + exp(a · b / k), with a, b constants of k terms: the product is what is prepared. */
const graphOf = (k: number): Graph => {
  const b = Builder.make(`constants ${k}`)
  const values = (shape: ReadonlyArray<number>, seed: number) => ({
    dtype: "f32" as const,
    shape,
    data: Float32Array.from({ length: rows * k }, (_, i) => Math.sin(i * seed))
  })
  const x = b.input("x", { dtype: "f32", shape: [rows, rows] })
  const product = b.one(Ops.matmul, [b.tensor(values([rows, k], 3), {}), b.tensor(values([k, rows], 7), {})], {})
  const scale = b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(1 / k) }, {})
  b.output("y", b.one(Ops.add, [x, b.one(Ops.exp, [b.one(Ops.mul, [product, scale], {})], {})], {}))
  return b.finish()
}

const layer = Executor.layer().pipe(Layer.provideMerge(Reference.layer()))
const x = {
  dtype: "f32",
  shape: [rows, rows],
  data: Float32Array.from({ length: rows * rows }, (_, i) => i % 7)
} as const

for (const [k, stored] of [
  [4096, true],
  [8, false]
] as const)
  it.effect(`${k} terms: ${stored ? "by the build" : "after loading"}`, () =>
    Effect.gen(function* () {
      const graph = graphOf(k)
      const engine = yield* engineOf(graph)
      const payload = engine.manifest.variants[0]?.payload ?? []
      const report = payload.find((name) => name.includes("/report/"))
      const { preparation, regions } = Report.decode(engine.section(report ?? ""))
      expect(preparation?.stored).toBe(stored)
      expect(preparation?.why).toContain(stored ? "by the build: 16 KiB" : "after loading: 16 KiB")
      expect(regions.some(({ prepared }) => prepared)).toBe(true)
      const { units } = Image.decodeIndex(engine.section(payload[0] ?? ""))
      expect(units.map(({ image }) => Image.decode(engine.section(image)).prepares === null)).toEqual(
        units.map(() => stored)
      )
      const session = yield* Session.open(engine)
      const { y } = yield* session.run({ x })
      const oracle = yield* Oracle
      const [expected] = yield* oracle.run(graph, [x])
      for (const [place, value] of (expected?.data ?? []).entries())
        expect(Math.abs(Number(y?.data[place]) - Number(value))).toBeLessThan(1e-4)
      // What only the preparation reads is not in memory.
      const weights = session.memoryUse()?.weights ?? 0
      if (stored) expect(weights).toBe(4 * rows * rows)
    }).pipe(Effect.provide(layer), Effect.scoped)
  )

it.effect("gives the same engine again", () =>
  Effect.gen(function* () {
    const [one, two] = [yield* engineOf(graphOf(4096)), yield* engineOf(graphOf(4096))]
    expect(two.digest).toBe(one.digest)
  })
)
