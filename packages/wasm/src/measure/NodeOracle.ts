/**
 * NodeOracle: what a region must give that is one node of the graph: the oracle of graphs knows, with its bounds.
 */
import * as DTypes from "@anneal/ir/DType"
import type * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Tensor from "@anneal/ir/Tensor"
import type { Region } from "@anneal/lower/Region"
import { MeasurerError } from "@anneal/pipeline/Measurer"
import type { OracleService } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import type { Drawn } from "./Draw.ts"
import * as ErrorBound from "./ErrorBound.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"
import type { Subject } from "./Trial.ts"
import type { Dim } from "@anneal/ir/Dim"

const greatestOf = (values: Float64Array | BigInt64Array | BigUint64Array): number => {
  let greatest = 1
  for (const value of values) if (Number.isFinite(Number(value))) greatest = Math.max(greatest, Math.abs(Number(value)))
  return greatest
}

/**
 * What the oracle's bound does not know of: it is for the oracle's own float64. A kernel sums in f32: for recurrent layers
 * a step's products (what is carried on fades, since states are bounded), for other nodes a few operations.
 */
const roundings = (region: Region, size: (dim: Dim) => number): number => {
  const [x, , r] = region.kind === "recurrent" ? region.operands : []
  const terms = [x, r].reduce(
    (sum, view) => sum + (view === null || view === undefined ? 0 : size(view.shape.at(-1) ?? 0)),
    0
  )
  return 4 * (terms + 16) * ErrorBound.unitRoundoff("f32")
}

/** Regions that are one node: the oracle of graphs, with its bounds. */
export const expectations = (
  { program, region }: Subject,
  size: (dim: Dim) => number,
  drawn: ReadonlyMap<string, Drawn>,
  oracle: OracleService
): Effect.Effect<ReadonlyArray<Expected>, MeasurerError> =>
  Effect.gen(function* () {
    if (region.kind !== "recurrent" && region.kind !== "whole") return []
    const node = region.kind === "whole" ? region.node : region.members[0]
    if (node === undefined) return []
    const inputs: Array<Tensor.Tensor> = []
    const graph: Graphs.Graph = {
      name: "region",
      inputs: region.operands.flatMap((view, place) => {
        if (view === null) return []
        const shape = view.shape.map(size)
        const tensor = Tensor.zeros(view.dtype, shape)
        const source = drawn.get(view.buffer)?.data
        let next = 0
        RegionOracle.eachAddress(view, size, (at) => {
          tensor.data[next++] = source?.[at] ?? 0
        })
        inputs.push(tensor)
        return [{ id: `x${place}`, name: `x${place}`, type: { dtype: view.dtype, shape } }]
      }),
      outputs: node.outputs.map(({ id }, place) => ({ name: `y${place}`, id })),
      constants: new Map(),
      nodes: [
        {
          ...node,
          inputs: region.operands.map((view, place) => (view === null ? null : `x${place}`)),
          attributes: Op.mapDims(node.attributes, size),
          outputs: node.outputs.map(({ id, type }) => ({
            id,
            type: { dtype: type.dtype, shape: type.shape.map(size) }
          }))
        }
      ],
      constraints: [],
      aliases: []
    }
    const { bounds, outputs } = yield* Effect.mapError(
      oracle.runWithBounds(graph, inputs),
      ({ message }) => new MeasurerError({ detail: message, action: "report this: the oracle should run it" })
    )
    const expected: Array<Expected> = []
    for (const [place, view] of region.results.entries()) {
      const output = outputs[place]
      const bound = bounds[place]
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
    return program.buffers.size > 0 ? expected : []
  })
