// Bounds of functions that jump. They differ only where the operands' errors reach a jump: monotone functions by as much as
// their values at the two ends of the interval differ, a comparison or a position by anything.
import * as Ops from "@anneal/ir/Ops"
import type { OpDefinition } from "@anneal/ir/Op"
import type { Bound, BoundRule } from "../BoundRule.ts"
import {
  boundAt,
  boundOf,
  hasErrors,
  hasInputErrors,
  rerun,
  resultOf,
  tensorOf,
  unknown,
  valuesAt
} from "../BoundRule.ts"
import * as Elements from "../Elements.ts"
import { scaleIndex } from "../kernels/Quantize.ts"
import * as Rounding from "../Rounding.ts"
import * as Strided from "../Strided.ts"
import * as DTypes from "@anneal/ir/DType"

/** With exact operands the result is exact; else nothing is known of any element. */
export const undecided: BoundRule = (call) =>
  call.results.map((result) => (hasInputErrors(call) ? unknown(result) : undefined))

/** A kernel that should give its own bounds and does not: floats may be anything, the rest as above. */
export const unsaid: BoundRule = (call) =>
  call.results.map((result) => (hasInputErrors(call) || DTypes.isFloat(result.dtype) ? unknown(result) : undefined))

/** Logic and bits: a result is undecided where an operand that it is made of is. */
export const exact: BoundRule = (call) => {
  if (!hasInputErrors(call)) return [undefined]
  const result = resultOf(call)
  const bound = new Float64Array(result.data.length)
  for (const [position, input] of call.inputs.entries()) {
    if (input === undefined) continue
    const errors = boundAt(call, position, result.shape)
    for (let i = 0; i < bound.length; i++) if (errors[i] !== 0) bound[i] = Infinity
  }
  return [bound]
}

/** How far the values at the ends of an interval are from the value inside. */
const spread = (y: Float64Array, low: Float64Array, high: Float64Array): Float64Array => {
  const bound = new Float64Array(y.length)
  for (let i = 0; i < bound.length; i++) {
    const [at, from, to] = [y[i] ?? 0, low[i] ?? 0, high[i] ?? 0]
    // Equal infinities have no distance; NaN anywhere but in the value says nothing.
    const below = at === from ? 0 : at - from
    const above = at === to ? 0 : to - at
    const most = Math.max(below, above)
    bound[i] = at !== at && from !== from && to !== to ? 0 : most === most ? most : Infinity
  }
  return bound
}

/** Functions of one operand that never fall. */
const monotone: BoundRule = function* (call): Generator<void, ReadonlyArray<Bound>> {
  if (!hasInputErrors(call)) return [undefined]
  const x = call.input(0)
  const values = Elements.numbers(x)
  const errors = boundOf(call, 0)
  const low = yield* rerun(call, [
    tensorOf(
      x.shape,
      values.map((value, i) => value - (errors[i] ?? 0))
    )
  ])
  const high = yield* rerun(call, [
    tensorOf(
      x.shape,
      values.map((value, i) => value + (errors[i] ?? 0))
    )
  ])
  return [spread(Elements.numbers(resultOf(call)), low, high)]
}

const compare: BoundRule = (call) => {
  if (!hasInputErrors(call)) return [undefined]
  const { shape } = resultOf(call)
  const [a, b] = [valuesAt(call, 0, shape), valuesAt(call, 1, shape)]
  const [ea, eb] = [boundAt(call, 0, shape), boundAt(call, 1, shape)]
  const bound = new Float64Array(a.length)
  for (let i = 0; i < bound.length; i++) {
    const error = (ea[i] ?? 0) + (eb[i] ?? 0)
    const distance = Math.abs((a[i] ?? 0) - (b[i] ?? 0))
    if (error !== 0 && (distance <= error || error === Infinity)) bound[i] = 1
  }
  return [bound]
}

const modulo: BoundRule = (call) => {
  const result = resultOf(call)
  const { dtype, shape } = result
  const isFloat = Rounding.isFloat(dtype)
  if (!isFloat && !hasInputErrors(call)) return [undefined]
  const round = call.attributes["rounding"] === "floor" ? Math.floor : Math.trunc
  const [a, b] = [valuesAt(call, 0, shape), valuesAt(call, 1, shape)]
  const [ea, eb] = [boundAt(call, 0, shape), boundAt(call, 1, shape)]
  const bound = new Float64Array(a.length)
  for (let i = 0; i < bound.length; i++) {
    const [x, z, ex, ez] = [a[i] ?? 0, b[i] ?? 0, ea[i] ?? 0, eb[i] ?? 0]
    if (ex === 0 && ez === 0) continue
    const corners = [(x - ex) / (z - ez), (x + ex) / (z - ez), (x - ex) / (z + ez), (x + ex) / (z + ez)].map(round)
    const first = corners[0] ?? 0
    const isOne = Math.abs(z) > ez && corners.every((corner) => corner === first)
    bound[i] = isOne ? ex + Math.abs(first) * ez : Infinity
  }
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), dtype)]
}

