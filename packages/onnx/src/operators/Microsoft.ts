// Operators of the domain com.microsoft that exporters of transformers write: activations with a bias, FusedMatMul,
// fused convolutions, skip connections with their normalisation, RotaryEmbedding.  Source: ONNX Runtime's contrib operators.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import { joinHeads } from "./Attention.ts"
import { conv } from "./Conv.ts"
import { gemm } from "./MatMul.ts"

const domain = "com.microsoft"

const gelu = (c: Context, x: Value, approximate: "none" | "tanh"): Value => c.e.b.one(Ops.gelu, [x], { approximate })

/** x, with the bias at `index` added where it is given. */
const biased = (c: Context, index: number): Value => {
  const bias = c.optional(index)
  return bias === undefined ? c.input(0) : c.e.add(c.input(0), bias)
}

export const quickGelu: Operator = {
  name: "QuickGelu",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const alpha = e.number(x, c.attribute.float("alpha", Math.fround(1.702)))
    return e.mul(x, e.unary(Ops.sigmoid, e.mul(alpha, x)))
  }
}

const transposed = (c: Context, x: Value, name: string): Value => {
  const rank = x.type.shape.length
  if (rank < 2) return x
  const axes = x.type.shape.map((_, axis) => axis)
  const isBatchLast = c.attribute.flag(`transBatch${name}`, false)
  const isTransposed = c.attribute.flag(`trans${name}`, false)
  // transBatch: the first axis goes before the last one.
  const order = isBatchLast ? [...axes.slice(1, -1), 0, rank - 1] : axes
  const last = isTransposed ? [...order.slice(0, -2), order[rank - 1] ?? 0, order[rank - 2] ?? 0] : order
  return last.every((axis, i) => axis === i) ? x : c.e.transpose(x, last)
}

export const fusedMatMul: Operator = {
  name: "FusedMatMul",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const product = e.matmul(transposed(c, c.input(0), "A"), transposed(c, c.input(1), "B"))
    const alpha = c.attribute.float("alpha", 1)
    return alpha === 1 ? product : e.mul(product, e.number(product, alpha))
  }
}

/** Input, skip and bias added up: the fourth result. */
const skipped = (c: Context, bias: number): Value => {
  const sum = c.e.add(c.input(0), c.input(1))
  const given = c.optional(bias)
  return given === undefined ? sum : c.e.add(sum, given)
}

/** Results 1 and 2 (mean and inverse deviation) are for training. */
const withSum = (c: Context, y: Value, sum: Value): ReadonlyArray<Value> =>
  c.wanted(1) || c.wanted(2) ? c.unsupported("the mean and the inverse deviation as results") : [y, y, y, sum]

export const skipLayerNormalization: Operator = {
  name: "SkipLayerNormalization",
  domain,
  since: [1],
  translate: (c) => {
    const sum = skipped(c, 4)
    const attributes = { axis: sum.type.shape.length - 1, epsilon: c.attribute.float("epsilon", Math.fround(1e-12)) }
    return withSum(c, c.e.b.one(Ops.layerNorm, [sum, c.input(2), c.optional(3)], attributes), sum)
  }
}

export const skipSimplifiedLayerNormalization: Operator = {
  name: "SkipSimplifiedLayerNormalization",
  domain,
  since: [1],
  translate: (c) => {
    const sum = skipped(c, 3)
    const attributes = { axis: sum.type.shape.length - 1, epsilon: c.attribute.float("epsilon", Math.fround(1e-6)) }
    return withSum(c, c.e.b.one(Ops.rmsNorm, [sum, c.input(2)], attributes), sum)
  }
}

/** x `[batch, sequence, hidden]` or `[batch, heads, sequence, dim]`, angles by position: one start or an id a step. */
export const rotaryEmbedding: Operator = {
  name: "RotaryEmbedding",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const given = c.input(0)
    const { shape } = given.type
    const isRank3 = shape.length === 3
    const [cosines, sines] = [c.input(2), c.input(3)]
    const half = cosines.type.shape[1] ?? 1
    const partial = c.attribute.int("rotary_embedding_dim", 0)
    const heads = c.attribute.int("num_heads", 0)
    const [batch = 1, sequence = 1] = isRank3 ? shape : [shape[0], shape[2]]
    const dim = !isRank3
      ? (shape[3] ?? 1)
      : heads > 0
        ? Dim.floorDiv(shape[2] ?? 1, heads)
        : partial > 0
          ? c.fail("rotary_embedding_dim needs num_heads")
          : Dim.mul(half, 2)
    const x = isRank3
      ? e.transpose(e.reshape(given, [batch, sequence, Dim.floorDiv(shape[2] ?? 1, dim), dim]), [0, 2, 1, 3])
      : given
    const ids = e.cast(c.input(1), "i64")
    const isStart = Dim.equal(Dim.product(ids.type.shape), 1) === true
    const positions = isStart ? e.add(e.iota(sequence, "i64"), e.reshape(ids, [])) : ids
    const angles = (cache: Value): Value =>
      e.reshape(e.gather(cache, positions, 0), [isStart ? 1 : batch, 1, sequence, half])
    const rotated = Dim.mul(half, 2)
    const isWhole = partial === 0 || Dim.equal(rotated, dim) === true
    const front = isWhole ? x : e.part(x, 3, 0, rotated)
    const turned = e.b.one(Ops.rotaryEmbedding, [front, angles(cosines), angles(sines)], {
      interleaved: c.attribute.flag("interleaved", false)
    })
    const whole = isWhole ? turned : e.concat([turned, e.part(x, 3, rotated, Dim.sub(dim, rotated))], 3)
    const scale = c.attribute.float("scale", 1)
    const scaled = scale === 1 ? whole : e.mul(whole, e.number(whole, scale))
    return isRank3 ? joinHeads(c, scaled) : scaled
  }
}

