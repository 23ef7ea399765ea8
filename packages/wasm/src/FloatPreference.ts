/**
 * FloatPreference: products that run faster on f32 than on 8-bit integers here, by what was measured of their kernels (x86-64,
 * 128-bit; f32 time by integer time):
 *
 *   matrices, 1×1, strided        1.4 – 2.4        3×3, 16 channels and more     1.1 – 1.8
 *   depthwise                     0.4              3×3, up to 8 channels         1.0 – 1.1
 *   1 – 3 channels                0.5 – 0.65       sums of 16 terms              0.7 – 1
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"

/** Of the rules here: what was decided by others is decided again. */
export const version = 3

/** Channels of a group from which patches are gathered in whole words. */
const enoughChannels = 4
/** Terms of a sum below which its rounding to 8 bits takes longer than multiplying integers saves. */
const enoughTerms = 32
/** Channels up to which minimal filtering of bytes does not pay for rounding to them. */
const fewFiltered = 8
/** Weights of a matrix below which quantising its rows takes longer than the product. */
const fewWeights = 1024
/** Multiplications from which it does not. */
const enoughWork = 64 * 1024

const sizeOf = ({ shape }: TensorType): number | undefined => {
  const size = Dim.product(shape)
  return typeof size === "number" ? size : undefined
}

/** Why floats are faster; undefined: they are not. Types of the node's operands. */
export const reason = (node: Node, operands: ReadonlyArray<TensorType | undefined>): string | undefined => {
  const [, weight] = operands
  const result = node.outputs[0]?.type
  if (weight === undefined || result === undefined) return undefined
  if (Graphs.isOp(node, Ops.convTranspose)) return "transposed convolutions have no kernel for 8-bit integers"
  if (Graphs.isOp(node, Ops.conv)) {
    const channels = weight.shape[1]
    const kernel = weight.shape.slice(2)
    const terms = Dim.product(weight.shape.slice(1))
    if (typeof channels !== "number" || typeof terms !== "number") return undefined
    if (channels >= enoughChannels) {
      if (terms < enoughTerms) return `sums of ${terms} terms save less than rounding them to 8 bits costs`
      const { dilations, strides } = node.attributes
      const isOne = (by: number): boolean => by === 1
      const isFiltered = kernel.length === 2 && kernel.every((taps) => taps === 3)
      if (isFiltered && strides.every(isOne) && dilations.every(isOne) && channels <= fewFiltered)
        return `3×3 filters of ${channels} channels are minimal on floats as well`
      return undefined
    }
    return channels === 1 && node.attributes.groups > 1
      ? "depthwise filters do too little with each byte that they widen"
      : `patches of ${channels === 1 ? "1 channel" : `${channels} channels`} are gathered byte by byte`
  }
  const weights = sizeOf(weight)
  if (weights === undefined || weights > fewWeights) return undefined
  const elements = sizeOf(result)
  const columns = result.shape.at(-1)
  const isMuch =
    elements !== undefined && typeof columns === "number" && (elements / Math.max(1, columns)) * weights >= enoughWork
  return isMuch ? undefined : `${weights} weights are multiplied sooner than its operands are quantised`
}
