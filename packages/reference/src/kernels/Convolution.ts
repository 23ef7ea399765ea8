// Kernels of convolution and its transpose, any number of spatial axes, in float64.
//
// One matrix product a group and batch: weights [out/groups, channels/groups · taps] × columns [that, positions], where a
// column holds the window of one position; long rows of positions are done in parts, so that columns stay small.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry, Work } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import { multiplyAdd } from "./MatrixProduct.ts"

/** A sliding window over spatial axes: result position p, tap t ⇒ operand position p·stride + t·dilation − before. */
export interface Window {
  readonly input: ReadonlyArray<number>
  readonly output: ReadonlyArray<number>
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly before: ReadonlyArray<number>
}

/** Flat operand positions of one tap for result positions [from, to); −1 where the tap is in the padding. */
const tapPositions = (w: Window, tap: number, from: number, to: number, positions: Int32Array): void => {
  const rank = w.output.length
  const coordinates = new Int32Array(rank)
  const offsets = new Int32Array(rank)
  let restTap = tap
  let restPosition = from
  for (let axis = rank - 1; axis >= 0; axis--) {
    const kernel = w.kernel[axis] ?? 1
    const extent = w.output[axis] ?? 1
    offsets[axis] = (restTap % kernel) * (w.dilations[axis] ?? 1) - (w.before[axis] ?? 0)
    restTap = Math.floor(restTap / kernel)
    coordinates[axis] = restPosition % extent
    restPosition = Math.floor(restPosition / extent)
  }
  const last = rank - 1
  const lastExtent = w.output[last] ?? 1
  const lastInput = w.input[last] ?? 1
  const lastStride = w.strides[last] ?? 1
  const lastOffset = offsets[last] ?? 0
  let at = from
  while (at < to) {
    // One row along the last axis; its start in the operand, or −1 when another axis is in the padding.
    let base = 0
    for (let axis = 0; axis < last; axis++) {
      const x = (coordinates[axis] ?? 0) * (w.strides[axis] ?? 1) + (offsets[axis] ?? 0)
      const extent = w.input[axis] ?? 1
      base = base < 0 || x < 0 || x >= extent ? -1 : base * extent + x
    }
    const first = coordinates[last] ?? 0
    const count = Math.min(lastExtent - first, to - at)
    for (let i = 0; i < count; i++) {
      const x = (first + i) * lastStride + lastOffset
      positions[at - from + i] = base < 0 || x < 0 || x >= lastInput ? -1 : base * lastInput + x
    }
    at += count
    coordinates[last] = 0
    for (let axis = last - 1; axis >= 0; axis--) {
      const next = (coordinates[axis] ?? 0) + 1
      if (next < (w.output[axis] ?? 1)) {
        coordinates[axis] = next
        break
      }
      coordinates[axis] = 0
    }
  }
}

export interface ConvShapes {
  readonly batch: number
  readonly groups: number
  /** Channels of x, and results, a group. */
  readonly channels: number
  readonly results: number
  readonly taps: number
  readonly window: Window
}

type ConvAttributes = {
  readonly strides: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly groups: number
}

export const convShapes = (
  x: ReadonlyArray<number>,
  w: ReadonlyArray<number>,
  output: ReadonlyArray<number>,
  attributes: ConvAttributes
): ConvShapes => {
  const { dilations, groups, padsBegin, strides } = attributes
  const kernel = w.slice(2)
  return {
    batch: x[0] ?? 1,
    groups,
    channels: (x[1] ?? 0) / groups,
    results: (w[0] ?? 0) / groups,
    taps: Tensors.size(kernel),
    window: { input: x.slice(2), output: output.slice(2), kernel, strides, dilations, before: padsBegin }
  }
}

/** Whether result positions are operand positions, one for one. */
const isWholeArea = ({ before, input, output, strides }: Window): boolean =>
  input.every((extent, axis) => extent === output[axis] && strides[axis] === 1 && before[axis] === 0)

/** One row of columns: what one tap of one channel reads for `count` result positions. */
const fillColumns = (
  x: Float64Array,
  start: number,
  positions: Int32Array,
  columns: Float64Array,
  row: number,
  count: number
): void => {
  for (let i = 0; i < count; i++) {
    const position = positions[i] ?? -1
    columns[row + i] = position < 0 ? 0 : (x[start + position] ?? 0)
  }
}

/** Elements of the largest block of columns: what stays in a core's cache. */
const columnElements = 1 << 16

