/**
 * What became of each weight of the user's model: kept as it was, so that it can be replaced later, or consumed by a
 * rewrite.
 *
 * A weight is kept when the engine has it under its name with the same bytes, everything that used it still uses it, and
 * nothing else does. Anything less (folded into a convolution, merged with an equal one, copied into a derived constant)
 * would make a replacement silently incomplete, so it counts as consumed. Only lineage is asked.
 */
import * as Graphs from "@anneal/ir/Graph"
import type { ConstantEntry, Graph, Node } from "@anneal/ir/Graph"
import type { Weight } from "./Manifest.ts"

/** One weight of a graph and the nodes that take it. */
interface Use {
  readonly entry: ConstantEntry
  readonly users: ReadonlyArray<Node>
}

/** How a node is recognised across rewrites: the user's paths, or its result's id in a graph made in code. */
const keysOf = (node: Node): ReadonlyArray<string> =>
  node.lineage.sources.length > 0 ? node.lineage.sources : [`%${node.outputs[0]?.id ?? ""}`]

/** Every graph, sub-graphs too. */
const allGraphs = function* (graph: Graph): Generator<Graph> {
  yield graph
  for (const node of graph.nodes) for (const inner of Object.values(node.graphs)) yield* allGraphs(inner)
}

/** Every named constant with its users, by name; a name may be there more than once (in sub-graphs). */
const usesOf = (graph: Graph): ReadonlyMap<string, ReadonlyArray<Use>> => {
  const found = new Map<string, Array<Use>>()
  for (const inner of allGraphs(graph)) {
    const { users } = Graphs.index(inner)
    for (const [id, entry] of inner.constants) {
      if (entry.name === undefined) continue
      const list = found.get(entry.name) ?? []
      found.set(entry.name, list)
      list.push({ entry, users: users(id) })
    }
  }
  return found
}

const sameWeight = (a: ConstantEntry, b: ConstantEntry): boolean =>
  a.constant.digest === b.constant.digest &&
  a.constant.dtype === b.constant.dtype &&
  a.constant.shape.join() === b.constant.shape.join()

/** The state of every weight of `source` in each of the engine's graphs. In the order of the user's model. */
export const trace = (source: Graph, graphs: ReadonlyArray<Graph>): ReadonlyArray<Weight> => {
  const before = usesOf(source)
  const known = new Set(Graphs.allConstants(source).keys())
  const after = graphs.map((graph) => ({ uses: usesOf(graph), nodes: nodesWithConstants(graph) }))
  return [...before].flatMap(([name, sources]): ReadonlyArray<Weight> => {
    const first = sources[0]
    if (first === undefined) return []
    const { constant } = first.entry
    const sourceNodes = sources.flatMap(({ users }) => users)
    const keys = new Set(sourceNodes.flatMap(keysOf))
    const kept =
      sources.every(({ entry }) => sameWeight(entry, first.entry)) &&
      after.every(({ nodes, uses }) => {
        const now = uses.get(name) ?? []
        const takers = now.flatMap(({ users }) => users)
        const taken = new Set(takers.flatMap(keysOf))
        return (
          now.length > 0 &&
          now.every(({ entry }) => sameWeight(entry, first.entry)) &&
          sourceNodes.every((node) => keysOf(node).some((key) => taken.has(key))) &&
          takers.every((node) => keysOf(node).some((key) => keys.has(key))) &&
          nodes.every(
            ([node, digests]) => !overlaps(keysOf(node), keys) || digests.every((digest) => known.has(digest))
          )
        )
      })
    const rewrites = new Set<string>()
    if (!kept)
      for (const graph of graphs)
        for (const node of Graphs.allNodes(graph))
          if (overlaps(keysOf(node), keys)) for (const step of node.lineage.rewrites) rewrites.add(step)
    return [
      {
        name,
        dtype: constant.dtype,
        shape: constant.shape,
        digest: constant.digest,
        state: kept ? "kept" : "consumed",
        consumedBy: [...rewrites].sort()
      }
    ]
  })
}

const overlaps = (keys: ReadonlyArray<string>, among: ReadonlySet<string>): boolean =>
  keys.some((key) => among.has(key))

/** Every node with the digests of its constant operands. */
const nodesWithConstants = (graph: Graph): ReadonlyArray<readonly [Node, ReadonlyArray<string>]> =>
  [...allGraphs(graph)].flatMap((inner) =>
    inner.nodes.map(
      (node) =>
        [
          node,
          node.inputs.flatMap((id) => {
            const entry = id === null ? undefined : inner.constants.get(id)
            return entry === undefined ? [] : [entry.constant.digest]
          })
        ] as const
    )
  )
