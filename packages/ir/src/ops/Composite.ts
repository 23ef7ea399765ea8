// Composites: ops with an expansion into smaller ones. They keep the field's names, so that a target can match them
// whole; a target that doesn't takes the expansion. An expansion is the op's definition: the oracle runs it.
import * as Schema from "effect/Schema"
import type { Builder } from "../Builder.ts"
import * as Dims from "../Dim.ts"
import type { DType } from "../DType.ts"
import * as DTypes from "../DType.ts"
import { refuse } from "../Errors.ts"
import type { Value } from "../Graph.ts"
import { broadcast, normalizeAxis } from "../Infer.ts"
import * as Numbers from "../Numbers.ts"
import * as Op from "../Op.ts"
import { matmul } from "./Contract.ts"
import * as E from "./Elementwise.ts"
import { concat, reshape, slice, transpose } from "./Movement.ts"
import { reduceMax, reduceMean, reduceSum } from "./Reduce.ts"
import { iota } from "./Shape.ts"

const expansion: Op.ErrorRule = { kind: "expansion" }

const need = (value: Value | undefined): Value => value ?? refuse("WrongArity", "an operand is missing")
const fill = (b: Builder, dtype: DType, value: number): Value => b.tensor(Numbers.scalar(dtype, value))
const sameType = (
  context: Op.InferContext<unknown>
): ReadonlyArray<{ dtype: DType; shape: ReadonlyArray<Dims.Dim> }> => {
  const x = context.input(0)
  return DTypes.isFloat(x.dtype) ? [x] : context.fail("takes float elements")
}

/** Casts for an op whose arithmetic is f32 at least, and back: narrow floats keep only inputs and results. */
const wide = (b: Builder, x: Value): Value =>
  DTypes.isNarrowFloat(x.type.dtype) ? b.one(E.cast, [x], { to: "f32", saturate: true }) : x
const narrow = (b: Builder, x: Value, dtype: DType): Value =>
  x.type.dtype === dtype ? x : b.one(E.cast, [x], { to: dtype, saturate: true })

const activation = (
  name: string,
  summary: string,
  expand: (b: Builder, x: Value, dtype: DType) => Value
): Op.OpDefinition<{}> =>
  Op.define({
    name,
    summary,
    attributes: Op.NoAttributes,
    operands: [{ name: "x" }],
    error: expansion,
    infer: (context) => sameType(context),
    expand: (b, [x]) => {
      const given = need(x)
      const inner = wide(b, given)
      return [narrow(b, expand(b, inner, inner.type.dtype), given.type.dtype)]
    }
  })

/** max(x, 0), for floats and signed integers. */
export const relu = Op.define({
  name: "relu",
  summary: "max(x, 0)",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }],
  error: expansion,
  infer: ({ fail, input }) => (DTypes.isSigned(input(0).dtype) ? [input(0)] : fail("takes signed elements")),
  expand: (b, [x]) => [b.one(E.max, [need(x), fill(b, need(x).type.dtype, 0)], {})]
})

export const silu = activation("silu", "x · sigmoid(x)", (b, x) => b.one(E.mul, [x, b.one(E.sigmoid, [x], {})], {}))

/** log(1 + eˣ), as max(x, 0) + log1p(e^−|x|): no overflow. */
export const softplus = activation("softplus", "log(1 + eˣ)", (b, x, dtype) => {
  const tail = b.one(E.log1p, [b.one(E.exp, [b.one(E.neg, [b.one(E.abs, [x], {})], {})], {})], {})
  return b.one(E.add, [b.one(E.max, [x, fill(b, dtype, 0)], {}), tail], {})
})

/** `none`: x/2 · (1 + erf(x/√2)); `tanh`: x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))). Hendrycks and Gimpel 2016. */
export const gelu = Op.define({
  name: "gelu",
  summary: "Gaussian error linear unit",
  attributes: Schema.Struct({ approximate: Schema.Literals(["none", "tanh"]) }),
  operands: [{ name: "x" }],
  error: expansion,
  infer: (context) => sameType(context),
  expand: (b, [x], { approximate }) => {
    const given = need(x)
    const inner = wide(b, given)
    const dtype = inner.type.dtype
    const constant = (value: number): Value => fill(b, dtype, value)
    const mul = (left: Value, right: Value): Value => b.one(E.mul, [left, right], {})
    const cubed = (): Value => mul(mul(inner, inner), inner)
    const gate =
      approximate === "none"
        ? b.one(E.erf, [mul(inner, constant(Math.SQRT1_2))], {})
        : b.one(
            E.tanh,
            [mul(constant(0.7978845608028654), b.one(E.add, [inner, mul(constant(0.044715), cubed())], {}))],
            {}
          )
    const scaled = mul(mul(inner, constant(0.5)), b.one(E.add, [gate, constant(1)], {}))
    return [narrow(b, scaled, given.type.dtype)]
  }
})

