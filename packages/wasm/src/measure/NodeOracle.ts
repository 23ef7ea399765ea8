/**
 * NodeOracle: what a region must give that is one node of the graph: the oracle of graphs knows.
 *
 * Its bounds grow with each step of a recurrent layer until they say nothing. There the oracle runs twice, the second time
 * on operands that are off by much more than a kernel's roundings are: by how much its results move bounds what a kernel's
 * may. Of a batch, the first and the last row are looked at: rows do not know of each other.
 */
import type { Dim } from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Tensors from "@anneal/ir/Tensor"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Recurrent, Region, Whole } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import { MeasurerError } from "@anneal/pipeline/Measurer"
import type { OracleError, OracleService } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import type { Drawn } from "./Draw.ts"
import * as Draw from "./Draw.ts"
import * as ErrorBound from "./ErrorBound.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"

type Size = (dim: Dim) => number

const greatestOf = (values: Float64Array | BigInt64Array | BigUint64Array): number => {
  let greatest = 1
  for (const value of values) if (Number.isFinite(Number(value))) greatest = Math.max(greatest, Math.abs(Number(value)))
  return greatest
}

/**
 * What the oracle's bound does not know of: it is for the oracle's own float64. A kernel sums in f32: for recurrent layers
 * a step's products (what is carried on fades, since states are bounded), for other nodes a few operations.
 */
const roundings = (region: Region, size: Size): number => {
  const [x, , r] = region.kind === "recurrent" ? region.operands : []
  const terms = [x, r].reduce(
    (sum, view) => sum + (view === null || view === undefined ? 0 : size(view.shape.at(-1) ?? 0)),
    0
  )
  return 4 * (terms + 16) * ErrorBound.unitRoundoff("f32")
}

/** The first and the last of so many places of an axis. */
const ends = (view: View | null, axis: number, extent: number, size: Size): View | null => {
  if (view === null || extent <= 2) return view
  const change = (list: ReadonlyArray<Dim>, to: number) => list.map((dim, place) => (place === axis ? to : dim))
  const step = (extent - 1) * size(view.strides[axis] ?? 0)
  return { ...view, shape: change(view.shape, 2), strides: change(view.strides, step) }
}

/** Where an operand of a recurrent layer has its batch: x, lengths, states; weights have none. */
const batchOf = (operand: number): number | undefined => [1, undefined, undefined, undefined, 0, 1, 1][operand]

/** All outputs are [length, directions, batch, hidden], states [directions, batch, hidden]. */
const batchOfResult = (result: number): number => (result === 0 ? 2 : 1)

/** What a node is looked at with. */
interface Looked extends Pick<Recurrent, "operands" | "results"> {
  /** Shapes of the results, those too that nobody takes. */
  readonly shapes: ReadonlyArray<ReadonlyArray<number>>
}

const shapesOf = ({ outputs }: Graphs.Node, size: Size) => outputs.map(({ type }) => type.shape.map(size))

/** The same layer for the first and the last row of the batch, which is as large as x says. */
const firstAndLast = (region: Recurrent, node: Graphs.Node, size: Size): Looked => {
  const batch = size(region.operands[0]?.shape[1] ?? 1)
  return {
    operands: region.operands.map((view, place) => {
      const axis = batchOf(place)
      return axis === undefined ? view : ends(view, axis, batch, size)
    }),
    results: region.results.map((view, place) => ends(view, batchOfResult(place), batch, size)),
    shapes: shapesOf(node, size).map((shape, place) =>
      shape.map((extent, axis) => (axis === batchOfResult(place) && batch > 2 ? 2 : extent))
    )
  }
}

/** The node alone, on operands like these, with results of these shapes. */
const graphOf = (
  node: Graphs.Node,
  operands: Recurrent["operands"],
  shapes: ReadonlyArray<ReadonlyArray<number>>,
  size: Size
): Graphs.Graph => ({
  name: "region",
  inputs: operands.flatMap((view, place) =>
    view === null
      ? []
      : [{ id: `x${place}`, name: `x${place}`, type: { dtype: view.dtype, shape: view.shape.map(size) } }]
  ),
  outputs: node.outputs.map(({ id }, place) => ({ name: `y${place}`, id })),
  constants: new Map(),
  nodes: [
    {
      ...node,
      inputs: operands.map((view, place) => (view === null ? null : `x${place}`)),
      attributes: Op.mapDims(node.attributes, size),
      outputs: node.outputs.map(({ id, type }, place) => ({
        id,
        type: { dtype: type.dtype, shape: shapes[place] ?? [] }
      }))
    }
  ],
  constraints: [],
  aliases: []
})

