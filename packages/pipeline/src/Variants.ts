/**
 * Variants: several graphs of one model, by name (a precision, an architecture), as branches of a pipeline make them. An
 * engine may hold them all.
 */
import type * as IR from "@anneal/ir/Graph"
import * as Schema from "effect/Schema"
import * as Artefact from "./Artefact.ts"
import { Graph } from "./Graph.ts"

export type Graphs = Readonly<Record<string, IR.Graph>>

const Layout = Schema.Record(Schema.String, Schema.Struct({ graph: Schema.Json, blobs: Schema.Array(Schema.Int) }))
const decodeLayout = Schema.decodeUnknownSync(Layout)

/** Each graph's JSON, with its blobs by number in the common list. */
const codec: Artefact.Codec<Graphs> = {
  encode: (graphs) => {
    const numbers = new Map<string, number>()
    const blobs: Array<Artefact.Blob> = []
    const layout = Object.entries(graphs).map(([name, graph]) => {
      const encoded = Graph.codec.encode(graph)
      const own = encoded.blobs.map((blob) => {
        const known = numbers.get(blob.digest)
        if (known === undefined) {
          numbers.set(blob.digest, blobs.length)
          return blobs.push(blob) - 1
        }
        const there = blobs[known]
        if (there !== undefined) blobs[known] = { ...there, sources: new Set([...there.sources, ...blob.sources]) }
        return known
      })
      return [name, { graph: encoded.json, blobs: own }] as const
    })
    return { json: Object.fromEntries(layout), blobs }
  },
  decode: ({ json, blobs }) =>
    Object.fromEntries(
      Object.entries(decodeLayout(json)).map(([name, part]) => {
        const own = part.blobs.flatMap((number) => blobs[number] ?? [])
        return [name, Graph.codec.decode({ json: part.graph, blobs: own })]
      })
    )
}

export class Variants extends Artefact.make<Variants>()("@anneal/pipeline/Variants", codec) {}
