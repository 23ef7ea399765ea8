// Bounds of the ops whose error rule is `run`, but for control flow and recurrent layers, whose kernels carry bounds along.
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import type { Bound, BoundRule, RuleCall } from "../BoundRule.ts"
import {
  boundAt,
  boundOf,
  hasErrors,
  hasInputErrors,
  magnitudes,
  rerun,
  resultOf,
  tensorOf,
  unknown,
  valuesAt
} from "../BoundRule.ts"
import * as Elements from "../Elements.ts"
import { divisors, windows, type PoolAttributes } from "../kernels/Pool.ts"
import { scaleIndex } from "../kernels/Quantize.ts"
import { rowsOf, runningTotals } from "../kernels/Reduce.ts"
import type { GridAttributes, ResizeAttributes } from "../kernels/Resample.ts"
import { resized, resizeDepth, sampled } from "../kernels/Resample.ts"
import * as Rounding from "../Rounding.ts"
import * as Strided from "../Strided.ts"
import { isContested } from "./Discontinuous.ts"

type Work = Generator<void, ReadonlyArray<Bound>>

/** An uncertain condition may take the other branch: |a − b| more. */
const select: BoundRule = (call) => {
  if (!hasInputErrors(call)) return [undefined]
  const { shape } = resultOf(call)
  const [holds, a, b] = [valuesAt(call, 0, shape), valuesAt(call, 1, shape), valuesAt(call, 2, shape)]
  const [open, ea, eb] = [boundAt(call, 0, shape), boundAt(call, 1, shape), boundAt(call, 2, shape)]
  const bound = new Float64Array(holds.length)
  for (let i = 0; i < bound.length; i++) {
    const [x, y, ex, ey] = [a[i] ?? 0, b[i] ?? 0, ea[i] ?? 0, eb[i] ?? 0]
    if (open[i] === 0) bound[i] = holds[i] === 1 ? ex : ey
    else {
      const distance = x === y || (x !== x && y !== y) ? 0 : Math.abs(x - y)
      bound[i] = distance === distance ? distance + Math.max(ex, ey) : Infinity
    }
  }
  return [bound]
}

/** Whether every value of one dtype is one of the other. */
const isWidening = (from: DType, to: Float.Float): boolean => {
  const target = Float.formats[to]
  if (!Rounding.isFloat(from)) return from === "bool" || DTypes.bits(from) <= target.fractionBits + 1
  const source = Float.formats[from]
  return (
    source.fractionBits <= target.fractionBits &&
    source.minExponent - source.fractionBits >= target.minExponent - target.fractionBits &&
    source.max <= target.max
  )
}

const cast: BoundRule = (call) => {
  const x = call.input(0)
  const result = resultOf(call)
  const { dtype } = result
  if (Rounding.isFloat(dtype)) {
    if (isWidening(x.dtype, dtype)) return [call.bounds[0]?.slice()]
    return [Rounding.addHalfUlp(boundOf(call, 0).slice(), Elements.numbers(result), dtype)]
  }
  const errors = call.bounds[0]
  if (errors === undefined || !hasErrors(errors)) return [undefined]
  const [values, y] = [Elements.numbers(x), Elements.numbers(result)]
  const [least, most] = Elements.extremes(dtype)
  const bound = new Float64Array(errors.length)
  for (let i = 0; i < bound.length; i++) {
    const [value, error] = [values[i] ?? 0, errors[i] ?? 0]
    if (error === 0) continue
    if (dtype === "bool") bound[i] = Math.abs(value) <= error ? 1 : 0
    else {
      const [low, high] = [Math.trunc(value - error), Math.trunc(value + error)]
      // Beyond the dtype's range the integer wraps, and then says nothing.
      const isInside = low >= least && high <= most
      bound[i] = isInside ? Math.max((y[i] ?? 0) - low, high - (y[i] ?? 0)) : Infinity
    }
  }
  return [bound]
}

const bitcast: BoundRule = (call) => [call.bounds[0]?.map((error) => (error === 0 ? 0 : Infinity))]

