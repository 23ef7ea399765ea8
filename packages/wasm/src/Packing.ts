/**
 * Packing: weights in the order in which a kernel reads them, said as data, so that an engine holds each weight once, under
 * the user's name, and its packed form is made while loading.
 *
 *   panels of 8 columns of w[N, K]:  digits N/8 along n by 8 · K along k by 1 · 8 along n by 1;  0 where n ≥ N
 *
 * What a kernel packs is a function. It is asked where each element goes; where that is a walk in nested loops, the walk is
 * kept. What computes (a Winograd transform, a column sum) is no walk, and its bytes are stored.
 */
import type { Constant } from "@anneal/ir/Constant"
import type { TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Op from "@anneal/ir/Op"
import * as Tensor from "@anneal/ir/Tensor"
import type { View } from "@anneal/lower/View"
import * as Schema from "effect/Schema"
import type { Packed } from "./Kernel.ts"

/** One loop of the walk: `size` steps of `step` along an axis of the view. */
export const Digit = Schema.Struct({ size: Schema.Int, axis: Schema.Int, step: Schema.Int })
export type Digit = typeof Digit.Type

export const Walk = Schema.Struct({
  /** Digest of the constant, its dtype, its elements. */
  constant: Schema.String,
  dtype: Op.DTypeSchema,
  count: Schema.Int,
  /** The view of it that is packed: elements beyond an extent are 0. */
  offset: Schema.Int,
  extents: Schema.Array(Schema.Int),
  strides: Schema.Array(Schema.Int),
  /** Outermost first. */
  digits: Schema.Array(Digit)
})
export type Walk = typeof Walk.Type

/** Elements of the packed form. */
export const lengthOf = ({ digits }: Walk): number => digits.reduce((total, { size }) => total * size, 1)

/** Elements of the packed form from `next` on: `count` of the constant's, `stride` apart from `at` on, then padding. */
interface Run {
  next: number
  at: number
  count: number
  stride: number
}

/** The runs of the innermost loop, each `length` elements of the packed form: the definition of a walk. */
const runs = ({ digits, extents, offset, strides }: Walk, visit: (run: Run, length: number) => void): void => {
  const coordinates = extents.map(() => 0)
  const run: Run = { next: 0, at: offset, count: 1, stride: 0 }
  const last = digits.length - 1
  const descend = (level: number, at: number, inside: boolean): void => {
    const digit = digits[level]
    if (digit === undefined) return visit(run, 1)
    const { axis, size, step } = digit
    const begin = coordinates[axis] ?? 0
    const extent = extents[axis] ?? 1
    const stride = (strides[axis] ?? 0) * step
    if (level === last) {
      run.at = at
      run.count = inside ? Math.max(0, Math.min(size, Math.ceil((extent - begin) / step))) : 0
      run.stride = stride
      visit(run, size)
      run.next += size
      return
    }
    for (let i = 0; i < size; i++) {
      const coordinate = begin + i * step
      coordinates[axis] = coordinate
      descend(level + 1, at + i * stride, inside && coordinate < extent)
    }
    coordinates[axis] = begin
  }
  descend(0, offset, true)
}

/** Puts the packed form into `to`, which holds zeros where nothing goes. */
export const pack = (walk: Walk, from: TypedArray, to: TypedArray): void =>
  runs(walk, ({ at, count, next, stride }) => {
    for (let i = 0; i < count; i++) to[next + i] = from[at + i * stride] ?? 0
  })

/** Whether the packed form is `packed`, bit for bit. */
const gives = (walk: Walk, from: Uint32Array, packed: Uint32Array): boolean => {
  let differing = 0
  runs(walk, ({ at, count, next, stride }, length) => {
    for (let i = 0; i < count; i++) differing |= (packed[next + i] ?? 0) ^ (from[at + i * stride] ?? 0)
    for (let i = count; i < length; i++) differing |= packed[next + i] ?? 0
  })
  return differing === 0
}

const words = ({ buffer, byteLength, byteOffset }: Uint8Array): Uint32Array =>
  byteOffset % 4 === 0
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint32Array(buffer.slice(byteOffset, byteOffset + byteLength))

// ---- finding it -----------------------------------------------------------------------------------------------------

/** Indices up to here are exact in a float. */
const mostElements = 2 ** 24

/** Where each element of the packed form comes from: its number among the view's elements, −1 for padding. */
const sources = (packed: Packed, shape: ReadonlyArray<number>): Int32Array | undefined => {
  const count = Tensor.size(shape)
  const numbers = new Float32Array(count)
  for (let i = 0; i < count; i++) numbers[i] = i + 1
  const bytes = packed.pack({ dtype: "f32", shape, data: numbers })
  if (bytes.byteLength % 4 !== 0) return undefined
  const bits = words(bytes)
  const found = new Float32Array(bits.buffer, bits.byteOffset, bits.length)
  const result = new Int32Array(bits.buffer, bits.byteOffset, bits.length)
  // In place: what was packed is of no other use.
  for (let place = 0; place < found.length; place++) {
    const value = found[place] ?? 0
    if (!Number.isInteger(value) || value < 0 || value > count) return undefined
    result[place] = value - 1
  }
  return result
}

interface Loop {
  readonly size: number
  /** Elements of the view from one step to the next; 0: nothing but padding after the first. */
  readonly stride: number
}

/** The innermost loop of a walk, and where its rounds begin. */
const innermost = (walk: Int32Array): { readonly loop: Loop; readonly begins: Int32Array } | undefined => {
  const [first = -1, second = -1] = walk
  if (first < 0) return undefined
  const stride = second < 0 ? 0 : second - first
  const follows = (begin: number, size: number): boolean => {
    const start = walk[begin] ?? -1
    for (let i = 0; i < size; i++) {
      const value = walk[begin + i] ?? -1
      if (value >= 0 && (start < 0 || stride === 0 ? i > 0 : value !== start + i * stride)) return false
    }
    return true
  }
  let run = 1
  while (run < walk.length) {
    const value = walk[run] ?? -1
    if (value >= 0 && (stride === 0 || value !== first + run * stride)) break
    run++
  }
  for (let size = run; size > 1; size--) {
    if (walk.length % size !== 0) continue
    let fits = true
    for (let begin = 0; fits && begin < walk.length; begin += size) fits = follows(begin, size)
    if (!fits) continue
    const begins = new Int32Array(walk.length / size)
    for (let i = 0; i < begins.length; i++) begins[i] = walk[i * size] ?? -1
    return { loop: { size, stride }, begins }
  }
  return undefined
}

/** The loops of a walk, outermost first; undefined where it is none. */
const loops = (walk: Int32Array): ReadonlyArray<Loop> | undefined => {
  const found: Array<Loop> = []
  let rest = walk
  while (rest.length > 1) {
    const step = innermost(rest)
    if (step === undefined) return undefined
    found.unshift(step.loop)
    rest = step.begins
  }
  return rest[0] === 0 ? found : undefined
}

/** A loop as steps along one axis. */
const digitOf = ({ size, stride }: Loop, shape: ReadonlyArray<number>): Digit | undefined => {
  const rows = Tensor.strides(shape)
  // Padding alone: an axis of one element is left at once.
  if (stride === 0) {
    const axis = shape.lastIndexOf(1)
    return axis < 0 ? undefined : { size, axis, step: 1 }
  }
  let best: Digit | undefined
  for (const [axis, row] of rows.entries())
    if ((shape[axis] ?? 1) > 1 && stride % row === 0 && (best === undefined || row > (rows[best.axis] ?? 0)))
      best = { size, axis, step: stride / row }
  return best
}

const known = (dims: ReadonlyArray<View["offset"]>): ReadonlyArray<number> | undefined =>
  dims.every((dim) => typeof dim === "number") ? dims : undefined

/** The packed form as a walk over the constant; undefined where it is none. `elements`: what the view shows; `bytes`: packed. */
export const find = (
  packed: Packed,
  view: View,
  constant: Constant,
  elements: Tensor.Tensor,
  bytes: Uint8Array
): Walk | undefined => {
  const { dtype, shape } = elements
  if (packed.computes === true || dtype !== "f32" || elements.data.length === 0 || elements.data.length >= mostElements)
    return undefined
  const strides = known(view.strides)
  const walk = strides === undefined ? undefined : sources(packed, shape)
  const found = walk === undefined ? undefined : loops(walk)
  const digits = found?.map((loop) => digitOf(loop, shape))
  if (strides === undefined || digits === undefined || typeof view.offset !== "number") return undefined
  const made: Walk = {
    constant: constant.digest,
    dtype,
    count: Tensor.size(constant.shape),
    offset: view.offset,
    extents: shape,
    strides,
    digits: digits.flatMap((digit) => (digit === undefined ? [] : [digit]))
  }
  if (made.digits.length !== digits.length) return undefined
  // The proof: the walk gives the very bytes.
  if (bytes.length !== lengthOf(made) * DTypes.slotBytes(dtype)) return undefined
  return gives(made, words(constant.bytes()), words(bytes)) ? made : undefined
}
