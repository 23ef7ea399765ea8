// Kernels of two broadcast operands, and `select` of three.
//
// Floats are computed in float64 and rounded once. Integers are exact and wrap. Division and remainder by the integer 0 are
// 0, as is a power that has no integer value (0 to a negative power).
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Functions from "../Math.ts"
import * as Strided from "../Strided.ts"

/** result[i] = f(a[i · aStep], b[i · bStep]); a step is 0 for a scalar, else 1. */
type Loop = (a: Elements.Reals, aStep: number, b: Elements.Reals, bStep: number, result: Elements.Reals) => void
type BigFunction = (a: bigint, b: bigint) => bigint

interface Arithmetic {
  readonly float: Loop
  /** For integers below 64 bits; default: `float`, whose result is then truncated and wrapped. */
  readonly integer?: (dtype: DType) => Loop
  readonly big: BigFunction
  /** The result is one of the operands: nothing is rounded, and the infinities of f8e5m2 stay. */
  readonly selects?: boolean
}

const arithmetic = <A extends {}>(op: OpDefinition<A>, choose: (attributes: Kernel.Concrete<A>) => Arithmetic): Entry =>
  Kernel.define(op, (call) => {
    const [a, b, shape] = [call.input(0), call.input(1), call.shape(0)]
    const { big, float, integer, selects } = choose(call.attributes)
    const [bigA, bigB] = [Elements.bigs(a), Elements.bigs(b)]
    if (bigA !== undefined && bigB !== undefined) {
      const left = Strided.expandedArray(bigA, a.shape, shape)
      const right = Strided.expandedArray(bigB, b.shape, shape)
      const data = Elements.allocateBig(a.dtype, left.length)
      for (let i = 0; i < data.length; i++) data[i] = big(left[i] ?? 0n, right[i] ?? 0n)
      return [{ dtype: a.dtype, shape, data }]
    }
    const result = Elements.allocateReals(a.dtype, Tensors.size(shape))
    const [left, right] = [operand(a, shape), operand(b, shape)]
    const loop = DTypes.isFloat(a.dtype) || integer === undefined ? float : integer(a.dtype)
    loop(left, left.length === 1 ? 0 : 1, right, right.length === 1 ? 0 : 1, result)
    return [Elements.fromReals(a.dtype, shape, result, selects !== true)]
  })

/** An operand as a loop reads it: a scalar as it is, anything else broadcast to the result's shape. */
const operand = (tensor: Tensor, shape: ReadonlyArray<number>): Elements.Reals => {
  const values = Elements.reals(tensor)
  return values.length === 1 ? values : Strided.expandedArray(values, tensor.shape, shape)
}

/** A loop that calls a function for each pair. */
const each =
  (f: (a: number, b: number) => number): Loop =>
  (a, aStep, b, bStep, result) => {
    for (let i = 0; i < result.length; i++) result[i] = f(a[i * aStep] ?? 0, b[i * bStep] ?? 0)
  }

const addLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = (a[i * aStep] ?? 0) + (b[i * bStep] ?? 0)
}
const subLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = (a[i * aStep] ?? 0) - (b[i * bStep] ?? 0)
}
const mulLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = (a[i * aStep] ?? 0) * (b[i * bStep] ?? 0)
}
const divLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = (a[i * aStep] ?? 0) / (b[i * bStep] ?? 0)
}
const integerMul: Loop = each((a, b) => Math.imul(a, b))
const integerDiv: Loop = each((a, b) => (b === 0 ? 0 : Math.trunc(a / b)))
/** NaN if either is; `min` in Math orders −0 below 0, as does this. */
const maxLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = Math.max(a[i * aStep] ?? 0, b[i * bStep] ?? 0)
}
const minLoop: Loop = (a, aStep, b, bStep, result) => {
  for (let i = 0; i < result.length; i++) result[i] = Math.min(a[i * aStep] ?? 0, b[i * bStep] ?? 0)
}

const truncatedRemainder = (a: number, b: number): number => a % b
/** With the divisor's sign: Python's. */
const flooredRemainder = (a: number, b: number): number => {
  const remainder = a % b
  return remainder !== 0 && remainder < 0 !== b < 0 ? remainder + b : remainder
}
const modulo = (rounding: "floor" | "truncate"): Arithmetic => {
  const remainder = rounding === "floor" ? flooredRemainder : truncatedRemainder
  return {
    float: each(remainder),
    integer: () => each((a, b) => (b === 0 ? 0 : remainder(a, b))),
    big: (a, b) => {
      if (b === 0n) return 0n
      const r = a % b
      return rounding === "floor" && r !== 0n && r < 0n !== b < 0n ? r + b : r
    }
  }
}

const bitwise = (small: (a: number, b: number) => number, big: BigFunction): (() => Arithmetic) => {
  const loop = each(small)
  return () => ({ float: loop, big })
}

/** Shifts by a width or more move every bit out; a negative amount counts as that, too. */
const shiftLeft: Arithmetic = {
  float: each((a, b) => (b >= 0 && b < 32 ? a << b : 0)),
  big: (a, b) => (b >= 0n && b < 64n ? a << b : 0n)
}
const shiftRight: Arithmetic = {
  float: each((a, b) => (b >= 0 && b < 32 ? Math.floor(a / 2 ** b) : a < 0 ? -1 : 0)),
  big: (a, b) => (b >= 0n && b < 64n ? a >> b : a < 0n ? -1n : 0n)
}

// ---- powers: the result has the base's dtype, the exponent may have another ---------------------------------------------

const bigPower = (base: bigint, exponent: bigint): bigint => {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : 0n
  let result = 1n
  let square = base
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = BigInt.asIntN(64, result * square)
    square = BigInt.asIntN(64, square * square)
  }
  return result
}

