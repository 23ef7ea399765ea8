// Kernels of data movement: no arithmetic. They work on any dtype, so that error bounds can be moved by them, too.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

const { normalAxis } = Strided

const reshape = Kernel.define(Ops.reshape, (call) => {
  const [x, shape] = [call.input(0), call.attributes.shape]
  if (Tensors.size(shape) !== x.data.length || shape.some((extent) => extent < 0))
    call.fail(`[${x.shape.join()}] has ${x.data.length} elements, which do not fill [${shape.join()}]`)
  return [{ dtype: x.dtype, shape, data: x.data }]
})

const transpose = Kernel.define(Ops.transpose, (call) => [Strided.permuted(call.input(0), call.attributes.permutation)])

const expand = Kernel.define(Ops.expand, (call) => {
  const [x, shape] = [call.input(0), call.attributes.shape]
  const lead = shape.length - x.shape.length
  for (const [axis, extent] of x.shape.entries())
    if (extent !== 1 && extent !== shape[axis + lead])
      call.fail(`[${x.shape.join()}] does not broadcast to [${shape.join()}]`)
  return [Strided.expanded(x, shape)]
})

const slice = Kernel.define(Ops.slice, (call) => {
  const x = call.input(0)
  const { sizes, starts, steps } = call.attributes
  for (const [axis, extent] of x.shape.entries()) {
    const [start, size] = [starts[axis] ?? 0, sizes[axis] ?? 0]
    const last = start + (size - 1) * (steps[axis] ?? 1)
    if (size < 0) call.fail(`axis ${axis}: a size of ${size}`)
    if (size > 0 && (Math.min(start, last) < 0 || Math.max(start, last) >= extent))
      call.fail(`axis ${axis}: elements ${start} to ${last} leave an extent of ${extent}`)
  }
  const own = Tensors.strides(x.shape)
  const offset = own.reduce((sum, stride, axis) => sum + stride * (starts[axis] ?? 0), 0)
  return [Strided.read(x, { offset, strides: own.map((stride, axis) => stride * (steps[axis] ?? 1)) }, sizes)]
})

/** For each result position along an axis, the operand's position. */
const padPositions = (extent: number, before: number, after: number, mode: "reflect" | "edge" | "wrap"): Int32Array => {
  const positions = new Int32Array(before + extent + after)
  const period = Math.max(1, 2 * (extent - 1))
  for (let i = 0; i < positions.length; i++) {
    const at = i - before
    if (mode === "edge") positions[i] = Math.min(Math.max(at, 0), extent - 1)
    else if (mode === "wrap") positions[i] = ((at % extent) + extent) % extent
    else {
      // 0 1 2 3 2 1 0 1 …
      const phase = ((at % period) + period) % period
      positions[i] = phase < extent ? phase : period - phase
    }
  }
  return positions
}

const pad = Kernel.define(Ops.pad, (call) => {
  const [x, value] = [call.input(0), call.inputs[1]]
  const { after, before, mode } = call.attributes
  for (const amount of [...before, ...after]) if (amount < 0) call.fail(`padding of ${amount}; it is 0 or more`)
  if (mode !== "constant") {
    let result = x
    for (const [axis, extent] of x.shape.entries()) {
      const [low, high] = [before[axis] ?? 0, after[axis] ?? 0]
      if (low === 0 && high === 0) continue
      if (extent === 0) call.fail(`axis ${axis} is empty: mode ${mode} has nothing to repeat`)
      result = Strided.take(result, axis, padPositions(extent, low, high, mode))
    }
    return [result]
  }
  const shape = x.shape.map((extent, axis) => (before[axis] ?? 0) + extent + (after[axis] ?? 0))
  const result = value === undefined ? Tensors.zeros(x.dtype, shape) : ownedFill(Strided.expanded(value, shape), value)
  const strides = Tensors.strides(shape)
  const offset = strides.reduce((sum, stride, axis) => sum + stride * (before[axis] ?? 0), 0)
  Strided.copy(x.data, { offset: 0, strides: Tensors.strides(x.shape) }, result.data, { offset, strides }, x.shape)
  return [result]
})

/** `expanded` gives the value itself for a scalar result; that must not be written to. */
const ownedFill = (filled: Tensor, value: Tensor): Tensor =>
  filled === value ? { ...filled, data: filled.data.slice() } : filled

const concat = Kernel.define(Ops.concat, (call) => {
  const parts = call.inputs.flatMap((part) => (part === undefined ? [] : [part]))
  const first = call.input(0)
  const axis = normalAxis(call.attributes.axis, first.shape.length)
  const extent = parts.reduce((sum, part) => sum + (part.shape[axis] ?? 0), 0)
  const shape = first.shape.with(axis, extent)
  const result = Tensors.zeros(first.dtype, shape)
  const strides = Tensors.strides(shape)
  let position = 0
  for (const part of parts) {
    if (part.shape.some((other, i) => i !== axis && other !== shape[i]))
      call.fail(`a part of [${part.shape.join()}] does not fit [${shape.join()}] beside axis ${axis}`)
    const offset = position * (strides[axis] ?? 1)
    Strided.copy(
      part.data,
      { offset: 0, strides: Tensors.strides(part.shape) },
      result.data,
      { offset, strides },
      part.shape
    )
    position += part.shape[axis] ?? 0
  }
  return [result]
})

