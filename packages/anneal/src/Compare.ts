/**
 * Whether two tensors agree: |a - b| ≤ atol + rtol·|b| for every element, as numpy's `allclose`, NaN equal to NaN.
 */
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"

export interface Tolerance {
  readonly atol: number
  readonly rtol: number
}

/** Polygraphy's defaults. */
export const defaults: Tolerance = { atol: 1e-5, rtol: 1e-5 }

export interface Agreement {
  readonly agree: boolean
  /** Elements out of tolerance. */
  readonly wrong: number
  readonly count: number
  readonly maxAbsolute: number
  /** |a - b| / |b| where b ≠ 0. */
  readonly maxRelative: number
  /** Row-major place of the worst element, and its values; absent when nothing differs. */
  readonly worst?: { readonly index: ReadonlyArray<number>; readonly found: number; readonly expected: number }
  /** Why no element was compared: the shapes or dtypes differ. */
  readonly detail?: string
}

const described = ({ dtype, shape }: Tensor): string => `${dtype}[${shape.join(", ")}]`

/** Compares what was found with what is expected. A float may be compared with a float of another width. */
export const compare = (found: Tensor, expected: Tensor, { atol, rtol }: Tolerance): Agreement => {
  const count = expected.data.length
  const kinds = DTypes.isFloat(found.dtype) && DTypes.isFloat(expected.dtype)
  if (found.shape.join() !== expected.shape.join() || (found.dtype !== expected.dtype && !kinds))
    return {
      agree: false,
      wrong: count,
      count,
      maxAbsolute: Infinity,
      maxRelative: Infinity,
      detail: `found ${described(found)}, expected ${described(expected)}`
    }
  const [a, b] = [Numbers.toNumbers(found), Numbers.toNumbers(expected)]
  let [wrong, maxAbsolute, maxRelative, worst, worstExcess] = [0, 0, 0, -1, -Infinity]
  for (let i = 0; i < count; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0]
    if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) continue
    const difference = Number.isFinite(x) && Number.isFinite(y) ? Math.abs(x - y) : Infinity
    if (difference > maxAbsolute) maxAbsolute = difference
    if (y !== 0 && difference / Math.abs(y) > maxRelative) maxRelative = difference / Math.abs(y)
    const excess = difference - (atol + rtol * Math.abs(Number.isFinite(y) ? y : 0))
    if (excess > 0) wrong++
    if (excess > worstExcess) [worst, worstExcess] = [i, excess]
  }
  return {
    agree: wrong === 0,
    wrong,
    count,
    maxAbsolute,
    maxRelative,
    ...(worst < 0
      ? {}
      : { worst: { index: unravel(worst, expected.shape), found: a[worst] ?? 0, expected: b[worst] ?? 0 } })
  }
}

const unravel = (place: number, shape: ReadonlyArray<number>): ReadonlyArray<number> => {
  let rest = place
  return shape
    .toReversed()
    .map((extent) => {
      const at = rest % extent
      rest = Math.floor(rest / extent)
      return at
    })
    .reverse()
}

/** `max abs 1.2e-7, max rel 3e-6` or what is wrong. */
export const format = ({ count, detail, maxAbsolute, maxRelative, worst, wrong }: Agreement): string => {
  if (detail !== undefined) return detail
  const figures = `max abs ${maxAbsolute.toPrecision(3)}, max rel ${maxRelative.toPrecision(3)}`
  if (wrong === 0 || worst === undefined) return figures
  const { expected, found, index } = worst
  return `${wrong} of ${count} elements differ, ${figures}; worst at [${index.join(", ")}]: ${found}, expected ${expected}`
}
