/**
 * SizeLimits: what a graph asks of its symbolic sizes, so that programs are made for sizes at which it can run.
 *
 *   constraints              rows = 2*batch
 *   extents of all values    floor((samples - 512) / 160) + 1 ≥ 1
 *   positions in a table     past + tokens - 1 ≤ 1023
 *
 * What branches ask counts too, though it need not hold where a branch is not taken: sizes are sought that break least.
 */
import * as Constants from "@anneal/ir/Constant"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"

type Bindings = ReadonlyMap<string, number>

export interface Limit {
  /** The symbols that it is about. */
  readonly symbols: ReadonlySet<string>
  /** Whether it does not hold; false while a symbol has no value. */
  readonly broken: (values: Bindings) => boolean
}

const limit = (dims: ReadonlyArray<Dim.Dim>, broken: (...values: ReadonlyArray<number>) => boolean): Limit => ({
  symbols: new Set(dims.flatMap((dim) => Dim.symbols(dim))),
  broken: (values) => {
    const known = dims.flatMap((dim) => Dim.evaluate(dim, values) ?? [])
    return known.length === dims.length && broken(...known)
  }
})

/** The graph, and the graphs of its branches and loops. */
const scopes = (graph: Graph): ReadonlyArray<Graph> => [
  graph,
  ...graph.nodes.flatMap(({ graphs }) => Object.values(graphs).flatMap(scopes))
]

/** An index's greatest value, where it counts along an axis: `iota`, `iota + past`. What is given may be 0. */
const greatest = (graph: Graph, id: string): Dim.Dim | undefined => {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output.id, node] as const)))
  const inputs = new Set(graph.inputs.map((input) => input.id))
  const of = (value: string): Dim.Dim | undefined => {
    if (inputs.has(value)) return 0
    const constant = graph.constants.get(value)?.constant
    if (constant !== undefined) {
      if (!DTypes.isInteger(constant.dtype) || Tensors.size(constant.shape) > 4096) return undefined
      const most = Numbers.toNumbers(Constants.load(constant)).reduce((a, b) => Math.max(a, b), -Infinity)
      return Number.isSafeInteger(most) ? most : undefined
    }
    const node = makers.get(value)
    return node === undefined ? undefined : ofNode(node, of)
  }
  return of(id)
}

const passing: ReadonlySet<string> = new Set(
  [Ops.reshape, Ops.expand, Ops.transpose, Ops.slice, Ops.cast].map(({ name }) => name)
)

const ofNode = (node: Node, of: (id: string) => Dim.Dim | undefined): Dim.Dim | undefined => {
  if (Graphs.isOp(node, Ops.iota)) return Dim.add(node.attributes.size, -1)
  if (Graphs.isOp(node, Ops.sizes)) {
    const [size, ...more] = node.attributes.values
    return more.length === 0 ? size : undefined
  }
  const operand = (position: number): Dim.Dim | undefined => of(node.inputs[position] ?? "")
  if (passing.has(node.op.name)) return operand(0)
  // Whether an index is negative is asked only to count it from the end.
  if (Graphs.isOp(node, Ops.select)) return operand(2)
  if (!Graphs.isOp(node, Ops.add) && !Graphs.isOp(node, Ops.mul)) return undefined
  const [a, b] = [operand(0), operand(1)]
  if (a === undefined || b === undefined) return undefined
  return Graphs.isOp(node, Ops.add) ? Dim.add(a, b) : Dim.mul(a, b)
}

/** The parts of indices `[…, parts]`: one an axis of what they index. */
const partsOf = (graph: Graph, indices: string, rank: number): ReadonlyArray<string> => {
  if (rank === 1) return [indices]
  const maker = graph.nodes.find(({ outputs }) => outputs[0]?.id === indices)
  const parts = Graphs.isOp(maker, Ops.concat) ? maker.inputs.flatMap((id) => id ?? []) : []
  return parts.length === rank ? parts : []
}

const positions = (graph: Graph): ReadonlyArray<Limit> => {
  const index = Graphs.index(graph)
  const below = (extent: Dim.Dim | undefined, places: string): ReadonlyArray<Limit> => {
    const most = greatest(graph, places)
    if (extent === undefined || most === undefined || (Dim.isStatic(most) && Dim.isStatic(extent))) return []
    return [limit([most, extent], (place, count) => place >= count)]
  }
  return graph.nodes.flatMap((node) => {
    const [table = "", places = ""] = node.inputs.map((one) => one ?? undefined)
    if (Graphs.isOp(node, Ops.gather) || Graphs.isOp(node, Ops.gatherElements))
      return below(index.type(table).shape.at(node.attributes.axis), places)
    if (!Graphs.isOp(node, Ops.gatherNd)) return []
    const { shape } = index.type(table)
    const count = index.type(places).shape.at(-1)
    const parts = count !== undefined && Dim.isStatic(count) ? partsOf(graph, places, count) : []
    return parts.flatMap((part, axis) => below(shape[node.attributes.batchDims + axis], part))
  })
}

/** Every symbolic extent of a value that is computed, once. */
const extents = (graph: Graph): ReadonlyArray<Dim.Dim> => {
  const dims = graph.nodes.flatMap(({ outputs }) => outputs.flatMap(({ type }) => type.shape))
  const symbolic = dims.filter((dim) => !Dim.isStatic(dim))
  return [...new Map(symbolic.map((dim) => [Dim.format(dim), dim])).values()]
}

/** Of a graph and of its branches. */
export const of = (graph: Graph): ReadonlyArray<Limit> => {
  const all = scopes(graph)
  return [
    ...all.flatMap(({ constraints }) => constraints.map(({ left, right }) => limit([left, right], (a, b) => a !== b))),
    ...all.flatMap((scope) => extents(scope).map((dim) => limit([dim], (extent) => extent < 1))),
    ...all.flatMap(positions)
  ]
}
