// Bounds of functions of single elements, by their slopes, and of min and max.
import type * as Float from "@anneal/ir/Float"
import type { Slope } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { BoundRule, RuleCall } from "../BoundRule.ts"
import { boundAt, hasErrors, hasInputErrors, resultOf, rerun, tensorOf, valuesAt } from "../BoundRule.ts"
import * as Elements from "../Elements.ts"
import * as Rounding from "../Rounding.ts"
import type { DType } from "@anneal/ir/DType"

/** The rounding of a result: `units` half units in the last place of its dtype, and `ulps64` ulps of float64. */
interface OwnRounding {
  readonly table: Float64Array
  readonly units: number
  readonly table64: Float64Array
  readonly ulps64: number
}

/**
 * The oracle's functions are good to an ulp of float64, and are then rounded once; a target's to the op's ulps of the dtype.
 */
const ownRounding = (dtype: Float.Float, ulps: number, isContract: boolean): OwnRounding => {
  const isTotal = isContract || dtype === "f64"
  return {
    table: Rounding.halfUlps(dtype),
    units: ulps === 0 ? 0 : isTotal ? Math.max(1, 2 * ulps) : 1,
    table64: Rounding.halfUlps("f64"),
    ulps64: isTotal ? 0 : ulps
  }
}

const roundingOf = ({ table, table64, ulps64, units }: OwnRounding, y: number): number =>
  units * Rounding.halfUlp(table, y) + 2 * ulps64 * Rounding.halfUlp(table64, y)

/** With exact operands a result that is not finite is one for good. */
const onlyRounding = (y: Float64Array, own: OwnRounding): Float64Array => {
  const bounds = new Float64Array(y.length)
  for (let i = 0; i < bounds.length; i++) {
    const at = y[i] ?? 0
    bounds[i] = Number.isFinite(at) ? roundingOf(own, at) : 0
  }
  return bounds
}

/**
 * The bound of a result that is not finite, by the errors that come in. NaN and infinities that come from operands which are
 * themselves NaN or infinite stay what they are; an overflow may be one only by a hair.
 */
const boundOfNonFinite = (y: number, carried: number, xs: ReadonlyArray<number>): number => {
  if (carried === 0) return 0
  const isGiven = y !== y ? xs.some((x) => x !== x) : xs.some((x) => x === Infinity || x === -Infinity)
  return isGiven && carried < Infinity ? 0 : Infinity
}

/** Truncating integer results may jump by one more than the slope says. */
const integerJump = (call: RuleCall): number => (call.node.op.name === "div" || call.node.op.name === "pow" ? 1 : 0)

type Arrays = ReadonlyArray<Float64Array>

/** The errors in times the slopes, for any op. */
const bySlopes = (slope: Slope, y: Float64Array, values: Arrays, errors: Arrays): Float64Array => {
  const count = values.length
  // Scratch for the slopes: one pair of arrays for all elements.
  const xs = new Array<number>(count).fill(0)
  const es = new Array<number>(count).fill(0)
  const carried = new Float64Array(y.length)
  for (let i = 0; i < carried.length; i++) {
    const at = y[i] ?? 0
    for (let operand = 0; operand < count; operand++) {
      xs[operand] = values[operand]?.[i] ?? 0
      es[operand] = errors[operand]?.[i] ?? 0
    }
    let total = 0
    for (let operand = 0; operand < count; operand++) {
      const error = es[operand] ?? 0
      if (error !== 0) total += slope(operand, xs, es, at) * error
    }
    carried[i] = total === total ? total : Infinity
  }
  return carried
}

/** What the slopes of `add` and `sub` say. */
const sumOfErrors = ([a, b]: Arrays): Float64Array => {
  const carried = new Float64Array(a?.length ?? 0)
  for (let i = 0; i < carried.length; i++) carried[i] = (a?.[i] ?? 0) + (b?.[i] ?? 0)
  return carried
}

