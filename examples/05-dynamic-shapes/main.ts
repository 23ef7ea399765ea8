// Dynamic shapes: one engine for a range of shapes, no recompilation when it runs.
//
// The model's batch and length are symbols. Two profiles say which sizes the engine is for; a shape outside both is
// refused by name, with the profiles; memory is known for each before anything runs.
import { Engine, IR, Pipeline, Reference, Runtime } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const graph = (): IR.Graph.Graph => {
  const g = IR.Dsl.graph("pool over time")
  const x = g.input("x", "f32", ["batch", "length", 4])
  const y = g.input("y", "f32", ["batch", "length", 4])
  g.output("score", Dsl.matmul(x, Dsl.transpose(y, [0, 2, 1])))
  return g.finish()
}
const { Dsl } = IR

const shapes = (batch: number, length: number): Runtime.Profiles.Shapes =>
  new Map([
    ["x", [batch, length, 4]],
    ["y", [batch, length, 4]]
  ])

const program = Effect.gen(function* () {
  const model = graph()
  const profiles = [
    Runtime.Profiles.profileOf(model, "single", { min: shapes(1, 1), opt: shapes(1, 64), max: shapes(1, 512) }),
    Runtime.Profiles.profileOf(model, "batched", { min: shapes(2, 8), opt: shapes(16, 32), max: shapes(32, 64) })
  ]
  const engine = yield* Engine.EngineFile.parse(
    Engine.Safetensors.toBytes(
      Engine.Engine.assemble({
        about: Engine.Manifest.aboutModel(model.name, IR.Hash.content(model)),
        source: model,
        variants: [{ name: "reference", target: "reference", features: [], graph: model, profiles }],
        strip: false
      })
    ),
    "dynamic"
  )
  const session = yield* Runtime.Session.open(engine)
  for (const [position, profile] of session.profiles.entries())
    yield* Console.log(`${Runtime.Profiles.list([profile])}: ${session.memory[position]?.peak} bytes at most`)

  const tensor = (batch: number, length: number) => IR.Tensor.zeros("f32", [batch, length, 4])
  for (const [batch, length] of [
    [1, 1],
    [1, 300],
    [16, 32]
  ] as const) {
    const { score } = yield* session.run({ x: tensor(batch, length), y: tensor(batch, length) })
    yield* Console.log(`x [${batch}, ${length}, 4] → score [${score?.shape.join(", ")}]`)
  }
  const refused = yield* Effect.flip(session.run({ x: tensor(32, 512), y: tensor(32, 512) }))
  yield* Console.log(`\nrefused: ${refused.message}`)
})

const services = Runtime.Executor.layerReference.pipe(Layer.provideMerge(Reference.Reference.layer()))
Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide(Layer.merge(services, Pipeline.Target.layerReference)))
).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
