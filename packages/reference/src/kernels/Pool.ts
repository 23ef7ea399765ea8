// Kernels of pooling: greatest element or mean of each window over the spatial axes.
//
// A window that lies in the padding altogether has the dtype's least value and index 0 (max), or the mean NaN (integers: 0).
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

export interface PoolAttributes {
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<number>
  readonly padsEnd: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
}

/** The operand positions of every window, by result position: `positions[starts[p]] … positions[starts[p + 1] − 1]`. */
export interface Windows {
  readonly starts: Int32Array
  readonly positions: Int32Array
  /** Taps of each window that lie inside the data and its padding. */
  readonly padded: Int32Array
}

export const windows = (input: ReadonlyArray<number>, output: ReadonlyArray<number>, a: PoolAttributes): Windows => {
  const rank = output.length
  const count = Tensors.size(output)
  const taps = Tensors.size(a.kernel)
  const starts = new Int32Array(count + 1)
  const positions = new Int32Array(count * taps)
  const padded = new Int32Array(count)
  let used = 0
  for (let p = 0; p < count; p++) {
    for (let tap = 0; tap < taps; tap++) {
      let [restPosition, restTap, flat, step] = [p, tap, 0, 1]
      let [isData, isPadded] = [true, true]
      for (let axis = rank - 1; axis >= 0; axis--) {
        const [extent, kernel, size] = [output[axis] ?? 1, a.kernel[axis] ?? 1, input[axis] ?? 1]
        const before = a.padsBegin[axis] ?? 0
        const x =
          (restPosition % extent) * (a.strides[axis] ?? 1) + (restTap % kernel) * (a.dilations[axis] ?? 1) - before
        restPosition = Math.floor(restPosition / extent)
        restTap = Math.floor(restTap / kernel)
        if (x < 0 || x >= size) isData = false
        if (x >= size + (a.padsEnd[axis] ?? 0)) isPadded = false
        flat += x * step
        step *= size
      }
      if (isData) positions[used++] = flat
      if (isPadded) padded[p] = (padded[p] ?? 0) + 1
    }
    starts[p + 1] = used
  }
  return { starts, positions: positions.subarray(0, used), padded }
}

/** The flat index in column-major order of the last two axes. */
const columnMajor = (flat: number, shape: ReadonlyArray<number>): number => {
  const [rows, columns] = shape.length < 4 ? [1, shape.at(-1) ?? 1] : [shape.at(-2) ?? 1, shape.at(-1) ?? 1]
  const image = rows * columns
  const inside = flat % image
  return flat - inside + (inside % columns) * rows + Math.floor(inside / columns)
}

const maxPool = Kernel.define(Ops.maxPool, (call) => {
  const [x, shape] = [call.input(0), call.shape(0)]
  const { positions, starts } = windows(x.shape.slice(2), shape.slice(2), call.attributes)
  const area = Tensors.size(x.shape.slice(2))
  const results = starts.length - 1
  const planes = (x.shape[0] ?? 1) * (x.shape[1] ?? 1)
  const keys = Elements.keys(x)
  const at = new Float64Array(planes * results).fill(-1)
  for (let plane = 0; plane < planes; plane++)
    for (let p = 0; p < results; p++) {
      let best = -1
      for (let i = starts[p] ?? 0; i < (starts[p + 1] ?? 0); i++) {
        const candidate = plane * area + (positions[i] ?? 0)
        const key = keys[candidate] ?? 0
        const bestKey = keys[best] ?? 0
        // NaN, the only key that differs from itself, wins.
        if (best < 0 || key > bestKey || (key !== key && bestKey === bestKey)) best = candidate
      }
      at[plane * results + p] = best
    }
  const values = Strided.pick(
    x,
    shape,
    at.map((position) => Math.max(0, position))
  )
  const [low] = Elements.extremes(x.dtype)
  const least = Elements.fromNumbers(x.dtype, [], Float64Array.of(low)).data[0] ?? 0
  for (let i = 0; i < at.length; i++) if (at[i] === -1) values.data[i] = least
  const order = call.attributes.indexOrder
  const indices = at.map((position) =>
    position < 0 ? 0 : order === "rowMajor" ? position : columnMajor(position, x.shape)
  )
  return [values, Elements.integers(shape, indices)]
})

/** Sums of the windows of each plane, divided by `divisors`. */
export const windowMeans = (
  x: Float64Array,
  planes: number,
  area: number,
  { positions, starts }: Windows,
  divisors: ArrayLike<number>
): Float64Array => {
  const results = starts.length - 1
  const result = new Float64Array(planes * results)
  for (let plane = 0; plane < planes; plane++)
    for (let p = 0; p < results; p++) {
      let total = 0
      for (let i = starts[p] ?? 0; i < (starts[p + 1] ?? 0); i++) total += x[plane * area + (positions[i] ?? 0)] ?? 0
      result[plane * results + p] = total / (divisors[p] ?? 1)
    }
  return result
}

/** Elements of each window that the mean is over. */
export const divisors = ({ padded, starts }: Windows, includePad: boolean): Int32Array =>
  includePad ? padded : padded.map((_, p) => (starts[p + 1] ?? 0) - (starts[p] ?? 0))

const averagePool = Kernel.define(Ops.averagePool, (call) => {
  const [x, shape] = [call.input(0), call.shape(0)]
  const found = windows(x.shape.slice(2), shape.slice(2), call.attributes)
  const planes = (x.shape[0] ?? 1) * (x.shape[1] ?? 1)
  const area = Tensors.size(x.shape.slice(2))
  const by = divisors(found, call.attributes.includePad)
  return [Elements.fromNumbers(x.dtype, shape, windowMeans(Elements.numbers(x), planes, area, found, by))]
})

export const all: ReadonlyArray<Entry> = [maxPool, averagePool]
