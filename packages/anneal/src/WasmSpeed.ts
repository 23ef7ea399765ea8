/**
 * What this host's WebAssembly is worth: the rate of one product of matrices in generated code, with the instructions that
 * the host has and without the relaxed ones, on one thread.
 */
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Builder from "@anneal/ir/Builder"
import * as Hash from "@anneal/ir/Hash"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import { Executors } from "@anneal/runtime/Executor"
import * as Session from "@anneal/runtime/Session"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Compile from "@anneal/wasm/Compile"
import * as Executor from "@anneal/wasm/Executor"
import * as Features from "@anneal/wasm/Features"
import * as Payloads from "@anneal/wasm/Payloads"
import * as Target from "@anneal/wasm/Target"
import * as Effect from "effect/Effect"

export interface Speed {
  /** `relaxed-simd`, `simd128`. */
  readonly code: string
  /** 10⁹ operations a second, the best of many runs. */
  readonly gflops: number
}

/** Rows and columns. */
const size = 192
/** Milliseconds for each. */
const duration = 60

const graph = () => {
  const builder = Builder.make("product")
  const x = builder.input("x", Type.make("f32", [size, size]))
  const values = Array.from({ length: size * size }, (_, i) => ((i * 7919) % 1000) / 500 - 1)
  const w = builder.tensor(Numbers.fromNumbers("f32", [size, size], values), { name: "w" })
  builder.output("y", builder.one(Ops.matmul, [x, w], {}))
  return builder.finish()
}

const rate = (relaxed: boolean) =>
  Effect.gen(function* () {
    const one = graph()
    const features = { relaxed, wide: false, threads: false }
    const { payload } = yield* Compile.compile(one, { flavours: [features] })
    const profiles = [{ name: "any", dims: {} }]
    const layout = Engine.assemble({
      about: Manifest.aboutModel(one.name, Hash.content(one)),
      source: one,
      variants: [
        {
          name: Target.name,
          target: Target.name,
          features: Payloads.featureNames(features),
          graph: one,
          profiles,
          payload
        }
      ]
    })
    const session = yield* Session.open(Engine.parse(Safetensors.toBytes(layout), "doctor"))
    const { run } = yield* session.bind({ x: [size, size] })
    let least = Infinity
    const until = performance.now() + duration
    while (performance.now() < until) {
      const begin = performance.now()
      run()
      least = Math.min(least, performance.now() - begin)
    }
    return { code: relaxed ? "relaxed-simd" : "simd128", gflops: (2 * size ** 3) / (least * 1e6) }
  }).pipe(Effect.scoped, Effect.provide(HeuristicTuner.layer))

/** With what this host has; empty where it lacks fixed-width SIMD. */
export const measure = Effect.gen(function* () {
  const here = Features.ofHost()
  const executors = yield* Effect.map(Executor.make(), (one) => [one])
  const codes = [...(here.includes("relaxed-simd") ? [true] : []), ...(here.includes("simd128") ? [false] : [])]
  return yield* Effect.forEach(codes, rate).pipe(Effect.provideService(Executors, executors))
})
