// A typed way to write graphs: a rank, extent or dtype mistake that is statically known is a compile error.
//
//   const g = Dsl.graph("mlp")
//   const x = g.input("x", "f32", ["batch", 784])
//   const w = g.input("w", "f32", [784, 10])
//   g.output("y", Dsl.softmax(Dsl.matmul(x, w), 1))        // Tensor<"f32", ["batch", 10]>
//   Dsl.matmul(w, x)                                         // does not compile: 10 is not "batch" … 784
//
// A dim is a number, or a string for a symbolic one (`"batch"`, `"2*n"`). What the types cannot decide (two different
// symbols, a computed extent) is left to inference, which checks it when the graph is built.
import type { GraphBuilder } from "./Builder.ts"
import * as Builder from "./Builder.ts"
import * as Dims from "./Dim.ts"
import type { DType } from "./DType.ts"
import type { Graph, Value } from "./Graph.ts"
import * as Numbers from "./Numbers.ts"
import type { Attributes, OpDefinition } from "./Op.ts"
import * as Ops from "./Ops.ts"

export type Dim = number | string
export type Shape = ReadonlyArray<Dim>

/** A value of known dtype and shape, and the graph that it is built in. */
export interface Tensor<D extends DType, S extends Shape> {
  readonly dtype: D
  readonly shape: S
  readonly value: Value
  readonly graph: Typed
}

/** Shows in the compiler's message in place of a shape that cannot be. */
export interface Mismatch<Message extends string> {
  readonly mismatch: Message
}

/** `unknown` for a shape, so that an argument typed `T & Ok<…>` is just T; else something that no tensor is. */
type Ok<R> = R extends Shape ? unknown : R
type ShapeOf<R> = R extends Shape ? R : never

/** Two extents that must be equal or 1. Unknown ones (symbols, plain `number`) may fit. */
type Join<X extends Dim, Y extends Dim> = X extends 1
  ? Y
  : Y extends 1
    ? X
    : [X] extends [Y]
      ? X
      : [Y] extends [X]
        ? Y
        : X extends string
          ? Y
          : Y extends string
            ? X
            : Mismatch<`extents ${X} and ${Y} do not broadcast`>

/** Two extents that must be equal. */
type Same<X extends Dim, Y extends Dim> = [X] extends [Y]
  ? X
  : [Y] extends [X]
    ? Y
    : X extends string
      ? Y
      : Y extends string
        ? X
        : Mismatch<`extent ${X} is not ${Y}`>

/** numpy's broadcasting, from the last axis. */
export type Broadcast<A extends Shape, B extends Shape> = A extends readonly []
  ? B
  : B extends readonly []
    ? A
    : A extends readonly [...infer AR extends Shape, infer X extends Dim]
      ? B extends readonly [...infer BR extends Shape, infer Y extends Dim]
        ? Join<X, Y> extends infer J
          ? J extends Dim
            ? Broadcast<AR, BR> extends infer R
              ? R extends Shape
                ? [...R, J]
                : R
              : never
            : J
          : never
        : ReadonlyArray<Dim>
      : ReadonlyArray<Dim>

/** `[…, m, k] × […, k, n] → […, m, n]`. */
export type MatMul<A extends Shape, B extends Shape> = A extends readonly [
  ...infer AB extends Shape,
  infer M extends Dim,
  infer K extends Dim
]
  ? B extends readonly [...infer BB extends Shape, infer K2 extends Dim, infer N extends Dim]
    ? Same<K, K2> extends infer J
      ? J extends Dim
        ? Broadcast<AB, BB> extends infer R
          ? R extends Shape
            ? [...R, M, N]
            : R
          : never
        : J
      : never
    : Mismatch<"the right operand of matmul needs rank 2 or more">
  : Mismatch<"the left operand of matmul needs rank 2 or more">

/** `x [n, c, h, w]`, `w [o, c, kh, kw]`; spatial extents are left to inference. */
export type Conv2d<X extends Shape, W extends Shape> = X extends readonly [
  infer N extends Dim,
  infer C extends Dim,
  Dim,
  Dim
]
  ? W extends readonly [infer O extends Dim, infer I extends Dim, Dim, Dim]
    ? Same<C, I> extends Dim
      ? [N, O, number, number]
      : Same<C, I>
    : Mismatch<"the weight of a 2-D convolution has rank 4">
  : Mismatch<"the input of a 2-D convolution has rank 4">

/** Axes of S in the order of P. */
export type Transpose<S extends Shape, P extends ReadonlyArray<number>> = P["length"] extends S["length"]
  ? { -readonly [I in keyof P]: P[I] extends keyof S ? S[P[I]] : S[number] }
  : Mismatch<"a permutation has one entry an axis">

type FloatType = "f16" | "bf16" | "f32" | "f64"

