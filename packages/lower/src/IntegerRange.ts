/**
 * IntegerRange: what quantised activations are known to lie in, from what was quantised.
 *
 *   quantize(max(x, 0), s, z: i8)          ⇒  z … 127
 *   quantize(min(max(x, 0), 6), s, z: u8)  ⇒  z … round(6 / s) + z
 *   maxPool(q), reshape(q), concat(p, q)   ⇒  as their operands
 */
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"

export type Range = readonly [least: number, greatest: number]

export interface Known {
  /** The node that makes a value, and its dtype; undefined for what is given. */
  readonly producer: (id: string) => Node | undefined
  /** The one number that a constant is; undefined for what is none, or has more. */
  readonly number: (id: string) => number | undefined
}

const movers: ReadonlySet<string> = new Set(
  [Ops.reshape, Ops.transpose, Ops.slice, Ops.expand, Ops.reverse].map(({ name }) => name)
)

/** Whether its elements are elements of its operand: a window of nothing but padding would hold others. */
const passes = (node: Node): boolean => {
  if (!Graphs.isOp(node, Ops.maxPool)) return movers.has(node.op.name)
  const { ceil, padsBegin, padsEnd } = node.attributes
  return !ceil && [...padsBegin, ...padsEnd].every((pad) => pad === 0)
}

/** Nodes that are looked back over. */
const farthest = 16

const everything: Range = [-Infinity, Infinity]

/** Bounds of a float (NaN apart). */
const ofFloat = (id: string, known: Known, depth = farthest): Range => {
  const constant = known.number(id)
  if (constant !== undefined) return [constant, constant]
  const node = known.producer(id)
  if (node === undefined || depth === 0) return everything
  const operand = (position: number): Range => ofFloat(node.inputs[position] ?? "", known, depth - 1)
  const { name } = node.op
  if (name === "sigmoid" || name === "softmax") return [0, 1]
  if (name === "tanh") return [-1, 1]
  if (name === "relu") return [0, Math.max(0, operand(0)[1])]
  if (name === "max" || name === "min") {
    const pick = name === "max" ? Math.max : Math.min
    const [a, b] = [operand(0), operand(1)]
    return [pick(a[0], b[0]), pick(a[1], b[1])]
  }
  return passes(node) ? operand(0) : everything
}

const integersOf = (dtype: DType): Range | undefined => {
  if (!DTypes.isInteger(dtype) || DTypes.bits(dtype) > 8) return undefined
  const { max, min } = DTypes.integerRange(dtype)
  return [Number(min), Number(max)]
}

/** The least and the greatest integer that a value of at most 8 bits holds; undefined where no more is known than its dtype. */
export const of = (id: string, known: Known, depth = farthest): Range | undefined => {
  const node = known.producer(id)
  const dtype = node?.outputs[0]?.type.dtype
  const all = dtype === undefined ? undefined : integersOf(dtype)
  if (node === undefined || all === undefined || depth === 0 || node.outputs[0]?.id !== id) return undefined
  if (passes(node)) return of(node.inputs[0] ?? "", known, depth - 1)
  if (Graphs.isOp(node, Ops.concat)) {
    const parts = node.inputs.map((part) => of(part ?? "", known, depth - 1))
    return parts.reduce((hull, part) =>
      hull === undefined || part === undefined ? undefined : [Math.min(hull[0], part[0]), Math.max(hull[1], part[1])]
    )
  }
  if (!Graphs.isOp(node, Ops.quantize) || !node.attributes.saturate) return undefined
  const [x = "", scaleId = "", zeroId] = node.inputs.map((one) => one ?? undefined)
  const scale = known.number(scaleId)
  const zero = zeroId === undefined ? 0 : known.number(zeroId)
  if (scale === undefined || zero === undefined || !(scale > 0)) return undefined
  const [low, high] = ofFloat(x, known)
  // One step more than the quotient, so that rounding it one way or the other makes no difference.
  const least = low === 0 ? zero : Math.floor(low / scale) - 1 + zero
  const greatest = high === 0 ? zero : Math.ceil(high / scale) + 1 + zero
  // NaN becomes 0, wherever that is.
  const range: Range = [Math.min(0, Math.max(all[0], least)), Math.max(0, Math.min(all[1], greatest))]
  return range[0] === all[0] && range[1] === all[1] ? undefined : range
}
