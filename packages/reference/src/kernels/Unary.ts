// Kernels of one operand, element by element. Elementary functions are our own (Math.ts): the same bits on every engine.
import type { Tensor } from "@anneal/ir/Tensor"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Functions from "../Math.ts"

type Function1 = (x: number) => number

const map = (x: Tensor, f: Function1, saturate: boolean): Tensor => {
  const values = Elements.numbers(x)
  const result = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) result[i] = f(values[i] ?? 0)
  return Elements.fromNumbers(x.dtype, x.shape, result, saturate)
}

const mapBig = (x: Tensor, values: Elements.BigArray, f: (x: bigint) => bigint): Tensor => {
  const data = Elements.allocateBig(x.dtype, values.length)
  for (let i = 0; i < values.length; i++) data[i] = f(values[i] ?? 0n)
  return { dtype: x.dtype, shape: x.shape, data }
}

/** 64-bit integers take `big` where there is one. */
const unary = (op: typeof Ops.neg, f: Function1, big?: (x: bigint) => bigint, saturate = true): Entry =>
  Kernel.define(op, (call) => {
    const x = call.input(0)
    const values = Elements.bigs(x)
    return [values !== undefined && big !== undefined ? mapBig(x, values, big) : map(x, f, saturate)]
  })

/** One whose result is always a number of the dtype: nothing is rounded, and the infinities of f8e5m2 stay. */
const exact = (op: typeof Ops.neg, f: Function1, big?: (x: bigint) => bigint): Entry => unary(op, f, big, false)

const test = (x: Tensor, f: (x: number) => boolean): Tensor => {
  const values = Elements.numbers(x)
  const data = new Uint8Array(values.length)
  for (let i = 0; i < values.length; i++) data[i] = f(values[i] ?? 0) ? 1 : 0
  return Elements.bools(x.shape, data)
}

/** Nearest integer, ties to even. */
export const roundHalfEven: Function1 = (x) => {
  const size = Math.abs(x)
  // From 2^52 on every float64 is an integer; adding 2^52 rounds the others, ties to even. Keeps −0, NaN, infinities.
  if (!(size < 4503599627370496)) return x
  const rounded = size + 4503599627370496 - 4503599627370496
  return x < 0 || Object.is(x, -0) ? -rounded : rounded
}

/** 1/(1 + e⁻ˣ) without overflow. */
export const sigmoid: Function1 = (x) => {
  const power = Functions.exp(x < 0 ? x : -x)
  return x < 0 ? power / (1 + power) : 1 / (1 + power)
}

export const all: ReadonlyArray<Entry> = [
  exact(
    Ops.neg,
    (x) => -x,
    (x) => -x
  ),
  exact(
    Ops.abs,
    (x) => Math.abs(x),
    (x) => (x < 0n ? -x : x)
  ),
  exact(
    Ops.sign,
    (x) => (x > 0 ? 1 : x < 0 ? -1 : x),
    (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n)
  ),
  exact(Ops.ceil, (x) => Math.ceil(x)),
  exact(Ops.floor, (x) => Math.floor(x)),
  exact(Ops.round, roundHalfEven),
  unary(Ops.exp, Functions.exp),
  unary(Ops.log, Functions.log),
  unary(Ops.log1p, Functions.log1p),
  unary(Ops.expm1, Functions.expm1),
  unary(Ops.sqrt, (x) => Math.sqrt(x)),
  unary(Ops.reciprocal, (x) => 1 / x),
  unary(Ops.sin, Functions.sin),
  unary(Ops.cos, Functions.cos),
  unary(Ops.tan, Functions.tan),
  unary(Ops.asin, Functions.asin),
  unary(Ops.acos, Functions.acos),
  unary(Ops.atan, Functions.atan),
  unary(Ops.sinh, Functions.sinh),
  unary(Ops.cosh, Functions.cosh),
  unary(Ops.tanh, Functions.tanh),
  unary(Ops.asinh, Functions.asinh),
  unary(Ops.acosh, Functions.acosh),
  unary(Ops.atanh, Functions.atanh),
  unary(Ops.erf, Functions.erf),
  unary(Ops.sigmoid, sigmoid),
  unary(Ops.not, (x) => (x === 0 ? 1 : 0)),
  unary(
    Ops.bitwiseNot,
    (x) => ~x,
    (x) => ~x
  ),
  Kernel.define(Ops.isNaN, (call) => [test(call.input(0), (x) => x !== x)]),
  Kernel.define(Ops.isInf, (call) => {
    const { negative, positive } = call.attributes
    return [test(call.input(0), (x) => (positive && x === Infinity) || (negative && x === -Infinity))]
  }),
  Kernel.define(Ops.cast, (call) => [cast(call.input(0), call.attributes.to, call.attributes.saturate)]),
  Kernel.define(Ops.bitcast, (call) => [bitcast(call.input(0), call.attributes.to)])
]

/** To another dtype. Float to integer truncates, then wraps; NaN and infinities become 0. */
const cast = (x: Tensor, to: DTypes.DType, saturate: boolean): Tensor => {
  if (x.dtype === to) return x
  const values = Elements.bigs(x)
  if (values === undefined) {
    const source = Elements.numbers(x)
    return Elements.fromNumbers(to, x.shape, source === x.data ? source.slice() : source, saturate)
  }
  if (DTypes.isBig(to)) {
    const data = Elements.allocateBig(to, values.length)
    for (let i = 0; i < values.length; i++) data[i] = values[i] ?? 0n
    return { dtype: to, shape: x.shape, data }
  }
  const numbers = new Float64Array(values.length)
  const float = DTypes.isFloat(to)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0n
    // The low 32 bits are all that a narrower integer keeps; bool looks at the whole.
    numbers[i] = float
      ? Elements.roundBig(value, to)
      : to === "bool"
        ? value === 0n
          ? 0
          : 1
        : Number(BigInt.asIntN(32, value))
  }
  return Elements.fromNumbers(to, x.shape, numbers, saturate)
}

/** The same bits; as bool, whether any is set. 4-bit integers keep their nibble. */
const bitcast = (x: Tensor, to: DTypes.DType): Tensor => {
  const { data, shape } = x
  if (to === "bool" || to === "i4" || to === "u4")
    return Elements.fromNumbers(
      to,
      shape,
      Float64Array.from({ length: data.length }, (_, i) => Number(data[i]))
    )
  return { dtype: to, shape, data: DTypes.view(to, data.buffer, data.byteOffset, data.length) }
}
