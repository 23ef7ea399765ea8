// Kernels of resize and gridSample. Both are weighted sums of a few elements; `resized` and `sampled` compute the sums for
// any weights, so that bounds use the same code with the weights' magnitudes.
//
// Source: ONNX Resize 19 and GridSample 20, and the coordinates of their reference implementation.
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as DTypes from "@anneal/ir/DType"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Elements from "../Elements.ts"
import type { Concrete, Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"
import { roundHalfEven } from "./Unary.ts"

type AttributesOf<Op> = Op extends OpDefinition<infer A> ? Concrete<A> : never
export type ResizeAttributes = AttributesOf<typeof Ops.resize>
export type GridAttributes = AttributesOf<typeof Ops.gridSample>

/** For each result coordinate along an axis: `width` operand positions and their weights. */
interface Taps {
  readonly width: number
  readonly positions: Int32Array
  readonly weights: Float64Array
  /** Coordinates outside the cropped operand, which get the fill. */
  readonly outside: Uint8Array
}

const coordinate = (a: ResizeAttributes, axis: number, x: number, input: number, output: number): number => {
  const given = a.scales[axis]
  const scale = given ?? output / input
  // ONNX computes with the extent before it was rounded down.
  const width = given === undefined ? output : given * input
  const [start, end] = [a.region[axis] ?? 0, a.region[axis + a.region.length / 2] ?? 1]
  switch (a.coordinates) {
    case "halfPixel":
      return (x + 0.5) / scale - 0.5
    case "halfPixelSymmetric":
      return (input / 2) * (1 - output / width) + (x + 0.5) / scale - 0.5
    case "pytorchHalfPixel":
      return width === 1 ? -0.5 : (x + 0.5) / scale - 0.5
    case "alignCorners":
      return width === 1 ? 0 : (x * (input - 1)) / (width - 1)
    case "asymmetric":
      return x / scale
    case "cropAndResize":
      return width === 1
        ? start * (input - 1) + ((end - start) * (input - 1)) / 2
        : start * (input - 1) + (x * (end - start) * (input - 1)) / (width - 1)
  }
}

const nearestPosition = (x: number, rule: ResizeAttributes["nearest"]): number => {
  const low = Math.floor(x)
  switch (rule) {
    case "floor":
      return low
    case "ceil":
      return Math.ceil(x)
    case "roundPreferFloor":
      return x - low <= 0.5 ? low : low + 1
    case "roundPreferCeil":
      return x - low < 0.5 ? low : low + 1
  }
}

/** Keys' cubic kernel; `a` is −0.5 or −0.75 in practice. R. Keys 1981. */
const cubicWeight = (distance: number, a: number): number => {
  const x = Math.abs(distance)
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
}

const linearWeight = (distance: number): number => Math.max(0, 1 - Math.abs(distance))

const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x))

const axisTaps = (a: ResizeAttributes, axis: number, input: number, output: number): Taps => {
  const scale = a.antialias ? Math.min(1, a.scales[axis] ?? output / input) : 1
  const reach = a.mode === "cubic" ? 2 : 1
  const first = a.mode === "nearest" ? 0 : Math.floor(-reach / scale) + 1
  const width = a.mode === "nearest" ? 1 : 2 - 2 * first
  const positions = new Int32Array(output * width)
  const weights = new Float64Array(output * width)
  const outside = new Uint8Array(output)
  for (let o = 0; o < output; o++) {
    const x = coordinate(a, axis, o, input, output)
    if (a.coordinates === "cropAndResize" && (x < 0 || x > input - 1)) outside[o] = 1
    if (a.mode === "nearest") {
      positions[o] = clamp(nearestPosition(x, a.nearest), 0, input - 1)
      weights[o] = 1
      continue
    }
    const low = Math.floor(x)
    let total = 0
    for (let k = 0; k < width; k++) {
      const position = low + first + k
      const distance = (position - x) * scale
      const isOutside = position < 0 || position >= input
      const raw = a.mode === "cubic" ? cubicWeight(distance, a.cubicCoefficient) : linearWeight(distance)
      const weight = a.excludeOutside && isOutside ? 0 : raw
      positions[o * width + k] = clamp(position, 0, input - 1)
      weights[o * width + k] = weight
      total += weight
    }
    if (a.antialias || a.excludeOutside)
      for (let k = o * width; k < (o + 1) * width; k++) weights[k] = (weights[k] ?? 0) / total
  }
  return { width, positions, weights, outside }
}

