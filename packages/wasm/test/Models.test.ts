// The real models through the passes, compiled for wasm without tuning, held against known outputs: with fused
// multiply-adds and without, on two threads, and at fixed sizes. Skipped where the folder of models is not there.
import * as Engine from "@anneal/engine/Engine"
import type * as Manifest from "@anneal/engine/Manifest"
import type * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Import from "@anneal/onnx/Import"
import * as Wire from "@anneal/onnx/Wire"
import * as All from "@anneal/passes/All"
import { Graph } from "@anneal/pipeline/Graph"
import * as Pipelines from "@anneal/pipeline/Pipeline"
import * as Target from "@anneal/pipeline/Target"
import * as Reference from "@anneal/reference/Reference"
import * as Npy from "@anneal/runtime/Npy"
import * as Profiles from "@anneal/runtime/Profiles"
import * as Session from "@anneal/runtime/Session"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { engineOf } from "./Build.ts"

const models = fileURLToPath(new URL("../../../../shared/models", import.meta.url))

const names: ReadonlyArray<string> = [
  "mnist-8",
  "resnet8-cifar10",
  "ultraface-rfb320",
  "silero-vad-v6",
  "nnsplit-en",
  "retsim-v1",
  "magika-v3_3",
  "stories260k"
]

const graphOf = (path: string) =>
  Effect.gen(function* () {
    const { model, path: real } = yield* Wire.read(path)
    const source = Import.toGraph(model, { source: path, shapes: {}, operators: [] }, real)
    const { known } = yield* All.pipeline(All.passes).build().pipe(Effect.provideService(Graph, source))
    return Pipelines.get(known, Graph)
  })

/** Tensors of a case by name: files `in_NAME.npy`, `out_NAME.npy`. */
const tensors = (folder: string, prefix: string) =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((file) => file.startsWith(prefix))
      .map((file) => [file.slice(prefix.length, -".npy".length), Npy.parse(readFileSync(`${folder}/${file}`), file)])
  )

const sanitized = (name: string): string => name.replaceAll(/[^A-Za-z0-9_.-]/g, "_")

const check = (engine: Engine.Engine, golden: string, cases: ReadonlyArray<string> = readdirSync(golden)) =>
  Effect.gen(function* () {
    const session = yield* Session.open(engine)
    for (const name of cases) {
      const folder = `${golden}/${name}`
      const given = tensors(folder, "in_")
      const inputs = Object.fromEntries(
        session.inputs.flatMap((port) => {
          const tensor = given[port.name] ?? given[sanitized(port.name)]
          return tensor === undefined ? [] : [[port.name, tensor] as const]
        })
      )
      const outputs = yield* session.run(inputs)
      let compared = 0
      const wanted = tensors(folder, "out_")
      for (const [output, tensor] of Object.entries(outputs)) {
        const expected = wanted[output] ?? wanted[sanitized(output)]
        if (expected === undefined) continue
        compared++
        assert.deepStrictEqual([...tensor.shape], [...expected.shape], `${name}: ${output}`)
        const [found, known] = [Numbers.toNumbers(tensor), Numbers.toNumbers(expected)]
        for (const [place, value] of known.entries()) {
          const error = Math.abs((found[place] ?? NaN) - value)
          assert.isTrue(
            error <= 1e-4 + 1e-3 * Math.abs(value),
            `${name}: ${output}[${place}] is ${found[place]}, not ${value}`
          )
        }
      }
      assert.isAbove(compared, 0, `${name}: nothing was compared`)
    }
  }).pipe(Effect.scoped)

/** The sizes of one case, as a profile of one point: everything is a constant in the code. */
const profileOf = (graph: IR.Graph, folder: string): Manifest.Profile => {
  const given = tensors(folder, "in_")
  const shapes = new Map(
    graph.inputs.flatMap(({ name }) => {
      const tensor = given[name] ?? given[sanitized(name)]
      return tensor === undefined ? [] : [[name, tensor.shape] as const]
    })
  )
  const dims = [...Profiles.bindShapes(graph, shapes)].map(([symbol, value]) => [
    symbol,
    { min: value, opt: value, max: value }
  ])
  return { name: "one point", dims: Object.fromEntries(dims) }
}

describe("the real models on wasm", () => {
  for (const name of names) {
    const model = `${models}/${name}`
    const absent = !existsSync(`${model}/model.onnx`)
    const title = absent ? `${name} (skipped: ../shared/models/${name} is not there)` : name
    it.live.skipIf(absent)(
      title,
      () =>
        Effect.gen(function* () {
          const graph = yield* graphOf(`${model}/model.onnx`)
          const engine = yield* engineOf(graph)
          yield* check(engine, `${model}/golden`).pipe(Effect.provide(Executor.layer()))
          yield* check(engine, `${model}/golden`).pipe(Effect.provide(Executor.layer({ without: ["relaxed-simd"] })))
          const threads = { threads: 2, spawn: NodeThreads.spawn }
          yield* check(engine, `${model}/golden`).pipe(Effect.provide(Executor.layer({ threads })))
          for (const one of readdirSync(`${model}/golden`).slice(0, 2)) {
            const profiles = [profileOf(graph, `${model}/golden/${one}`)]
            const fixed = yield* engineOf(graph, { profiles })
            yield* check(fixed, `${model}/golden`, [one]).pipe(Effect.provide(Executor.layer()))
          }
        }).pipe(Effect.provide(Layer.mergeAll(Reference.layer(), Target.layerReference, NodeServices.layer))),
      300_000
    )
  }
})
