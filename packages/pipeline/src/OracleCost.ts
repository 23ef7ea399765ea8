/**
 * What a run of a graph costs the oracle, in element operations: multiply-adds of contractions, elements read and
 * written by everything else. Good to a factor of two, which is what a budget needs.
 */
import * as Dim from "@anneal/ir/Dim"
import * as IR from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"

/** `sizes` binds symbols; one that is missing counts as 1. */
export const elementOperations = (graph: IR.Graph, sizes: ReadonlyMap<string, number> = new Map()): number => {
  const index = IR.index(graph)
  let total = 0
  for (const node of graph.nodes) {
    const inputs = node.inputs.flatMap((id) => (id === null ? [] : [elements(index.type(id), sizes)]))
    const outputs = node.outputs.map(({ type }) => elements(type, sizes))
    const moved = [...inputs, ...outputs].reduce((sum, count) => sum + count, 0)
    total += moved
    if (node.op.error.kind === "contraction") {
      // Each result takes as many multiply-adds as there are weights for one of its columns.
      const weight = node.inputs[1]
      const columns = weight === null || weight === undefined ? 1 : columnsOf(index.type(weight), node, sizes)
      total += (outputs[0] ?? 0) * ((inputs[1] ?? 1) / columns)
    }
    for (const inner of Object.values(node.graphs)) total += elementOperations(inner, sizes)
  }
  return total
}

const size = (dim: Dim.Dim | undefined, sizes: ReadonlyMap<string, number>) => {
  if (dim === undefined) return 1
  const known = new Map(Dim.symbols(dim).map((name) => [name, sizes.get(name) ?? 1]))
  return Math.max(0, Dim.evaluate(dim, known) ?? 1)
}

const elements = (type: TensorType, sizes: ReadonlyMap<string, number>) =>
  type.shape.reduce<number>((count, dim) => count * size(dim, sizes), 1)

/** Convolution weights are [out, in, …], matrices […, depth, columns] with the batch before them. */
const columnsOf = (weight: TensorType, node: IR.Node, sizes: ReadonlyMap<string, number>) => {
  if (node.op.name.startsWith("conv")) return Math.max(1, size(weight.shape[0], sizes))
  const batch = weight.shape.slice(0, -2).reduce<number>((count, dim) => count * size(dim, sizes), 1)
  return Math.max(1, batch * size(weight.shape.at(-1), sizes))
}
