/**
 * Recipe: what a node does to one element, as a scalar over what it reads at that point: elementwise ops, casts, selects,
 * gathers (reads that the data displaces), counting, quantise and dequantise.
 *
 *   gather(data, i) along axis 0 ⇒ load data displaced by i · stride of axis 0
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import type { Shape } from "./Movement.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import * as ScalarOp from "./ScalarOp.ts"
import * as View from "./View.ts"

/** A value as it is read at each point of the result: a view over the value as one over the result's shape. */
export interface Read {
  readonly id: string
  readonly spread: (view: View.View) => View.View | undefined
}

/** A displacement along an axis of a read value by an index that is computed. */
export interface Step {
  /** Axis of the value. */
  readonly axis: number
  readonly index: Scalar
  readonly extent: Dim.Dim
}

/** What is at hand at a point. */
export interface Point {
  readonly read: (position: number) => Scalar
  readonly displaced: (position: number, steps: ReadonlyArray<Step>) => Scalar
  /** The point's index along an axis of the result, i64. */
  readonly index: (axis: number) => Scalar
}

export interface Recipe {
  readonly shape: Shape
  readonly reads: ReadonlyArray<Read>
  /** Values that are read at places that the data decides: they have to be in memory. */
  readonly displaced: ReadonlyArray<Read>
  /** Axes of the result whose index is asked for. */
  readonly indices: ReadonlyArray<number>
  readonly build: (point: Point) => Scalar
}

/** What a scalar operation says beside its operands: `bitcast` says it by its dtype. */
const attributesOf = (node: Node): ScalarOp.Attributes | undefined =>
  Graphs.isOp(node, Ops.isInf) || Graphs.isOp(node, Ops.mod) ? node.attributes : undefined

/** The recipe of a node; undefined when it is not one element after another. */
export const ofNode = (node: Node, types: ReadonlyMap<string, TensorType>): Recipe | undefined => {
  const output = node.outputs[0]
  if (output === undefined) return undefined
  const { dtype, shape } = output.type
  const typeOf = (position: number): TensorType | undefined => types.get(node.inputs[position] ?? "")
  const read = (position: number): Read => ({
    id: node.inputs[position] ?? "",
    spread: (view) => View.expand(view, shape)
  })
  const plain = (reads: ReadonlyArray<Read>, build: (point: Point) => Scalar): Recipe => ({
    shape,
    reads,
    displaced: [],
    indices: [],
    build
  })
  const name = node.op.name
  const attributes = attributesOf(node)
  if (ScalarOp.isUnary(name))
    return plain([read(0)], (point) => ({
      kind: "unary",
      op: name,
      x: point.read(0),
      dtype,
      ...(attributes === undefined ? {} : { attributes })
    }))
  if (ScalarOp.isBinary(name))
    return plain([read(0), read(1)], (point) => ({
      kind: "binary",
      op: name,
      a: point.read(0),
      b: point.read(1),
      dtype,
      ...(attributes === undefined ? {} : { attributes })
    }))
  if (name === "select")
    return plain([read(0), read(1), read(2)], (point) => Scalars.select(point.read(0), point.read(1), point.read(2)))
  if (Graphs.isOp(node, Ops.cast))
    return plain([read(0)], (point) => Scalars.cast(point.read(0), dtype, node.attributes.saturate))
  if (Graphs.isOp(node, Ops.iota))
    return { shape, reads: [], displaced: [], indices: [0], build: (point) => Scalars.cast(point.index(0), dtype) }
  if (Graphs.isOp(node, Ops.sizes)) return sizes(node.attributes.values, shape, dtype)
  if (Graphs.isOp(node, Ops.quantize) || Graphs.isOp(node, Ops.dequantize)) return quantization(node, shape, typeOf)
  return gathering(node, shape, typeOf)
}

