// Unbacked sizes that a rewrite has found out: `u3 := 4` all over a graph, its sub-graphs too.
import * as Dim from "@anneal/ir/Dim"
import type { Constraint, Graph, Node } from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"

/** What symbols stand for. */
export type Sizes = ReadonlyMap<string, Dim.Dim>

/** The name of a dim that is one unbacked symbol and nothing else. */
export const unbackedName = (dim: Dim.Dim): string | undefined => {
  if (!Dim.isSymbolic(dim)) return undefined
  const name = Dim.format(dim)
  return Dim.isUnbackedName(name) ? name : undefined
}

/** Follows symbols through symbols: afterwards no value mentions a key. */
export const resolve = (sizes: Sizes): Sizes => {
  let current = new Map(sizes)
  for (let round = 0; round < sizes.size; round++) {
    let changed = false
    const next = new Map<string, Dim.Dim>()
    for (const [name, dim] of current) {
      const value = Dim.substitute(dim, current)
      if (value !== dim && Dim.format(value) !== Dim.format(dim)) changed = true
      next.set(name, value)
    }
    current = next
    if (!changed) break
  }
  return current
}

/** The graph with symbols replaced everywhere; constraints that hold by themselves go. Untouched nodes stay the same objects. */
export const substitute = (graph: Graph, sizes: Sizes): Graph => {
  if (sizes.size === 0) return graph
  const dim = (given: Dim.Dim): Dim.Dim => Dim.substitute(given, sizes)
  const mentions = (type: TensorType): boolean => type.shape.some((size) => mentionsAny(size, sizes))
  const type = (given: TensorType): TensorType => (mentions(given) ? Type.substitute(given, sizes) : given)
  const node = (given: Node): Node => {
    const inner = Object.entries(given.graphs)
    const isTouched =
      inner.length > 0 ||
      given.outputs.some((output) => mentions(output.type)) ||
      Op.attributeSymbols(given.attributes).some((name) => sizes.has(name))
    if (!isTouched) return given
    return {
      ...given,
      attributes: Op.mapDims(given.attributes, dim),
      outputs: given.outputs.map((output) => ({ id: output.id, type: type(output.type) })),
      graphs: Object.fromEntries(inner.map(([name, sub]) => [name, substitute(sub, sizes)]))
    }
  }
  const constraints = graph.constraints.flatMap((constraint): ReadonlyArray<Constraint> => {
    if (!mentionsAny(constraint.left, sizes) && !mentionsAny(constraint.right, sizes)) return [constraint]
    const next = { ...constraint, left: dim(constraint.left), right: dim(constraint.right) }
    return Dim.equal(next.left, next.right) === true ? [] : [next]
  })
  return {
    ...graph,
    inputs: graph.inputs.map((input) => ({ ...input, type: type(input.type) })),
    nodes: graph.nodes.map(node),
    constraints
  }
}

const mentionsAny = (dim: Dim.Dim, sizes: Sizes): boolean =>
  Dim.isSymbolic(dim) && Dim.symbols(dim).some((name) => sizes.has(name))