/** One channel a group: no columns, each tap adds its share; terms are added in the order that the product has. */
function* convolveDepthwise(
  x: Float64Array,
  w: Float64Array,
  shapes: ConvShapes,
  result: Float64Array
): Work<Float64Array> {
  const { batch, groups, taps, window } = shapes
  const area = Tensors.size(window.output)
  const inputArea = Tensors.size(window.input)
  for (let plane = 0; plane < batch * groups; plane++) {
    for (let tap = 0; tap < taps; tap++) {
      const weight = w[(plane % groups) * taps + tap] ?? 0
      addTap(x, plane * inputArea, window, tap, weight, result, plane * area)
    }
    yield
  }
  return result
}

/** Adds weight · x at the positions of one tap to one plane of the result, row by row along the last axis. */
const addTap = (
  x: Float64Array,
  xStart: number,
  w: Window,
  tap: number,
  weight: number,
  result: Float64Array,
  resultStart: number
): void => {
  const last = w.output.length - 1
  const width = w.output[last] ?? 1
  const rows = Tensors.size(w.output) / Math.max(1, width)
  const [inputWidth, stride] = [w.input[last] ?? 1, w.strides[last] ?? 1]
  const offset = (tap % (w.kernel[last] ?? 1)) * (w.dilations[last] ?? 1) - (w.before[last] ?? 0)
  // Positions of the row whose operand is inside: 0 ≤ i·stride + offset < inputWidth.
  const low = Math.max(0, Math.ceil(-offset / stride))
  const high = Math.min(width, Math.floor((inputWidth - 1 - offset) / stride) + 1)
  for (let row = 0; row < rows; row++) {
    const base = rowBase(w, tap, row)
    if (base < 0) continue
    addScaled(x, xStart + base * inputWidth + offset, stride, weight, result, resultStart + row * width, low, high)
  }
}

/** The operand's row (all axes but the last) that a tap reads for a row of the result; −1 in the padding. */
const rowBase = (w: Window, tap: number, row: number): number => {
  const last = w.output.length - 1
  let restTap = Math.floor(tap / (w.kernel[last] ?? 1))
  let restRow = row
  let base = 0
  let scale = 1
  for (let axis = last - 1; axis >= 0; axis--) {
    const [kernel, extent, input] = [w.kernel[axis] ?? 1, w.output[axis] ?? 1, w.input[axis] ?? 1]
    const inside =
      (restRow % extent) * (w.strides[axis] ?? 1) +
      (restTap % kernel) * (w.dilations[axis] ?? 1) -
      (w.before[axis] ?? 0)
    if (inside < 0 || inside >= input) return -1
    base += inside * scale
    scale *= input
    restTap = Math.floor(restTap / kernel)
    restRow = Math.floor(restRow / extent)
  }
  return base
}

const addScaled = (
  x: Float64Array,
  xStart: number,
  stride: number,
  weight: number,
  result: Float64Array,
  start: number,
  low: number,
  high: number
): void => {
  for (let i = low; i < high; i++) result[start + i] = (result[start + i] ?? 0) + weight * (x[xStart + i * stride] ?? 0)
}

/** x ⋆ w in float64, not rounded, no bias. Pauses after each block. */
export function* convolve(x: Float64Array, w: Float64Array, shapes: ConvShapes): Work<Float64Array> {
  const { batch, channels, groups, results, taps, window } = shapes
  const depth = channels * taps
  const area = Tensors.size(window.output)
  const inputArea = Tensors.size(window.input)
  const result = new Float64Array(batch * groups * results * area)
  if (result.length === 0 || depth === 0) return result
  if (taps === 1 && isWholeArea(window)) {
    // A 1 × 1 window: the operand is its own columns.
    for (let n = 0; n < batch; n++)
      for (let g = 0; g < groups; g++) {
        const at = n * groups + g
        const [source, target] = [at * channels * area, at * results * area]
        multiplyAdd(w, g * results * depth, x, source, result, target, results, depth, area)
        yield
      }
    return result
  }
  if (channels === 1 && results === 1) return yield* convolveDepthwise(x, w, shapes, result)
  const part = Math.max(1, Math.min(area, Math.floor(columnElements / depth)))
  const columns = new Float64Array(depth * part)
  // Where each tap reads is the same for all channels, groups and batches.
  const positions = Array.from({ length: taps }, () => new Int32Array(part))
  const block = new Float64Array(part === area ? 0 : results * part)
  for (let from = 0; from < area; from += part) {
    const count = Math.min(part, area - from)
    for (const [tap, list] of positions.entries()) tapPositions(window, tap, from, from + count, list)
    for (let n = 0; n < batch; n++)
      for (let g = 0; g < groups; g++) {
        const source = (n * groups + g) * channels * inputArea
        for (let c = 0; c < channels; c++)
          for (const [tap, list] of positions.entries())
            fillColumns(x, source + c * inputArea, list, columns, (c * taps + tap) * count, count)
        const weights = g * results * depth
        const target = (n * groups + g) * results * area
        if (count === area) multiplyAdd(w, weights, columns, 0, result, target, results, depth, count)
        else {
          block.fill(0)
          multiplyAdd(w, weights, columns, 0, block, 0, results, depth, count)
          for (let r = 0; r < results; r++)
            result.set(block.subarray(r * count, (r + 1) * count), target + r * area + from)
        }
        yield
      }
  }
  return result
}

