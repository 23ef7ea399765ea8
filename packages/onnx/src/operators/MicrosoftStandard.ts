// Operators of com.microsoft that ai.onnx has too, or that are a few of its operators in a row.
//
// BiasSoftmax(x, b) ⇒ softmax(x + b).  Source: ONNX Runtime's contrib operators.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import type { Operator } from "../Operator.ts"
import { trilu } from "./Concat.ts"
import { gatherNd } from "./Gather.ts"
import { gridSample } from "./GridSample.ts"
import { fusedMatMul } from "./Microsoft.ts"
import { unpack } from "./MicrosoftQuantized.ts"
import { flat, quantised, real } from "./Quantized.ts"

const domain = "com.microsoft"

/** The distinct elements in the order in which they come, each element's place among them, their counts. */
const unique: Operator = {
  name: "Unique",
  domain,
  since: [1],
  translate: (c) => {
    const [found, , places, counts] = c.e.b.node(Ops.unique, [c.input(0)], { axis: null, sorted: false })
    return [found, places, counts].flatMap((value) => (value === undefined ? [] : [value]))
  }
}

/** The bias `[batch, …]` has the axes before the softmax's own, or those after the first half of them. */
const biasSoftmax: Operator = {
  name: "BiasSoftmax",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const [x, bias] = [c.input(0), c.input(1)]
    const { shape } = x.type
    if (bias.type.shape.length !== shape.length) return c.unsupported("a bias of another rank than the data")
    const axis = c.axis(c.attribute.int("axis", 1), shape.length)
    // All axes from this one on are one.
    const rows = e.reshape(e.add(x, bias), [...shape.slice(0, axis), Dim.product(shape.slice(axis))])
    return e.reshape(e.b.one(Ops.softmax, [rows], { axis }), shape)
  }
}

const isAllFinite: Operator = {
  name: "IsAllFinite",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    if (c.attribute.flag("isinf_only", false) || c.attribute.flag("isnan_only", false))
      return c.unsupported("IsAllFinite for infinities or for NaN alone")
    const bad = Array.from({ length: c.count }, (_, index) => {
      const x = c.input(index)
      const axes = x.type.shape.map((_, axis) => axis)
      // x - x is 0 for finite numbers, else NaN.
      const odd = e.cast(e.unary(Ops.isNaN, e.sub(x, x)), "i32")
      return e.reduce(Ops.reduceMax, odd, axes, false)
    })
    const [first, ...rest] = bad
    if (first === undefined) return c.fail("takes at least one input")
    const worst = rest.reduce((a, b) => e.max(a, b), first)
    return e.binary(Ops.equal, worst, e.number(worst, 0))
  }
}

/** Rows of a table that is quantised in blocks of one axis; bytes hold one number of 8 bits or two of 4. */
const gatherBlockQuantized: Operator = {
  name: "GatherBlockQuantized",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const bits = c.attribute.int("bits", 4)
    const table = c.type(0)
    const isPacked = table.dtype === "u8" && bits === 4
    if (bits !== 4 && bits !== 8) return c.unsupported(`numbers of ${bits} bits`)
    const rank = table.shape.length
    const last = rank - 1
    const wide = (index: number): Value => {
      if (!isPacked) return c.input(index)
      const packed = c.constant(index) ?? c.unsupported("packed numbers that are no constants of the model")
      const shape = packed.shape.map((extent, axis) => (axis === last ? extent * 2 : extent))
      return e.b.tensor(Tensors.make("u4", shape, unpack(packed.data, 4, 1, 2)))
    }
    const weight = wide(0)
    const { dtype } = weight.type
    const scale = c.input(2)
    // Zero points of 4 bits in bytes may be one more than there are.
    const cut = (point: Value): Value =>
      e.slice(
        point,
        scale.type.shape.map(() => 0),
        scale.type.shape
      )
    const middle = (): Value => e.expand(e.scalar(dtype, 1 << (bits - 1)), scale.type.shape)
    const point = c.has(3) ? cut(wide(3)) : table.dtype === "u8" ? middle() : undefined
    const axis = c.axis(c.attribute.int("quantize_axis", 1), rank)
    const block = c.attribute.int("block_size", 128)
    const numbers = e.b.one(Ops.dequantize, [weight, scale, point], { axis, block, to: scale.type.dtype })
    return e.gather(numbers, c.input(1), c.axis(c.attribute.int("gather_axis", 0), rank))
  }
}

/** a, scale, zero, b, scale, zero, c in i32, scale of the result, zero: numbers where the last two are left out. */
const qgemm: Operator = {
  name: "QGemm",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const rows = c.attribute.flag("transA", false) ? e.transpose(real(c, 0), [1, 0]) : real(c, 0)
    const isTurned = c.attribute.flag("transB", false)
    const columns = isTurned ? e.transpose(real(c, 3, 0), [1, 0]) : real(c, 3, 1)
    const product = e.matmul(rows, columns)
    const scale = e.mul(flat(c, 1) ?? c.fail("the scale of a is missing"), flat(c, 4) ?? c.fail("that of b is missing"))
    const sum = c.has(6) ? e.add(product, e.mul(e.cast(c.input(6), "f32"), scale)) : product
    const alpha = c.attribute.float("alpha", 1)
    const y = alpha === 1 ? sum : e.mul(sum, e.number(sum, alpha))
    return c.has(7) ? quantised(c, y, 7, c.type(0).dtype) : y
  }
}

/** The condition, three inputs each for what is taken where it holds and where not, scale and zero point of the result. */
const qlinearWhere: Operator = {
  name: "QLinearWhere",
  domain,
  since: [1],
  translate: (c) => quantised(c, c.e.select(c.input(0), real(c, 1), real(c, 4)), 7, c.type(1).dtype)
}

const expandDims: Operator = {
  name: "ExpandDims",
  domain,
  since: [1],
  translate: (c) => {
    const x = c.input(0)
    const rank = x.type.shape.length + 1
    const [given = c.fail("the axis is missing")] = c.integers(1) ?? []
    const axis = c.axis(given, rank)
    return c.e.reshape(x, [...x.type.shape.slice(0, axis), 1, ...x.type.shape.slice(axis)])
  }
}

const renamed = (operator: Operator, name = operator.name): Operator => ({ ...operator, name, domain, since: [1] })

export const all: ReadonlyArray<Operator> = [
  renamed(trilu),
  renamed(gatherNd),
  renamed(gridSample),
  renamed(fusedMatMul, "TransposeMatMul"),
  unique,
  biasSoftmax,
  isAllFinite,
  gatherBlockQuantized,
  qgemm,
  qlinearWhere,
  expandDims
]
