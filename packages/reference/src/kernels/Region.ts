// Kernels of roiAlign and maxRoiPool. A bin is a list of taps (elements and weights) or a rectangle of elements; the bound
// of a bin comes from the same walk over it.
import * as Ops from "@anneal/ir/Ops"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Elements from "../Elements.ts"
import type { BoundedCall, Cell, Concrete, Entry, KernelCall } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Rounding from "../Rounding.ts"

type AttributesOf<Op> = Op extends OpDefinition<infer A> ? A : never
type Align = AttributesOf<typeof Ops.roiAlign>
type Pool = AttributesOf<typeof Ops.maxRoiPool>

/** The plane of x that a region looks at; fails for a batch that x does not have. */
const batchOf = (fail: (detail: string) => never, batch: number, batches: number): number =>
  Number.isInteger(batch) && batch >= 0 && batch < batches
    ? batch
    : fail(`a region of batch ${batch}, x has ${batches}`)

// ---- roiAlign ---------------------------------------------------------------------------------------------------------

/** Four neighbours a sample: flat positions in a plane and weights. A sample beyond the border has weights of 0. */
interface Taps {
  readonly positions: Int32Array
  readonly weights: Float64Array
}

const axisTaps = (at: number, extent: number): readonly [low: number, high: number, fraction: number] => {
  const from = Math.max(0, at)
  const low = Math.floor(from)
  return low >= extent - 1 ? [extent - 1, extent - 1, 0] : [low, low + 1, from - low]
}

