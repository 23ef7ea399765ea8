// Where a graph is quantised: which nodes compute on integers, which values they read, and which of those share a scale.
//
// Products (conv, matmul, linear) read quantised operands. Ops that only move or compare elements (pooling, reshape,
// concat, …) pass the grid on, so that a target runs them on integers too: their operands share the result's scale. A
// residual add that is fused with what computes an operand (a product, or ops of single elements) reads that as it is, and
// its other operand as products have it; where there is no such operand, both share a scale. Values that no product reads, directly or through such ops, stay float, and so
// does what a model has quantised itself, and what is inside control flow.
import * as DType from "@anneal/ir/DType"
import * as Graph from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Range } from "@anneal/pipeline/Calibrator"
import type { TargetService } from "@anneal/pipeline/Target"

export interface Placement {
  /** Products to quantise, in order. */
  readonly products: ReadonlyArray<Graph.Node>
  /** Value id → the group whose scale it shares (the group's first value). Activations only. */
  readonly groups: ReadonlyMap<string, string>
  /** Nodes that read quantised activations: products, adds and movers. */
  readonly readers: ReadonlySet<Graph.Node>
}

const productNames = new Set([Ops.conv.name, Ops.convTranspose.name, Ops.matmul.name, Ops.linear.name])
const moverNames = new Set(
  [
    Ops.maxPool,
    Ops.averagePool,
    Ops.reshape,
    Ops.transpose,
    Ops.slice,
    Ops.pad,
    Ops.reverse,
    Ops.concat,
    Ops.expand
  ].map((op) => op.name)
)

const activationNames = new Set(
  [Ops.relu, Ops.leakyRelu, Ops.clip, Ops.silu, Ops.gelu, Ops.softplus].map((op) => op.name)
)

/** Whether each element of the result is of one element of each operand. */
const isElementwise = ({ op }: Graph.Node): boolean => op.error.kind === "elementwise" || activationNames.has(op.name)

export const isProduct = (node: Graph.Node): boolean => productNames.has(node.op.name)

/**
 * What a node may be called to be kept: its op, any of its results' ids (`%conv` where an op has the same name), or one of
 * its sources in the user's model.
 */
export const isNamed = (node: Graph.Node, names: ReadonlySet<string>): boolean =>
  names.has(node.op.name) ||
  node.outputs.some(({ id }) => names.has(id) || names.has(`%${id}`)) ||
  node.lineage.sources.some((source) => names.has(source))

/** Results' ids as names that mean nothing else: the result `conv` is not every convolution. */
export const namesOf = (ids: Iterable<string>): ReadonlyArray<string> => Array.from(ids, (id) => `%${id}`)

/** Where to quantise, leaving out the products named in `keep`. */
export const place = (graph: Graph.Graph, keep: ReadonlySet<string> = new Set()): Placement => {
  const index = Graph.index(graph)
  const isFloat = (id: string | null): id is string => id !== null && DType.isFloat(index.type(id).dtype)
  const isActivation = (id: string | null): id is string =>
    isFloat(id) && !graph.constants.has(id) && !Graph.isOp(index.producer(id), Ops.dequantize)
  const products = graph.nodes.filter(
    (node) => isProduct(node) && !isNamed(node, keep) && isFloat(node.outputs[0]?.id ?? null)
  )
  const wanted = new Set<string>()
  for (const node of products) for (const id of node.inputs.slice(0, 2)) if (isActivation(id)) wanted.add(id)
  const groups = new UnionFind()
  const readers = new Set<Graph.Node>(products)
  // Backwards, so that a chain of movers is followed to its start.
  for (const node of graph.nodes.toReversed()) {
    const result = node.outputs[0]?.id
    if (result === undefined) continue
    const operands =
      node.op.name === Ops.add.name || moverNames.has(node.op.name) ? node.inputs.filter(isActivation) : []
    if (moverNames.has(node.op.name) && wanted.has(result) && operands.length === node.inputs.length) {
      readers.add(node)
      for (const id of operands) {
        wanted.add(id)
        groups.union(result, id)
      }
    }
    if (node.op.name === Ops.add.name && operands.length === 2 && feedsQuantized(index, node, wanted)) {
      const [a = "", b = ""] = operands
      const fused = fusedOperand(graph, index, a, b)
      readers.add(node)
      if (fused === undefined) {
        wanted.add(a)
        wanted.add(b)
        groups.union(a, b)
      }
    }
  }
  const order = [
    ...graph.inputs.map(({ id }) => id),
    ...graph.nodes.flatMap((node) => node.outputs.map(({ id }) => id))
  ]
  const first = new Map<string, string>()
  const placed = new Map<string, string>()
  for (const id of order) {
    if (!wanted.has(id)) continue
    const root = groups.find(id)
    if (!first.has(root)) first.set(root, id)
    placed.set(id, first.get(root) ?? id)
  }
  return { products, groups: placed, readers }
}

