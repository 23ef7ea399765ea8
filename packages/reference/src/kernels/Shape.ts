// Kernels between dims and data, and of the ops whose result size depends on the data.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

const sizes = Kernel.define(Ops.sizes, (call) => {
  const { scalar, values } = call.attributes
  return [Elements.integers(scalar ? [] : [values.length], values)]
})

const readDims = Kernel.define(Ops.readDims, (call) => {
  const x = call.input(0)
  for (const [i, element] of x.data.entries())
    if (element < 0) call.fail(`element ${i} is ${element}; a size is 0 or more`)
  return [x]
})

const iota = Kernel.define(Ops.iota, (call) => {
  const { dtype, size } = call.attributes
  if (size < 0) call.fail(`a size of ${size}`)
  return [
    Elements.fromNumbers(
      dtype,
      [size],
      Float64Array.from({ length: size }, (_, i) => i)
    )
  ]
})

const nonZero = Kernel.define(Ops.nonZero, (call) => {
  const x = call.input(0)
  const keys = Elements.numbers(x)
  const found: Array<number> = []
  for (let i = 0; i < keys.length; i++) if (keys[i] !== 0) found.push(i)
  const rank = x.shape.length
  const strides = Tensors.strides(x.shape)
  const result = new Float64Array(rank * found.length)
  for (let axis = 0; axis < rank; axis++)
    for (const [position, flat] of found.entries())
      result[axis * found.length + position] = Math.floor(flat / (strides[axis] ?? 1)) % (x.shape[axis] ?? 1)
  return [Elements.integers([rank, found.length], result)]
})

/** −1, 0 or 1 as slice a comes before, with or after slice b; NaN is greatest, and equal to itself. */
const compareRows = (keys: ArrayLike<number | bigint>, length: number, a: number, b: number): number => {
  for (let i = 0; i < length; i++) {
    const [x, y] = [keys[a * length + i] ?? 0, keys[b * length + i] ?? 0]
    if (x === y || (x !== x && y !== y)) continue
    return y !== y || x < y ? -1 : 1
  }
  return 0
}

const unique = Kernel.define(Ops.unique, (call) => {
  const given = call.input(0)
  const { sorted } = call.attributes
  const x: Tensor = call.attributes.axis === null ? { ...given, shape: [given.data.length] } : given
  const axis = Strided.normalAxis(call.attributes.axis ?? 0, x.shape.length)
  // Slices along the axis as contiguous rows.
  const order = [axis, ...x.shape.map((_, other) => other).filter((other) => other !== axis)]
  const rows = Strided.permuted(x, order)
  const count = rows.shape[0] ?? 0
  const length = Tensors.size(rows.shape.slice(1))
  const keys = Elements.keys(rows)
  const ranked = Array.from({ length: count }, (_, i) => i).sort((a, b) => compareRows(keys, length, a, b) || a - b)
  const groups: Array<{ readonly first: number; readonly members: Array<number> }> = []
  for (const row of ranked) {
    const last = groups.at(-1)
    if (last !== undefined && compareRows(keys, length, last.first, row) === 0) last.members.push(row)
    else groups.push({ first: row, members: [row] })
  }
  if (!sorted) groups.sort((a, b) => a.first - b.first)
  const inverse = new Float64Array(count)
  for (const [position, { members }] of groups.entries()) for (const row of members) inverse[row] = position
  const firsts = groups.map(({ first }) => first)
  return [
    Strided.take(x, axis, firsts),
    Elements.integers([groups.length], firsts),
    Elements.integers([count], inverse),
    Elements.integers(
      [groups.length],
      groups.map(({ members }) => members.length)
    )
  ]
})

// ---- non-maximum suppression --------------------------------------------------------------------------------------------

type Box = readonly [y1: number, x1: number, y2: number, x2: number]

const boxAt = (boxes: Float64Array, start: number, format: "corner" | "center"): Box => {
  const [a, b, c, d] = [boxes[start] ?? 0, boxes[start + 1] ?? 0, boxes[start + 2] ?? 0, boxes[start + 3] ?? 0]
  return format === "corner"
    ? [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)]
    : [b - d / 2, a - c / 2, b + d / 2, a + c / 2]
}

const overlap = (a: Box, b: Box): number => {
  const height = Math.min(a[2], b[2]) - Math.max(a[0], b[0])
  const width = Math.min(a[3], b[3]) - Math.max(a[1], b[1])
  if (height <= 0 || width <= 0) return 0
  const shared = height * width
  return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
}

const scalar = (tensor: Tensor | undefined): number | undefined =>
  tensor === undefined ? undefined : Elements.numbers(tensor)[0]

/** Without `maxPerClass` (or with 0) nothing is selected, as ONNX has it. Equal scores: the earlier box first. */
const nonMaxSuppression = Kernel.define(Ops.nonMaxSuppression, (call) => {
  const [boxTensor, scoreTensor] = [call.input(0), call.input(1)]
  const [boxes, scores] = [Elements.numbers(boxTensor), Elements.numbers(scoreTensor)]
  const [batches = 0, classes = 0, count = 0] = scoreTensor.shape
  const limit = scalar(call.inputs[2]) ?? 0
  const threshold = scalar(call.inputs[3]) ?? 0
  const minScore = scalar(call.inputs[4])
  const selected: Array<number> = []
  for (let batch = 0; batch < batches; batch++) {
    const all = Array.from({ length: count }, (_, i) => boxAt(boxes, (batch * count + i) * 4, call.attributes.format))
    for (let label = 0; label < classes; label++) {
      const start = (batch * classes + label) * count
      const candidates = all.flatMap((box, i) => {
        const score = scores[start + i] ?? 0
        return minScore === undefined || score > minScore ? [{ box, i, score }] : []
      })
      candidates.sort((a, b) => b.score - a.score || a.i - b.i)
      const kept: Array<Box> = []
      for (const { box, i } of candidates) {
        if (kept.length >= limit) break
        if (kept.some((other) => overlap(other, box) > threshold)) continue
        kept.push(box)
        selected.push(batch, label, i)
      }
    }
  }
  return [Elements.integers([selected.length / 3, 3], selected)]
})

export const all: ReadonlyArray<Entry> = [sizes, readDims, iota, nonZero, unique, nonMaxSuppression]
