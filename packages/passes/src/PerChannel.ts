// Constants that hold one number a channel: `[c, 1, 1]` against `x [n, c, h, w]`, `[c]` against `x [.., c]`, or a scalar.
import type { Editor } from "@anneal/ir/Editor"
import type { DType } from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"

/**
 * The numbers of a constant that varies along `axis` of a value of the given rank and nowhere else, `channels` of them;
 * a scalar is repeated. Undefined for any other value.
 */
export const read = (
  editor: Editor,
  id: string | null | undefined,
  rank: number,
  axis: number,
  channels: number
): Float64Array | undefined => {
  const entry = editor.constant(id)
  if (entry === undefined || entry.constant.shape.length > rank) return undefined
  const offset = rank - entry.constant.shape.length
  for (const [position, extent] of entry.constant.shape.entries()) {
    if (extent === 1) continue
    if (position + offset !== axis || extent !== channels) return undefined
  }
  const tensor = editor.read(id)
  if (tensor === undefined) return undefined
  const numbers = Numbers.toNumbers(tensor)
  return numbers.length === channels ? numbers : new Float64Array(channels).fill(numbers[0] ?? 0)
}

/** A constant vector's numbers. */
export const vector = (editor: Editor, id: string | null | undefined): Float64Array | undefined => {
  const tensor = editor.read(id)
  return tensor === undefined || tensor.shape.length !== 1 ? undefined : Numbers.toNumbers(tensor)
}

/** Rounds once to the dtype; undefined when a value is not finite there. */
export const rounded = (
  dtype: DType,
  shape: ReadonlyArray<number>,
  values: Float64Array
): Tensor.Tensor | undefined => {
  const tensor = Numbers.fromNumbers(dtype, shape, values)
  return Numbers.toNumbers(tensor).every(Number.isFinite) ? tensor : undefined
}

/** The tensor with element i multiplied by `factor[channel(i)]`, where `axis` of the shape is the channel. */
export const scaled = (
  tensor: Tensor.Tensor,
  axis: number,
  factor: (channel: number, index: number) => number
): Tensor.Tensor | undefined => {
  const numbers = Numbers.toNumbers(tensor)
  const extent = tensor.shape[axis] ?? 1
  const inner = Tensor.strides(tensor.shape)[axis] ?? 1
  for (let i = 0; i < numbers.length; i++) {
    const channel = Math.floor(i / inner) % extent
    numbers[i] = (numbers[i] ?? 0) * factor(channel, i)
  }
  return rounded(tensor.dtype, tensor.shape, numbers)
}