export const leakyRelu = Op.define({
  name: "leakyRelu",
  summary: "x where x ≥ 0, else alpha · x",
  attributes: Schema.Struct({ alpha: Schema.Finite }),
  operands: [{ name: "x" }],
  error: expansion,
  infer: (context) => sameType(context),
  expand: (b, [x], { alpha }) => {
    const given = need(x)
    const zero = fill(b, given.type.dtype, 0)
    const negative = b.one(E.mul, [b.one(E.min, [given, zero], {}), fill(b, given.type.dtype, alpha)], {})
    return [b.one(E.add, [b.one(E.max, [given, zero], {}), negative], {})]
  }
})

/** min(max(x, low), high); low or high may be left out. All of one dtype, scalars. */
export const clip = Op.define({
  name: "clip",
  summary: "x limited to [low, high]",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }, { name: "low", optional: true }, { name: "high", optional: true }],
  error: expansion,
  infer: ({ fail, input, inputs }) => {
    for (const limit of [inputs[1], inputs[2]])
      if (limit !== undefined && (limit.dtype !== input(0).dtype || limit.shape.length !== 0))
        fail("limits are scalars of x's dtype")
    return [input(0)]
  },
  expand: (b, [x, low, high]) => {
    const above = low === undefined ? need(x) : b.one(E.max, [need(x), low], {})
    const inside = high === undefined ? above : b.one(E.min, [above, high], {})
    // With neither limit the value passes through a no-op, so that the result is a value of its own.
    return [inside === x ? b.one(reshape, [inside], { shape: inside.type.shape }) : inside]
  }
})

const AxisAttributes = Schema.Struct({ axis: Schema.Int })
const alongAxis = (context: Op.InferContext<typeof AxisAttributes.Type>) => {
  normalizeAxis(context.attributes.axis, context.input(0).shape.length, context.fail)
  return sameType(context)
}
const shifted = (b: Builder, x: Value, axis: number): Value => {
  const reduced = { axes: [axis < 0 ? axis + x.type.shape.length : axis], keepDims: true }
  return b.one(E.sub, [x, b.one(reduceMax, [x], reduced)], {})
}

/** e^(x − max) / Σ e^(x − max) along an axis. */
export const softmax = Op.define({
  name: "softmax",
  summary: "softmax along an axis",
  attributes: AxisAttributes,
  operands: [{ name: "x" }],
  error: expansion,
  infer: alongAxis,
  expand: (b, [x], { axis }) => {
    const given = need(x)
    const inner = wide(b, given)
    const reduced = { axes: [axis < 0 ? axis + inner.type.shape.length : axis], keepDims: true }
    const powers = b.one(E.exp, [shifted(b, inner, axis)], {})
    return [narrow(b, b.one(E.div, [powers, b.one(reduceSum, [powers], reduced)], {}), given.type.dtype)]
  }
})

export const logSoftmax = Op.define({
  name: "logSoftmax",
  summary: "logarithm of softmax along an axis",
  attributes: AxisAttributes,
  operands: [{ name: "x" }],
  error: expansion,
  infer: alongAxis,
  expand: (b, [x], { axis }) => {
    const given = need(x)
    const inner = wide(b, given)
    const reduced = { axes: [axis < 0 ? axis + inner.type.shape.length : axis], keepDims: true }
    const down = shifted(b, inner, axis)
    const total = b.one(reduceSum, [b.one(E.exp, [down], {})], reduced)
    return [narrow(b, b.one(E.sub, [down, b.one(E.log, [total], {})], {}), given.type.dtype)]
  }
})

const trailing = (rank: number, axis: number): ReadonlyArray<number> =>
  Array.from({ length: rank - axis }, (_, index) => axis + index)

const NormAttributes = Schema.Struct({
  /** The first normalised axis; all from it to the last are. In [0, rank). */
  axis: Schema.Int,
  epsilon: Schema.Finite
})