// ---- products and running totals ------------------------------------------------------------------------------------------

/**
 * What a product can lose below the smallest normal number, or gain above the greatest number, in the worst order of its
 * factors: small ones first, and then each rounding's half of the smallest number grows by all the large ones; or large ones
 * first. 0 where no order leaves the normal range of what totals are kept in.
 */
const rangeError = (factors: Float64Array, dtype: DType): number => {
  const { max, minExponent, minSubnormal } = Float.formats[dtype === "f64" ? "f64" : "f32"]
  if (factors.includes(0)) return 0
  let [small, large] = [1, 1]
  for (const factor of factors) {
    if (Math.abs(factor) < 1) small *= Math.abs(factor)
    else large *= Math.abs(factor)
  }
  if (!(large <= max)) return Infinity
  return small < 2 ** minExponent ? factors.length * large * minSubnormal : 0
}

/** Π(|x| + e) − Π|x|, plus γ(depth) of the larger. */
const productError = (sizes: number, reach: number, g: number): number => reach - sizes + g * reach

const reduceProduct: BoundRule = (call) => {
  const x = call.input(0)
  const result = resultOf(call)
  const isFloat = DTypes.isFloat(x.dtype)
  if (!isFloat) return [hasInputErrors(call) ? unknown(result) : undefined]
  const listed = call.attributes["axes"]
  const axes = Array.isArray(listed) ? listed.map(Number) : []
  const { length, rows } = rowsOf(tensorOf(x.shape, Elements.numbers(x)), axes)
  const errors = Elements.numbers(rowsOf(tensorOf(x.shape, boundOf(call, 0)), axes).rows)
  const values = Elements.numbers(rows)
  const g = Rounding.gamma(length, call.unitRoundoff(x.dtype))
  const bound = new Float64Array(result.data.length)
  for (let r = 0; r < bound.length; r++) {
    let [sizes, reach] = [1, 1]
    for (let i = r * length; i < (r + 1) * length; i++) {
      sizes *= Math.abs(values[i] ?? 0)
      reach *= Math.abs(values[i] ?? 0) + (errors[i] ?? 0)
    }
    const outside = rangeError(values.subarray(r * length, (r + 1) * length), x.dtype)
    bound[r] = productError(sizes, reach, g) + outside
  }
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
}

const cumulative =
  (isProduct: boolean): BoundRule =>
  (call) => {
    const x = call.input(0)
    const result = resultOf(call)
    const isFloat = DTypes.isFloat(x.dtype)
    if (!isFloat && !hasInputErrors(call)) return [undefined]
    const around = Strided.around(x.shape, Strided.normalAxis(Number(call.attributes["axis"]), x.shape.length))
    const options = { exclusive: call.attributes["exclusive"] === true, reverse: call.attributes["reverse"] === true }
    const g = isFloat ? Rounding.gamma(around.extent, call.unitRoundoff(x.dtype)) : 0
    const sizes = magnitudes(Elements.numbers(x))
    const errors = boundOf(call, 0)
    const [start, step] = isProduct
      ? [1, (total: number, value: number): number => total * value]
      : [0, (total: number, value: number): number => total + value]
    const reach = runningTotals(
      sizes.map((size, i) => size + (errors[i] ?? 0)),
      around,
      options,
      start,
      step
    )
    const bound = runningTotals(isProduct ? sizes : errors, around, options, start, step)
    for (let i = 0; i < bound.length; i++)
      bound[i] = isProduct ? productError(bound[i] ?? 0, reach[i] ?? 0, g) : (bound[i] ?? 0) + g * (reach[i] ?? 0)
    return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
  }

// ---- selections with positions ----------------------------------------------------------------------------------------------

/** Attributes of a pooling node, as its schema has checked them. */
const poolAttributes = (call: RuleCall): PoolAttributes => {
  const list = (name: string): ReadonlyArray<number> => {
    const value = call.attributes[name]
    return Array.isArray(value) ? value.map(Number) : []
  }
  return {
    kernel: list("kernel"),
    strides: list("strides"),
    padsBegin: list("padsBegin"),
    padsEnd: list("padsEnd"),
    dilations: list("dilations")
  }
}

