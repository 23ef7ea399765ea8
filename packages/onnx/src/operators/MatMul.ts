// Matrix products: MatMul, Gemm, MatMulInteger, QLinearMatMul.
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

export const matmul: Operator = {
  name: "MatMul",
  since: [1],
  translate: (c) => c.e.matmul(c.input(0), c.input(1))
}

/** alpha · a · b + beta · c, a and b transposed when asked. A plain one with a vector becomes `linear`. */
export const gemm: Operator = {
  name: "Gemm",
  since: [1, 6, 7, 11],
  translate: (c) => {
    const { e } = c
    const [alpha, beta] = [c.attribute.float("alpha", 1), c.attribute.float("beta", 1)]
    const turned = (x: Value, name: string): Value => (c.attribute.flag(name, false) ? e.transpose(x, [1, 0]) : x)
    const a = turned(c.input(0), "transA")
    const b = turned(c.input(1), "transB")
    const bias = c.optional(2)
    if (alpha === 1 && beta === 1 && bias?.type.shape.length === 1 && bias.type.shape[0] !== 1)
      return e.b.one(Ops.linear, [a, b, bias], {})
    const product = e.matmul(a, b)
    const scaled = alpha === 1 ? product : e.mul(product, e.number(product, alpha))
    if (bias === undefined) return scaled
    return e.add(scaled, beta === 1 ? bias : e.mul(bias, e.number(bias, beta)))
  }
}

/** x − zero point in i32; a vector of zero points goes along the rows of a, the columns of b. */
const centred = (c: Context, index: number, zero: number, isLeft: boolean): Value => {
  const { e } = c
  const x = e.cast(c.input(index), "i32")
  const given = c.optional(zero)
  if (given === undefined) return x
  const point = e.cast(given, "i32")
  const isVector = point.type.shape.length === 1 && point.type.shape[0] !== 1
  return e.sub(x, isVector && isLeft ? e.reshape(point, [...point.type.shape, 1]) : point)
}

export const matmulInteger: Operator = {
  name: "MatMulInteger",
  since: [10],
  translate: (c) => c.e.matmul(centred(c, 0, 2, true), centred(c, 1, 3, false))
}

/** a, scale, zero, b, scale, zero, scale of the result, zero: the product is exact in i32, scaled once. */
export const qlinearMatmul: Operator = {
  name: "QLinearMatMul",
  since: [10, 21],
  translate: (c) => {
    const { e } = c
    const product = e.matmul(centred(c, 0, 2, true), centred(c, 3, 5, false))
    const wide = (index: number): Value => {
      const scale = c.input(index)
      return e.cast(scale.type.shape.length === 1 && scale.type.shape[0] === 1 ? e.reshape(scale, []) : scale, "f32")
    }
    const rows = wide(1)
    const left = rows.type.shape.length === 1 ? e.reshape(rows, [...rows.type.shape, 1]) : rows
    const real = e.mul(e.cast(product, "f32"), e.mul(left, wide(4)))
    const zero = c.input(7)
    const to = zero.type.dtype
    const point = zero.type.shape.length === 1 && zero.type.shape[0] === 1 ? e.reshape(zero, []) : zero
    if (!DTypes.isInteger(to)) return c.unsupported(`a result of ${to}`)
    return e.b.one(Ops.quantize, [real, wide(6), point], { axis: -1, block: 0, to, saturate: true })
  }
}

export const all: ReadonlyArray<Operator> = [matmul, gemm, matmulInteger, qlinearMatmul]