const normInfer = (context: Op.InferContext<typeof NormAttributes.Type>) => {
  const x = context.input(0)
  normalizeAxis(context.attributes.axis, x.shape.length, context.fail)
  for (const [position, parameter] of context.inputs.entries())
    if (position > 0 && parameter !== undefined && parameter.dtype !== x.dtype)
      context.fail("scale and bias have x's dtype")
  return sameType(context)
}

/** (x − mean) / √(variance + ε) · scale + bias over the trailing axes. Ba, Kiros and Hinton 2016. */
export const layerNorm = Op.define({
  name: "layerNorm",
  summary: "layer normalisation over the trailing axes",
  attributes: NormAttributes,
  operands: [{ name: "x" }, { name: "scale", optional: true }, { name: "bias", optional: true }],
  error: expansion,
  infer: normInfer,
  expand: (b, [x, scale, bias], { axis, epsilon }) => {
    const given = need(x)
    const inner = wide(b, given)
    const reduced = { axes: trailing(inner.type.shape.length, axis), keepDims: true }
    const centred = b.one(E.sub, [inner, b.one(reduceMean, [inner], reduced)], {})
    const variance = b.one(reduceMean, [b.one(E.mul, [centred, centred], {})], reduced)
    const spread = b.one(E.sqrt, [b.one(E.add, [variance, fill(b, inner.type.dtype, epsilon)], {})], {})
    let result = b.one(E.div, [centred, spread], {})
    if (scale !== undefined) result = b.one(E.mul, [result, wide(b, scale)], {})
    if (bias !== undefined) result = b.one(E.add, [result, wide(b, bias)], {})
    return [narrow(b, result, given.type.dtype)]
  }
})

/** x / √(mean(x²) + ε) · scale over the trailing axes. Zhang and Sennrich 2019. */
export const rmsNorm = Op.define({
  name: "rmsNorm",
  summary: "root mean square normalisation over the trailing axes",
  attributes: NormAttributes,
  operands: [{ name: "x" }, { name: "scale", optional: true }],
  error: expansion,
  infer: normInfer,
  expand: (b, [x, scale], { axis, epsilon }) => {
    const given = need(x)
    const inner = wide(b, given)
    const reduced = { axes: trailing(inner.type.shape.length, axis), keepDims: true }
    const square = b.one(reduceMean, [b.one(E.mul, [inner, inner], {})], reduced)
    const spread = b.one(E.sqrt, [b.one(E.add, [square, fill(b, inner.type.dtype, epsilon)], {})], {})
    const result = b.one(E.div, [inner, spread], {})
    const scaled = scale === undefined ? result : b.one(E.mul, [result, wide(b, scale)], {})
    return [narrow(b, scaled, given.type.dtype)]
  }
})

/** Inference form: (x − mean) / √(variance + ε) · scale + bias, vectors along axis 1. Ioffe and Szegedy 2015. */
export const batchNorm = Op.define({
  name: "batchNorm",
  summary: "batch normalisation with given statistics",
  attributes: Schema.Struct({ epsilon: Schema.Finite }),
  operands: [{ name: "x" }, { name: "scale" }, { name: "bias" }, { name: "mean" }, { name: "variance" }],
  error: expansion,
  domain: (operand) => (operand === 4 ? { kind: "range", min: 0.05, max: 10 } : Op.any),
  infer: (context) => {
    const x = context.input(0)
    if (x.shape.length < 2) context.fail("x is [batch, channels, …]")
    for (const position of [1, 2, 3, 4]) {
      const vector = context.input(position)
      if (vector.shape.length !== 1) context.fail("the parameters are vectors")
      context.constrain(vector.shape[0] ?? 0, x.shape[1] ?? 0, "parameters and channels")
    }
    return sameType(context)
  },
  expand: (b, [x, scale, bias, mean, variance], { epsilon }) => {
    const given = need(x)
    const inner = wide(b, given)
    const dtype = inner.type.dtype
    const along = (vector: Value | undefined): Value => {
      const value = narrow(b, wide(b, need(vector)), dtype)
      const shape = inner.type.shape.map((_, axis) => (axis === 1 ? (value.type.shape[0] ?? 1) : 1))
      return b.one(reshape, [value], { shape })
    }
    const spread = b.one(E.sqrt, [b.one(E.add, [along(variance), fill(b, dtype, epsilon)], {})], {})
    const centred = b.one(E.sub, [inner, along(mean)], {})
    const scaled = b.one(E.mul, [b.one(E.div, [centred, spread], {}), along(scale)], {})
    return [narrow(b, b.one(E.add, [scaled, along(bias)], {}), given.type.dtype)]
  }
})

