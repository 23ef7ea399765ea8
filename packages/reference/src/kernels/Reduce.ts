// Kernels of reductions, running sums and arg max/min. Sums and products run in float64, in row-major order.
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

/** The tensor with the reduced axes last: rows to reduce. Not a copy where they already are. */
export const rowsOf = (x: Tensor, axes: ReadonlyArray<number>): { readonly rows: Tensor; readonly length: number } => {
  const kept = x.shape.flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]))
  const length = Tensors.size(axes.map((axis) => x.shape[axis] ?? 1))
  const order = [...kept, ...axes]
  return { rows: order.every((axis, i) => axis === i) ? x : Strided.permuted(x, order), length }
}

type RowFunction = (values: Float64Array, start: number, length: number) => number
type BigFold = { readonly start: bigint; readonly step: (total: bigint, value: bigint) => bigint }

const reduce = (
  op: typeof Ops.reduceSum,
  row: (dtype: DType) => RowFunction,
  big: BigFold,
  finishBig: (total: bigint, length: number) => bigint = (total) => total
): Entry =>
  Kernel.define(op, (call) => {
    const { length, rows } = rowsOf(call.input(0), call.attributes.axes)
    const shape = call.shape(0)
    const count = Tensors.size(shape)
    const bigValues = Elements.bigs(rows)
    if (bigValues !== undefined) {
      const data = Elements.allocateBig(rows.dtype, count)
      for (let r = 0; r < count; r++) {
        let total = big.start
        for (let i = 0; i < length; i++) total = big.step(total, bigValues[r * length + i] ?? 0n)
        data[r] = finishBig(total, length)
      }
      return [{ dtype: rows.dtype, shape, data }]
    }
    const values = Elements.numbers(rows)
    const result = new Float64Array(count)
    const f = row(rows.dtype)
    for (let r = 0; r < count; r++) result[r] = f(values, r * length, length)
    return [Elements.fromNumbers(rows.dtype, shape, result)]
  })

const sum: RowFunction = (values, start, length) => {
  let total = 0
  for (let i = start; i < start + length; i++) total += values[i] ?? 0
  return total
}
const mean: RowFunction = (values, start, length) => sum(values, start, length) / length
const product: RowFunction = (values, start, length) => {
  let total = 1
  for (let i = start; i < start + length; i++) total *= values[i] ?? 0
  return total
}
const wrappedProduct: RowFunction = (values, start, length) => {
  let total = 1
  for (let i = start; i < start + length; i++) total = Math.imul(total, values[i] ?? 0)
  return total
}

/** Position of the greatest (sign 1) or least (sign −1) of a strided row; NaN wins, the first of equals or the last. */
export const extremePosition = (
  keys: ArrayLike<number | bigint>,
  start: number,
  step: number,
  length: number,
  greatest: boolean,
  last: boolean
): number => {
  let best = 0
  let bestKey = keys[start] ?? 0
  for (let i = 1; i < length; i++) {
    const key = keys[start + i * step] ?? 0
    const tie = key === bestKey || (key !== key && bestKey !== bestKey)
    const better = key !== key ? bestKey === bestKey : greatest ? key > bestKey : key < bestKey
    if (better || (last && tie)) {
      best = i
      bestKey = key
    }
  }
  return best
}

/** Over no elements: the dtype's least for max, its greatest for min. */
const extreme = (op: typeof Ops.reduceMax, greatest: boolean): Entry =>
  Kernel.define(op, (call) => {
    const { length, rows } = rowsOf(call.input(0), call.attributes.axes)
    const shape = call.shape(0)
    const count = Tensors.size(shape)
    if (length === 0) {
      const [low, high] = Elements.extremes(rows.dtype)
      const { max, min } = DTypes.isBig(rows.dtype) ? DTypes.integerRange(rows.dtype) : { max: 0n, min: 0n }
      if (DTypes.isBig(rows.dtype))
        return [{ dtype: rows.dtype, shape, data: Elements.allocateBig(rows.dtype, count).fill(greatest ? min : max) }]
      return [Elements.fromNumbers(rows.dtype, shape, new Float64Array(count).fill(greatest ? low : high))]
    }
    const keys = Elements.keys(rows)
    const at = new Float64Array(count)
    for (let r = 0; r < count; r++) at[r] = r * length + extremePosition(keys, r * length, 1, length, greatest, false)
    return [Strided.pick(rows, shape, at)]
  })

