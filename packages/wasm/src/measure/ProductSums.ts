/**
 * ProductSums: the sums of contractions and convolutions at one point by definition, together with what bounds the error of
 * another order of summing: one walk over the terms.
 */
import type { Dim } from "@anneal/ir/Dim"
import type { Contraction, Convolution } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Placed } from "./Draw.ts"

/** Written again at each point. */
export interface Sums {
  /** Σ a·b, zero points taken off: floats in float64, integers exactly, as 32 bits wrap. */
  total: number
  /** Σ |a·b| */
  sizes: number
  /** Σ |b| over the terms that are no padding. */
  weights: number
}

export interface ProductSums {
  /** The epilogue's domain. */
  readonly shape: ReadonlyArray<number>
  readonly at: (point: ReadonlyArray<number>) => Sums
  /** The greatest |a| of the whole operand. */
  readonly greatest: () => number
}

/** By value; sizes of 64 bits are no operands of products. */
const numbersOf = ({ data }: Placed): Float32Array | Float64Array =>
  data instanceof Float64Array || data instanceof Float32Array ? data : Float64Array.from(data, Number)

const greatestOf = (data: Float32Array | Float64Array): number => {
  let greatest = 0
  for (const value of data) if (Math.abs(value) > greatest) greatest = Math.abs(value)
  return greatest
}

const outside = (): never => {
  throw new RangeError("a product reads outside of its buffer")
}

/** `count` terms from the two places on. */
const walk = (
  sums: Sums,
  a: Float32Array | Float64Array,
  b: Float32Array | Float64Array,
  from: readonly [a: number, b: number],
  step: readonly [a: number, b: number],
  { accumulate, zero }: Contraction | Convolution,
  count: number
): void => {
  const wraps = accumulate === "i32"
  let [i, j] = from
  let { sizes, total, weights } = sums
  for (let k = 0; k < count; k++) {
    const y = (b[j] ?? outside()) - zero.b
    const x = (a[i] ?? outside()) - zero.a
    const term = x * y
    total = wraps ? (total + Math.imul(x, y)) | 0 : total + term
    sizes += Math.abs(term)
    weights += Math.abs(y)
    i += step[0]
    j += step[1]
  }
  sums.total = total
  sums.sizes = sizes
  sums.weights = weights
}

const contraction = (region: Contraction, place: (view: View) => Placed, size: (dim: Dim) => number): ProductSums => {
  const [a, b] = [place(region.a), place(region.b)]
  const [left, right] = [numbersOf(a), numbersOf(b)]
  const rank = region.batch.length
  const depth = size(region.k)
  const step = [a.strides[rank + 1] ?? 0, b.strides[rank + 1] ?? 0] as const
  const sums: Sums = { total: 0, sizes: 0, weights: 0 }
  return {
    shape: [...region.batch.map(size), size(region.m), size(region.n)],
    at: (point) => {
      let [i, j] = [a.offset, b.offset]
      for (let axis = 0; axis < rank; axis++) {
        i += (point[axis] ?? 0) * (a.strides[axis] ?? 0)
        j += (point[axis] ?? 0) * (b.strides[axis] ?? 0)
      }
      i += (point[rank] ?? 0) * (a.strides[rank] ?? 0)
      j += (point[rank + 1] ?? 0) * (b.strides[rank] ?? 0)
      sums.total = sums.sizes = sums.weights = 0
      walk(sums, left, right, [i, j], step, region, depth)
      return sums
    },
    greatest: () => greatestOf(left)
  }
}

/** Every tap of a kernel: its position, and how far it is in the weight. */
const tapsOf = (kernel: ReadonlyArray<number>, strides: ReadonlyArray<number>) =>
  kernel.reduce<ReadonlyArray<{ readonly at: ReadonlyArray<number>; readonly weight: number }>>(
    (taps, extent, axis) =>
      taps.flatMap(({ at, weight }) =>
        Array.from({ length: extent }, (_, index) => ({
          at: [...at, index],
          weight: weight + index * (strides[axis] ?? 0)
        }))
      ),
    [{ at: [], weight: 0 }]
  )

const convolution = (region: Convolution, place: (view: View) => Placed, size: (dim: Dim) => number): ProductSums => {
  const [input, weight] = [place(region.input), place(region.weight)]
  const [left, right] = [numbersOf(input), numbersOf(weight)]
  const before = region.padsBegin.map(size)
  const channels = input.shape[2] ?? 1
  const taps = tapsOf(weight.shape.slice(3), weight.strides.slice(3))
  const spatial = input.shape.slice(3)
  const steps = input.strides.slice(3)
  const { dilations, strides, transposed } = region
  const step = [input.strides[2] ?? 0, weight.strides[2] ?? 0] as const
  const sums: Sums = { total: 0, sizes: 0, weights: 0 }
  /** Where a tap reads in the input, beside batch, group and channel; undefined in the padding. */
  const source = (point: ReadonlyArray<number>, tap: ReadonlyArray<number>): number | undefined => {
    let place = 0
    for (let axis = 0; axis < tap.length; axis++) {
      const [stride, shift] = [strides[axis] ?? 1, before[axis] ?? 0]
      const moved = (tap[axis] ?? 0) * (dilations[axis] ?? 1)
      const at = point[axis + 3] ?? 0
      const raw = transposed ? (at + shift - moved) / stride : at * stride + moved - shift
      if (!Number.isInteger(raw) || raw < 0 || raw >= (spatial[axis] ?? 1)) return undefined
      place += raw * (steps[axis] ?? 0)
    }
    return place
  }
  return {
    shape: [size(region.batch), region.groups, weight.shape[1] ?? 1, ...region.out.map(size)],
    at: (point) => {
      const [batch = 0, group = 0, channel = 0] = point
      const x = input.offset + batch * (input.strides[0] ?? 0) + group * (input.strides[1] ?? 0)
      const w = weight.offset + group * (weight.strides[0] ?? 0) + channel * (weight.strides[1] ?? 0)
      sums.total = sums.sizes = sums.weights = 0
      for (const tap of taps) {
        const from = source(point, tap.at)
        if (from !== undefined) walk(sums, left, right, [x + from, w + tap.weight], step, region, channels)
      }
      return sums
    },
    greatest: () => greatestOf(left)
  }
}

export const prepare = (
  region: Contraction | Convolution,
  place: (view: View) => Placed,
  size: (dim: Dim) => number
): ProductSums => (region.kind === "contraction" ? contraction(region, place, size) : convolution(region, place, size))
