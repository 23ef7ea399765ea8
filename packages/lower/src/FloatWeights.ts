/**
 * FloatWeights: weights that are kept as integers, as floats, for what reads them as floats and must have them in an order of
 * its own: convolutions and recurrent layers that no integers compute.
 *
 *   conv(x, dequantize(w: i8))  ⇒  conv(x, w: f32)
 *
 * A matrix is left as it is: it is dequantised once, when the engine is loaded, so that the file stays small.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"

const readers: ReadonlySet<string> = new Set(
  [Ops.conv, Ops.convTranspose, Ops.lstm, Ops.gru, Ops.rnn].map(({ name }) => name)
)

/** Whether a node's weights are wanted as constants. */
export const isReader = ({ op }: Node): boolean => readers.has(op.name)

/** A graph is planned several times in a build. */
const known = new WeakMap<Constant, Map<string, Constant>>()

/** `(q − zero) · scale` of constants, rounded once; undefined for what is not f32, or of another form. */
export const of = (node: Node, constant: (id: string) => Constant | undefined): Constant | undefined => {
  if (!Graphs.isOp(node, Ops.dequantize) || node.attributes.to !== "f32") return undefined
  const [qId = "", scaleId = "", zeroId] = node.inputs.map((id) => id ?? undefined)
  const [q, scale, zero] = [constant(qId), constant(scaleId), zeroId === undefined ? undefined : constant(zeroId)]
  if (q === undefined || scale === undefined || (zeroId !== undefined && zero === undefined)) return undefined
  const { axis, block } = node.attributes
  const of = known.get(q) ?? new Map<string, Constant>()
  known.set(q, of)
  const key = `${scale.digest} ${zero?.digest ?? ""} ${axis} ${block}`
  const found = of.get(key)
  if (found !== undefined) return found
  const { shape } = q
  const place = axis < 0 ? axis + shape.length : axis
  const extent = shape[place] ?? 1
  const inner = shape.slice(place + 1).reduce((count, one) => count * one, 1)
  const [values, scales] = [Numbers.toNumbers(Constants.load(q)), Numbers.toNumbers(Constants.load(scale))]
  const zeros = zero === undefined ? [0] : Numbers.toNumbers(Constants.load(zero))
  /** Which scale an element has. */
  const whichOf = (i: number): number => {
    const index = Math.floor(i / inner) % extent
    if (block === 0) return index
    return (
      (Math.floor(i / (inner * extent)) * Math.ceil(extent / block) + Math.floor(index / block)) * inner + (i % inner)
    )
  }
  const data = new Float32Array(values.length)
  for (let i = 0; i < data.length; i++) {
    const which = scales.length === 1 ? 0 : whichOf(i)
    data[i] = ((values[i] ?? 0) - (zeros[zeros.length === 1 ? 0 : which] ?? 0)) * (scales[which] ?? 1)
  }
  const made = Constants.fromTensor({ dtype: "f32", shape, data })
  of.set(key, made)
  return made
}