const pow = Kernel.define(Ops.pow, (call) => {
  const [a, b, shape] = [call.input(0), call.input(1), call.shape(0)]
  const integers = DTypes.isInteger(a.dtype) && DTypes.isInteger(b.dtype)
  if (!integers) {
    const left = Strided.expandedArray(Elements.numbers(a), a.shape, shape)
    const right = Strided.expandedArray(Elements.numbers(b), b.shape, shape)
    const result = new Float64Array(left.length)
    for (let i = 0; i < result.length; i++) result[i] = Functions.pow(left[i] ?? 0, right[i] ?? 0)
    return [Elements.fromNumbers(a.dtype, shape, result)]
  }
  const left = Strided.expandedArray(Elements.keys(a), a.shape, shape)
  const right = Strided.expandedArray(Elements.keys(b), b.shape, shape)
  if (DTypes.isBig(a.dtype)) {
    const data = Elements.allocateBig(a.dtype, left.length)
    for (let i = 0; i < data.length; i++) data[i] = bigPower(BigInt(left[i] ?? 0), BigInt(right[i] ?? 0))
    return [{ dtype: a.dtype, shape, data }]
  }
  const result = new Float64Array(left.length)
  for (let i = 0; i < result.length; i++)
    result[i] = Number(BigInt.asIntN(32, bigPower(BigInt(left[i] ?? 0), BigInt(right[i] ?? 0))))
  return [Elements.fromNumbers(a.dtype, shape, result)]
})

// ---- comparisons ------------------------------------------------------------------------------------------------------

type Comparison = "equal" | "less" | "lessOrEqual"
type Keys = ArrayLike<number | bigint>

const comparisons: { readonly [C in Comparison]: (a: Keys, b: Keys, result: Uint8Array) => void } = {
  equal: (a, b, result) => {
    for (let i = 0; i < result.length; i++) result[i] = a[i] === b[i] ? 1 : 0
  },
  less: (a, b, result) => {
    for (let i = 0; i < result.length; i++) result[i] = (a[i] ?? 0) < (b[i] ?? 0) ? 1 : 0
  },
  lessOrEqual: (a, b, result) => {
    for (let i = 0; i < result.length; i++) result[i] = (a[i] ?? 0) <= (b[i] ?? 0) ? 1 : 0
  }
}

const compare = (op: typeof Ops.equal, comparison: Comparison, swap = false): Entry =>
  Kernel.define(op, (call) => {
    const [a, b, shape] = [call.input(swap ? 1 : 0), call.input(swap ? 0 : 1), call.shape(0)]
    const left = Strided.expandedArray(Elements.keys(a), a.shape, shape)
    const right = Strided.expandedArray(Elements.keys(b), b.shape, shape)
    const result = new Uint8Array(left.length)
    comparisons[comparison](left, right, result)
    return [Elements.bools(shape, result)]
  })

const select = Kernel.define(Ops.select, (call) => {
  const shape = call.shape(0)
  const [condition, a, b] = [call.input(0), call.input(1), call.input(2)]
  const { data: holds } = Strided.expanded(condition, shape)
  const left = Strided.expanded(a, shape)
  const right = Strided.expanded(b, shape)
  const data = right.data.slice()
  for (let i = 0; i < data.length; i++) if (holds[i] === 1) data[i] = left.data[i] ?? 0
  return [{ dtype: a.dtype, shape, data }]
})

export const all: ReadonlyArray<Entry> = [
  arithmetic(Ops.add, () => ({ float: addLoop, big: (a, b) => a + b })),
  arithmetic(Ops.sub, () => ({ float: subLoop, big: (a, b) => a - b })),
  arithmetic(Ops.mul, () => ({ float: mulLoop, integer: () => integerMul, big: (a, b) => a * b })),
  arithmetic(Ops.div, () => ({ float: divLoop, integer: () => integerDiv, big: (a, b) => (b === 0n ? 0n : a / b) })),
  arithmetic(Ops.mod, ({ rounding }) => modulo(rounding)),
  pow,
  arithmetic(Ops.min, () => ({ float: minLoop, big: (a, b) => (a < b ? a : b), selects: true })),
  arithmetic(Ops.max, () => ({ float: maxLoop, big: (a, b) => (a > b ? a : b), selects: true })),
  arithmetic(
    Ops.and,
    bitwise(
      (a, b) => a & b,
      (a, b) => a & b
    )
  ),
  arithmetic(
    Ops.or,
    bitwise(
      (a, b) => a | b,
      (a, b) => a | b
    )
  ),
  arithmetic(
    Ops.xor,
    bitwise(
      (a, b) => a ^ b,
      (a, b) => a ^ b
    )
  ),
  arithmetic(
    Ops.bitwiseAnd,
    bitwise(
      (a, b) => a & b,
      (a, b) => a & b
    )
  ),
  arithmetic(
    Ops.bitwiseOr,
    bitwise(
      (a, b) => a | b,
      (a, b) => a | b
    )
  ),
  arithmetic(
    Ops.bitwiseXor,
    bitwise(
      (a, b) => a ^ b,
      (a, b) => a ^ b
    )
  ),
  arithmetic(Ops.shiftLeft, () => shiftLeft),
  arithmetic(Ops.shiftRight, () => shiftRight),
  compare(Ops.equal, "equal"),
  compare(Ops.less, "less"),
  compare(Ops.lessOrEqual, "lessOrEqual"),
  compare(Ops.greater, "less", true),
  compare(Ops.greaterOrEqual, "lessOrEqual", true),
  select
]
