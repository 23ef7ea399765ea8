// Activations: composites of the IR where it has them, else a few elementwise ops.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Emit } from "../Emit.ts"
import type { Context, Operator } from "../Operator.ts"

const activation = (
  name: string,
  since: ReadonlyArray<number>,
  make: (e: Emit, x: Value, c: Context) => Value
): Operator => ({
  name,
  since,
  translate: (c) => make(c.e, c.input(0), c)
})

/** max(x, 0) and min(x, 0). */
const positive = (e: Emit, x: Value): Value => e.max(x, e.number(x, 0))
const negative = (e: Emit, x: Value): Value => e.min(x, e.number(x, 0))

/** alpha · (exp(min(x, 0)) − 1): no overflow on the positive side. */
const exponential = (e: Emit, x: Value, alpha: number): Value =>
  e.mul(e.number(x, alpha), e.unary(Ops.expm1, negative(e, x)))

const gate = (e: Emit, x: Value, condition: Value, yes: Value): Value => e.select(condition, yes, e.number(x, 0))

export const relu: Operator = {
  name: "Relu",
  since: [1, 6],
  translate: (c) => c.e.unary(Ops.relu, c.input(0))
}

export const leakyRelu = activation("LeakyRelu", [1], (e, x, c) =>
  e.b.one(Ops.leakyRelu, [x], { alpha: c.attribute.float("alpha", Math.fround(0.01)) })
)

export const elu = activation("Elu", [1], (e, x, c) =>
  e.add(positive(e, x), exponential(e, x, c.attribute.float("alpha", 1)))
)

export const celu = activation("Celu", [12], (e, x, c) => {
  const alpha = c.attribute.float("alpha", 1)
  return e.add(positive(e, x), exponential(e, e.div(x, e.number(x, alpha)), alpha))
})

export const selu = activation("Selu", [1, 6], (e, x, c) => {
  const alpha = c.attribute.float("alpha", 1.6732631921768188)
  const gamma = c.attribute.float("gamma", 1.0507010221481323)
  return e.mul(e.number(x, gamma), e.add(positive(e, x), exponential(e, x, alpha)))
})

const hard = (e: Emit, x: Value, alpha: number, beta: number): Value => {
  const line = e.add(e.mul(x, e.number(x, alpha)), e.number(x, beta))
  return e.b.one(Ops.clip, [line, e.number(x, 0), e.number(x, 1)], {})
}

export const hardSigmoid = activation("HardSigmoid", [1, 6], (e, x, c) =>
  hard(e, x, c.attribute.float("alpha", Math.fround(0.2)), c.attribute.float("beta", 0.5))
)

export const hardSwish = activation("HardSwish", [14], (e, x) => e.mul(x, hard(e, x, 1 / 6, 0.5)))

export const softplus = activation("Softplus", [1], (e, x) => e.unary(Ops.softplus, x))

export const softsign = activation("Softsign", [1], (e, x) => e.div(x, e.add(e.number(x, 1), e.abs(x))))

export const thresholdedRelu = activation("ThresholdedRelu", [10], (e, x, c) => {
  const alpha = e.number(x, c.attribute.float("alpha", 1))
  return gate(e, x, e.binary(Ops.greater, x, alpha), x)
})

export const shrink: Operator = {
  name: "Shrink",
  since: [9],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const [bias, lambda] = [c.attribute.float("bias", 0), c.attribute.float("lambd", 0.5)]
    const low = e.binary(Ops.less, x, e.number(x, -lambda))
    const high = e.binary(Ops.greater, x, e.number(x, lambda))
    const shifted = gate(e, x, high, e.sub(x, e.number(x, bias)))
    return e.select(low, e.add(x, e.number(x, bias)), shifted)
  }
}

export const mish = activation("Mish", [18], (e, x) => e.mul(x, e.tanh(e.unary(Ops.softplus, x))))

export const swish = activation("Swish", [24], (e, x, c) => {
  const alpha = c.attribute.float("alpha", 1)
  if (alpha === 1) return e.unary(Ops.silu, x)
  return e.mul(x, e.unary(Ops.sigmoid, e.mul(x, e.number(x, alpha))))
})

export const gelu = activation("Gelu", [20], (e, x, c) => {
  const approximate = c.attribute.string("approximate", "none")
  if (approximate !== "none" && approximate !== "tanh") return c.fail(`approximate "${approximate}" is not known`)
  return e.b.one(Ops.gelu, [x], { approximate })
})

/** The slope broadcasts to x; before opset 7 a vector of slopes went along axis 1. */
export const prelu = activation("PRelu", [1, 7], (e, x, c) => {
  const given = c.input(1)
  const rank = x.type.shape.length
  const isPerChannel =
    c.opset < 7 && given.type.shape.length === 1 && rank > 1 && Dim.equal(given.type.shape[0] ?? 1, 1) !== true
  const slope = isPerChannel ? e.along(given, rank, 1) : given
  return e.select(e.binary(Ops.less, x, e.number(x, 0)), e.mul(slope, x), x)
})

/** Limits are inputs since opset 11, attributes before. */
export const clip: Operator = {
  name: "Clip",
  since: [6, 11],
  translate: (c) => {
    const x = c.input(0)
    const limit = (index: number, name: string): Value | undefined => {
      if (c.opset < 11) return c.attribute.has(name) ? c.e.number(x, c.attribute.float(name)) : undefined
      const given = c.optional(index)
      return given === undefined ? undefined : c.e.reshape(given, [])
    }
    const [low, high] = [limit(1, "min"), limit(2, "max")]
    return low === undefined && high === undefined ? c.operand(0) : c.e.b.one(Ops.clip, [x, low, high], {})
  }
}

/** All: in the order of this file. */
export const all: ReadonlyArray<Operator> = [
  relu,
  leakyRelu,
  elu,
  celu,
  selu,
  hardSigmoid,
  hardSwish,
  softplus,
  softsign,
  thresholdedRelu,
  shrink,
  mish,
  swish,
  gelu,
  prelu,
  clip
]