/** x / √(mean(x²) + ε) · scale; the second result (the inverse root) is for training. Written with the domain of ai.onnx. */
export const simplifiedLayerNormalization: Operator = {
  name: "SimplifiedLayerNormalization",
  since: [1],
  translate: (c) => {
    if (c.wanted(1)) return c.unsupported("the inverse root as a result")
    const axis = c.axis(c.attribute.int("axis", -1), c.rank(0))
    const attributes = { axis, epsilon: c.attribute.float("epsilon", Math.fround(1e-5)) }
    return c.e.b.one(Ops.rmsNorm, [c.input(0), c.input(1)], attributes)
  }
}

/** The activation of FusedConv and FusedGemm. */
export const activated = (c: Context, x: Value): Value => {
  const { e } = c
  const name = c.attribute.string("activation", "")
  const [first = 0, second = 0] = c.attribute.floats("activation_params") ?? []
  switch (name) {
    case "":
      return x
    case "Relu":
      return e.unary(Ops.relu, x)
    case "Tanh":
      return e.tanh(x)
    case "Sigmoid":
      return e.unary(Ops.sigmoid, x)
    case "LeakyRelu":
      return e.b.one(Ops.leakyRelu, [x], { alpha: c.attribute.float("activation_alpha", first) })
    case "Clip":
      return e.b.one(Ops.clip, [x, e.number(x, first), e.number(x, second)], {})
    case "HardSigmoid": {
      const line = e.add(e.mul(x, e.number(x, first)), e.number(x, second))
      return e.b.one(Ops.clip, [line, e.number(x, 0), e.number(x, 1)], {})
    }
    default:
      return c.unsupported(`the activation "${name}"`)
  }
}

/** What an operator of ai.onnx gives for the same inputs and attributes. */
const plain = (c: Context, operator: Operator): Value => {
  const found = operator.translate(c)
  return "id" in found ? found : c.fail(`${operator.name} has one result`)
}

export const fusedConv: Operator = {
  name: "FusedConv",
  domain,
  since: [1],
  translate: (c) => {
    const result = plain(c, conv)
    const addend = c.optional(3)
    return activated(c, addend === undefined ? result : c.e.add(result, addend))
  }
}

export const fusedGemm: Operator = {
  name: "FusedGemm",
  domain,
  since: [1],
  translate: (c) => activated(c, plain(c, gemm))
}

/** Embeddings of words, positions and segments, added and normalised. */
export const embedLayerNormalization: Operator = {
  name: "EmbedLayerNormalization",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const ids = c.input(0)
    const [batch = 1, steps = 1] = ids.type.shape
    const places = c.optional(8)
    const rows = c.type(3).shape[0] ?? 1
    if (places === undefined) c.constrain(Dim.max(steps, rows), rows, "there are as many positions as tokens")
    const words = e.gather(c.input(2), ids, 0)
    const positions = places === undefined ? e.part(c.input(3), 0, 0, steps) : e.gather(c.input(3), places, 0)
    let sum = e.add(words, positions)
    if (c.has(1) && c.has(4)) sum = e.add(sum, e.gather(c.input(4), c.input(1), 0))
    const attributes = { axis: 2, epsilon: c.attribute.float("epsilon", Math.fround(1e-12)) }
    const y = e.b.one(Ops.layerNorm, [sum, c.input(5), c.input(6)], attributes)
    const mask = c.optional(7)
    const lengths = mask === undefined ? e.expand(e.scalar("i32", 0), [batch]) : e.sum(e.cast(mask, "i32"), [1], false)
    return [y, lengths, sum]
  }
}

export const all: ReadonlyArray<Operator> = [
  { name: "Gelu", domain, since: [1], translate: (c) => gelu(c, c.input(0), "none") },
  { name: "FastGelu", domain, since: [1], translate: (c) => gelu(c, biased(c, 1), "tanh") },
  { name: "BiasGelu", domain, since: [1], translate: (c) => gelu(c, biased(c, 1), "none") },
  quickGelu,
  fusedMatMul,
  skipLayerNormalization,
  skipSimplifiedLayerNormalization,
  rotaryEmbedding,
  simplifiedLayerNormalization,
  fusedConv,
  fusedGemm,
  embedLayerNormalization
]
