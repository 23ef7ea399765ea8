/** A small oracle for these tests: the few ops that they use, in float64, rounded once a value. */
import * as Constants from "@anneal/ir/Constant"
import * as DType from "@anneal/ir/DType"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Oracle from "@anneal/pipeline/Oracle"
import * as Grid from "@anneal/quantize/Grid"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const at = (values: Float64Array, index: number): number => values[index] ?? 0

const matmul = (a: Tensor.Tensor, b: Tensor.Tensor) => {
  const [rows = 1, depth = 1] = a.shape
  const columns = b.shape[1] ?? 1
  const [xs, ys] = [Numbers.toNumbers(a), Numbers.toNumbers(b)]
  const values = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let k = 0; k < depth; k++)
        values[i * columns + j] = at(values, i * columns + j) + at(xs, i * depth + k) * at(ys, k * columns + j)
  return { shape: [rows, columns], values }
}

/** The scale of each element: one for all, or one an index of the axis. */
const scaleOf = (scale: Tensor.Tensor, shape: ReadonlyArray<number>, axis: number) => {
  const scales = Numbers.toNumbers(scale)
  const inner = Tensor.size(shape.slice(axis + 1))
  return (i: number) => (scale.shape.length === 0 ? at(scales, 0) : at(scales, Math.floor(i / inner) % scales.length))
}

const evaluate = (node: Graph.Node, inputs: ReadonlyArray<Tensor.Tensor>): Tensor.Tensor => {
  const [a, b, c] = inputs
  const type = node.outputs[0]?.type
  if (a === undefined || type === undefined) throw new TypeError("no operand")
  const xs = Numbers.toNumbers(a)
  const give = (values: Float64Array, shape: ReadonlyArray<number> = a.shape) =>
    Numbers.fromNumbers(type.dtype, shape, values)
  if (node.op === Ops.relu) return give(xs.map((x) => Math.max(x, 0)))
  if (Graph.isOp(node, Ops.cast)) return give(xs)
  if (node.op === Ops.matmul && b !== undefined) {
    const { shape, values } = matmul(a, b)
    return give(values, shape)
  }
  if (node.op === Ops.add && b !== undefined) {
    const ys = Numbers.toNumbers(b)
    return give(xs.map((x, i) => x + at(ys, i % ys.length)))
  }
  if (Graph.isOp(node, Ops.quantize) && b !== undefined) {
    const { max, min } = DType.integerRange(type.dtype)
    const scale = scaleOf(b, a.shape, node.attributes.axis)
    const zero = c === undefined ? 0 : at(Numbers.toNumbers(c), 0)
    const low = Number(min)
    const high = Number(max)
    return give(xs.map((x, i) => Math.min(high, Math.max(low, Grid.roundHalfEven(x / scale(i)) + zero))))
  }
  if (Graph.isOp(node, Ops.dequantize) && b !== undefined) {
    const scale = scaleOf(b, a.shape, node.attributes.axis)
    const zero = c === undefined ? 0 : at(Numbers.toNumbers(c), 0)
    return give(xs.map((x, i) => (x - zero) * scale(i)))
  }
  throw new Oracle.OracleError({ reason: "NoKernel", detail: `no kernel for ${node.op.name}` })
}

const run = (
  graph: Graph.Graph,
  inputs: ReadonlyArray<Tensor.Tensor>,
  onValue?: (id: string, tensor: Tensor.Tensor) => void
) =>
  Effect.try({
    try: () => {
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
      for (const [id, tensor] of values) if (!graph.constants.has(id)) onValue?.(id, tensor)
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
      bounds: outputs.map(({ data }) => new Float64Array(data.length).fill(Infinity))
    })),
  observe: (graph, inputs, onValue) => run(graph, inputs, onValue)
}

export const layer: Layer.Layer<Oracle.Oracle> = Layer.succeed(Oracle.Oracle, service)