const tensorOf = (view: View, drawn: ReadonlyMap<string, Drawn>, size: Size): Tensor => {
  const tensor = Tensors.zeros(view.dtype, view.shape.map(size))
  const source = drawn.get(view.buffer)?.data
  let next = 0
  RegionOracle.eachAddress(view, size, (at) => {
    tensor.data[next++] = source?.[at] ?? 0
  })
  return tensor
}

/** So many units in the last place are operands off by, in the second run: many times what sums in another order are. */
const disturbance = 64
/** Results may move by so many times what those of the second run move by. */
const margin = 4

const disturbed = (tensor: Tensor, random: () => number): Tensor =>
  DTypes.isFloat(tensor.dtype)
    ? Numbers.fromNumbers(
        tensor.dtype,
        tensor.shape,
        Numbers.toNumbers(tensor).map(
          (value) => value * (1 + disturbance * ErrorBound.unitRoundoff(tensor.dtype) * (2 * random() - 1))
        )
      )
    : tensor

/** The most that each row (the last axis) moved by, for each element. */
const movements = (a: Tensor, b: Tensor): Float64Array => {
  const [xs, ys] = [Numbers.toNumbers(a), Numbers.toNumbers(b)]
  const width = Math.max(1, a.shape.at(-1) ?? 1)
  for (let row = 0; row < xs.length; row += width) {
    let most = 0
    for (let i = row; i < row + width; i++) most = Math.max(most, Math.abs((xs[i] ?? 0) - (ys[i] ?? 0)))
    xs.fill(margin * most, row, row + width)
  }
  return xs
}

interface Known {
  readonly outputs: ReadonlyArray<Tensor>
  readonly bounds: ReadonlyArray<Float64Array>
}

/** What the oracle says of a recurrent layer, and how far off a kernel may be besides its roundings in one step. */
const recurrent = (
  graph: Graphs.Graph,
  inputs: ReadonlyArray<Tensor>,
  oracle: OracleService
): Effect.Effect<Known, OracleError> =>
  Effect.gen(function* () {
    const outputs = yield* oracle.run(graph, inputs)
    const random = Draw.generator(11)
    const others = yield* oracle.run(
      graph,
      inputs.map((tensor) => disturbed(tensor, random))
    )
    return { outputs, bounds: outputs.map((one, place) => movements(one, others[place] ?? one)) }
  })

/** What one node gives, by the oracle of graphs. */
export const expectations = (
  region: Recurrent | Whole,
  size: Size,
  drawn: ReadonlyMap<string, Drawn>,
  oracle: OracleService
): Effect.Effect<ReadonlyArray<Expected>, MeasurerError> =>
  Effect.gen(function* () {
    const node = region.kind === "whole" ? region.node : region.members[0]
    if (node === undefined)
      return yield* new MeasurerError({
        detail: "a region of a recurrent layer has no node, so nothing says what is right",
        action: "report this: regions are made of the graph's nodes"
      })
    const views: Looked =
      region.kind === "whole" ? { ...region, shapes: shapesOf(node, size) } : firstAndLast(region, node, size)
    const graph = graphOf(node, views.operands, views.shapes, size)
    const inputs = views.operands.flatMap((view) => (view === null ? [] : [tensorOf(view, drawn, size)]))
    const { bounds, outputs } = yield* Effect.mapError(
      region.kind === "whole" ? oracle.runWithBounds(graph, inputs) : recurrent(graph, inputs, oracle),
      ({ message }) => new MeasurerError({ detail: message, action: "report this: the oracle should run it" })
    )
    const expected: Array<Expected> = []
    for (const [place, view] of views.results.entries()) {
      const [output, bound] = [outputs[place], bounds[place]]
      if (view === null || output === undefined) continue
      const values =
        output.data instanceof BigInt64Array || output.data instanceof BigUint64Array
          ? output.data
          : Numbers.toNumbers(output)
      const slack = DTypes.isFloat(output.dtype) ? roundings(region, size) * greatestOf(values) : 0
      let next = 0
      RegionOracle.eachAddress(view, size, (at) => {
        expected.push({ buffer: view.buffer, at, value: values[next] ?? 0, bound: 2 * (bound?.[next] ?? 0) + slack })
        next++
      })
    }
    return expected
  })
