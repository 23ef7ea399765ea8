/**
 * Strided copies: the one loop behind transpose, slice, expand, reverse, concat and pad.
 *
 *   permuted([2, 3], [1, 0])   strides [1, 3] over [3, 2]: the transpose
 *
 * Elements are moved as their bits; 64-bit integers as two words, so that no bit pattern is ever taken for a number.
 */
import type { TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"

type Units = Uint8Array | Uint16Array | Uint32Array | Float64Array

/** Where the elements of a box are: one stride an axis, in elements. */
export interface View {
  readonly offset: number
  readonly strides: ReadonlyArray<number>
}

const unitsOf = (data: TypedArray): Units => {
  if (data instanceof Float64Array) return data
  if (data.BYTES_PER_ELEMENT === 1) return new Uint8Array(data.buffer, data.byteOffset, data.length)
  if (data.BYTES_PER_ELEMENT === 2) return new Uint16Array(data.buffer, data.byteOffset, data.length)
  return new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)
}

/** Copies a box of `shape` from one view to another; both arrays store the same dtype. */
export const copy = (
  source: TypedArray,
  from: View,
  target: TypedArray,
  to: View,
  shape: ReadonlyArray<number>
): void => {
  if (shape.includes(0)) return
  const words = source instanceof BigInt64Array || source instanceof BigUint64Array ? 2 : 1
  const extents: Array<number> = words === 2 ? [2] : []
  const sourceStrides: Array<number> = words === 2 ? [1] : []
  const targetStrides: Array<number> = words === 2 ? [1] : []
  // Innermost first; an axis that continues the one inside it on both sides is merged with it.
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const extent = shape[axis] ?? 1
    if (extent === 1) continue
    const s = (from.strides[axis] ?? 0) * words
    const t = (to.strides[axis] ?? 0) * words
    const last = extents.length - 1
    const inner = extents[last] ?? 0
    if (last >= 0 && s === (sourceStrides[last] ?? 0) * inner && t === (targetStrides[last] ?? 0) * inner)
      extents[last] = inner * extent
    else {
      extents.push(extent)
      sourceStrides.push(s)
      targetStrides.push(t)
    }
  }
  copyUnits(
    unitsOf(source),
    from.offset * words,
    sourceStrides,
    unitsOf(target),
    to.offset * words,
    targetStrides,
    extents
  )
}

/** Axes innermost first. */
const copyUnits = (
  source: Units,
  sourceStart: number,
  sourceStrides: ReadonlyArray<number>,
  target: Units,
  targetStart: number,
  targetStrides: ReadonlyArray<number>,
  extents: ReadonlyArray<number>
): void => {
  const rank = extents.length
  const inner = extents[0] ?? 1
  const sourceStep = sourceStrides[0] ?? 1
  const targetStep = targetStrides[0] ?? 1
  const block = sourceStep === 1 && targetStep === 1 && inner >= 32
  let rows = 1
  for (let axis = 1; axis < rank; axis++) rows *= extents[axis] ?? 1
  const counters = new Int32Array(rank)
  let from = sourceStart
  let to = targetStart
  for (let row = 0; row < rows; row++) {
    if (block) target.set(source.subarray(from, from + inner), to)
    else {
      let s = from
      let t = to
      for (let i = 0; i < inner; i++) {
        target[t] = source[s] ?? 0
        s += sourceStep
        t += targetStep
      }
    }
    for (let axis = 1; axis < rank; axis++) {
      const extent = extents[axis] ?? 1
      const s = sourceStrides[axis] ?? 0
      const t = targetStrides[axis] ?? 0
      const count = (counters[axis] ?? 0) + 1
      from += s
      to += t
      if (count < extent) {
        counters[axis] = count
        break
      }
      counters[axis] = 0
      from -= s * extent
      to -= t * extent
    }
  }
}

/** A contiguous tensor of `shape`, element by element from a view of `tensor`. */
export const read = (tensor: Tensor, view: View, shape: ReadonlyArray<number>): Tensor => {
  const data = DTypes.allocate(tensor.dtype, Tensors.size(shape))
  copy(tensor.data, view, data, { offset: 0, strides: Tensors.strides(shape) }, shape)
  return { dtype: tensor.dtype, shape, data }
}