/** Values: the largest error in the window. Positions: undecided where another element reaches the greatest. */
const maxPool: BoundRule = (call) => {
  const errors = call.bounds[0]
  if (errors === undefined || !hasErrors(errors)) return [undefined, undefined]
  const x = call.input(0)
  const result = resultOf(call)
  const found = windows(x.shape.slice(2), result.shape.slice(2), poolAttributes(call))
  const counts = divisors(found, false)
  const planes = (x.shape[0] ?? 1) * (x.shape[1] ?? 1)
  const area = Tensors.size(x.shape.slice(2))
  const [values, y] = [Elements.numbers(x), Elements.numbers(result)]
  const largest = new Float64Array(y.length)
  const contested = new Float64Array(y.length)
  for (let plane = 0; plane < planes; plane++)
    for (let p = 0; p < counts.length; p++) {
      const at = plane * counts.length + p
      const greatest = y[at] ?? 0
      let reaching = 0
      for (let i = found.starts[p] ?? 0; i < (found.starts[p + 1] ?? 0); i++) {
        const from = plane * area + (found.positions[i] ?? 0)
        largest[at] = Math.max(largest[at] ?? 0, errors[from] ?? 0)
      }
      for (let i = found.starts[p] ?? 0; i < (found.starts[p + 1] ?? 0); i++) {
        const from = plane * area + (found.positions[i] ?? 0)
        if (!((values[from] ?? 0) + (errors[from] ?? 0) < greatest - (largest[at] ?? 0))) reaching++
      }
      contested[at] = largest[at] !== 0 && reaching > 1 ? Infinity : 0
    }
  return [largest, contested]
}

/** Order statistics move by no more than the largest error of the row. */
const topK: BoundRule = (call) => {
  const errors = call.bounds[0]
  if (errors === undefined || !hasErrors(errors)) return [undefined, undefined]
  const x = call.input(0)
  const positions = resultOf(call, 1)
  const axis = Strided.normalAxis(Number(call.attributes["axis"]), x.shape.length)
  const { extent, inner, outer } = Strided.around(x.shape, axis)
  const k = positions.shape[axis] ?? 0
  const values = Elements.numbers(x)
  const taken = Elements.numbers(positions)
  const largest = new Float64Array(taken.length)
  const contested = new Float64Array(taken.length)
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const start = o * extent * inner + i
      let most = 0
      for (let e = 0; e < extent; e++) most = Math.max(most, errors[start + e * inner] ?? 0)
      for (let e = 0; e < k; e++) {
        const at = (o * k + e) * inner + i
        largest[at] = most
        contested[at] = isContested(values, errors, start, inner, extent, taken[at] ?? 0) ? Infinity : 0
      }
    }
  return [largest, contested]
}

// ---- scatter ------------------------------------------------------------------------------------------------------------

/** Runs the scatter itself on numbers in place of data and updates. */
function* scattered(call: RuleCall, data: Float64Array, updates: Float64Array, reduction: string) {
  const inputs = [tensorOf(call.input(0).shape, data), call.input(1), tensorOf(call.input(2).shape, updates)]
  return yield* rerun(call, inputs, { ...call.attributes, reduction })
}