/**
 * The operand of an add that is computed where it is added: by a product, in its epilogue, or element by element, for nobody
 * else; of two the later one. It is never rounded to 8 bits.
 */
const fusedOperand = (graph: Graph.Graph, index: Graph.Index, a: string, b: string): string | undefined => {
  if (a === b) return undefined
  const isOutput = (id: string): boolean => graph.outputs.some((output) => output.id === id)
  const placeOf = (id: string): number => {
    const producer = index.producer(id)
    const isPrivate = index.users(id).length === 1 && !isOutput(id)
    return producer !== undefined && isPrivate && (isProduct(producer) || isElementwise(producer))
      ? graph.nodes.indexOf(producer)
      : -1
  }
  const [placeA, placeB] = [placeOf(a), placeOf(b)]
  if (placeA < 0 && placeB < 0) return undefined
  return placeA > placeB ? a : b
}

/** Whether an add's result is quantised itself, or after an activation that a target fuses with it. */
const feedsQuantized = (index: Graph.Index, node: Graph.Node, wanted: ReadonlySet<string>): boolean => {
  const result = node.outputs[0]?.id ?? ""
  if (wanted.has(result)) return true
  return index.users(result).some((user) => {
    const fused = user.op.name === Ops.relu.name || user.op.name === Ops.clip.name
    return fused && wanted.has(user.outputs[0]?.id ?? "")
  })
}

class UnionFind {
  readonly parents = new Map<string, string>()
  find(id: string): string {
    let root = id
    for (let next = this.parents.get(root); next !== undefined; next = this.parents.get(root)) {
      // Halve the path, so that long chains stay cheap.
      const beyond = this.parents.get(next)
      if (beyond !== undefined) this.parents.set(root, beyond)
      root = next
    }
    return root
  }
  union(a: string, b: string): void {
    const [left, right] = [this.find(a), this.find(b)]
    if (left !== right) this.parents.set(right, left)
  }
}

/** Results of products that read a value without a range: they stay float. */
export const unmeasured = (
  graph: Graph.Graph,
  ranges: Readonly<Record<string, Range>>,
  keep: ReadonlySet<string>
): ReadonlySet<string> => {
  const { groups, products } = place(graph, keep)
  const open = new Set([...groups.keys()].filter((id) => ranges[id] === undefined))
  return new Set(
    products
      .filter((node) => node.inputs.some((id) => id !== null && open.has(id)))
      .flatMap((node) => node.outputs.slice(0, 1).map(({ id }) => id))
  )
}

/**
 * Products that the target runs faster on floats, by the id of the result, with its reason. None when that would leave
 * nothing to quantise: integers were asked for, and weights are smaller for it.
 */
export const preferringFloat = (
  graph: Graph.Graph,
  target: TargetService,
  keep: ReadonlySet<string>
): ReadonlyMap<string, string> => {
  const { prefersFloat } = target
  if (prefersFloat === undefined) return new Map()
  const index = Graph.index(graph)
  const { products } = place(graph, keep)
  const found = products.flatMap((node): ReadonlyArray<readonly [string, string]> => {
    const operands = node.inputs.map((id) => (id === null ? undefined : index.type(id)))
    const reason = prefersFloat(node, operands)
    const result = node.outputs[0]?.id
    return reason === undefined || result === undefined ? [] : [[result, reason]]
  })
  return new Map(found.length === products.length ? [] : found)
}
