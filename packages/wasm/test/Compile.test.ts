// Which kernels the flavours of one engine get: the decided ones, and where vectors are pairs, the best of the same name.
import * as Builder from "@anneal/ir/Builder"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Compile from "@anneal/wasm/Compile"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Target from "@anneal/wasm/Target"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Heuristic from "./Heuristic.ts"

const product = () => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [48, 32]))
  const w = Numbers.fromNumbers("f32", [32, 64], new Array<number>(32 * 64).fill(0.5))
  b.output("y", b.one(Ops.matmul, [x, b.tensor(w, { id: "w" })], {}))
  return b.finish()
}

it.effect("code for pairs of vectors has panels of its own, all other code those that were decided", () =>
  Effect.gen(function* () {
    const written: Array<{ readonly flavour: string; readonly nr: unknown }> = []
    const source: Candidates.Source = (region, typical, features) =>
      Candidates.candidates(region, typical, features).map((kernel): Kernel => {
        const emit: Kernel["emit"] = (emission, name) => {
          const flavour = features.wide ? "wide" : features.relaxed ? "relaxed" : "plain"
          written.push({ flavour, nr: Predicate.hasProperty(kernel.config, "nr") ? kernel.config.nr : undefined })
          return kernel.emit(emission, name)
        }
        return Object.assign({}, kernel, { emit })
      })
    const flavours = [Target.relaxed, Target.plain, Target.wide]
    yield* Effect.provide(Compile.compile(product(), { flavours, sources: [source] }), Heuristic.layer)
    expect(written).toEqual([
      { flavour: "relaxed", nr: 8 },
      { flavour: "plain", nr: 8 },
      { flavour: "wide", nr: 16 }
    ])
  })
)
