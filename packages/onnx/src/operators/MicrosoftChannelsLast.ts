// Operators of com.microsoft on `[batch, …, channels]`: what onnxruntime's layout pass makes of convolutions and pools, and
// the fused normalisations of diffusion models.
//
// NhwcMaxPool(x) ⇒ transpose, maxPool, transpose back.  Source: ONNX Runtime's contrib operators.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import { convolution } from "./Conv.ts"
import { activated } from "./Microsoft.ts"
import { average, maximum } from "./Pool.ts"
import { flat, quantised, real } from "./Quantized.ts"

const domain = "com.microsoft"

/** What an operator of `[batch, channels, …]` gives for x with its channels last. */
const turned = (c: Context, x: Value, make: (x: Value) => Value): Value => {
  const rank = x.type.shape.length
  const inner = Array.from({ length: rank - 2 }, (_, axis) => axis + 1)
  const y = make(c.e.transpose(x, [0, rank - 1, ...inner]))
  return c.e.transpose(y, [0, ...inner.map((axis) => axis + 1), 1])
}

const placed = (c: Context, x: Value, isLast: boolean, make: (x: Value) => Value): Value =>
  isLast ? turned(c, x, make) : make(x)

const isChannelsLast = (c: Context): boolean => c.attribute.flag("channels_last", false)

const nhwcMaxPool: Operator = {
  name: "NhwcMaxPool",
  domain,
  since: [1],
  translate: (c) => turned(c, c.input(0), (x) => maximum(c, x)[0] ?? x)
}

const nhwcFusedConv: Operator = {
  name: "NhwcFusedConv",
  domain,
  since: [1],
  translate: (c) => {
    const y = turned(c, c.input(0), (x) => convolution(c, x, c.input(1), c.optional(2)))
    const addend = c.optional(3)
    return activated(c, addend === undefined ? y : c.e.add(y, addend))
  }
}

/** x, scale, zero, w, scale, zero, scale of the result, zero, bias: the one of ai.onnx with `channels_last`. */
const qlinearConv: Operator = {
  name: "QLinearConv",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const w = e.b.one(Ops.dequantize, [c.input(3), flat(c, 4), flat(c, 5)], { axis: 0, block: 0, to: "f32" })
    const scale = e.mul(flat(c, 1) ?? c.fail("the scale of x is missing"), flat(c, 4) ?? c.fail("that of w is missing"))
    const bias = c.has(8) ? e.mul(e.cast(c.input(8), "f32"), scale) : undefined
    const y = placed(c, real(c, 0), isChannelsLast(c), (x) => convolution(c, x, w, bias))
    return quantised(c, y, 6, c.type(0).dtype)
  }
}

const qlinearAveragePool: Operator = {
  name: "QLinearAveragePool",
  domain,
  since: [1],
  translate: (c) => {
    const y = placed(c, real(c, 0), isChannelsLast(c), (x) => average(c, x))
    return quantised(c, y, 3, c.type(0).dtype)
  }
}

/** Groups of channels standardised, scaled and shifted by channel, then x · sigmoid(x) where asked for. */
const groupNorm = (c: Context, x: Value): Value => {
  const { e } = c
  const groups = c.attribute.int("groups")
  const isLast = c.attribute.flag("channels_last", true)
  const whole = placed(c, x, isLast, (first) => {
    const { shape } = first.type
    const [batch = 1, channels = 1, ...extents] = shape
    const apart = e.reshape(first, [batch, groups, Dim.product([Dim.floorDiv(channels, groups), ...extents])])
    const centred = e.sub(apart, e.mean(apart, [2], true))
    const variance = e.mean(e.mul(centred, centred), [2], true)
    const epsilon = e.number(variance, c.attribute.float("epsilon", Math.fround(1e-5)))
    const normal = e.reshape(e.div(centred, e.sqrt(e.add(variance, epsilon))), shape)
    const [scale, shift] = [e.along(c.input(1), shape.length, 1), e.along(c.input(2), shape.length, 1)]
    return e.cast(e.add(e.mul(e.cast(normal, scale.type.dtype), scale), shift), x.type.dtype)
  })
  return c.attribute.int("activation") === 1 ? e.mul(whole, e.unary(Ops.sigmoid, whole)) : whole
}

const skipGroupNorm: Operator = {
  name: "SkipGroupNorm",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const skip = c.input(3)
    const [batch = 1, channels = 1] = skip.type.shape
    const wide = skip.type.shape.length === 2 ? e.reshape(skip, [batch, 1, 1, channels]) : skip
    const sum = e.add(c.input(0), wide)
    const bias = c.optional(4)
    const whole = bias === undefined ? sum : e.add(sum, bias)
    return [groupNorm(c, whole), whole]
  }
}

const biased = (c: Context): Value => c.e.add(c.input(0), c.input(1))

/** The first half of the last axis times the Gelu of the second. */
const biasSplitGelu: Operator = {
  name: "BiasSplitGelu",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = biased(c)
    const last = x.type.shape.length - 1
    const half = Dim.floorDiv(x.type.shape[last] ?? 0, 2)
    return e.mul(e.part(x, last, 0, half), e.b.one(Ops.gelu, [e.part(x, last, half, half)], { approximate: "none" }))
  }
}

export const all: ReadonlyArray<Operator> = [
  nhwcMaxPool,
  nhwcFusedConv,
  qlinearConv,
  qlinearAveragePool,
  { name: "GroupNorm", domain, since: [1], translate: (c) => groupNorm(c, c.input(0)) },
  skipGroupNorm,
  biasSplitGelu,
  { name: "BiasAdd", domain, since: [1], translate: (c) => c.e.add(c.e.add(c.input(0), c.input(1)), c.input(2)) }
]