const scatter: BoundRule = function* (call): Work {
  const [data, updates] = [call.input(0), call.input(2)]
  const result = resultOf(call)
  if (hasErrors(call.bounds[1])) return [unknown(result)]
  const reduction = String(call.attributes["reduction"])
  const isFloat = DTypes.isFloat(data.dtype)
  const sums = reduction === "add" || reduction === "mul"
  if (!hasInputErrors(call) && !(isFloat && sums)) return [undefined]
  const [ed, eu] = [boundOf(call, 0), boundOf(call, 2)]
  if (!sums) return [yield* scattered(call, ed, eu, reduction === "none" ? "none" : "max")]
  const [sizesD, sizesU] = [magnitudes(Elements.numbers(data)), magnitudes(Elements.numbers(updates))]
  const reachD = sizesD.map((size, i) => size + (ed[i] ?? 0))
  const reachU = sizesU.map((size, i) => size + (eu[i] ?? 0))
  const reach = yield* scattered(call, reachD, reachU, reduction)
  const inner =
    reduction === "mul" ? yield* scattered(call, sizesD, sizesU, "mul") : yield* scattered(call, ed, eu, "add")
  // How many updates each element takes: the depth of its sum.
  const ones = new Float64Array(sizesU.length).fill(1)
  const counts = yield* scattered(call, new Float64Array(sizesD.length), ones, "add")
  const unit = isFloat ? call.unitRoundoff(data.dtype) : 0
  const bound = new Float64Array(reach.length)
  for (let i = 0; i < bound.length; i++) {
    const g = Rounding.gamma(counts[i] ?? 0, unit)
    bound[i] =
      reduction === "mul" ? productError(inner[i] ?? 0, reach[i] ?? 0, g) : (inner[i] ?? 0) + g * (reach[i] ?? 0)
    // An element that nothing was added to is the operand's own.
    if (counts[i] === 0) bound[i] = ed[i] ?? 0
  }
  const rounded = Rounding.addHalfUlp(bound.slice(), Elements.numbers(result), result.dtype)
  return [rounded.map((error, i) => (counts[i] === 0 ? (bound[i] ?? 0) : error))]
}

// ---- dequantize -----------------------------------------------------------------------------------------------------------

const dequantize: BoundRule = (call) => {
  const [q, scale, zero] = [call.input(0), call.input(1), call.inputs[2]]
  const result = resultOf(call)
  const placement = { axis: Number(call.attributes["axis"]), block: Number(call.attributes["block"]) }
  const index = scaleIndex(q.shape, scale, placement, call.fail)
  const [values, scales] = [Elements.numbers(q), Elements.numbers(scale)]
  const zeros = zero === undefined ? undefined : Elements.numbers(zero)
  const [eq, es, ez] = [boundOf(call, 0), boundOf(call, 1), boundOf(call, 2)]
  const unit = call.unitRoundoff(result.dtype)
  const bound = new Float64Array(values.length)
  for (let i = 0; i < bound.length; i++) {
    const which = index[i] ?? 0
    const place = zeros !== undefined && zeros.length === 1 ? 0 : which
    const steps = Math.abs((values[i] ?? 0) - (zeros?.[place] ?? 0))
    const stepError = (eq[i] ?? 0) + (ez[place] ?? 0)
    const by = Math.abs(scales[which] ?? 1)
    bound[i] = stepError * by + (steps + stepError) * (es[which] ?? 0) + Rounding.gamma(2, unit) * steps * by
  }
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
}

// ---- resampling -------------------------------------------------------------------------------------------------------------

// The attributes are those that the op's schema has checked, and that the kernel of the same node has just taken.
const resizeAttributes = ({ attributes }: { readonly attributes: unknown }): ResizeAttributes =>
  attributes as ResizeAttributes
const gridAttributes = ({ attributes }: { readonly attributes: unknown }): GridAttributes =>
  attributes as GridAttributes

const resize: BoundRule = function* (call): Work {
  const x = call.input(0)
  const result = resultOf(call)
  const a = resizeAttributes(call)
  if (a.mode === "nearest")
    return hasInputErrors(call)
      ? [yield* rerun(call, [tensorOf(x.shape, boundOf(call, 0))])].map(magnitudes)
      : [undefined]
  const isFloat = DTypes.isFloat(x.dtype)
  if (!isFloat && !hasInputErrors(call)) return [undefined]
  // Coordinates are rounded, too: by their own size, which the extents bound.
  const extent = Math.max(1, ...x.shape, ...a.shape)
  const unit = call.unitRoundoff(x.dtype)
  const g = isFloat ? Rounding.gamma(resizeDepth(x.shape, a) + 8, unit) + 8 * extent * unit : 0
  const [sizes, errors] = [magnitudes(Elements.numbers(x)), boundOf(call, 0)]
  const terms = sizes.map((size, i) => g * size + (errors[i] ?? 0))
  const bound = resized(terms, x.shape, a, true, 0)
  if (!isFloat) return [bound.map((error) => error + 1)]
  return [Rounding.addHalfUlp(bound === terms ? bound.slice() : bound, Elements.numbers(result), result.dtype)]
}

