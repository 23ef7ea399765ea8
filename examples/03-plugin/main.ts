// A plug-in in a package of its own, checked with the conformance kit, used in a pipeline, then built into an engine whose
// code has the plug-in's own kernel.
//
// The kit runs the op's laws (inference, kernel and error bound agree) and the pass's laws (deterministic, sound, right
// within its claim) on given and generated graphs. A law that is broken fails with what broke it.
import squaredReluPlugin, { formSquaredRelu, squaredRelu, squaredReluKernel } from "@anneal-examples/squared-relu"
import { OpLaws, PassLaws } from "@anneal/testing"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Build, Compare, Host, IR, Onnx, Passes, Pipeline, Plugin, Runtime } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { join } from "node:path"

const { Dsl, Text, Type } = IR

const model = (): IR.Graph.Graph => {
  const g = Dsl.graph("gated")
  const x = g.input("x", "f32", ["batch", 8])
  const active = Dsl.relu(
    Dsl.matmul(
      x,
      g.constant(
        "f32",
        [8, 4],
        Array.from({ length: 32 }, (_, i) => Math.cos(i))
      )
    )
  )
  g.output("y", Dsl.mul(active, active))
  return g.finish()
}

const program = Effect.gen(function* () {
  const op = yield* OpLaws.check(squaredRelu, {
    cases: [
      { operands: [Type.make("f32", [4, 5])], attributes: {} },
      { operands: [Type.make("f16", [7])], attributes: {} }
    ],
    kernels: [squaredReluKernel]
  })
  yield* Console.log(`squaredRelu keeps the laws of ops: ${op.cases} cases, ${(100 * op.bounded).toFixed(0)} % bounded`)

  const pass = yield* PassLaws.check(formSquaredRelu.pass(), { examples: [model()] })
  yield* Console.log(
    `formSquaredRelu keeps the laws of passes: ${pass.graphs} graphs, fired on ${pass.fired}, ${pass.claims}`
  )

  const pipeline = Pipeline.Pipeline.on(Pipeline.Graph.Graph)
    .through(formSquaredRelu.pass())
    .through(Passes.eliminateDeadCode.pass())
  const { known, ledger } = yield* Effect.provideService(pipeline.build(), Pipeline.Graph.Graph, model())
  yield* Console.log(`\n${Text.print(Pipeline.Pipeline.get(known, Pipeline.Graph.Graph), { digests: true })}`)
  for (const { stage, validation } of ledger)
    if (validation !== undefined)
      yield* Console.log(`${stage}: ${validation.regions} rewrites checked, ${validation.failed} wrong`)
})

const plugins = Plugin.all([squaredReluPlugin])

const claim = (holds: boolean, what: string): Effect.Effect<void> =>
  holds ? Effect.void : Effect.die(new Error(`this example's claim does not hold: ${what}`))

/** The same model as an engine, with the plug-in and without: `--plugin` on the command line. */
const engines = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  const model_ = join(folder, "gated.onnx")
  yield* files.writeFile(model_, yield* Onnx.exportModel(model()))
  const built = yield* Build.build({ model: model_, output: join(folder, "own.engine"), plugins })
  const plain = yield* Build.build({ model: model_, output: join(folder, "plain.engine") })
  const kernels = built.decided?.lock.decisions.map(({ candidate }) => candidate) ?? []
  yield* Console.log(`\nkernels of the engine: ${kernels.join(", ")}; ${built.decided?.checked ?? 0} checked`)
  yield* claim(
    kernels.includes("@anneal-examples/squared-relu@1.0.0/squared-relu"),
    "the op is computed by the plug-in's kernel"
  )

  // An engine is data: to run it, nobody needs the plug-in.
  const x = IR.Numbers.fromNumbers(
    "f32",
    [3, 8],
    Array.from({ length: 24 }, (_, i) => Math.sin(i))
  )
  const [own, other] = yield* Effect.forEach([built, plain], ({ output }) =>
    Effect.flatMap(Runtime.Session.load(output), (session) => session.run({ x }))
  )
  if (own?.["y"] === undefined || other?.["y"] === undefined)
    return yield* Effect.die(new Error("an engine gives no y"))
  const agreement = Compare.compare(own["y"], other["y"], { atol: 1e-6, rtol: 1e-5 })
  yield* claim(agreement.agree, `both engines compute the same: ${Compare.format(agreement)}`)
  yield* Console.log("with the plug-in and without, the outputs agree")
})

const services = Layer.mergeAll(Host.wasm(plugins), Pipeline.Store.layerMemory, NodeServices.layer)
NodeRuntime.runMain(Effect.andThen(program, engines).pipe(Effect.scoped, Effect.provide(services)))
