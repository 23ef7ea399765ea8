// A graph to an engine for wasm, in memory.
import type * as Compile from "@anneal/wasm/Compile"
import * as Compiles from "@anneal/wasm/Compile"
import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Effect from "effect/Effect"
import * as Heuristic from "./Heuristic.ts"

export const engineOf = (graph: Graph, options: Compile.Options = {}) =>
  Effect.map(Effect.provide(Compiles.compile(graph, options), Heuristic.layer), ({ payload }) => {
    const profiles = options.profiles ?? [{ name: "any", dims: {} }]
    const layout = Engine.assemble({
      about: Manifest.aboutModel(graph.name, Hash.content(graph)),
      source: graph,
      variants: [{ name: "wasm", target: "wasm", features: ["simd128"], graph, profiles, payload }]
    })
    return Engine.parse(Safetensors.toBytes(layout), `${graph.name}.engine`)
  })
