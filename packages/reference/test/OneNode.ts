// Graphs of one node, run at once: what the tests of kernels and bounds share.
import * as Builder from "@anneal/ir/Builder"
import type { DType } from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Bounds from "@anneal/reference/Bounds"
import type { Cell, Work } from "@anneal/reference/Kernel"
import * as Kernel from "@anneal/reference/Kernel"
import * as Kernels from "@anneal/reference/Kernels"
import * as Run from "@anneal/reference/Run"

export const tensor = (dtype: DType, shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor =>
  Numbers.fromNumbers(dtype, shape, values)

export const f32 = (shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor => tensor("f32", shape, values)

export const values = (result: Tensor | undefined): ReadonlyArray<number> =>
  result === undefined ? [] : [...Numbers.toNumbers(result)]

/** The graph of one node over inputs of the given types. */
export const graphOf = <A extends Attributes>(
  op: OpDefinition<A>,
  inputs: ReadonlyArray<Tensor | undefined>,
  attributes: A,
  graphs: Readonly<Record<string, Graph>> = {}
): Graph => {
  const builder = Builder.make("one")
  const operands = inputs.map((input, i) => (input === undefined ? undefined : builder.input(`x${i}`, input)))
  const results = builder.node(op, operands, attributes, { graphs })
  for (const [i, result] of results.entries()) builder.output(`y${i}`, result)
  return builder.finish()
}

export const finish = <A>(work: Work<A>): A => {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

const machine = Run.machine(Kernel.table(Kernels.all))

export const runCells = (
  graph: Graph,
  cells: ReadonlyArray<Cell>,
  accumulator: Bounds.Accumulator | undefined,
  seed = 0
): ReadonlyArray<Cell> =>
  finish(
    Run.runGraph(
      {
        machine,
        seed,
        bounds: accumulator === undefined ? undefined : Bounds.mode(accumulator),
        rounded: new Set<string>()
      },
      graph,
      cells,
      new Map()
    )
  )

const present = (inputs: ReadonlyArray<Tensor | undefined>): ReadonlyArray<Cell> =>
  inputs.flatMap((input) => (input === undefined ? [] : [{ tensor: input, bound: undefined }]))

export const runGraph = (graph: Graph, inputs: ReadonlyArray<Tensor>): ReadonlyArray<Tensor> =>
  runCells(graph, present(inputs), undefined).map((cell) => cell.tensor)

/** All results of one op. */
export const runAll = <A extends Attributes>(
  op: OpDefinition<A>,
  inputs: ReadonlyArray<Tensor | undefined>,
  attributes: A,
  graphs: Readonly<Record<string, Graph>> = {}
): ReadonlyArray<Tensor> =>
  runCells(graphOf(op, inputs, attributes, graphs), present(inputs), undefined).map((cell) => cell.tensor)

/** The values of the first result of one op. */
export const run = <A extends Attributes>(
  op: OpDefinition<A>,
  inputs: ReadonlyArray<Tensor | undefined>,
  attributes: A
): ReadonlyArray<number> => values(runAll(op, inputs, attributes)[0])

/** Pseudo-random numbers in [−1, 1), the same each time. */
export const draws = (count: number, seed = 1): ReadonlyArray<number> => {
  let state = seed >>> 0
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}