/** x [.., k] · w [k, n] + bias [n]. */
export const linear = Op.define({
  name: "linear",
  summary: "matrix product with a weight, and a bias",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }, { name: "w" }, { name: "bias" }],
  error: expansion,
  infer: ({ constrain, fail, input }) => {
    const [x, w, bias] = [input(0), input(1), input(2)]
    if (x.shape.length < 1 || w.shape.length !== 2 || bias.shape.length !== 1) fail("x [.., k], w [k, n], bias [n]")
    if (x.dtype !== w.dtype || x.dtype !== bias.dtype) fail("one dtype for all")
    constrain(x.shape.at(-1) ?? 0, w.shape[0] ?? 0, "the contracted extents")
    constrain(bias.shape[0] ?? 0, w.shape[1] ?? 0, "bias and columns")
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), w.shape[1] ?? 0] }]
  },
  expand: (b, [x, w, bias]) => [b.one(E.add, [b.one(matmul, [need(x), need(w)], {}), need(bias)], {})]
})

/**
 * Scaled dot-product attention: softmax(q·kᵀ·scale + mask)·v, with q `[batch, heads, queries, dim]`, k and v
 * `[batch, keyHeads, keys, dim]`; heads is a multiple of keyHeads (grouped queries). The mask is added, broadcast to
 * `[batch, heads, queries, keys]`. Causal: query i sees keys up to i + keys − queries. Vaswani et al. 2017.
 */
export const attention = Op.define({
  name: "attention",
  summary: "scaled dot-product attention",
  attributes: Schema.Struct({ scale: Schema.Finite, causal: Schema.Boolean }),
  operands: [{ name: "q" }, { name: "k" }, { name: "v" }, { name: "mask", optional: true }],
  error: expansion,
  infer: ({ attributes, constrain, fail, input, inputs }) => {
    const [q, k, v] = [input(0), input(1), input(2)]
    if (q.shape.length !== 4 || k.shape.length !== 4 || v.shape.length !== 4) fail("q, k and v have rank 4")
    if (q.dtype !== k.dtype || q.dtype !== v.dtype || !DTypes.isFloat(q.dtype)) fail("q, k and v have one float dtype")
    constrain(q.shape[3] ?? 0, k.shape[3] ?? 0, "q and k dim")
    constrain(k.shape[2] ?? 0, v.shape[2] ?? 0, "number of keys and values")
    constrain(k.shape[1] ?? 0, v.shape[1] ?? 0, "heads of k and v")
    const [heads, keyHeads] = [q.shape[1] ?? 1, k.shape[1] ?? 1]
    if (Dims.equal(Dims.mod(heads, keyHeads), 0) === false) fail("query heads are no multiple of key heads")
    const mask = inputs[3]
    if (mask !== undefined && mask.dtype !== q.dtype) fail("the mask has q's dtype; it is added")
    const [queries, keys] = [q.shape[2] ?? 1, k.shape[2] ?? 1]
    const batch = constrain(q.shape[0] ?? 1, k.shape[0] ?? 1, "batch")
    const scores = [batch, heads, queries, keys]
    if (mask !== undefined && mask.shape.length > scores.length) fail("the mask has at most rank 4")
    for (const [axis, extent] of (mask?.shape ?? []).toReversed().entries())
      if (extent !== 1) constrain(extent, scores.at(-1 - axis) ?? 1, "mask and scores")
    if (attributes.causal) constrain(Dims.max(keys, queries), keys, "no more queries than keys")
    const shape = [batch, heads, queries, v.shape[3] ?? 1]
    return [{ dtype: q.dtype, shape }]
  },
  expand: (b, [q, k, v, mask], { causal, scale }) => {
    const given = need(q)
    const [query, key, value] = [wide(b, given), wide(b, need(k)), wide(b, need(v))]
    const dtype = query.type.dtype
    const [batch = 1, heads = 1, queries = 1, dim = 1] = query.type.shape
    const [, keyHeads = 1, keys = 1] = key.type.shape
    const group = Dims.floorDiv(heads, keyHeads)
    // Grouped queries share a key head: [batch, keyHeads, group · queries, dim] against [batch, keyHeads, keys, dim].
    const rows = Dims.mul(group, queries)
    const grouped = b.one(reshape, [query], { shape: [batch, keyHeads, rows, dim] })
    const scores = b.one(matmul, [grouped, b.one(transpose, [key], { permutation: [0, 1, 3, 2] })], {})
    const scaled = b.one(E.mul, [scores, fill(b, dtype, scale)], {})
    let logits = b.one(reshape, [scaled], { shape: [batch, heads, queries, keys] })
    if (mask !== undefined) logits = b.one(E.add, [logits, wide(b, mask)], {})
    if (causal) logits = b.one(E.select, [causalMask(b, queries, keys), logits, fill(b, dtype, -Infinity)], {})
    const weights = b.one(softmax, [logits], { axis: 3 })
    const groupedWeights = b.one(reshape, [weights], { shape: [batch, keyHeads, rows, keys] })
    const mixed = b.one(matmul, [groupedWeights, value], {})
    const result = b.one(reshape, [mixed], { shape: [batch, heads, queries, value.type.shape[3] ?? 1] })
    return [narrow(b, result, given.type.dtype)]
  }
})

