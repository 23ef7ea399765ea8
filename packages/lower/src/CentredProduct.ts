/**
 * CentredProduct: products of integers whose zero points are taken off beforehand, as ONNX's ConvInteger and MatMulInteger are,
 * and with them every layer that is quantised dynamically: what the products of the bytes are.
 *
 *   matmul(cast(q) − z, w: i32)  ⇒  Σ q·w − z · Σ w         z is known when the model runs
 *   conv(cast(q) − z, w: i32)    ⇒  the same of pad(q, z)
 *   matmul(cast(q) − 7, w: i32)  ⇒  Σ (q − 7)·w
 */
import type { Names } from "@anneal/ir/Builder"
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import type { ZeroPoint } from "./Region.ts"

/** A weight as bytes, and what its columns (a convolution's output channels) add up to. */
export interface Bytes {
  readonly constant: Constant
  /** Stands for 0. */
  readonly zero: number
  /** i32, of a shape that fits the result's: `[…, 1, n]` or `[channels, 1, …]`. */
  readonly sums: Tensor
}

/** The zero point of the first operand: a number, or an i32 value with the scalar that it was cast from, if any. */
export type Zero = number | { readonly id: string; readonly type: TensorType; readonly scalar: Value | undefined }

export interface Centred {
  /** At most 8 bits. */
  readonly q: Value
  readonly zero: Zero
  readonly weight: Bytes
}

export interface Known {
  readonly producer: (id: string) => Node | undefined
  readonly type: (id: string) => TensorType | undefined
  readonly constant: (id: string) => Constant | undefined
}

/** A graph is planned several times in a build. */
const known = new WeakMap<Constant, Bytes | "wide">()

/** i32 numbers that 8 bits hold, as such; undefined where they do not. */
const bytesOf = (constant: Constant, isConvolution: boolean): Bytes | undefined => {
  const found = known.get(constant) ?? makeBytes(constant, isConvolution) ?? "wide"
  known.set(constant, found)
  return found === "wide" ? undefined : found
}

const makeBytes = (constant: Constant, isConvolution: boolean): Bytes | undefined => {
  const { shape } = constant
  const values = Numbers.toNumbers(Constants.load(constant))
  let [least, greatest] = [0, 0]
  for (const value of values) {
    least = Math.min(least, value)
    greatest = Math.max(greatest, value)
  }
  if (greatest - least > 255) return undefined
  const isSigned = least >= -128 && greatest <= 127
  const zero = isSigned ? 0 : -least
  const bytes = Array.from(values, (value) => value + zero)
  // Along a matrix's rows; along everything but a convolution's output channels.
  const [extent, inner] = isConvolution
    ? [1, Tensors.size(shape.slice(1))]
    : [shape.at(-1) ?? 1, (shape.at(-2) ?? 1) * (shape.at(-1) ?? 1)]
  const sums = new Int32Array(values.length === 0 ? 0 : (values.length / inner) * extent)
  for (const [place, value] of values.entries()) {
    const column = Math.floor(place / inner) * extent + (place % extent)
    sums[column] = (sums[column] ?? 0) + value
  }
  return {
    constant: Constants.fromTensor(Numbers.fromNumbers(isSigned ? "i8" : "u8", shape, bytes)),
    zero,
    sums: Tensors.make(
      "i32",
      isConvolution ? [shape[0] ?? 1, ...shape.slice(2).map(() => 1)] : [...shape.slice(0, -2), 1, extent],
      sums
    )
  }
}

const isSingle = ({ shape }: TensorType): boolean => shape.every((extent) => extent === 1)

/** What a value was cast from, where no element was changed by it. */
const uncast = (id: string, { producer, type }: Known): Value | undefined => {
  const node = producer(id)
  const from = node?.inputs[0] ?? undefined
  const found = from === undefined ? undefined : type(from)
  return Graphs.isOp(node, Ops.cast) && from !== undefined && found !== undefined
    ? { id: from, type: found }
    : undefined
}