/** Whether an axis is left as it is. */
const isKept = (a: ResizeAttributes, axis: number, input: number, output: number): boolean =>
  input === output && (a.scales[axis] ?? 1) === 1 && a.coordinates !== "cropAndResize"

/** Values resized axis by axis in float64, not rounded; with `magnitudes`, by the magnitudes of the weights. */
export const resized = (
  x: Float64Array,
  shape: ReadonlyArray<number>,
  a: ResizeAttributes,
  magnitudes: boolean,
  fill: number
): Float64Array => {
  let values = x
  let extents = [...shape]
  const outside: Array<Uint8Array> = []
  for (const [axis, input] of shape.entries()) {
    const output = a.shape[axis] ?? input
    if (isKept(a, axis, input, output)) {
      outside.push(new Uint8Array(output))
      continue
    }
    const taps = axisTaps(a, axis, input, output)
    outside.push(taps.outside)
    const { inner, outer } = Strided.around(extents, axis)
    const next = new Float64Array(outer * output * inner)
    for (let o = 0; o < outer; o++)
      for (let e = 0; e < output; e++)
        for (let k = e * taps.width; k < (e + 1) * taps.width; k++) {
          const weight = magnitudes ? Math.abs(taps.weights[k] ?? 0) : (taps.weights[k] ?? 0)
          if (weight === 0) continue
          const from = (o * input + (taps.positions[k] ?? 0)) * inner
          const to = (o * output + e) * inner
          for (let i = 0; i < inner; i++) next[to + i] = (next[to + i] ?? 0) + weight * (values[from + i] ?? 0)
        }
    values = next
    extents = extents.with(axis, output)
  }
  return outside.some((flags) => flags.includes(1)) ? filled(values, extents, outside, fill) : values
}

const filled = (
  values: Float64Array,
  shape: ReadonlyArray<number>,
  outside: ReadonlyArray<Uint8Array>,
  fill: number
): Float64Array => {
  const result = values.slice()
  const strides = Tensors.strides(shape)
  for (let i = 0; i < result.length; i++)
    if (outside.some((flags, axis) => flags[Math.floor(i / (strides[axis] ?? 1)) % (shape[axis] ?? 1)] === 1))
      result[i] = fill
  return result
}

/** Taps a result of all axes: the depth of its sum. */
export const resizeDepth = (shape: ReadonlyArray<number>, a: ResizeAttributes): number =>
  shape.reduce((depth, input, axis) => {
    const output = a.shape[axis] ?? input
    return isKept(a, axis, input, output) || input === 0 || output === 0
      ? depth
      : depth * axisTaps(a, axis, input, output).width
  }, 1)

/** The nearest elements themselves, of any dtype. */
const nearest = (x: Tensor, a: ResizeAttributes): Tensor => {
  let result = x
  for (const [axis, input] of x.shape.entries())
    result = Strided.take(result, axis, axisTaps(a, axis, input, a.shape[axis] ?? input).positions)
  return result
}

const saturated = (values: Float64Array, dtype: Tensor["dtype"]): Float64Array => {
  if (DTypes.isFloat(dtype)) return values
  const [low, high] = Elements.extremes(dtype)
  return values.map((value) => clamp(value, low, high))
}

/** Integers are truncated, and saturate where a cubic overshoots. */
const resize = Kernel.define(Ops.resize, (call) => {
  const [x, a] = [call.input(0), call.attributes]
  for (const [axis, extent] of x.shape.entries())
    if (extent === 0 && (a.shape[axis] ?? 0) > 0) call.fail(`axis ${axis} is empty: nothing to resize`)
  if (a.mode === "nearest" && a.coordinates !== "cropAndResize") return [nearest(x, a)]
  const values = resized(Elements.numbers(x), x.shape, a, false, a.extrapolation)
  return [Elements.fromNumbers(x.dtype, a.shape, saturated(values, x.dtype))]
})

// ---- gridSample -------------------------------------------------------------------------------------------------------

const cubicGrid = -0.75

