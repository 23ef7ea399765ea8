/**
 * The graph as an artefact: its text form, with constants by number, and their bytes apart.
 *
 * The structure (the text) says which constants are equal to each other and nothing else about their bytes, so that a
 * pass that reads no weight keeps its cache entry when a weight changes.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as IR from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Artefact from "./Artefact.ts"

/** The graph with every constant, those of sub-graphs too, put through `map`. Nodes without sub-graphs stay the same objects. */
export const mapConstants = (graph: IR.Graph, map: (constant: Constant) => Constant): IR.Graph => ({
  ...graph,
  constants: new Map([...graph.constants].map(([id, entry]) => [id, { ...entry, constant: map(entry.constant) }])),
  nodes: graph.nodes.map((node) => {
    const inner = Object.entries(node.graphs)
    if (inner.length === 0) return node
    return { ...node, graphs: Object.fromEntries(inner.map(([name, sub]) => [name, mapConstants(sub, map)])) }
  })
})

/** Stands for a digest in the text: the constant's number, 64 characters. */
const placeOf = (number: number) => number.toString(16).padStart(64, "0")

const encode = (graph: IR.Graph): Artefact.Encoded => {
  const numbers = new Map<string, number>()
  const blobs: Array<Artefact.Blob> = []
  const sources: Array<Set<object>> = []
  const numbered = mapConstants(graph, (constant) => {
    let number = numbers.get(constant.digest)
    if (number === undefined) {
      number = blobs.length
      numbers.set(constant.digest, number)
      const own = new Set<object>()
      sources.push(own)
      blobs.push({ digest: constant.digest, sources: own, bytes: constant.bytes })
    }
    sources[number]?.add(constant.bytes)
    return { ...constant, digest: placeOf(number) }
  })
  return { json: Text.print(numbered, { digests: true }), blobs }
}

const decode = (
  { json, blobs }: Artefact.Encoded,
  ops: ReadonlyMap<string, OpDefinition>,
  like: IR.Graph | undefined
): IR.Graph => {
  if (typeof json !== "string") throw new TypeError("a graph is kept as text")
  return Text.parse(json, {
    ops,
    like,
    constant: (place, dtype, shape) => {
      const blob = blobs[Number.parseInt(place, 16)]
      return blob === undefined ? undefined : Constants.lazy(blob.digest, dtype, shape, blob.bytes)
    }
  })
}

/**
 * The codec of graphs. A plug-in's ops need no registration: a pass's result is read back after its input was written,
 * and the ops of that are known then. A result with an op that nobody has shown yet is a miss.
 */
const codec = (): Artefact.Codec<IR.Graph> => {
  const known = new Map(Ops.table())
  const encodings = new WeakMap<IR.Graph, Artefact.Encoded>()
  return {
    encode: (graph) => {
      const before = encodings.get(graph)
      if (before !== undefined) return before
      const encoded = encode(graph)
      for (const { op } of IR.allNodes(graph)) known.set(op.name, op)
      encodings.set(graph, encoded)
      return encoded
    },
    decode: (encoded, like) => {
      const graph = decode(encoded, known, like)
      encodings.set(graph, encoded)
      return graph
    }
  }
}

/** The model, from import to lowering. */
export class Graph extends Artefact.make<Graph>()("@anneal/pipeline/Graph", codec()) {}