const causalMask = (b: Builder, queries: Dims.Dim, keys: Dims.Dim): Value => {
  const offset = Dims.sub(keys, queries)
  const row = b.one(iota, [], { size: keys, dtype: "i64" })
  // Query i may see keys j ≤ i + offset: the last `queries` entries of 0 … keys − 1, as a column.
  const last = b.one(slice, [row], { starts: [offset], sizes: [queries], steps: [1] })
  const column = b.one(reshape, [last], { shape: [queries, 1] })
  return b.one(E.lessOrEqual, [row, column], {})
}

/**
 * Rotary position embedding of the last axis, `x [.., dim]`, `cos` and `sin` broadcast to `[.., dim/2]`. Pairs are
 * (x_i, x_{i+dim/2}), or neighbours when `interleaved`. Su et al. 2021.
 */
export const rotaryEmbedding = Op.define({
  name: "rotaryEmbedding",
  summary: "rotation of pairs of the last axis by given angles",
  attributes: Schema.Struct({ interleaved: Schema.Boolean }),
  operands: [{ name: "x" }, { name: "cos" }, { name: "sin" }],
  error: expansion,
  infer: (context) => {
    const { constrain, fail, input } = context
    const [x, cos, sin] = [input(0), input(1), input(2)]
    const dim = x.shape.at(-1) ?? 0
    if (Dims.equal(Dims.mod(dim, 2), 0) === false) fail("the last axis is even")
    if (cos.dtype !== x.dtype || sin.dtype !== x.dtype) fail("one dtype for all")
    broadcast([[...x.shape.slice(0, -1), Dims.floorDiv(dim, 2)], cos.shape, sin.shape], constrain)
    return sameType(context)
  },
  expand: (b, [x, cos, sin], { interleaved }) => {
    const given = need(x)
    const shape = given.type.shape
    const rank = shape.length
    const half = Dims.floorDiv(shape.at(-1) ?? 0, 2)
    const part = (which: 0 | 1): Value =>
      b.one(slice, [given], {
        starts: shape.map((_, axis) => (axis < rank - 1 || which === 0 ? 0 : interleaved ? 1 : half)),
        sizes: shape.map((dim, axis) => (axis < rank - 1 ? dim : half)),
        steps: shape.map((_, axis) => (axis < rank - 1 || !interleaved ? 1 : 2))
      })
    const [first, second, c, s] = [part(0), part(1), need(cos), need(sin)]
    const mul = (left: Value, right: Value): Value => b.one(E.mul, [left, right], {})
    const a = b.one(E.sub, [mul(first, c), mul(second, s)], {})
    const z = b.one(E.add, [mul(second, c), mul(first, s)], {})
    if (!interleaved) return [b.one(concat, [a, z], { axis: rank - 1 })]
    const apart = [...shape.slice(0, -1), half, 1]
    const pair = [a, z].map((value) => b.one(reshape, [value], { shape: apart }))
    return [b.one(reshape, [b.one(concat, pair, { axis: rank })], { shape })]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [
  relu,
  silu,
  softplus,
  gelu,
  leakyRelu,
  clip,
  softmax,
  logSoftmax,
  layerNorm,
  rmsNorm,
  batchNorm,
  linear,
  attention,
  rotaryEmbedding
]