/** A product of 32-bit integers as one of bytes; undefined where it is none. */
export const of = (node: Node, at: Known): Centred | undefined => {
  const isConvolution = Graphs.isOp(node, Ops.conv)
  if (!isConvolution && !Graphs.isOp(node, Ops.matmul)) return undefined
  const [x = "", w = "", bias] = node.inputs.map((id) => id ?? undefined)
  const [left, right, weights] = [at.type(x), at.type(w), at.constant(w)]
  if (left?.dtype !== "i32" || right?.dtype !== "i32" || weights === undefined || bias !== undefined) return undefined
  if (left.shape.length < 2 || right.shape.length < 2) return undefined
  const difference = at.producer(x)
  const isCentred = Graphs.isOp(difference, Ops.sub)
  const q = uncast(isCentred ? (difference.inputs[0] ?? "") : x, at)
  if (q === undefined || !DTypes.isInteger(q.type.dtype) || DTypes.bits(q.type.dtype) > 8) return undefined
  if (at.constant(q.id) !== undefined || q.type.shape.length !== left.shape.length) return undefined
  const zero = isCentred ? zeroOf(difference.inputs[1] ?? "", isConvolution, at) : 0
  if (zero === undefined) return undefined
  // What lies outside is filled with the zero point: a scalar of the bytes' dtype.
  if (typeof zero !== "number" && isPadded(node) && zero.scalar?.type.dtype !== q.type.dtype) return undefined
  const weight = bytesOf(weights, isConvolution)
  return weight === undefined ? undefined : { q, zero, weight }
}

const isPadded = (node: Node): boolean =>
  Graphs.isOp(node, Ops.conv) && [...node.attributes.padsBegin, ...node.attributes.padsEnd].some((pad) => pad !== 0)

/** One for all, or for a matrix one a row. */
const zeroOf = (id: string, isConvolution: boolean, at: Known): Zero | undefined => {
  const type = at.type(id)
  if (type === undefined) return undefined
  const constant = at.constant(id)
  if (constant !== undefined && isSingle(type)) return Numbers.toNumbers(Constants.load(constant))[0]
  if (isConvolution ? type.shape.length > 0 : !isSingle(type) && type.shape.at(-1) !== 1) return undefined
  const before = uncast(id, at)
  return { id, type, scalar: before?.type.shape.length === 0 ? before : undefined }
}

/** A centred product in other nodes. */
export interface Rewritten {
  readonly constants: ReadonlyMap<string, Constant>
  /** In order; `inner`, the product of bytes, is one of them. */
  readonly nodes: ReadonlyArray<Node>
  readonly inner: Node
  /** What the product itself takes off. */
  readonly zero: ZeroPoint
}

export const rewritten = (node: Node, output: Value, { q, weight, zero }: Centred, names: Names): Rewritten => {
  const constants = new Map<string, Constant>()
  const nodes: Array<Node> = []
  const constant = (name: string, value: Constant): string => {
    const id = names.value(`${output.id}.${name}`)
    constants.set(id, value)
    return id
  }
  const made = (name: string, type: TensorType): Value => ({ id: names.value(`${output.id}.${name}`), type })
  const add = (op: Node["op"], attributes: Node["attributes"], inputs: Node["inputs"], to: Value): Node => {
    const one: Node = { op, attributes, graphs: {}, inputs, outputs: [to], lineage: node.lineage }
    nodes.push(one)
    return one
  }
  const w = constant("bytes", weight.constant)
  if (typeof zero === "number") {
    const inner = add(node.op, node.attributes, [q.id, w], output)
    return { constants, nodes, inner, zero: { a: zero, b: weight.zero } }
  }
  let [x, { attributes }] = [q, node]
  if (Graphs.isOp(node, Ops.conv) && isPadded(node)) {
    const { padsBegin, padsEnd } = node.attributes
    const [before, after] = [
      [0, 0, ...padsBegin],
      [0, 0, ...padsEnd]
    ]
    const shape = q.type.shape.map((extent, axis) => Dim.sum([before[axis] ?? 0, extent, after[axis] ?? 0]))
    x = made("padded", { dtype: q.type.dtype, shape })
    add(Ops.pad, { before, after, mode: "constant" }, [q.id, zero.scalar?.id ?? null], x)
    const none = padsBegin.map(() => 0)
    attributes = { ...node.attributes, padsBegin: none, padsEnd: none }
  }
  const sum = made("sum", output.type)
  const inner = add(node.op, attributes, [x.id, w], sum)
  const shift = made("shift", { dtype: "i32", shape: broadcast(zero.type.shape, weight.sums.shape) })
  add(Ops.mul, {}, [zero.id, constant("sums", Constants.fromTensor(weight.sums))], shift)
  add(Ops.sub, {}, [sum.id, shift.id], output)
  return { constants, nodes, inner, zero: { a: 0, b: weight.zero } }
}

/** Of shapes that are known to fit. */
const broadcast = (a: TensorType["shape"], b: TensorType["shape"]): TensorType["shape"] => {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, axis) => {
    const [one, other] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1]
    return one === 1 ? other : one
  })
}