/** The view of a tensor of `shape` broadcast to `target`: stride 0 where it repeats. */
export const broadcastView = (shape: ReadonlyArray<number>, target: ReadonlyArray<number>): View => {
  const own = Tensors.strides(shape)
  const lead = target.length - shape.length
  return {
    offset: 0,
    strides: target.map((_, axis) => (axis < lead || shape[axis - lead] === 1 ? 0 : (own[axis - lead] ?? 0)))
  }
}

const sameShape = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis])

/** The tensor broadcast to a shape as numpy does; itself when it has that shape. */
export const expanded = (tensor: Tensor, shape: ReadonlyArray<number>): Tensor =>
  sameShape(tensor.shape, shape) ? tensor : read(tensor, broadcastView(tensor.shape, shape), shape)

/** An array of numbers of one shape broadcast to another; itself when it has that shape. */
export const expandedArray = <A extends Float32Array | Float64Array | BigInt64Array | BigUint64Array>(
  data: A,
  shape: ReadonlyArray<number>,
  target: ReadonlyArray<number>
): A => {
  if (sameShape(shape, target)) return data
  const size = Tensors.size(target)
  const result = sameKind(data, size)
  const [only] = data
  if (data.length === 1 && typeof only === "number" && !(result instanceof BigInt64Array)) {
    if (!(result instanceof BigUint64Array)) result.fill(only)
    return result
  }
  copy(data, broadcastView(shape, target), result, { offset: 0, strides: Tensors.strides(target) }, target)
  return result
}

// `slice` of a typed array keeps its class; the copy is then as long as the result only where lengths agree.
const sameKind = <A extends Float32Array | Float64Array | BigInt64Array | BigUint64Array>(
  like: A,
  length: number
): A => {
  const bytes = new ArrayBuffer(length * like.BYTES_PER_ELEMENT)
  // The same constructor as the argument's, so the same class.
  return Reflect.construct(like.constructor, [bytes]) as A
}

/** Axes in another order: result axis i is axis `permutation[i]`. */
export const permuted = (tensor: Tensor, permutation: ReadonlyArray<number>): Tensor => {
  const own = Tensors.strides(tensor.shape)
  const shape = permutation.map((axis) => tensor.shape[axis] ?? 1)
  return read(tensor, { offset: 0, strides: permutation.map((axis) => own[axis] ?? 0) }, shape)
}

/** Extents before, at and after an axis: a tensor seen as `[outer, extent, inner]`. */
export interface AroundAxis {
  readonly outer: number
  readonly extent: number
  readonly inner: number
}

export const around = (shape: ReadonlyArray<number>, axis: number): AroundAxis => ({
  outer: Tensors.size(shape.slice(0, axis)),
  extent: shape[axis] ?? 1,
  inner: Tensors.size(shape.slice(axis + 1))
})

/** An axis counted from the start. */
export const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** Slices of `tensor` along an axis, by positions in [0, extent); the axis gets as many entries. */
export const take = (tensor: Tensor, axis: number, positions: ArrayLike<number>): Tensor => {
  const { extent, inner, outer } = around(tensor.shape, axis)
  const count = positions.length
  const shape = tensor.shape.with(axis, count)
  const data = DTypes.allocate(tensor.dtype, outer * count * inner)
  const words = tensor.data instanceof BigInt64Array || tensor.data instanceof BigUint64Array ? 2 : 1
  const source = unitsOf(tensor.data)
  const target = unitsOf(data)
  const block = inner * words
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      const from = (o * extent + (positions[i] ?? 0)) * block
      const to = (o * count + i) * block
      if (block >= 32) target.set(source.subarray(from, from + block), to)
      else for (let j = 0; j < block; j++) target[to + j] = source[from + j] ?? 0
    }
  }
  return { dtype: tensor.dtype, shape, data }
}

/** Single elements by flat position, as a tensor of `shape`. */
export const pick = (tensor: Tensor, shape: ReadonlyArray<number>, positions: ArrayLike<number>): Tensor => {
  const flat: Tensor = { dtype: tensor.dtype, shape: [tensor.data.length], data: tensor.data }
  return { ...take(flat, 0, positions), shape }
}