const sizes = (values: ReadonlyArray<Dim.Dim>, shape: Shape, dtype: DType): Recipe => ({
  shape,
  reads: [],
  displaced: [],
  indices: shape.length === 0 ? [] : [0],
  build: (point) =>
    values
      .map((value) => Scalars.dim(value, dtype))
      .reduceRight((rest, value, position) =>
        Scalars.select(
          Scalars.binary("equal", point.index(0), Scalars.constant("i64", BigInt(position)), "bool"),
          value,
          rest
        )
      )
})

// ---- gathers --------------------------------------------------------------------------------------------------------

const normal = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** A view over a value as one over axes given by where each comes from; null: it does not move along that one. */
const spreadAxes =
  (shape: Shape, sources: ReadonlyArray<number | null>) =>
  (view: View.View): View.View => ({
    ...view,
    shape,
    strides: sources.map((source, axis) =>
      source === null || (view.shape[source] === 1 && shape[axis] !== 1) ? 0 : (view.strides[source] ?? 0)
    )
  })

const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index)

const gathering = (
  node: Node,
  shape: Shape,
  typeOf: (position: number) => TensorType | undefined
): Recipe | undefined => {
  const [data, indices] = [typeOf(0), typeOf(1)]
  const [dataId, indexId] = [node.inputs[0] ?? "", node.inputs[1] ?? ""]
  if (data === undefined || indices === undefined) return undefined
  const rank = data.shape.length
  const wide = indices.shape.length
  const nothing = (count: number): ReadonlyArray<null> => new Array<null>(count).fill(null)
  if (Graphs.isOp(node, Ops.gather)) {
    const axis = normal(node.attributes.axis, rank)
    const from = [...range(0, axis), ...nothing(wide), ...range(axis + 1, rank)]
    const at = [...nothing(axis), ...range(0, wide), ...nothing(rank - axis - 1)]
    return {
      shape,
      reads: [{ id: indexId, spread: spreadAxes(shape, at) }],
      displaced: [{ id: dataId, spread: spreadAxes(shape, from) }],
      indices: [],
      build: (point) => point.displaced(0, [{ axis, index: point.read(0), extent: data.shape[axis] ?? 1 }])
    }
  }
  if (Graphs.isOp(node, Ops.gatherElements)) {
    const axis = normal(node.attributes.axis, rank)
    const from = range(0, rank).map((other) => (other === axis ? null : other))
    return {
      shape,
      reads: [{ id: indexId, spread: (view) => view }],
      displaced: [{ id: dataId, spread: spreadAxes(shape, from) }],
      indices: [],
      build: (point) => point.displaced(0, [{ axis, index: point.read(0), extent: data.shape[axis] ?? 1 }])
    }
  }
  if (Graphs.isOp(node, Ops.gatherNd)) {
    const { batchDims } = node.attributes
    const width = indices.shape.at(-1)
    if (typeof width !== "number" || width === 0) return undefined
    // Result axes: those of the indices but the last, then the axes of data that are not chosen.
    const tail = range(batchDims + width, rank)
    const from = [...range(0, wide - 1).map((axis) => (axis < batchDims ? axis : null)), ...tail]
    return {
      shape,
      reads: range(0, width).map((position) => ({
        id: indexId,
        spread: (view) => {
          const one = { ...view, offset: Dim.add(view.offset, Dim.mul(position, view.strides.at(-1) ?? 0)) }
          return spreadAxes(shape, [...range(0, wide - 1), ...nothing(tail.length)])(one)
        }
      })),
      displaced: [{ id: dataId, spread: spreadAxes(shape, from) }],
      indices: [],
      build: (point) =>
        point.displaced(
          0,
          range(0, width).map((position) => ({
            axis: batchDims + position,
            index: point.read(position),
            extent: data.shape[batchDims + position] ?? 1
          }))
        )
    }
  }
  return undefined
}

// ---- quantise, dequantise -------------------------------------------------------------------------------------------

const isSingle = (type: TensorType): boolean => type.shape.every((dim) => dim === 1)

