// Graphs are immutable values: named inputs and outputs, constants, and nodes in an order in which every value is
// defined before it is used. A value has one id; a node's results carry their types.
//
// Sub-graphs of control flow are isolated: what they use from outside is an operand of the node that holds them.
// An unbacked symbol (a size that only the data decides) is defined by the first node whose results mention it.
import type { Constant } from "./Constant.ts"
import type * as Dim from "./Dim.ts"
import { refuse } from "./Errors.ts"
import type { Attributes, OpDefinition } from "./Op.ts"
import type { TensorType } from "./Type.ts"

/** A typed value; `id` is unique in its graph. */
export interface Value {
  readonly id: string
  readonly type: TensorType
}

/** Where a node came from. */
export interface Lineage {
  /** Paths of the nodes in the user's model, e.g. `/encoder/layer.0/MatMul` or `If_3.then/Conv_1`; sorted. */
  readonly sources: ReadonlyArray<string>
  /** The rewrites that it went through, oldest first, as `pass` or `pass/rule`. */
  readonly rewrites: ReadonlyArray<string>
}

export const noLineage: Lineage = { sources: [], rewrites: [] }

/** The union of lineages, with one more rewrite. */
export const mergeLineage = (lineages: Iterable<Lineage>, rewrite?: string): Lineage => {
  const sources = new Set<string>()
  const rewrites = new Set<string>()
  for (const lineage of lineages) {
    for (const source of lineage.sources) sources.add(source)
    for (const step of lineage.rewrites) rewrites.add(step)
  }
  if (rewrite !== undefined) rewrites.add(rewrite)
  return { sources: [...sources].sort(), rewrites: [...rewrites] }
}

export interface Node<A extends Attributes = Attributes> {
  readonly op: OpDefinition<A>
  /** Value ids; null for an optional operand that was left out. */
  readonly inputs: ReadonlyArray<string | null>
  readonly outputs: ReadonlyArray<Value>
  readonly attributes: A
  readonly graphs: Readonly<Record<string, Graph>>
  readonly lineage: Lineage
}

export interface Input extends Value {
  /** The user's name. */
  readonly name: string
}

export interface Output {
  /** The user's name. */
  readonly name: string
  /** The value that leaves. */
  readonly id: string
}

export interface ConstantEntry {
  readonly constant: Constant
  /** The initializer's name in the user's model, when it is one; refit finds weights by it. */
  readonly name?: string
}

/** Two dims that must be equal when the graph is bound. */
export interface Constraint {
  readonly left: Dim.Dim
  readonly right: Dim.Dim
  readonly what: string
}

/** State: the output takes the place of the input (a KV cache, a hidden state). Both by the user's names. */
export interface Alias {
  readonly input: string
  readonly output: string
}

export interface Graph {
  readonly name: string
  readonly inputs: ReadonlyArray<Input>
  readonly outputs: ReadonlyArray<Output>
  /** By value id, in order of definition. */
  readonly constants: ReadonlyMap<string, ConstantEntry>
  readonly nodes: ReadonlyArray<Node>
  readonly constraints: ReadonlyArray<Constraint>
  readonly aliases: ReadonlyArray<Alias>
}

/** Whether a node is one of this op; narrows the attributes. */
export const isOp = <A extends Attributes>(node: Node | undefined, op: OpDefinition<A>): node is Node<A> =>
  node !== undefined && node.op.name === op.name

/** What the node is called in messages: its first source, or its op and first result. */
export const nodeName = (node: Node): string => {
  const source = node.lineage.sources[0]
  const place = `${node.op.name} %${node.outputs[0]?.id ?? "?"}`
  return source === undefined ? place : `${source} (${place})`
}

export const constantType = (entry: ConstantEntry): TensorType => ({
  dtype: entry.constant.dtype,
  shape: entry.constant.shape
})

// ---- views ----------------------------------------------------------------------------------------------------------

/** Lookups over one graph, each built once. */
export interface Index {
  readonly graph: Graph
  /** Type of any value: input, constant, result. Refuses an unknown id. */
  readonly type: (id: string) => TensorType
  /** The node that makes a value; undefined for inputs and constants. */
  readonly producer: (id: string) => Node | undefined
  /** The nodes that take a value, in order; one entry a node. */
  readonly users: (id: string) => ReadonlyArray<Node>
  readonly isOutput: (id: string) => boolean
}

export const index = (graph: Graph): Index => {
  const types = new Map<string, TensorType>()
  const producers = new Map<string, Node>()
  const users = new Map<string, Array<Node>>()
  const outputs = new Set(graph.outputs.map(({ id }) => id))
  for (const input of graph.inputs) types.set(input.id, input.type)
  for (const [id, entry] of graph.constants) types.set(id, constantType(entry))
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      types.set(output.id, output.type)
      producers.set(output.id, node)
    }
    for (const id of new Set(node.inputs)) {
      if (id === null) continue
      const list = users.get(id)
      if (list === undefined) users.set(id, [node])
      else list.push(node)
    }
  }
  return {
    graph,
    type: (id) => types.get(id) ?? refuse("UnknownValue", `no value %${id} in graph ${graph.name}`),
    producer: (id) => producers.get(id),
    users: (id) => users.get(id) ?? [],
    isOutput: (id) => outputs.has(id)
  }
}

/** Every node, those of sub-graphs too, outermost first. */
export const allNodes = function* (graph: Graph): Generator<Node> {
  for (const node of graph.nodes) {
    yield node
    for (const inner of Object.values(node.graphs)) yield* allNodes(inner)
  }
}

/** Number of nodes, those of sub-graphs too. */
export const nodeCount = (graph: Graph): number => {
  let count = 0
  for (const node of graph.nodes) {
    count++
    for (const inner of Object.values(node.graphs)) count += nodeCount(inner)
  }
  return count
}

/** Every constant, those of sub-graphs too, once a digest. */
export const allConstants = (graph: Graph): ReadonlyMap<string, Constant> => {
  const found = new Map<string, Constant>()
  const visit = (inner: Graph): void => {
    for (const { constant } of inner.constants.values()) found.set(constant.digest, constant)
    for (const node of inner.nodes) for (const child of Object.values(node.graphs)) visit(child)
  }
  visit(graph)
  return found
}