/** A position is undecided where another candidate's interval reaches that of the one taken. */
const extremePosition: BoundRule = (call) => {
  const errors = call.bounds[0]
  if (errors === undefined || !hasErrors(errors)) return [undefined]
  const x = call.input(0)
  const axis = Strided.normalAxis(Number(call.attributes["axis"]), x.shape.length)
  const { extent, inner, outer } = Strided.around(x.shape, axis)
  const values = Elements.numbers(x)
  const taken = Elements.numbers(resultOf(call))
  const bound = new Float64Array(taken.length)
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const start = o * extent * inner + i
      bound[o * inner + i] = isContested(values, errors, start, inner, extent, taken[o * inner + i] ?? 0) ? Infinity : 0
    }
  return [bound]
}

/** Whether any other element of a strided row may be equal to the one at a position. */
export const isContested = (
  values: Float64Array,
  errors: Float64Array,
  start: number,
  step: number,
  length: number,
  position: number
): boolean => {
  const at = start + position * step
  const [value, error] = [values[at] ?? 0, errors[at] ?? 0]
  for (let e = 0; e < length; e++) {
    const other = start + e * step
    const reach = error + (errors[other] ?? 0)
    if (e !== position && reach > 0 && !(Math.abs((values[other] ?? 0) - value) > reach)) return true
  }
  return false
}

/** One element that may or may not be zero moves all positions after it. */
const nonZero: BoundRule = (call) => {
  const errors = call.bounds[0]
  const values = Elements.numbers(call.input(0))
  const isOpen = errors?.some((error, i) => error > 0 && Math.abs(values[i] ?? 0) <= error) === true
  return [isOpen ? unknown(resultOf(call)) : undefined]
}

/**
 * x / scale within its error, at both ends. The division's own rounding counts where anything is inexact, and always for
 * targets: with exact operands the oracle's quotient is one and the same.
 */
const quantize: BoundRule = (call) => {
  if (!hasInputErrors(call) && !call.isContract) return [undefined]
  const result = resultOf(call)
  const [x, scale, zero] = [call.input(0), call.input(1), call.inputs[2]]
  const placement = { axis: Number(call.attributes["axis"]), block: Number(call.attributes["block"]) }
  const index = scaleIndex(x.shape, scale, placement, call.fail)
  const [values, scales, errors, scaleErrors] = [
    Elements.numbers(x),
    Elements.numbers(scale),
    boundOf(call, 0),
    boundOf(call, 1)
  ]
  const zeros = zero === undefined ? undefined : Elements.numbers(zero)
  // The quotient of f32 elements is an f32 in the contract itself.
  const unit = Math.max(call.unitRoundoff(x.dtype), x.dtype === "f32" ? Rounding.unitRoundoff("f32") : 0)
  const low = new Float64Array(values.length)
  const high = new Float64Array(values.length)
  for (let i = 0; i < low.length; i++) {
    const which = index[i] ?? 0
    const [value, by, error, byError] = [values[i] ?? 0, scales[which] ?? 1, errors[i] ?? 0, scaleErrors[which] ?? 0]
    const least = Math.abs(by) - byError
    const steps = value / by
    const carried = least > 0 ? (error + Math.abs(steps) * byError) / least : Infinity
    const reach = carried + unit * Math.abs(steps)
    const shift = zeros === undefined ? 0 : (zeros[zeros.length === 1 ? 0 : which] ?? 0)
    low[i] = steps - reach + shift
    high[i] = steps + reach + shift
  }
  const rounded = (ends: Float64Array): Float64Array => {
    if (DTypes.isFloat(result.dtype))
      return Elements.numbers(
        Elements.fromNumbers(result.dtype, result.shape, ends, call.attributes["saturate"] === true)
      )
    const [least, most] = Elements.extremes(result.dtype)
    return ends.map((end) => Math.min(most, Math.max(least, end)))
  }
  if (DTypes.isFloat(result.dtype)) return [spread(Elements.numbers(result), rounded(low), rounded(high))]
  // Ties go either way at the ends of the interval: outwards is the safe one.
  const outward = (ends: Float64Array, round: (value: number) => number): Float64Array => rounded(ends.map(round))
  return [
    spread(
      Elements.numbers(result),
      outward(low, (value) => Math.ceil(value - 0.5)),
      outward(high, (value) => Math.floor(value + 0.5))
    )
  ]
}

const entry = (op: OpDefinition, rule: BoundRule): readonly [string, BoundRule] => [op.name, rule]

export const rules: ReadonlyMap<string, BoundRule> = new Map([
  entry(Ops.sign, monotone),
  entry(Ops.ceil, monotone),
  entry(Ops.floor, monotone),
  entry(Ops.round, monotone),
  entry(Ops.mod, modulo),
  entry(Ops.equal, compare),
  entry(Ops.less, compare),
  entry(Ops.lessOrEqual, compare),
  entry(Ops.greater, compare),
  entry(Ops.greaterOrEqual, compare),
  entry(Ops.argMax, extremePosition),
  entry(Ops.argMin, extremePosition),
  entry(Ops.nonZero, nonZero),
  entry(Ops.unique, undecided),
  entry(Ops.nonMaxSuppression, undecided),
  entry(Ops.quantize, quantize)
])
