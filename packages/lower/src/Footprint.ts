/**
 * Footprint: how many operations a region is, and the least that it moves between memory and registers.
 * What a time is held against: GFLOP/s and GB/s.
 *
 *   matmul [64, 256] × [256, 128]  ⇒  2 · 64 · 256 · 128 operations, (64·256 + 256·128 + 64·128) · 4 bytes
 */
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import type { View } from "./View.ts"

/** As dims: at the sizes of a run, evaluated with its symbols. */
export interface Footprint {
  /** Arithmetic operations as the graph has them: a multiply-add is two, an elementary function is one. */
  readonly operations: Dim.Dim
  /** Each element that is read or written, once. */
  readonly bytes: Dim.Dim
}

/** Operations of an expression at one point; what is the same object counts once. */
export const operationsOf = (scalar: Scalar, seen = new Set<Scalar>()): number => {
  if (seen.has(scalar)) return 0
  seen.add(scalar)
  const of = (...parts: ReadonlyArray<Scalar>): number => parts.reduce((sum, part) => sum + operationsOf(part, seen), 0)
  switch (scalar.kind) {
    case "load":
      return of(...(scalar.indirect ?? []).map(({ index }) => index))
    case "constant":
    case "index":
    case "dim":
    case "previous":
      return 0
    case "unary":
      return 1 + of(scalar.x)
    case "binary":
      return 1 + of(scalar.a, scalar.b)
    case "fma":
      return 2 + of(scalar.a, scalar.b, scalar.c)
    case "select":
      return 1 + of(scalar.condition, scalar.a, scalar.b)
    case "cast":
      return of(scalar.x)
  }
}

/** The product of sizes. */
const size = (...dims: ReadonlyArray<Dim.Dim>): Dim.Dim => Dim.product(dims)

const sum = (dims: ReadonlyArray<Dim.Dim>): Dim.Dim => dims.reduce(Dim.add, 0)

/** An axis along which nothing moves repeats the same elements. */
const bytesOf = ({ dtype, shape, strides }: View): Dim.Dim =>
  Dim.mul(size(...shape.filter((_, axis) => strides[axis] !== 0)), DTypes.slotBytes(dtype))

export const of = (region: Region): Footprint => {
  const views = [...Regions.reads(region), ...Regions.writes(region)]
  return {
    operations: operationsIn(region),
    bytes: sum(views.map((view) => (view === null ? 0 : bytesOf(view))))
  }
}

/** Operations of several expressions at one point. */
const values = (results: ReadonlyArray<{ readonly value: Scalar }>): number => {
  const seen = new Set<Scalar>()
  return results.reduce((total, { value }) => total + operationsOf(value, seen), 0)
}

const shapeOf = (results: ReadonlyArray<{ readonly view: View }>): ReadonlyArray<Dim.Dim> =>
  results[0]?.view.shape ?? []

const operationsIn = (region: Region): Dim.Dim => {
  switch (region.kind) {
    case "loop":
      return Dim.mul(size(...region.domain), values(region.results))
    case "rows": {
      const [outer, all] = [size(...region.outer), size(...region.outer, ...region.inner)]
      const stages = region.stages.map((stage) => {
        const own = operationsOf(stage.value)
        return stage.kind === "row" ? Dim.mul(outer, own) : Dim.mul(all, own + (stage.kind === "reduce" ? 1 : 0))
      })
      const results = region.results.map(({ per, value }) => Dim.mul(per === "row" ? outer : all, operationsOf(value)))
      return sum([...stages, ...results])
    }
    case "contraction": {
      const { batch, epilogue, k, m, n } = region
      return Dim.mul(size(...batch, m, n), Dim.add(Dim.mul(2, k), values(epilogue.results)))
    }
    case "convolution": {
      const { epilogue, input, transposed, weight } = region
      const [, out = 1, channels = 1, ...kernel] = weight.shape
      const results = size(...shapeOf(epilogue.results))
      // Each output gathers from the channels; transposed, each input scatters to the outputs.
      const products = transposed ? size(2, ...input.shape, out, ...kernel) : size(2, results, channels, ...kernel)
      return Dim.add(products, Dim.mul(results, values(epilogue.results)))
    }
    case "window": {
      const { epilogue, kernel } = region
      return Dim.mul(size(...shapeOf(epilogue.results)), Dim.add(size(...kernel), values(epilogue.results)))
    }
    case "attention": {
      const { dim, keys, q, valueDim } = region
      const scores = size(...q.shape.slice(0, -1), keys)
      // The two products, and four for each score: scale, largest, exponential, sum.
      return Dim.mul(scores, Dim.add(Dim.mul(2, Dim.add(dim, valueDim)), 4))
    }
    case "recurrent": {
      const [x, w] = region.operands
      const gates = { lstm: 4, gru: 3, rnn: 1 }[region.cell]
      const rows = x === null || x === undefined ? 0 : size(...x.shape.slice(0, 2))
      const width = w?.shape.at(-1) ?? 0
      const directions = region.direction === "bidirectional" ? 2 : 1
      return Dim.mul(Dim.mul(rows, 2 * directions * gates * region.hidden), Dim.add(width, region.hidden))
    }
    case "whole":
      return 0
  }
}