const argExtreme = (op: typeof Ops.argMax, greatest: boolean): Entry =>
  Kernel.define(op, (call) => {
    const x = call.input(0)
    const { axis, select } = call.attributes
    const { extent, inner, outer } = Strided.around(x.shape, Strided.normalAxis(axis, x.shape.length))
    if (extent === 0 && outer * inner > 0) call.fail(`axis ${axis} is empty: it has no extreme`)
    const keys = Elements.keys(x)
    const result = new Float64Array(outer * inner)
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++)
        result[o * inner + i] = extremePosition(
          keys,
          o * extent * inner + i,
          inner,
          extent,
          greatest,
          select === "last"
        )
    return [Elements.integers(call.shape(0), result)]
  })

export type Accumulate = (total: number, value: number) => number

/** Running totals of float64 values along an axis, `[outer, extent, inner]`. */
export const runningTotals = (
  values: Float64Array,
  { extent, inner, outer }: Strided.AroundAxis,
  options: { readonly exclusive: boolean; readonly reverse: boolean },
  start: number,
  step: Accumulate
): Float64Array => {
  const result = new Float64Array(values.length)
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      let total = start
      for (let e = 0; e < extent; e++) {
        const at = (o * extent + (options.reverse ? extent - 1 - e : e)) * inner + i
        if (options.exclusive) result[at] = total
        total = step(total, values[at] ?? 0)
        if (!options.exclusive) result[at] = total
      }
    }
  return result
}

const cumulative = (
  op: typeof Ops.cumulativeSum,
  start: number,
  float: Accumulate,
  small: Accumulate,
  big: BigFold
): Entry =>
  Kernel.define(op, (call) => {
    const x = call.input(0)
    const around = Strided.around(x.shape, Strided.normalAxis(call.attributes.axis, x.shape.length))
    const bigValues = Elements.bigs(x)
    if (bigValues === undefined) {
      const step = DTypes.isFloat(x.dtype) ? float : small
      return [
        Elements.fromNumbers(x.dtype, x.shape, runningTotals(Elements.numbers(x), around, call.attributes, start, step))
      ]
    }
    const { exclusive, reverse } = call.attributes
    const { extent, inner, outer } = around
    const data = Elements.allocateBig(x.dtype, bigValues.length)
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++) {
        let total = big.start
        for (let e = 0; e < extent; e++) {
          const at = (o * extent + (reverse ? extent - 1 - e : e)) * inner + i
          const next = BigInt.asIntN(64, big.step(total, bigValues[at] ?? 0n))
          data[at] = exclusive ? total : next
          total = next
        }
      }
    return [{ dtype: x.dtype, shape: x.shape, data }]
  })

const bigSum: BigFold = { start: 0n, step: (total, value) => total + value }
const bigProduct: BigFold = { start: 1n, step: (total, value) => BigInt.asIntN(64, total * value) }

export const all: ReadonlyArray<Entry> = [
  reduce(Ops.reduceSum, () => sum, bigSum),
  reduce(
    Ops.reduceMean,
    () => mean,
    bigSum,
    (total, length) => (length === 0 ? 0n : total / BigInt(length))
  ),
  reduce(Ops.reduceProd, (dtype) => (DTypes.isFloat(dtype) ? product : wrappedProduct), bigProduct),
  extreme(Ops.reduceMax, true),
  extreme(Ops.reduceMin, false),
  argExtreme(Ops.argMax, true),
  argExtreme(Ops.argMin, false),
  cumulative(
    Ops.cumulativeSum,
    0,
    (total, value) => total + value,
    (total, value) => (total + value) | 0,
    bigSum
  ),
  cumulative(
    Ops.cumulativeProduct,
    1,
    (total, value) => total * value,
    (total, value) => Math.imul(total, value),
    bigProduct
  )
]
