// Quantised operators of com.microsoft: QLinear… on numbers that stay quantised, products with quantised weights.
//
// QLinearAdd(a, b) ⇒ quantize(add(dequantize a, dequantize b));  MatMulNBits ⇒ matmul(x, dequantize(u4 weight in blocks))
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import type { Context, Operator } from "../Operator.ts"
import { dequantizeLinear, dynamicallyQuantized, quantizeLinear } from "./Quantize.ts"
import { flat, quantised, real } from "./Quantized.ts"

const domain = "com.microsoft"

const unary = (name: string, f: (c: Context, x: Value) => Value): Operator => ({
  name,
  domain,
  since: [1],
  translate: (c) => quantised(c, f(c, real(c, 0)), 3, c.type(0).dtype)
})

const binary = (name: string, op: typeof Ops.add): Operator => ({
  name,
  domain,
  since: [1],
  translate: (c) => quantised(c, c.e.binary(op, real(c, 0), real(c, 3)), 6, c.type(0).dtype)
})

const globalAverage = (c: Context, x: Value): Value => {
  const rank = x.type.shape.length
  const first = c.attribute.flag("channels_last", false) ? 1 : 2
  return c.e.mean(
    x,
    Array.from({ length: rank - 2 }, (_, axis) => axis + first),
    true
  )
}

/** Scale and zero point of the result, then three inputs a part. */
export const qlinearConcat: Operator = {
  name: "QLinearConcat",
  domain,
  since: [1],
  translate: (c) => {
    const parts = Array.from({ length: Math.floor((c.count - 2) / 3) }, (_, part) => real(c, 2 + 3 * part))
    const axis = c.axis(c.attribute.int("axis"), c.rank(2))
    return quantised(c, c.e.concat(parts, axis), 0, c.type(2).dtype)
  }
}

/** x − zero point in i32; a vector of zero points goes along the last axis. */
const centred = (c: Context, x: Value, zero: Value | undefined): Value => {
  const wide = c.e.cast(x, "i32")
  return zero === undefined ? wide : c.e.sub(wide, c.e.cast(zero, "i32"))
}

const plus = (c: Context, x: Value, index: number): Value => {
  const bias = c.optional(index)
  return bias === undefined ? x : c.e.add(x, bias)
}

export const matMulIntegerToFloat: Operator = {
  name: "MatMulIntegerToFloat",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const product = e.matmul(centred(c, c.input(0), flat(c, 4)), centred(c, c.input(1), flat(c, 5)))
    const [left, right] = [flat(c, 2), flat(c, 3)]
    if (left === undefined || right === undefined) return c.fail("the scales are missing")
    return plus(c, e.mul(e.cast(product, left.type.dtype), e.mul(left, right)), 6)
  }
}

export const dynamicQuantizeMatMul: Operator = {
  name: "DynamicQuantizeMatMul",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const { point, scale, y } = dynamicallyQuantized(c, c.input(0))
    const product = e.matmul(centred(c, y, point), centred(c, c.input(1), flat(c, 3)))
    const right = flat(c, 2) ?? c.fail("the weight's scale is missing")
    return plus(c, e.mul(e.cast(product, "f32"), e.mul(scale, right)), 4)
  }
}

/** Numbers of `bits` (2, 4 or 8) from bytes, the first in the lowest bits; `row` bytes hold `count` of them. */
export const unpack = (bytes: ArrayLike<number | bigint>, bits: number, row: number, count: number): Uint8Array => {
  const each = 8 / bits
  const rows = Math.floor(bytes.length / row)
  const result = new Uint8Array(rows * count)
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < count; i++) {
      const byte = Number(bytes[r * row + Math.floor(i / each)] ?? 0)
      result[r * count + i] = (byte >> (bits * (i % each))) & ((1 << bits) - 1)
    }
  return result
}

/** `[rows, columns]` as `[columns, rows]`, the first `kept` columns. */
const turned = (values: Uint8Array, columns: number, kept: number): Uint8Array => {
  const rows = values.length / columns
  const result = new Uint8Array(kept * rows)
  for (let r = 0; r < rows; r++) for (let i = 0; i < kept; i++) result[i * rows + r] = values[r * columns + i] ?? 0
  return result
}

/** The weight `[n, blocks, bytes]` of n rows of k numbers becomes a u4 or u8 `[k, n]`, dequantised in blocks of axis 0. */
export const matMulNBits: Operator = {
  name: "MatMulNBits",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const [k, n] = [c.attribute.int("K"), c.attribute.int("N")]
    const [bits, block] = [c.attribute.int("bits", 4), c.attribute.int("block_size")]
    if (bits !== 2 && bits !== 4 && bits !== 8) return c.unsupported(`weights of ${bits} bits`)
    if (c.has(4)) return c.unsupported("MatMulNBits with g_idx", "Quantise without reordering the weights.")
    const packed = c.constant(1) ?? c.unsupported("weights that are no constants of the model")
    const dtype: DType = bits === 8 ? "u8" : "u4"
    const blocks = Math.ceil(k / block)
    const constant = (shape: ReadonlyArray<number>, data: Uint8Array): Value =>
      e.b.tensor(Tensors.make(dtype, shape, data))
    const row = (blocks * block * bits) / 8
    const weight = constant([k, n], turned(unpack(packed.data, bits, row, blocks * block), blocks * block, k))
    const scale = e.transpose(e.reshape(c.input(2), [n, blocks]), [1, 0])
    const zero = (): Value | undefined => {
      if (!c.has(3)) return constant([blocks, n], new Uint8Array(blocks * n).fill(1 << (bits - 1)))
      if (DTypes.isFloat(c.type(3).dtype)) return undefined
      const given = c.constant(3) ?? c.unsupported("zero points that are no constants of the model")
      return constant(
        [blocks, n],
        turned(unpack(given.data, bits, Math.ceil((blocks * bits) / 8), blocks), blocks, blocks)
      )
    }
    const point = zero()
    const attributes = { axis: 0, block, to: scale.type.dtype }
    let numbers = e.b.one(Ops.dequantize, [weight, scale, point], attributes)
    if (point === undefined) {
      // Zero points that are floats: (q − z) · scale = q · scale − z · scale, each for its block.
      const shift = e.mul(e.transpose(e.reshape(e.cast(c.input(3), scale.type.dtype), [n, blocks]), [1, 0]), scale)
      const rows = e.expand(e.reshape(shift, [blocks, 1, n]), [blocks, block, n])
      numbers = e.sub(numbers, e.part(e.reshape(rows, [blocks * block, n]), 0, 0, k))
    }
    return plus(c, e.matmul(x, e.cast(numbers, x.type.dtype)), 5)
  }
}

export const all: ReadonlyArray<Operator> = [
  { ...quantizeLinear, domain, since: [1] },
  { ...dequantizeLinear, domain, since: [1] },
  binary("QLinearAdd", Ops.add),
  binary("QLinearMul", Ops.mul),
  unary("QLinearSigmoid", (c, x) => c.e.unary(Ops.sigmoid, x)),
  unary("QLinearLeakyRelu", (c, x) =>
    c.e.b.one(Ops.leakyRelu, [x], { alpha: c.attribute.float("alpha", Math.fround(0.01)) })
  ),
  unary("QLinearSoftmax", (c, x) =>
    c.e.b.one(Ops.softmax, [x], { axis: c.axis(c.attribute.int("axis", -1), x.type.shape.length) })
  ),
  unary("QLinearGlobalAveragePool", globalAverage),
  qlinearConcat,
  matMulIntegerToFloat,
  dynamicQuantizeMatMul,
  matMulNBits
]
