// Services that a stage may use: their identity is in its key where they are provided, and only there.
import * as Artefact from "@anneal/pipeline/Artefact"
import { Graph } from "@anneal/pipeline/Graph"
import * as Inference from "@anneal/pipeline/Inference"
import type { Identity } from "@anneal/pipeline/Key"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Stage from "@anneal/pipeline/Stage"
import * as Store from "@anneal/pipeline/Store"
import * as Builder from "@anneal/ir/Builder"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestOracle from "./TestOracle.ts"

class Runner extends Artefact.make<Runner>()("test/Runner", Artefact.json(Schema.String)) {}

const whoRuns = Stage.make({
  name: "whoRuns",
  version: 1,
  config: Schema.Struct({}),
  needs: [Graph, Oracle],
  may: [Inference.Inference],
  output: Runner,
  run: () => Effect.map(Inference.current, ({ identity }) => identity?.name ?? "nobody")
})

const graph = (() => {
  const b = Builder.make("model")
  b.output("y", b.input("x", { dtype: "f32", shape: [2] }))
  return b.finish()
})()

const inference = (identity: Identity | undefined) =>
  Effect.gen(function* () {
    const { observe, run } = yield* Oracle
    return { identity, observe, run }
  })

const build = Pipeline.on(Graph, Oracle)
  .through(whoRuns({}))
  .build()
  .pipe(
    Effect.provideService(Graph, graph),
    Effect.map(({ known, ledger }) => ({ runner: Pipeline.get(known, Runner), entry: ledger[0] }))
  )
const by = (name: string, version: number) =>
  Effect.flatMap(inference({ name, version, config: {} }), (service) =>
    Effect.provideService(build, Inference.Inference, service)
  )

describe("a service that a stage may use", () => {
  it.effect("is used where it is, and the key says who it was", () =>
    Effect.gen(function* () {
      const without = yield* build
      const fast = yield* by("fast", 1)
      const faster = yield* by("fast", 2)
      assert.deepStrictEqual(
        [without, fast, faster].map(({ runner }) => runner),
        ["test-oracle", "fast", "fast"]
      )
      const keys = [without, fast, faster, yield* build, yield* by("fast", 1)].map(({ entry }) => entry?.key)
      assert.strictEqual(new Set(keys.slice(0, 3)).size, 3)
      assert.deepStrictEqual([keys[3], keys[4]], [keys[0], keys[1]])
    }).pipe(Effect.provide(Store.layerMemory), Effect.provide(TestOracle.layer))
  )

  it.effect("makes the stage uncached when it does not say who it is", () =>
    Effect.gen(function* () {
      const nameless = yield* inference(undefined)
      const { entry } = yield* Effect.provideService(build, Inference.Inference, nameless)
      assert.strictEqual(entry?.uncached, "@anneal/pipeline/Inference has no identity")
    }).pipe(Effect.provide(Store.layerMemory), Effect.provide(TestOracle.layer))
  )
})
