/**
 * Footprint: how many operations a region is, and the least that it moves between memory and registers, at given sizes.
 * What a time is held against: GFLOP/s and GB/s.
 *
 *   matmul [64, 256] × [256, 128]  ⇒  2 · 64 · 256 · 128 operations, (64·256 + 256·128 + 64·128) · 4 bytes
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import type { View } from "./View.ts"

export interface Footprint {
  /** Arithmetic operations as the graph has them: a multiply-add is two, an elementary function is one. */
  readonly operations: number
  /** Each element that is read or written, once. */
  readonly bytes: number
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

/** The footprint; undefined where the bindings leave a size open. */
export const of = (region: Region, bindings: Bindings): Footprint | undefined => {
  const size = (dims: ReadonlyArray<Dim.Dim>): number => Dim.evaluate(Dim.product(dims), bindings) ?? NaN
  const bytesOf = ({ dtype, shape, strides }: View): number => {
    // An axis along which nothing moves repeats the same elements.
    const moving = shape.filter((_, axis) => strides[axis] !== 0)
    return size(moving) * DTypes.slotBytes(dtype)
  }
  const views = [...Regions.reads(region), ...Regions.writes(region)]
  const bytes = views.reduce((sum, view) => sum + (view === null ? 0 : bytesOf(view)), 0)
  const operations = operationsIn(region, size)
  return Number.isFinite(bytes + operations) ? { operations, bytes } : undefined
}

const operationsIn = (region: Region, size: (dims: ReadonlyArray<Dim.Dim>) => number): number => {
  const values = (results: ReadonlyArray<{ readonly value: Scalar }>): number => {
    const seen = new Set<Scalar>()
    return results.reduce((sum, { value }) => sum + operationsOf(value, seen), 0)
  }
  const shapeOf = (results: ReadonlyArray<{ readonly view: View }>): ReadonlyArray<Dim.Dim> =>
    results[0]?.view.shape ?? []
  switch (region.kind) {
    case "loop":
      return size(region.domain) * values(region.results)
    case "rows": {
      const [outer, all] = [size(region.outer), size([...region.outer, ...region.inner])]
      const stages = region.stages.reduce((sum, stage) => {
        const own = operationsOf(stage.value)
        return sum + (stage.kind === "row" ? outer * own : all * (own + (stage.kind === "reduce" ? 1 : 0)))
      }, 0)
      const results = region.results.reduce(
        (sum, { per, value }) => sum + (per === "row" ? outer : all) * operationsOf(value),
        0
      )
      return stages + results
    }
    case "contraction": {
      const { batch, epilogue, k, m, n } = region
      return size([...batch, m, n]) * (2 * size([k]) + values(epilogue.results))
    }
    case "convolution": {
      const { epilogue, weight } = region
      // Weights over [groups, out of a group, channels of a group, …kernel].
      const perOutput = 2 * size(weight.shape.slice(2))
      const shape = region.transposed ? region.input.shape : shapeOf(epilogue.results)
      const products = region.transposed
        ? size(shape) * 2 * size([weight.shape[1] ?? 1, ...weight.shape.slice(3)])
        : size(shape) * perOutput
      return products + size(shapeOf(epilogue.results)) * values(epilogue.results)
    }
    case "window":
      return size(shapeOf(region.epilogue.results)) * (size(region.kernel) + values(region.epilogue.results))
    case "attention": {
      const { dim, keys, q, valueDim } = region
      const scores = size([...q.shape.slice(0, -1), keys])
      return scores * (2 * size([dim]) + 2 * size([valueDim]) + 4)
    }
    case "recurrent": {
      const [x, w] = region.operands
      const gates = { lstm: 4, gru: 3, rnn: 1 }[region.cell]
      const [steps, rows] =
        x === null || x === undefined ? [0, 0] : [size(x.shape.slice(0, 1)), size(x.shape.slice(1, 2))]
      const width = w === null || w === undefined ? 0 : size(w.shape.slice(-1))
      const directions = region.direction === "bidirectional" ? 2 : 1
      return directions * steps * rows * gates * region.hidden * 2 * (width + region.hidden)
    }
    case "whole":
      return 0
  }
}
