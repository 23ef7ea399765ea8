/**
 * Flatten: the graph as a list of primitive nodes, with the symbols that are fixed put in: composites are replaced by
 * their expansions (those that a region of their own computes stay), nodes that nothing needs are left out.
 */
import * as Builder from "@anneal/ir/Builder"
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Input, Node, Output, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"

export interface Flat {
  readonly inputs: ReadonlyArray<Input>
  readonly outputs: ReadonlyArray<Output>
  /** In an order in which every value is made before it is used. */
  readonly nodes: ReadonlyArray<Node>
  /** The node of the graph that a primitive one comes from. */
  readonly origin: ReadonlyMap<Node, Node>
  readonly types: ReadonlyMap<string, TensorType>
  readonly constants: ReadonlyMap<string, Constant>
}

/** The graph with symbols replaced by numbers, its sub-graphs too. */
export const substitute = (graph: Graph, fixed: ReadonlyMap<string, number>): Graph => {
  if (fixed.size === 0) return graph
  const dim = (given: Dim.Dim): Dim.Dim => Dim.substitute(given, fixed)
  return {
    ...graph,
    inputs: graph.inputs.map((input) => ({ ...input, type: Type.substitute(input.type, fixed) })),
    nodes: graph.nodes.map((node) => ({
      ...node,
      attributes: Op.mapDims(node.attributes, dim),
      outputs: node.outputs.map(({ id, type }) => ({ id, type: Type.substitute(type, fixed) })),
      graphs: Object.fromEntries(Object.entries(node.graphs).map(([name, inner]) => [name, substitute(inner, fixed)]))
    })),
    constraints: graph.constraints.map(({ left, right, what }) => ({ left: dim(left), right: dim(right), what }))
  }
}

/** `keep` says which composites stay whole. */
export const flatten = (
  graph: Graph,
  keep: (node: Node, types: ReadonlyArray<TensorType | undefined>) => boolean
): Flat => {
  const types = new Map<string, TensorType>()
  const constants = new Map<string, Constant>()
  const origin = new Map<Node, Node>()
  const nodes: Array<Node> = []
  for (const { id, type } of graph.inputs) types.set(id, type)
  for (const [id, { constant }] of graph.constants) {
    constants.set(id, constant)
    types.set(id, { dtype: constant.dtype, shape: constant.shape })
  }
  const taken = new Set<string>(types.keys())
  for (const node of graph.nodes) for (const { id } of node.outputs) taken.add(id)
  const names = Builder.makeNames(taken)
  const add = (node: Node, from: Node): void => {
    const operands = node.inputs.map((id) => (id === null ? undefined : types.get(id)))
    for (const { id, type } of node.outputs) types.set(id, type)
    if (node.op.expand === undefined || keep(node, operands)) {
      nodes.push(node)
      origin.set(node, from)
      return
    }
    for (const inner of expanded(node, operands)) add(inner, from)
  }
  const expanded = (node: Node, operands: ReadonlyArray<TensorType | undefined>): ReadonlyArray<Node> => {
    const made: Array<Node> = []
    const base = node.outputs[0]?.id ?? node.op.name
    const builder = Builder.over(
      {
        node: (inner) => void made.push(inner),
        constant: (id, { constant }) => {
          constants.set(id, constant)
          types.set(id, { dtype: constant.dtype, shape: constant.shape })
        },
        // What an expansion requires, the composite's own types required already.
        constraint: () => undefined
      },
      { value: (wanted) => names.value(`${base}.${wanted}`), unbacked: names.unbacked },
      node.lineage
    )
    const inputs = node.inputs.map((id, position): Value | undefined => {
      const type = operands[position]
      return id === null || type === undefined ? undefined : { id, type }
    })
    const results = node.op.expand?.(builder, inputs, node.attributes) ?? []
    const renamed = new Map(results.map((value, position) => [value.id, node.outputs[position]?.id ?? value.id]))
    return made.map(({ attributes, graphs, inputs: operandIds, lineage, op, outputs }) => ({
      op,
      attributes,
      graphs,
      lineage,
      inputs: operandIds.map((id) => (id === null ? null : (renamed.get(id) ?? id))),
      outputs: outputs.map(({ id, type }) => ({ id: renamed.get(id) ?? id, type }))
    }))
  }
  for (const node of graph.nodes) add(node, node)
  return { inputs: graph.inputs, outputs: graph.outputs, nodes: live(nodes, graph.outputs), origin, types, constants }
}

/** The nodes that a result depends on, and those that give sizes their values. */
export const live = (nodes: ReadonlyArray<Node>, outputs: ReadonlyArray<Output>): ReadonlyArray<Node> => {
  const wanted = new Set(outputs.map(({ id }) => id))
  const kept: Array<Node> = []
  for (const node of [...nodes].reverse()) {
    const isNeeded = node.outputs.some(({ id }) => wanted.has(id)) || bindsSizes(node)
    if (!isNeeded) continue
    kept.unshift(node)
    for (const id of node.inputs) if (id !== null) wanted.add(id)
  }
  return kept
}

/** Whether a dim is known only when data is. */
export const isUnbacked = (dim: Dim.Dim): boolean => Dim.symbols(dim).some(Dim.isUnbackedName)

export const hasUnbacked = (type: TensorType): boolean => type.shape.some(isUnbacked)

const bindsSizes = (node: Node): boolean =>
  node.op.binds === true &&
  (node.outputs.some(({ type }) => hasUnbacked(type)) || Op.attributeSymbols(node.attributes).some(Dim.isUnbackedName))

/** The value of a constant of one element, narrow floats by value; undefined for others. */
export const scalarValue = (constant: Constant | undefined): number | bigint | undefined => {
  if (constant === undefined || constant.shape.some((extent) => extent !== 1)) return undefined
  const tensor = Constants.load(constant)
  const [first] = tensor.data
  return typeof first === "bigint" ? first : Numbers.toNumbers(tensor)[0]
}