const binTaps = (
  a: Concrete<Align>,
  box: ReadonlyArray<number>,
  row: number,
  column: number,
  height: number,
  width: number
): Taps => {
  const shift = a.halfPixel ? 0.5 : 0
  const [x1, y1, x2, y2] = [0, 1, 2, 3].map((i) => (box[i] ?? 0) * a.spatialScale - shift)
  const least = a.halfPixel ? -Infinity : 1
  const binHeight = Math.max(least, (y2 ?? 0) - (y1 ?? 0)) / a.height
  const binWidth = Math.max(least, (x2 ?? 0) - (x1 ?? 0)) / a.width
  const rows = Math.max(0, a.samples > 0 ? a.samples : Math.ceil(binHeight))
  const columns = Math.max(0, a.samples > 0 ? a.samples : Math.ceil(binWidth))
  const positions = new Int32Array(4 * rows * columns)
  const weights = new Float64Array(4 * rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const y = (y1 ?? 0) + (row + (i + 0.5) / rows) * binHeight
      const x = (x1 ?? 0) + (column + (j + 0.5) / columns) * binWidth
      if (y < -1 || y > height || x < -1 || x > width) continue
      const [top, bottom, down] = axisTaps(y, height)
      const [left, right, across] = axisTaps(x, width)
      const at = 4 * (i * columns + j)
      positions.set([top * width + left, top * width + right, bottom * width + left, bottom * width + right], at)
      weights.set([(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across], at)
    }
  return { positions, weights }
}

/** For each bin of each region, in order: its taps and the flat start of its batch's first plane. */
const eachBin = (call: KernelCall<Align>, visit: (bin: number, taps: Taps, batch: number) => void): void => {
  const [batches = 0, , height = 1, width = 1] = call.input(0).shape
  const [boxes, owners] = [Elements.numbers(call.input(1)), Elements.numbers(call.input(2))]
  const { height: rows, width: columns } = call.attributes
  for (let region = 0; region < owners.length; region++) {
    const batch = batchOf(call.fail, owners[region] ?? 0, batches)
    const box = Array.from(boxes.subarray(4 * region, 4 * region + 4))
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        visit(
          (region * rows + row) * columns + column,
          binTaps(call.attributes, box, row, column, height, width),
          batch
        )
  }
}

/** Pools `terms`, which lie as x does, with each tap's weight: sums over the number of samples, or the greatest. */
const pooled = (call: KernelCall<Align>, terms: Float64Array): Float64Array => {
  const [, channels = 1, height = 1, width = 1] = call.input(0).shape
  const area = height * width
  const bins = call.attributes.height * call.attributes.width
  const isAverage = call.attributes.mode === "average"
  const result = new Float64Array(call.shape(0).reduce((product, extent) => product * extent, 1))
  eachBin(call, (bin, { positions, weights }, batch) => {
    const [region, inside] = [Math.floor(bin / bins), bin % bins]
    for (let channel = 0; channel < channels; channel++) {
      const start = (batch * channels + channel) * area
      let total = isAverage || weights.length === 0 ? 0 : -Infinity
      for (let k = 0; k < weights.length; k++) {
        const term = (weights[k] ?? 0) * (terms[start + (positions[k] ?? 0)] ?? 0)
        total = isAverage ? total + term : Math.max(total, term)
      }
      result[(region * channels + channel) * bins + inside] = isAverage
        ? total / Math.max(1, weights.length / 4)
        : total
    }
  })
  return result
}

const align = (call: KernelCall<Align>): Float64Array => pooled(call, Elements.numbers(call.input(0)))

/** γ · |x| + e pooled as x is; the weights' own rounding too. Where boxes are not exact, nothing is known. */
const alignBounded = (call: BoundedCall<Align>): ReadonlyArray<Cell> => {
  const x = call.input(0)
  const values = align(call)
  const tensor = Elements.fromNumbers(x.dtype, call.shape(0), values)
  const bound = new Float64Array(values.length)
  if (call.bounds[1]?.some((error) => error !== 0) === true) return [{ tensor, bound: bound.fill(Infinity) }]
  const [height = 1, width = 1] = x.shape.slice(2)
  const unit = call.unitRoundoff(x.dtype)
  const samples = call.attributes.samples > 0 ? call.attributes.samples ** 2 : height * width
  const g = Rounding.gamma(4 * samples + 16, unit) + 8 * Math.max(height, width) * unit
  const errors = call.bounds[0]
  const terms = Elements.numbers(x).map((value, i) => g * Math.abs(value) + (errors?.[i] ?? 0))
  const spread = pooled(call, terms)
  return [{ tensor, bound: Rounding.addHalfUlp(spread, Elements.numbers(tensor), x.dtype) }]
}

// ---- maxRoiPool -------------------------------------------------------------------------------------------------------

/** Rounds half away from zero, as C's `round`. */
const rounded = (value: number): number => Math.sign(value) * Math.floor(Math.abs(value) + 0.5)

/** First and last row (or column) of a bin, the last excluded. */
const span = (bin: number, bins: number, start: number, length: number, extent: number): readonly [number, number] => {
  const clamp = (at: number): number => Math.min(extent, Math.max(0, at + start))
  return [clamp(Math.floor((bin * length) / bins)), clamp(Math.ceil(((bin + 1) * length) / bins))]
}

/** The greatest of `terms`, which lie as x does, in each bin; `empty` where there is none. */
const greatest = (call: KernelCall<Pool>, terms: Float64Array): Float64Array => {
  const [batches = 0, channels = 1, height = 1, width = 1] = call.input(0).shape
  const { height: rows, spatialScale, width: columns } = call.attributes
  const boxes = Elements.numbers(call.input(1))
  const result = new Float64Array(call.shape(0).reduce((product, extent) => product * extent, 1))
  let at = 0
  for (let region = 0; region < boxes.length / 5; region++) {
    const batch = batchOf(call.fail, boxes[5 * region] ?? 0, batches)
    const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = Array.from(boxes.subarray(5 * region + 1, 5 * region + 5), (edge) =>
      rounded(edge * spatialScale)
    )
    for (let channel = 0; channel < channels; channel++)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
          const [top, bottom] = span(row, rows, y1, Math.max(1, y2 - y1 + 1), height)
          const [left, right] = span(column, columns, x1, Math.max(1, x2 - x1 + 1), width)
          let best = bottom > top && right > left ? -Infinity : 0
          for (let y = top; y < bottom; y++)
            for (let x = left; x < right; x++)
              best = Math.max(best, terms[((batch * channels + channel) * height + y) * width + x] ?? 0)
          result[at++] = best
        }
  }
  return result
}

const roiPool = (call: KernelCall<Pool>): Float64Array => greatest(call, Elements.numbers(call.input(0)))

/** The largest error of the candidates; nothing is known where boxes are not exact. */
const poolBounded = (call: BoundedCall<Pool>): ReadonlyArray<Cell> => {
  const x = call.input(0)
  const values = roiPool(call)
  const tensor = Elements.fromNumbers(x.dtype, call.shape(0), values)
  if (call.bounds[1]?.some((error) => error !== 0) === true)
    return [{ tensor, bound: new Float64Array(values.length).fill(Infinity) }]
  const errors = call.bounds[0]
  return [{ tensor, bound: errors === undefined ? undefined : greatest(call, errors) }]
}

export const all: ReadonlyArray<Entry> = [
  Kernel.define(
    Ops.roiAlign,
    (call) => [Elements.fromNumbers(call.input(0).dtype, call.shape(0), align(call))],
    alignBounded
  ),
  Kernel.define(
    Ops.maxRoiPool,
    (call) => [Elements.fromNumbers(call.input(0).dtype, call.shape(0), roiPool(call))],
    poolBounded
  )
]
