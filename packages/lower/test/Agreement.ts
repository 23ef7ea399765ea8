// Runs programs by the interpreter and the oracle on the same inputs, and says where they differ by more than the bounds.
import * as Bind from "@anneal/ir/Bind"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Check from "@anneal/lower/Check"
import * as Decisions from "@anneal/lower/Decisions"
import * as Interpret from "@anneal/lower/Interpret"
import * as Plan from "@anneal/lower/Plan"
import type { Program } from "@anneal/lower/Program"
import * as Rules from "@anneal/lower/Rules"
import * as Space from "@anneal/lower/Space"
import * as Reference from "@anneal/reference/Reference"
import * as Agreement from "@anneal/testing/Agreement"
import * as Effect from "effect/Effect"

const oracle = Reference.make({ accumulator: "contract" })

/** A graph of one node on the shapes at hand. */
const alone = (
  node: Node,
  operands: ReadonlyArray<Tensor | undefined>,
  bindings: ReadonlyMap<string, number>
): { readonly graph: Graph; readonly inputs: ReadonlyArray<Tensor> } => {
  const b = Builder.make("node", { names: Builder.makeNames([], { next: 1_000_000 }) })
  const inputs: Array<Tensor> = []
  const values = operands.map((tensor, position) => {
    if (tensor === undefined) return undefined
    inputs.push(tensor)
    return b.input(`x${position}`, Type.make(tensor.dtype, tensor.shape))
  })
  const attributes =
    node.op.name === "readDims" ? node.attributes : Bind.attributes(node.attributes, bindings, node.op.name)
  for (const [position, value] of b.node(node.op, values, attributes, { graphs: bound(node, bindings) }).entries())
    b.output(`y${position}`, value)
  return { graph: b.finish(), inputs }
}

const bound = (node: Node, bindings: ReadonlyMap<string, number>): Readonly<Record<string, Graph>> =>
  Object.fromEntries(Object.entries(node.graphs).map(([name, graph]) => [name, substitute(graph, bindings)]))

const substitute = (graph: Graph, bindings: ReadonlyMap<string, number>): Graph => ({
  ...graph,
  inputs: graph.inputs.map((input) => ({ ...input, type: Type.substitute(input.type, bindings) })),
  nodes: graph.nodes.map((node) => ({
    ...node,
    attributes: Op.mapDims(node.attributes, (dim) => Dim.substitute(dim, bindings)),
    outputs: node.outputs.map(({ id, type }) => ({ id, type: Type.substitute(type, bindings) })),
    graphs: bound(node, bindings)
  }))
})

/** A node by the oracle. */
export const runNode: Interpret.RunNode = (node, operands, bindings) => {
  const { graph, inputs } = alone(node, operands, bindings)
  return Effect.runSync(oracle.run(graph, inputs))
}

export interface Options {
  readonly rules?: Rules.Rules
  readonly decisions?: Decisions.Decisions
  readonly fixed?: ReadonlyMap<string, number>
}

export const planned = (graph: Graph, options: Options = {}): Program =>
  Plan.plan(
    Space.make(graph, options.rules ?? Rules.everything),
    options.decisions ?? Decisions.none,
    options.fixed === undefined ? {} : { fixed: options.fixed }
  )

/** Where the program of a graph differs from the oracle on these inputs; undefined: nowhere. */
export const difference = (graph: Graph, inputs: ReadonlyArray<Tensor>, options: Options = {}): string | undefined => {
  const expected = Effect.runSync(oracle.runWithBounds(graph, inputs))
  const program = planned(graph, options)
  const bindings = Bind.bind(
    program.graph,
    inputs.map(({ shape }) => shape)
  )
  const unsound = Check.check(program, bindings)
  if (unsound.length > 0) return `unsound: ${unsound.join("; ")}`
  const outputs = Interpret.run(program, inputs, runNode)
  return Agreement.firstDifference(expected, {
    outputs,
    bounds: outputs.map(({ data }) => new Float64Array(data.length))
  })
}
