/**
 * Inference on generated WebAssembly: a graph is compiled with the predicted kernels, without relaxed instructions, so
 * that its results are the same on every machine. What is watched is an output of what is compiled, so it is in memory
 * as it is in the graph.
 */
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import type * as IR from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import { Inference, type InferenceService } from "@anneal/pipeline/Inference"
import { Oracle, OracleError } from "@anneal/pipeline/Oracle"
import { Executors } from "@anneal/runtime/Executor"
import * as Session from "@anneal/runtime/Session"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Compile from "@anneal/wasm/Compile"
import * as Executor from "@anneal/wasm/Executor"
import * as Payloads from "@anneal/wasm/Payloads"
import * as Target from "@anneal/wasm/Target"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

/** Compiled graphs that are kept. */
const kept = 4

const failed = (cause: unknown): OracleError =>
  new OracleError({ reason: "Kernel", detail: cause instanceof Error ? cause.message : String(cause) })

/** The graph with more of its values as outputs; those that are outputs already once. */
const watching = (graph: IR.Graph, watched: ReadonlyArray<string>): IR.Graph => ({
  ...graph,
  outputs: [...graph.outputs, ...watched.map((id) => ({ id, name: `watched ${id}` }))],
  // What comes back as an input is the caller's business.
  aliases: []
})

const features = { ...Target.plain, threads: false }

/** An engine of a graph that is never written to a file. */
const engineOf = (graph: IR.Graph) =>
  Effect.gen(function* () {
    const { payload } = yield* Compile.compile(graph, { flavours: [features] })
    const profiles = [{ name: "any", dims: {} }]
    const layout = Engine.assemble({
      about: Manifest.aboutModel(graph.name, Hash.content(graph)),
      source: graph,
      variants: [
        { name: Target.name, target: Target.name, features: Payloads.featureNames(features), graph, profiles, payload }
      ]
    })
    return Engine.parse(Safetensors.toBytes(layout), graph.name)
  })

interface Ready {
  readonly graph: IR.Graph
  readonly key: string
  readonly session: Session.Session
  readonly scope: Scope.Closeable
}

/** One `Inference` that keeps what it compiled last. */
export const layer: Layer.Layer<Inference, never, Oracle> = Layer.effect(
  Inference,
  Effect.gen(function* () {
    const executors = yield* Effect.map(Executor.make(), (one) => [one])
    const inTurn = yield* Semaphore.make(1)
    let ready: ReadonlyArray<Ready> = []
    yield* Effect.addFinalizer(() => Effect.forEach(ready, ({ scope }) => Scope.close(scope, Exit.void)))

    const compile = (graph: IR.Graph, watched: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const key = watched.join("\n")
        const known = ready.find((one) => one.graph === graph && one.key === key)
        if (known !== undefined) return known.session
        const scope = yield* Scope.make()
        const engine = yield* engineOf(watched.length === 0 ? graph : watching(graph, watched))
        const session = yield* Session.open(engine, { verify: "lazily" }).pipe(
          Effect.provideService(Executors, executors),
          Effect.provideService(Scope.Scope, scope)
        )
        const old = ready.slice(0, Math.max(0, ready.length - kept + 1))
        ready = [...ready.slice(old.length), { graph, key, session, scope }]
        yield* Effect.forEach(old, (one) => Scope.close(one.scope, Exit.void))
        return session
      }).pipe(Effect.provide(HeuristicTuner.layer), Effect.mapError(failed), Semaphore.withPermits(inTurn, 1))

    const inputsOf = (graph: IR.Graph, inputs: Parameters<InferenceService["run"]>[1]): Session.Tensors =>
      Object.fromEntries(
        graph.inputs.flatMap(({ name }, place) => {
          const tensor = inputs[place]
          return tensor === undefined ? [] : [[name, tensor] as const]
        })
      )

    const run: InferenceService["run"] = (graph, inputs, options) =>
      Effect.gen(function* () {
        const session = yield* compile(graph, [])
        const results = yield* session.run(
          inputsOf(graph, inputs),
          options?.seed === undefined ? {} : { seed: options.seed }
        )
        return graph.outputs.flatMap(({ name }) => results[name] ?? [])
      }).pipe(Effect.mapError((error) => (error instanceof OracleError ? error : failed(error))))

    const observe: InferenceService["observe"] = (graph, inputs, onValue, options) =>
      Effect.gen(function* () {
        const given = new Set(graph.inputs.map(({ id }) => id))
        const made = graph.nodes.flatMap(({ outputs }) => outputs.map(({ id }) => id))
        const wanted = options?.watch === undefined ? made : made.filter((id) => options.watch?.has(id) === true)
        const watched = [...new Set(wanted)].filter((id) => !given.has(id))
        const session = yield* compile(graph, watched)
        const results = yield* session.run(
          inputsOf(graph, inputs),
          options?.seed === undefined ? {} : { seed: options.seed }
        )
        for (const [place, { id }] of graph.inputs.entries()) {
          const tensor = inputs[place]
          if (tensor !== undefined) onValue(id, tensor)
        }
        for (const id of watched) {
          const tensor = results[`watched ${id}`]
          if (tensor !== undefined) onValue(id, tensor)
        }
        return graph.outputs.flatMap(({ name }) => results[name] ?? [])
      }).pipe(Effect.mapError((error) => (error instanceof OracleError ? error : failed(error))))

    return {
      identity: {
        name: "wasm",
        version: Payloads.generator,
        config: { features: [...Payloads.featureNames(features)] }
      },
      run,
      observe
    }
  })
)