/** Folds a coordinate into [low, high] by reflection at both ends. */
const reflect = (x: number, low: number, high: number): number => {
  const range = high - low
  if (range <= 0) return low
  const phase = (((x - low) % (2 * range)) + 2 * range) % (2 * range)
  return low + (phase > range ? 2 * range - phase : phase)
}

/** The position in the operand of a coordinate from −1 to 1. */
const denormalized = (g: number, extent: number, a: GridAttributes): number => {
  const x = a.alignCorners ? ((g + 1) / 2) * (extent - 1) : ((g + 1) * extent - 1) / 2
  const [low, high] = a.alignCorners ? [0, extent - 1] : [-0.5, extent - 0.5]
  const at = a.mode === "nearest" ? roundHalfEven(x) : x
  if (at >= low && at <= high) return at
  return a.padding === "border" ? clamp(at, 0, extent - 1) : a.padding === "reflection" ? reflect(at, low, high) : at
}

/** The element at an integer position; −1 for a padded zero. */
const pixel = (position: number, extent: number, a: GridAttributes): number => {
  if (position >= 0 && position < extent) return position
  if (a.padding === "zeros") return -1
  if (a.padding === "border") return clamp(position, 0, extent - 1)
  return clamp(
    Math.round(reflect(position, a.alignCorners ? 0 : -0.5, extent - (a.alignCorners ? 1 : 0.5))),
    0,
    extent - 1
  )
}

/** Samples in float64, not rounded; with `magnitudes`, by the magnitudes of the weights. */
export const sampled = (
  x: Float64Array,
  shape: ReadonlyArray<number>,
  grid: Float64Array,
  gridShape: ReadonlyArray<number>,
  a: GridAttributes,
  magnitudes: boolean
): Float64Array => {
  const spatial = shape.slice(2)
  const rank = spatial.length
  const [batch, channels] = [shape[0] ?? 1, shape[1] ?? 1]
  const points = Tensors.size(gridShape.slice(1, -1))
  const area = Tensors.size(spatial)
  const width = a.mode === "nearest" ? 1 : a.mode === "linear" ? 2 : 4
  const first = a.mode === "cubic" ? -1 : 0
  const combinations = width ** rank
  const positions = new Int32Array(rank * width)
  const weights = new Float64Array(rank * width)
  const result = new Float64Array(batch * channels * points)
  for (let n = 0; n < batch; n++)
    for (let p = 0; p < points; p++) {
      for (let axis = 0; axis < rank; axis++) {
        const extent = spatial[axis] ?? 1
        // The grid gives the last axis first.
        const x = denormalized(grid[(n * points + p) * rank + rank - 1 - axis] ?? 0, extent, a)
        const low = Math.floor(x)
        for (let k = 0; k < width; k++) {
          const at = low + first + k
          positions[axis * width + k] = pixel(at, extent, a)
          weights[axis * width + k] =
            a.mode === "nearest" ? 1 : a.mode === "linear" ? linearWeight(at - x) : cubicWeight(at - x, cubicGrid)
        }
      }
      for (let combination = 0; combination < combinations; combination++) {
        let [rest, flat, weight] = [combination, 0, 1]
        for (let axis = 0; axis < rank; axis++) {
          const k = axis * width + (rest % width)
          rest = Math.floor(rest / width)
          const position = positions[k] ?? -1
          flat = flat < 0 || position < 0 ? -1 : flat * (spatial[axis] ?? 1) + position
          weight *= weights[k] ?? 0
        }
        if (flat < 0 || weight === 0) continue
        const by = magnitudes ? Math.abs(weight) : weight
        for (let c = 0; c < channels; c++) {
          const at = (n * channels + c) * points + p
          result[at] = (result[at] ?? 0) + by * (x[(n * channels + c) * area + flat] ?? 0)
        }
      }
    }
  return result
}

const gridSample = Kernel.define(Ops.gridSample, (call) => {
  const [x, grid] = [call.input(0), call.input(1)]
  const values = sampled(Elements.numbers(x), x.shape, Elements.numbers(grid), grid.shape, call.attributes, false)
  return [Elements.fromNumbers(x.dtype, call.shape(0), values)]
})

export const all: ReadonlyArray<Entry> = [resize, gridSample]
