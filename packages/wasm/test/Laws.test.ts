// The laws of an executable on generated graphs: reference and wasm agree, with fused multiply-adds and without, on one
// thread and on two, with each. ANNEAL_GRAPHS says how many graphs; the check of everything runs thousands.
import type { Graph } from "@anneal/ir/Graph"
import * as Reference from "@anneal/reference/Reference"
import type { Executable } from "@anneal/runtime/Executor"
import * as Executors from "@anneal/runtime/Executor"
import * as ExecutableLaws from "@anneal/testing/ExecutableLaws"
import * as LayerTemplates from "@anneal/testing/LayerTemplates"
import * as TargetLaws from "@anneal/testing/TargetLaws"
import * as Templates from "@anneal/testing/Templates"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Executor from "@anneal/wasm/Executor"
import * as ConvWinograd from "@anneal/wasm/kernels/ConvWinograd"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import * as Target from "@anneal/wasm/Target"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { engineOf } from "./Build.ts"

const graphs = Number(process.env["ANNEAL_GRAPHS"] ?? 40)
const first = Number(process.env["ANNEAL_SEED"] ?? 0)
/** Minimal filtering keeps to a bound of norms, not to that of each result's own terms. */
const sources = Candidates.sources.filter((source) => source !== ConvWinograd.candidates)

/** Every step as long as it takes to be divided between threads. */
const long: ReadonlyArray<Candidates.Source> = sources.map(
  (source) =>
    (...args) =>
      source(...args).map((kernel) => Object.assign({}, kernel, { cost: kernel.cost + 1e6 }))
)

const prepare =
  (from: ReadonlyArray<Candidates.Source>) =>
  (graph: Graph): Effect.Effect<Executable, unknown, Scope.Scope | Executors.Executors> =>
    Effect.gen(function* () {
      const engine = yield* engineOf(graph, { sources: from })
      const [executor] = yield* Executors.Executors
      if (executor === undefined) return yield* Effect.die("there is no executor")
      return yield* executor.prepare({ engine, variant: "wasm", graph })
    })

const hosts: ReadonlyArray<readonly [name: string, options: Executor.Options, seed: number]> = [
  ["relaxed SIMD", {}, 1],
  ["plain SIMD", { without: ["relaxed-simd"] }, 2],
  ["two threads", { threads: { threads: 2, spawn: NodeThreads.spawn } }, 3],
  ["two threads, plain SIMD", { threads: { threads: 2, spawn: NodeThreads.spawn }, without: ["relaxed-simd"] }, 4]
]

for (const [name, options, seed] of hosts)
  it.live(
    `keeps the laws of an executable: ${name}`,
    () =>
      Effect.gen(function* () {
        const plain = yield* ExecutableLaws.check(prepare(options.threads === undefined ? sources : long), {
          graphs: Math.ceil(graphs / 2),
          seed: first + seed
        })
        expect(plain.refused).toBe(0)
        const layers = yield* ExecutableLaws.check(prepare(options.threads === undefined ? sources : long), {
          graphs: Math.floor(graphs / 2),
          seed: first + seed,
          templates: [...LayerTemplates.all, ...Templates.all],
          inputs: LayerTemplates.inputs,
          outputs: "any",
          sizes: [1, 9]
        })
        expect(layers.refused).toBe(0)
      }).pipe(Effect.provide(Executor.layer(options).pipe(Layer.provide(Reference.layer())))),
    600_000
  )

it.effect("keeps the laws of a target", () =>
  Effect.forEach([Target.plain, Target.relaxed, Target.wide], (features) => TargetLaws.check(Target.make(features)))
)
