/** A small oracle for these tests: the few ops that they use, in float64, with a bound of two rounding errors a value. */
import * as Float from "@anneal/ir/Float"
import * as Constants from "@anneal/ir/Constant"
import * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Oracle from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const unary: Readonly<Record<string, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  relu: (x) => (x > 0 || Number.isNaN(x) ? x : 0),
  sqrt: Math.sqrt,
  cast: (x) => x
}
const binary: Readonly<Record<string, (x: number, y: number) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  max: Math.max
}

const evaluate = (node: IR.Node, inputs: ReadonlyArray<Tensor.Tensor>): Tensor.Tensor => {
  const [a, b] = inputs
  const type = node.outputs[0]?.type
  if (a === undefined || type === undefined) throw new TypeError("no operand")
  const one = unary[node.op.name]
  const two = binary[node.op.name]
  const xs = Numbers.toNumbers(a)
  if (one !== undefined) return Numbers.fromNumbers(type.dtype, a.shape, xs.map(one))
  if (two !== undefined && b !== undefined) {
    const ys = Numbers.toNumbers(b)
    const shape = a.shape.length >= b.shape.length && xs.length >= ys.length ? a.shape : b.shape
    const values = Float64Array.from({ length: Math.max(xs.length, ys.length) }, (_, i) =>
      two(xs[i % xs.length] ?? 0, ys[i % ys.length] ?? 0)
    )
    return Numbers.fromNumbers(type.dtype, shape, values)
  }
  throw new Oracle.OracleError({ reason: "NoKernel", detail: `no kernel for ${node.op.name}` })
}

export const runs = { count: 0 }

const run = (
  graph: IR.Graph,
  inputs: ReadonlyArray<Tensor.Tensor>,
  onValue?: (id: string, tensor: Tensor.Tensor) => void
) =>
  Effect.try({
    try: () => {
      runs.count++
      const values = new Map<string, Tensor.Tensor>()
      for (const [position, { id }] of graph.inputs.entries()) {
        const input = inputs[position]
        if (input !== undefined) values.set(id, input)
      }
      for (const [id, { constant }] of graph.constants) values.set(id, Constants.load(constant))
      for (const node of graph.nodes) {
        const result = evaluate(
          node,
          node.inputs.flatMap((id) => (id === null ? [] : (values.get(id) ?? [])))
        )
        for (const { id } of node.outputs) values.set(id, result)
      }
      for (const [id, tensor] of values) onValue?.(id, tensor)
      return graph.outputs.flatMap(({ id }) => values.get(id) ?? [])
    },
    catch: (error) =>
      error instanceof Oracle.OracleError ? error : new Oracle.OracleError({ reason: "Kernel", detail: String(error) })
  })

export const service: Oracle.OracleService = {
  identity: { name: "test-oracle", version: 1, config: {} },
  run: (graph, inputs) => run(graph, inputs),
  runWithBounds: (graph, inputs) =>
    Effect.map(run(graph, inputs), (outputs) => ({
      outputs,
      bounds: outputs.map((tensor) => Numbers.toNumbers(tensor).map((x) => 4 * Float.ulp(x, "f32") + 1e-30))
    })),
  observe: (graph, inputs, onValue) => run(graph, inputs, onValue)
}

export const layer: Layer.Layer<Oracle.Oracle> = Layer.succeed(Oracle.Oracle, service)