/**
 * Errors of x by the weights' magnitudes. An error of the grid moves the coordinate by half the extent times as much: linear
 * and cubic samples are Lipschitz in it (differences of neighbours: 2·max|x|; cubic weights: 4·1.5 an axis more), a nearest
 * one jumps, so that nothing is known.
 */
const gridSample: BoundRule = (call) => {
  const [x, grid] = [call.input(0), call.input(1)]
  const result = resultOf(call)
  const a = gridAttributes(call)
  const gridErrors = call.bounds[1]
  const gridIsExact = !hasErrors(gridErrors)
  if (a.mode === "nearest" && !gridIsExact) return [unknown(result)]
  const rank = x.shape.length - 2
  const extent = Math.max(1, ...x.shape.slice(2))
  const width = a.mode === "linear" ? 2 : 4
  const unit = call.unitRoundoff(x.dtype)
  const g = a.mode === "nearest" ? 0 : Rounding.gamma(width ** rank + 8 * rank, unit) + 8 * extent * unit
  const [sizes, errors] = [magnitudes(Elements.numbers(x)), boundOf(call, 0)]
  const terms = sizes.map((size, i) => g * size + (errors[i] ?? 0))
  const bound = sampled(terms, x.shape, Elements.numbers(grid), grid.shape, a, true)
  if (gridErrors !== undefined && !gridIsExact)
    addGridErrors(bound, call, gridErrors, a.mode === "linear", rank, extent)
  if (a.mode === "nearest") return [bound]
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
}

const addGridErrors = (
  bound: Float64Array,
  call: RuleCall,
  gridErrors: Float64Array,
  isLinear: boolean,
  rank: number,
  extent: number
): void => {
  const x = call.input(0)
  const [batch, channels] = [x.shape[0] ?? 1, x.shape[1] ?? 1]
  const points = bound.length / Math.max(1, batch * channels)
  const values = Elements.numbers(x)
  const errors = boundOf(call, 0)
  let largest = 0
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i] ?? 0) + (errors[i] ?? 0))
  const slope = (extent / 2) * largest * (isLinear ? 2 : 4 * 1.5 ** (rank - 1))
  for (let n = 0; n < batch; n++)
    for (let p = 0; p < points; p++) {
      let moved = 0
      for (let axis = 0; axis < rank; axis++) moved += gridErrors[(n * points + p) * rank + axis] ?? 0
      for (let c = 0; c < channels; c++) {
        const at = (n * channels + c) * points + p
        bound[at] = (bound[at] ?? 0) + (moved === 0 ? 0 : slope * moved)
      }
    }
}

const entry = (op: OpDefinition, rule: BoundRule): readonly [string, BoundRule] => [op.name, rule]

export const rules: ReadonlyMap<string, BoundRule> = new Map([
  entry(Ops.select, select),
  entry(Ops.cast, cast),
  entry(Ops.bitcast, bitcast),
  entry(Ops.reduceProd, reduceProduct),
  entry(Ops.cumulativeSum, cumulative(false)),
  entry(Ops.cumulativeProduct, cumulative(true)),
  entry(Ops.maxPool, maxPool),
  entry(Ops.topK, topK),
  entry(Ops.scatterElements, scatter),
  entry(Ops.scatterNd, scatter),
  entry(Ops.dequantize, dequantize),
  entry(Ops.resize, resize),
  entry(Ops.gridSample, gridSample)
])
