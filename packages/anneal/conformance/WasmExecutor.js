// Runs the cases of ONNX's backend tests on generated WebAssembly, compiled by the heuristic, for
//
//   npm run conformance -- --executor packages/anneal/conformance/WasmExecutor.ts [--only TEXT] [--failures]
//
// The default export stands in for the oracle. Nodes without a kernel run on the host by the real one; the summary counts
// the graphs that needed that, and the ops.
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Hash from "@anneal/ir/Hash"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import { Oracle, OracleError } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Compile from "@anneal/wasm/Compile"
import * as Executor from "@anneal/wasm/Executor"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
const reference = Reference.make()
const counts = { graphs: 0, onHost: 0 }
const hostOps = new Map()
const engineOf = (graph) =>
  Effect.map(Effect.provide(Compile.compile(graph), HeuristicTuner.layer), ({ payload, programs }) => {
    const steps = programs.flatMap(({ program }) => MemoryPlan.flatten(program.steps))
    const ops = new Set(steps.flatMap((step) => (step.kind === "host" ? [step.node.op.name] : [])))
    counts.graphs++
    if (ops.size > 0) counts.onHost++
    for (const op of ops) hostOps.set(op, (hostOps.get(op) ?? 0) + 1)
    const layout = Engine.assemble({
      about: Manifest.aboutModel(graph.name, Hash.content(graph)),
      source: graph,
      variants: [
        {
          name: "wasm",
          target: "wasm",
          features: ["simd128"],
          graph,
          profiles: [{ name: "any", dims: {} }],
          payload
        }
      ]
    })
    return Engine.parse(Safetensors.toBytes(layout), `${graph.name}.engine`)
  })
const layer = Layer.provide(Executor.layer(), Layer.succeed(Oracle, reference))
const run = (graph, inputs) =>
  Effect.gen(function* () {
    const session = yield* Session.open(yield* engineOf(graph))
    const given = graph.inputs.flatMap(({ name }, place) => {
      const tensor = inputs[place]
      return tensor === undefined ? [] : [[name, tensor]]
    })
    const outputs = yield* session.run(Object.fromEntries(given))
    return graph.outputs.flatMap(({ name }) => outputs[name] ?? [])
  }).pipe(
    Effect.scoped,
    Effect.provide(layer),
    Effect.mapError((error) => new OracleError({ reason: "Kernel", detail: error.message }))
  )
const oracle = { ...reference, run }
export default oracle
export const summary = () => {
  const ops = [...hostOps].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  return [
    `${counts.graphs} graphs compiled, ${counts.onHost} with steps on the host:`,
    ...ops.map(([op, count]) => `  ${op} ${count}`)
  ].join("\n")
}
//# sourceMappingURL=WasmExecutor.js.map