const quantization = (
  node: Node,
  shape: Shape,
  typeOf: (position: number) => TensorType | undefined
): Recipe | undefined => {
  if (!Graphs.isOp(node, Ops.quantize) && !Graphs.isOp(node, Ops.dequantize)) return undefined
  const { block } = node.attributes
  const axis = normal(node.attributes.axis, shape.length)
  const [x, scale, zero] = [typeOf(0), typeOf(1), typeOf(2)]
  if (x === undefined || scale === undefined) return undefined
  const isBlocked = block > 0 && !isSingle(scale)
  // A scale is one number, a vector along the axis, or of x's rank with blocks along it.
  const along = (type: TensorType): ReadonlyArray<number | null> => {
    if (isSingle(type)) return shape.map(() => null)
    if (isBlocked) return shape.map((_, other) => (other === axis ? null : other))
    return shape.map((_, other) => (other === axis ? type.shape.findIndex((extent) => extent !== 1) : null))
  }
  const parameter = (position: number, type: TensorType): Read => ({
    id: node.inputs[position] ?? "",
    spread: spreadAxes(shape, along(type))
  })
  const parameters = [parameter(1, scale), ...(zero === undefined ? [] : [parameter(2, zero)])]
  const value: Read = { id: node.inputs[0] ?? "", spread: (view) => View.expand(view, shape) }
  const compute = Graphs.isOp(node, Ops.quantize) ? quantized : dequantized
  const to = node.outputs[0]?.type.dtype ?? "f32"
  const saturate = Graphs.isOp(node, Ops.quantize) ? node.attributes.saturate : true
  if (!isBlocked)
    return {
      shape,
      reads: [value, ...parameters],
      displaced: [],
      indices: [],
      build: (point) =>
        compute(point.read(0), point.read(1), zero === undefined ? undefined : point.read(2), to, saturate)
    }
  const blocks = scale.shape[axis] ?? 1
  return {
    shape,
    reads: [value],
    displaced: parameters,
    indices: [axis],
    build: (point) => {
      const which = Scalars.binary("div", point.index(axis), Scalars.constant("i64", BigInt(block)))
      const step = { axis, index: which, extent: blocks }
      const shift = zero === undefined ? undefined : point.displaced(1, [step])
      return compute(point.read(0), point.displaced(0, [step]), shift, to, saturate)
    }
  }
}

/** saturate(round(x / scale) + zero): the quotient of f32 elements is an f32. */
const quantized = (x: Scalar, scale: Scalar, zero: Scalar | undefined, to: DType, saturate: boolean): Scalar => {
  const wide: DType = x.dtype === "f64" || x.dtype === "i32" || scale.dtype === "f64" ? "f64" : "f32"
  const steps = Scalars.binary("div", Scalars.cast(x, wide), Scalars.cast(scale, wide))
  const shifted = (value: Scalar): Scalar =>
    zero === undefined ? value : Scalars.binary("add", value, Scalars.cast(zero, wide))
  if (DTypes.isFloat(to)) return Scalars.cast(shifted(steps), to, saturate)
  const { max, min } = DTypes.integerRange(to)
  // The largest f32 of i32 is less than its largest value: f64 holds both.
  const exact: DType = DTypes.bits(to) > 16 ? "f64" : wide
  const whole = Scalars.cast(shifted(Scalars.unary("round", steps)), exact)
  const low = Scalars.binary("max", whole, Scalars.constant(exact, Number(min)))
  return Scalars.cast(Scalars.binary("min", low, Scalars.constant(exact, Number(max))), to)
}

const dequantized = (q: Scalar, scale: Scalar, zero: Scalar | undefined, to: DType): Scalar => {
  // (q − zero) · scale is rounded once: exact in f32 while q has at most 16 bits.
  const narrow = DTypes.bits(q.dtype) <= 16 && scale.dtype !== "f64" && to !== "f64"
  const wide: DType = narrow ? "f32" : "f64"
  const value = Scalars.cast(q, wide)
  const shifted = zero === undefined ? value : Scalars.binary("sub", value, Scalars.cast(zero, wide))
  return Scalars.cast(Scalars.binary("mul", shifted, Scalars.cast(scale, wide)), to)
}