const reverse = Kernel.define(Ops.reverse, (call) => {
  const x = call.input(0)
  const axes = call.attributes.axes.map((axis) => normalAxis(axis, x.shape.length))
  const own = Tensors.strides(x.shape)
  const strides = own.map((stride, axis) => (axes.includes(axis) ? -stride : stride))
  const offset = axes.reduce((sum, axis) => sum + (own[axis] ?? 0) * Math.max(0, (x.shape[axis] ?? 1) - 1), 0)
  return [Strided.read(x, { offset, strides }, x.shape)]
})

// ---- by index ---------------------------------------------------------------------------------------------------------

type Fail = (detail: string) => never

/** Indices along an extent, counted from the start; fails for one outside. */
export const positions = (indices: Tensor, extent: number, fail: Fail): Int32Array => {
  const result = new Int32Array(indices.data.length)
  for (let i = 0; i < result.length; i++) result[i] = position(Number(indices.data[i]), extent, fail)
  return result
}

const position = (index: number, extent: number, fail: Fail): number =>
  index >= -extent && index < extent
    ? index < 0
      ? index + extent
      : index
    : fail(`index ${index} is outside an extent of ${extent}`)

const gather = Kernel.define(Ops.gather, (call) => {
  const [data, indices] = [call.input(0), call.input(1)]
  const axis = normalAxis(call.attributes.axis, data.shape.length)
  const taken = Strided.take(data, axis, positions(indices, data.shape[axis] ?? 1, call.fail))
  return [{ ...taken, shape: [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)] }]
})

/** Flat positions in `shape` of each element of `indices`, which replace the coordinate along an axis. */
export const elementPositions = (
  shape: ReadonlyArray<number>,
  indices: Tensor,
  axis: number,
  fail: Fail
): Float64Array => {
  for (const [other, extent] of indices.shape.entries())
    if (other !== axis && extent > (shape[other] ?? 1))
      fail(`indices [${indices.shape.join()}] are larger than data [${shape.join()}] on axis ${other}`)
  const along = positions(indices, shape[axis] ?? 1, fail)
  const strides = Tensors.strides(shape)
  const result = new Float64Array(along.length)
  const coordinates = new Int32Array(shape.length)
  const step = strides[axis] ?? 1
  let base = 0
  for (let i = 0; i < result.length; i++) {
    result[i] = base + (along[i] ?? 0) * step
    for (let other = shape.length - 1; other >= 0; other--) {
      const stride = other === axis ? 0 : (strides[other] ?? 0)
      const next = (coordinates[other] ?? 0) + 1
      base += stride
      if (next < (indices.shape[other] ?? 1)) {
        coordinates[other] = next
        break
      }
      coordinates[other] = 0
      base -= stride * next
    }
  }
  return result
}

const gatherElements = Kernel.define(Ops.gatherElements, (call) => {
  const [data, indices] = [call.input(0), call.input(1)]
  const axis = normalAxis(call.attributes.axis, data.shape.length)
  return [Strided.pick(data, indices.shape, elementPositions(data.shape, indices, axis, call.fail))]
})

/** For each tuple in the last axis of `indices`: which slice of data it names, counted in slices. */
export const tuplePositions = (
  shape: ReadonlyArray<number>,
  indices: Tensor,
  batchDims: number,
  fail: Fail
): Float64Array => {
  const width = indices.shape.at(-1) ?? 1
  const count = Tensors.size(indices.shape.slice(0, -1))
  const batches = Tensors.size(shape.slice(0, batchDims))
  const extents = shape.slice(batchDims, batchDims + width)
  const perBatch = Tensors.size(extents)
  const tuplesPerBatch = batches === 0 ? 0 : count / batches
  const result = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    let flat = 0
    for (let j = 0; j < width; j++) {
      const extent = extents[j] ?? 1
      flat = flat * extent + position(Number(indices.data[i * width + j]), extent, fail)
    }
    result[i] = Math.floor(i / tuplesPerBatch) * perBatch + flat
  }
  return result
}

const gatherNd = Kernel.define(Ops.gatherNd, (call) => {
  const [data, indices] = [call.input(0), call.input(1)]
  const { batchDims } = call.attributes
  const width = indices.shape.at(-1) ?? 1
  const rest = data.shape.slice(batchDims + width)
  const slices = Tensors.size(data.shape.slice(0, batchDims + width))
  const rows: Tensor = { dtype: data.dtype, shape: [slices, Tensors.size(rest)], data: data.data }
  const taken = Strided.take(rows, 0, tuplePositions(data.shape, indices, batchDims, call.fail))
  return [{ ...taken, shape: [...indices.shape.slice(0, -1), ...rest] }]
})

export const all: ReadonlyArray<Entry> = [
  reshape,
  transpose,
  expand,
  slice,
  pad,
  concat,
  reverse,
  gather,
  gatherElements,
  gatherNd
]
