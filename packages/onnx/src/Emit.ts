// A short way to write IR arithmetic in translations: `e.mul(x, e.number(x, 0.5))`.
import type { Builder } from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"

type Binary = (a: Value, b: Value) => Value
type Unary = (x: Value) => Value
type Shape = ReadonlyArray<Dim.Dim>

export interface Emit {
  readonly b: Builder
  readonly unary: (op: OpDefinition<{}>, x: Value) => Value
  readonly binary: (op: OpDefinition<{}>, a: Value, b: Value) => Value
  readonly add: Binary
  readonly sub: Binary
  readonly mul: Binary
  readonly div: Binary
  readonly min: Binary
  readonly max: Binary
  readonly matmul: Binary
  readonly neg: Unary
  readonly abs: Unary
  readonly exp: Unary
  readonly log: Unary
  readonly sqrt: Unary
  readonly tanh: Unary
  readonly floor: Unary
  readonly round: Unary
  /** A scalar constant of a dtype. */
  readonly scalar: (dtype: DType, value: number) => Value
  /** A scalar constant of x's dtype. */
  readonly number: (x: Value, value: number) => Value
  /** A dim as a scalar of a dtype. */
  readonly size: (dim: Dim.Dim, dtype: DType) => Value
  readonly select: (condition: Value, a: Value, b: Value) => Value
  /** Nothing is added when x has the dtype already. */
  readonly cast: (x: Value, to: DType) => Value
  /** Nothing is added when x has the shape already. */
  readonly reshape: (x: Value, shape: Shape) => Value
  readonly expand: (x: Value, shape: Shape) => Value
  readonly transpose: (x: Value, permutation: ReadonlyArray<number>) => Value
  /** A box; steps of 1 unless given. */
  readonly slice: (x: Value, starts: Shape, sizes: Shape, steps?: ReadonlyArray<number>) => Value
  /** One slice of an axis, the others whole. */
  readonly part: (x: Value, axis: number, start: Dim.Dim, size: Dim.Dim, step?: number) => Value
  readonly concat: (parts: ReadonlyArray<Value>, axis: number) => Value
  readonly gather: (x: Value, indices: Value, axis: number) => Value
  readonly iota: (size: Dim.Dim, dtype: DType) => Value
  readonly reduce: (op: typeof Ops.reduceSum, x: Value, axes: ReadonlyArray<number>, keepDims: boolean) => Value
  readonly sum: (x: Value, axes: ReadonlyArray<number>, keepDims: boolean) => Value
  readonly mean: (x: Value, axes: ReadonlyArray<number>, keepDims: boolean) => Value
  /** x with a vector along `axis` broadcast to its rank. */
  readonly along: (vector: Value, rank: number, axis: number) => Value
}

export const make = (b: Builder): Emit => {
  const unary = (op: OpDefinition<{}>, x: Value): Value => b.one(op, [x], {})
  const binary = (op: OpDefinition<{}>, x: Value, y: Value): Value => b.one(op, [x, y], {})
  const reduce: Emit["reduce"] = (op, x, axes, keepDims) =>
    b.one(op, [x], { axes: [...axes].sort((p, q) => p - q), keepDims })
  const scalar: Emit["scalar"] = (dtype, value) => b.tensor(Numbers.scalar(dtype, value))
  const cast: Emit["cast"] = (x, to) => (x.type.dtype === to ? x : b.one(Ops.cast, [x], { to, saturate: true }))
  const same = (a: Shape, c: Shape): boolean =>
    a.length === c.length && a.every((dim, axis) => Dim.equal(dim, c[axis] ?? 0) === true)
  const reshape: Emit["reshape"] = (x, shape) => (same(x.type.shape, shape) ? x : b.one(Ops.reshape, [x], { shape }))
  const slice: Emit["slice"] = (x, starts, sizes, steps) =>
    b.one(Ops.slice, [x], { starts, sizes, steps: steps ?? sizes.map(() => 1) })
  return {
    b,
    unary,
    binary,
    add: (x, y) => binary(Ops.add, x, y),
    sub: (x, y) => binary(Ops.sub, x, y),
    mul: (x, y) => binary(Ops.mul, x, y),
    div: (x, y) => binary(Ops.div, x, y),
    min: (x, y) => binary(Ops.min, x, y),
    max: (x, y) => binary(Ops.max, x, y),
    matmul: (x, y) => binary(Ops.matmul, x, y),
    neg: (x) => unary(Ops.neg, x),
    abs: (x) => unary(Ops.abs, x),
    exp: (x) => unary(Ops.exp, x),
    log: (x) => unary(Ops.log, x),
    sqrt: (x) => unary(Ops.sqrt, x),
    tanh: (x) => unary(Ops.tanh, x),
    floor: (x) => unary(Ops.floor, x),
    round: (x) => unary(Ops.round, x),
    scalar,
    number: (x, value) => scalar(x.type.dtype, value),
    size: (dim, dtype) =>
      typeof dim === "number" ? scalar(dtype, dim) : cast(b.one(Ops.sizes, [], { values: [dim], scalar: true }), dtype),
    select: (condition, x, y) => b.one(Ops.select, [condition, x, y], {}),
    cast,
    reshape,
    expand: (x, shape) => (same(x.type.shape, shape) ? x : b.one(Ops.expand, [x], { shape })),
    transpose: (x, permutation) => b.one(Ops.transpose, [x], { permutation }),
    slice,
    part: (x, axis, start, size, step = 1) =>
      slice(
        x,
        x.type.shape.map((_, i) => (i === axis ? start : 0)),
        x.type.shape.map((dim, i) => (i === axis ? size : dim)),
        x.type.shape.map((_, i) => (i === axis ? step : 1))
      ),
    concat: (parts, axis) => b.one(Ops.concat, parts, { axis }),
    gather: (x, indices, axis) => b.one(Ops.gather, [x, indices], { axis }),
    iota: (size, dtype) => b.one(Ops.iota, [], { size, dtype }),
    reduce,
    sum: (x, axes, keepDims) => reduce(Ops.reduceSum, x, axes, keepDims),
    mean: (x, axes, keepDims) => reduce(Ops.reduceMean, x, axes, keepDims),
    along: (vector, rank, axis) =>
      reshape(
        vector,
        Array.from({ length: rank }, (_, i) => (i === axis ? (vector.type.shape[0] ?? 1) : 1))
      )
  }
}