/** Adds a bias [channels] to each channel of [batch, channels, area]. */
export const addBias = (values: Float64Array, bias: Float64Array, batch: number): void => {
  const channels = bias.length
  const area = values.length / Math.max(1, batch * channels)
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const amount = bias[c] ?? 0
      const start = (n * channels + c) * area
      for (let i = start; i < start + area; i++) values[i] = (values[i] ?? 0) + amount
    }
}

export type Contract = (x: Float64Array, w: Float64Array) => Work<Float64Array>

function* withBias(
  contract: Contract,
  x: Tensor,
  w: Tensor,
  bias: Tensor | undefined,
  shape: ReadonlyArray<number>
): Work<ReadonlyArray<Tensor>> {
  const result = yield* contract(Elements.numbers(x), Elements.numbers(w))
  if (bias !== undefined) addBias(result, Elements.numbers(bias), x.shape[0] ?? 1)
  return [Elements.fromNumbers(x.dtype, shape, result)]
}

/** The window of a transposed convolution is that of the convolution whose gradient it is: from its result to x. */
export const transposedShapes = (
  x: ReadonlyArray<number>,
  w: ReadonlyArray<number>,
  output: ReadonlyArray<number>,
  attributes: ConvAttributes
): ConvShapes => {
  const { dilations, groups, padsBegin, strides } = attributes
  const kernel = w.slice(2)
  return {
    batch: x[0] ?? 1,
    groups,
    channels: (x[1] ?? 0) / groups,
    results: w[1] ?? 0,
    taps: Tensors.size(kernel),
    window: { input: output.slice(2), output: x.slice(2), kernel, strides, dilations, before: padsBegin }
  }
}

/** The transposed product: columns wᵀ · x, each added to the place that its tap came from. */
export function* convolveTransposed(x: Float64Array, w: Float64Array, shapes: ConvShapes): Work<Float64Array> {
  const { batch, channels, groups, results, taps, window } = shapes
  const area = Tensors.size(window.output)
  const outputArea = Tensors.size(window.input)
  const result = new Float64Array(batch * groups * results * outputArea)
  const rows = results * taps
  const columns = new Float64Array(rows * area)
  const weights = new Float64Array(rows * channels)
  const positions = new Int32Array(area)
  for (let g = 0; g < groups; g++) {
    for (let c = 0; c < channels; c++)
      for (let r = 0; r < rows; r++) weights[r * channels + c] = w[(g * channels + c) * rows + r] ?? 0
    for (let n = 0; n < batch; n++) {
      columns.fill(0)
      multiplyAdd(weights, 0, x, (n * groups + g) * channels * area, columns, 0, rows, channels, area)
      for (let tap = 0; tap < taps; tap++) {
        tapPositions(window, tap, 0, area, positions)
        for (let r = 0; r < results; r++) {
          const target = ((n * groups + g) * results + r) * outputArea
          const row = (r * taps + tap) * area
          for (let i = 0; i < area; i++) {
            const position = positions[i] ?? -1
            if (position >= 0) result[target + position] = (result[target + position] ?? 0) + (columns[row + i] ?? 0)
          }
        }
      }
      yield
    }
  }
  return result
}

export const all: ReadonlyArray<Entry> = [
  Kernel.define(Ops.conv, (call) => {
    const [x, w, shape] = [call.input(0), call.input(1), call.shape(0)]
    const shapes = convShapes(x.shape, w.shape, shape, call.attributes)
    return withBias((a, b) => convolve(a, b, shapes), x, w, call.inputs[2], shape)
  }),
  Kernel.define(Ops.convTranspose, (call) => {
    const [x, w, shape] = [call.input(0), call.input(1), call.shape(0)]
    const shapes = transposedShapes(x.shape, w.shape, shape, call.attributes)
    return withBias((a, b) => convolveTransposed(a, b, shapes), x, w, call.inputs[2], shape)
  })
]
