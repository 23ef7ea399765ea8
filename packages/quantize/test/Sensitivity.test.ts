import { assert, describe, it } from "@effect/vitest"
import * as Target from "@anneal/pipeline/Target"
import * as InsertQuantization from "@anneal/quantize/InsertQuantization"
import * as Sensitivity from "@anneal/quantize/Sensitivity"
import * as Effect from "effect/Effect"
import { model, sampleOf, samples } from "./Model.ts"
import * as TestOracle from "./TestOracle.ts"
import { parse } from "./Text.ts"

const schemes = InsertQuantization.chooseSchemes(Target.reference.quantization, 8)
const measure = (graph: typeof model, range: number, data = samples(16), keep: ReadonlyArray<string> = []) => {
  if (schemes === undefined) throw new TypeError("no scheme")
  const ranges = { x: { min: -range, max: range }, r: { min: 0, max: range } }
  return Sensitivity.measure(graph, { ranges, schemes, keep: new Set(keep) }, data, TestOracle.service)
}

describe("Sensitivity", () => {
  it.effect("a wider grid makes more noise, by the square of the step", () =>
    Effect.gen(function* () {
      const fine = yield* measure(model, 8)
      const coarse = yield* measure(model, 800)
      assert.deepStrictEqual([...fine.keys()], ["h", "y"])
      for (const [id, noise] of fine) {
        assert.isAbove(noise, 0)
        assert.isBelow(noise, 1e-3)
        assert.isAbove(coarse.get(id) ?? 0, 30 * noise)
      }
    })
  )

  it.effect("measures only what would be quantised", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual([...(yield* measure(model, 8, samples(4), ["first"])).keys()], ["y"])
    })
  )

  it.effect("works at the sizes of each sample", () =>
    Effect.gen(function* () {
      const graph = parse(`
        input "x" %x : f32[batch, 3]
        constant %a : f32[3, 1] = [1, 0.3, 0.2]
        %h : f32[batch, 1] = matmul(%x, %a)
        output "h" = %h`)
      const two = { x: { dtype: "f32" as const, shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) } }
      const noise = (yield* measure(graph, 8, [sampleOf([1, 2, 3]), two])).get("h") ?? 0
      assert.isAbove(noise, 0)
      assert.isBelow(noise, 1e-3)
    })
  )

  it.effect("counts what is not finite as lost, never as NaN", () =>
    Effect.gen(function* () {
      const noise = yield* measure(model, 8, [sampleOf([1, NaN, 3]), sampleOf([1, 2, 3])])
      for (const value of noise.values()) assert.isTrue(Number.isFinite(value))
    })
  )
})