/** A graph being built. */
export interface Typed {
  readonly builder: GraphBuilder
  readonly input: <D extends DType, const S extends Shape>(name: string, dtype: D, shape: S) => Tensor<D, S>
  /** A constant of the given numbers, row-major. */
  readonly constant: <D extends DType, const S extends ReadonlyArray<number>>(
    dtype: D,
    shape: S,
    values: ArrayLike<number>
  ) => Tensor<D, S>
  readonly output: <D extends DType, S extends Shape>(name: string, tensor: Tensor<D, S>) => void
  readonly finish: () => Graph
}

const toDim = (dim: Dim): Dims.Dim => (typeof dim === "number" ? dim : Dims.parse(dim))
const toShape = (shape: ReadonlyArray<Dims.Dim>): ReadonlyArray<Dim> =>
  shape.map((dim) => (typeof dim === "number" ? dim : Dims.format(dim)))

/** The one place where the static shape is taken to be what inference found. */
const typed = <D extends DType, S extends Shape>(graph: Typed, value: Value): Tensor<D, S> => ({
  dtype: value.type.dtype as D,
  shape: toShape(value.type.shape) as S,
  value,
  graph
})

const apply = <A extends Attributes, D extends DType, S extends Shape>(
  op: OpDefinition<A>,
  operands: ReadonlyArray<Tensor<DType, Shape> | undefined>,
  attributes: A
): Tensor<D, S> => {
  const graph = operands.find((operand) => operand !== undefined)?.graph
  if (graph === undefined) throw new TypeError(`${op.name} needs an operand`)
  const value = graph.builder.one(
    op,
    operands.map((operand) => operand?.value),
    attributes
  )
  return typed(graph, value)
}

export const graph = (name: string): Typed => {
  const builder = Builder.make(name)
  const self: Typed = {
    builder,
    input: (inputName, dtype, shape) => typed(self, builder.input(inputName, { dtype, shape: shape.map(toDim) })),
    constant: (dtype, shape, values) => typed(self, builder.tensor(Numbers.fromNumbers(dtype, shape, values))),
    output: (outputName, tensor) => builder.output(outputName, tensor.value),
    finish: builder.finish
  }
  return self
}

type Binary = <D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Ok<Broadcast<A, B>>
) => Tensor<D, ShapeOf<Broadcast<A, B>>>

export const add: Binary = (a, b) => apply(Ops.add, [a, b], {})
export const sub: Binary = (a, b) => apply(Ops.sub, [a, b], {})
export const mul: Binary = (a, b) => apply(Ops.mul, [a, b], {})
export const div: Binary = (a, b) => apply(Ops.div, [a, b], {})
export const max: Binary = (a, b) => apply(Ops.max, [a, b], {})
export const min: Binary = (a, b) => apply(Ops.min, [a, b], {})

type Unary = <D extends FloatType, S extends Shape>(x: Tensor<D, S>) => Tensor<D, S>

export const relu: Unary = (x) => apply(Ops.relu, [x], {})
export const exp: Unary = (x) => apply(Ops.exp, [x], {})
export const sqrt: Unary = (x) => apply(Ops.sqrt, [x], {})
export const tanh: Unary = (x) => apply(Ops.tanh, [x], {})
export const sigmoid: Unary = (x) => apply(Ops.sigmoid, [x], {})
export const silu: Unary = (x) => apply(Ops.silu, [x], {})
export const gelu: Unary = (x) => apply(Ops.gelu, [x], { approximate: "none" })

export const softmax = <D extends FloatType, S extends Shape>(x: Tensor<D, S>, axis: number): Tensor<D, S> =>
  apply(Ops.softmax, [x], { axis })

export const cast = <D extends DType, S extends Shape>(x: Tensor<DType, S>, to: D): Tensor<D, S> =>
  apply(Ops.cast, [x], { to, saturate: true })

export const matmul = <D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Ok<MatMul<A, B>>
): Tensor<D, ShapeOf<MatMul<A, B>>> => apply(Ops.matmul, [a, b], {})

export const conv2d = <D extends DType, X extends Shape, W extends Shape>(
  x: Tensor<D, X>,
  w: Tensor<NoInfer<D>, W> & Ok<Conv2d<X, W>>,
  options: { readonly stride?: number; readonly padding?: number } = {}
): Tensor<D, ShapeOf<Conv2d<X, W>>> => {
  const [stride, padding] = [options.stride ?? 1, options.padding ?? 0]
  const pads = [padding, padding]
  return apply(Ops.conv, [x, w], {
    strides: [stride, stride],
    padsBegin: pads,
    padsEnd: pads,
    dilations: [1, 1],
    groups: 1
  })
}

export const transpose = <D extends DType, S extends Shape, const P extends ReadonlyArray<number>>(
  x: Tensor<D, S> & Ok<Transpose<S, P>>,
  permutation: P
): Tensor<D, ShapeOf<Transpose<S, P>>> => apply(Ops.transpose, [x], { permutation })

/** The number of elements is checked when the graph is built. */
export const reshape = <D extends DType, const S extends Shape>(x: Tensor<D, Shape>, shape: S): Tensor<D, S> =>
  apply(Ops.reshape, [x], { shape: shape.map(toDim) })