/** What the slopes of `mul` say. */
const errorsOfProduct = (values: Arrays, errors: Arrays): Float64Array => {
  const [[a, b], [ea, eb]] = [values, errors]
  const carried = new Float64Array(a?.length ?? 0)
  for (let i = 0; i < carried.length; i++) {
    const [ex, ey] = [ea?.[i] ?? 0, eb?.[i] ?? 0]
    let total = 0
    if (ex !== 0) total += (Math.abs(b?.[i] ?? 0) + ey) * ex
    if (ey !== 0) total += (Math.abs(a?.[i] ?? 0) + ex) * ey
    carried[i] = total === total ? total : Infinity
  }
  return carried
}

/** The commonest ops have loops of their own, which do no more than their slopes say. */
const carriedErrors = (call: RuleCall, slope: Slope, y: Float64Array, values: Arrays, errors: Arrays): Float64Array => {
  const { op } = call.node
  if (op === Ops.add || op === Ops.sub) return sumOfErrors(errors)
  return op === Ops.mul ? errorsOfProduct(values, errors) : bySlopes(slope, y, values, errors)
}

export const elementwise =
  (ulps: number, slope: Slope): BoundRule =>
  (call) => {
    const result = resultOf(call)
    const { dtype, shape } = result
    const isFloat = Rounding.isFloat(dtype)
    const isExact = !hasInputErrors(call)
    if ((!isFloat || ulps === 0) && isExact) return [undefined]
    const y = Elements.numbers(result)
    const own = ownRounding(isFloat ? dtype : "f64", ulps, call.isContract)
    if (isExact) return [onlyRounding(y, own)]
    const values = call.inputs.map((_, i) => valuesAt(call, i, shape))
    const errors = call.inputs.map((_, i) => boundAt(call, i, shape))
    const bounds = carriedErrors(call, slope, y, values, errors)
    const jump = integerJump(call)
    for (let i = 0; i < bounds.length; i++) {
      const [at, carried] = [y[i] ?? 0, bounds[i] ?? 0]
      if (!isFloat) bounds[i] = carried === 0 ? 0 : carried + jump
      else if (Number.isFinite(at)) bounds[i] = carried + roundingOf(own, at)
      else
        bounds[i] = boundOfNonFinite(
          at,
          carried,
          values.map((operand) => operand[i] ?? 0)
        )
    }
    return [bounds]
  }

/** min and max of two: one operand decides where it is out of the other's reach. Reductions: the largest error of a row. */
export const selection: BoundRule = function* (call) {
  const { name } = call.node.op
  if (!hasInputErrors(call)) return [undefined]
  if (name !== "min" && name !== "max") return [yield* largestOfRows(call)]
  const result = resultOf(call)
  const { shape } = result
  const sign = name === "max" ? 1 : -1
  const y = Elements.numbers(result)
  const [a, b] = [valuesAt(call, 0, shape), valuesAt(call, 1, shape)]
  const [ea, eb] = [boundAt(call, 0, shape), boundAt(call, 1, shape)]
  const bounds = new Float64Array(y.length)
  for (let i = 0; i < bounds.length; i++) {
    const [x, z, ex, ez] = [a[i] ?? 0, b[i] ?? 0, ea[i] ?? 0, eb[i] ?? 0]
    const lead = sign * (x - z)
    const error = lead > ex + ez ? ex : -lead > ex + ez ? ez : Math.max(ex, ez)
    bounds[i] = Number.isFinite(y[i] ?? 0) ? error : boundOfNonFinite(y[i] ?? 0, error, [x, z])
  }
  return [bounds]
}

/** Over no elements there is no error. */
function* largestOfRows(call: RuleCall) {
  const x = call.input(0)
  const bound = call.bounds[0]
  const result = resultOf(call)
  if (bound === undefined || !hasErrors(bound) || x.data.length === 0) return undefined
  const largest = new Float64Array(result.data.length)
  // The same reduction over the errors, always by the greatest.
  const isMax = call.node.op.name === "reduceMax"
  const signed = isMax ? bound : bound.map((error) => -error)
  const moved = yield* rerun(call, [tensorOf(x.shape, signed)])
  const y = Elements.numbers(result)
  const isNumber: DType = result.dtype
  for (let i = 0; i < largest.length; i++) {
    const error = Math.abs(moved[i] ?? 0)
    largest[i] = Number.isFinite(y[i] ?? 0) || !Rounding.isFloat(isNumber) ? error : error < Infinity ? 0 : Infinity
  }
  return largest
}
