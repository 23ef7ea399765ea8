// A histogram that does not depend on the order of what it saw, nor on how it was batched.
//
// 4,096 bins of one width, half of them below zero. The width is a power of two, the least that covers the largest
// magnitude seen; growing it merges neighbouring bins, and ⌊x/2w⌋ = ⌊⌊x/w⌋/2⌋ holds exactly. So counts are a function
// of the multiset of values alone, and merging two histograms is associative and commutative to the bit.
import * as DType from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"

export interface Histogram {
  /** Bins are 2^exponent wide; −Infinity while only zeros were seen. */
  readonly exponent: number
  /** `counts[half + i]` counts values in [i·w, (i+1)·w). */
  readonly counts: Float64Array
  /** Exact extremes of the finite values; Infinity and −Infinity when there were none. */
  readonly min: number
  readonly max: number
  readonly count: number
  /** NaN and infinite values, which are in no bin. */
  readonly notFinite: number
}

type Extremes = Pick<Histogram, "min" | "max">

/** Bins on each side of zero. */
export const half = 2048

export const empty: Histogram = {
  exponent: -Infinity,
  counts: new Float64Array(2 * half),
  min: Infinity,
  max: -Infinity,
  count: 0,
  notFinite: 0
}

/** Width of a bin; 0 while only zeros were seen. */
export const width = (histogram: Histogram): number => 2 ** histogram.exponent

/** The least exponent whose bins cover [min, max]. */
const exponentFor = (min: number, max: number): number => {
  const magnitude = Math.max(-min, max)
  if (!(magnitude > 0)) return -Infinity
  let exponent = -1074
  // Start near the answer by halving the gap, then step: no logarithm, whose last bit differs between engines.
  for (let step = 1024; step >= 1; step = Math.floor(step / 2))
    while (exponent + step <= 1023 && !covers(min, max, exponent + step - 1)) exponent += step
  return exponent
}

const covers = (min: number, max: number, exponent: number): boolean => {
  const bin = 2 ** exponent
  return bin > 0 && min >= -half * bin && max < half * bin
}

const widened = (histogram: Histogram, exponent: number): Float64Array => {
  if (exponent === histogram.exponent) return histogram.counts.slice()
  const counts = new Float64Array(2 * half)
  // From a histogram of zeros alone, everything stays in the bin that starts at 0.
  const factor = histogram.exponent === -Infinity ? Infinity : 2 ** (exponent - histogram.exponent)
  for (let i = -half; i < half; i++) {
    const amount = histogram.counts[half + i] ?? 0
    if (amount === 0) continue
    const to = factor === Infinity ? (i < 0 ? -1 : 0) : Math.floor(i / factor)
    counts[half + to] = (counts[half + to] ?? 0) + amount
  }
  return counts
}

/** The histogram with all elements of a float tensor added. */
export const observe = (histogram: Histogram, tensor: Tensor.Tensor): Histogram => {
  const values =
    tensor.data instanceof Float32Array || tensor.data instanceof Float64Array ? tensor.data : numbers(tensor)
  let [min, max, notFinite] = [Infinity, -Infinity, 0]
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    if (value - value !== 0) notFinite++
    else {
      if (value < min) min = value
      if (value > max) max = value
    }
  }
  const total = extremes(histogram, { min, max })
  const exponent = exponentFor(total.min, total.max)
  const counts = widened(histogram, exponent)
  const inverse = exponent === -Infinity ? 0 : 2 ** -exponent
  const scale = Number.isFinite(inverse) ? inverse : 0
  // Neighbours are often equal (zeros behind a relu): counted in one place, each addition would wait for the one before.
  const lanes = new Uint32Array(8 * half)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    if (value - value !== 0) continue
    const scaled = scale === 0 && exponent !== -Infinity ? value / 2 ** exponent : value * scale
    let bin = scaled | 0
    // Downwards; a negative value that is lost in the scaling still lies below zero.
    if (value < 0 && (scaled !== bin || scaled === 0)) bin--
    const place = 4 * (half + bin) + (i & 3)
    lanes[place] = (lanes[place] ?? 0) + 1
  }
  for (let i = 0; i < lanes.length; i++) counts[i >> 2] = (counts[i >> 2] ?? 0) + (lanes[i] ?? 0)
  return {
    exponent,
    counts,
    ...total,
    count: histogram.count + values.length - notFinite,
    notFinite: histogram.notFinite + notFinite
  }
}

/** Adding 0 makes −0 to 0, whichever of the two came first. */
const extremes = (a: Extremes, b: Extremes): Extremes => ({
  min: Math.min(a.min, b.min) + 0,
  max: Math.max(a.max, b.max) + 0
})

const numbers = (tensor: Tensor.Tensor): Float64Array =>
  DType.isFloat(tensor.dtype) ? Numbers.toNumbers(tensor) : new Float64Array(0)

export const merge = (a: Histogram, b: Histogram): Histogram => {
  const total = extremes(a, b)
  const exponent = exponentFor(total.min, total.max)
  const counts = widened(a, exponent)
  const other = widened(b, exponent)
  for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] ?? 0) + (other[i] ?? 0)
  return { exponent, counts, ...total, count: a.count + b.count, notFinite: a.notFinite + b.notFinite }
}

/** Counts by magnitude: entry i counts |x| in bin i, the negative side mirrored onto the positive one. */
export const magnitudes = (histogram: Histogram): Float64Array => {
  const folded = new Float64Array(half)
  for (let i = 0; i < half; i++) folded[i] = (histogram.counts[half + i] ?? 0) + (histogram.counts[half - 1 - i] ?? 0)
  return folded
}

/** A range clipped to what was really seen. */
export const clipped = (
  histogram: Histogram,
  low: number,
  high: number
): { readonly min: number; readonly max: number } => ({
  min: Math.max(histogram.min, low),
  max: Math.min(histogram.max, high)
})
