// A plug-in in a package of its own, checked with the conformance kit, then used in a pipeline.
//
// The kit runs the op's laws (inference, kernel and error bound agree) and the pass's laws (deterministic, sound, right
// within its claim) on given and generated graphs. A law that is broken fails with what broke it.
import { formSquaredRelu, squaredRelu, squaredReluKernel } from "@anneal-examples/squared-relu"
import { OpLaws, PassLaws } from "@anneal/testing"
import { IR, Passes, Pipeline, Reference } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

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

const services = Layer.mergeAll(Reference.Reference.layer({ kernels: [squaredReluKernel] }), Pipeline.Store.layerMemory)
Effect.runPromise(Effect.provide(program, services)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
