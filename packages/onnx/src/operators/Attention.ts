// Attention, RotaryEmbedding and FlexAttention.
//
// Attention(q, k, v) ⇒ attention { scale, causal }; with a soft cap, a wanted score matrix or a given precision of the
// softmax, the steps one by one.  Source: ONNX Attention 23 and 24, RotaryEmbedding 23.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator, Result } from "../Operator.ts"

/** `[batch, sequence, heads · dim]` as `[batch, heads, sequence, dim]`; a tensor of rank 4 is that already. */
export const splitHeads = (c: Context, x: Value, attribute: string): Value => {
  const { shape } = x.type
  if (shape.length === 4) return x
  if (shape.length !== 3) return c.fail(`queries, keys and values have rank 3 or 4, found ${shape.length}`)
  const [batch = 1, sequence = 1, hidden = 1] = shape
  const heads = c.attribute.int(attribute)
  const apart = c.e.reshape(x, [batch, sequence, heads, Dim.floorDiv(hidden, heads)])
  return c.e.transpose(apart, [0, 2, 1, 3])
}

/** The inverse for `[batch, heads, sequence, dim]`. */
export const joinHeads = (c: Context, x: Value): Value => {
  const [batch = 1, heads = 1, sequence = 1, dim = 1] = x.type.shape
  return c.e.reshape(c.e.transpose(x, [0, 2, 1, 3]), [batch, sequence, Dim.mul(heads, dim)])
}

const wideType = (dtype: DType): DType => (DTypes.isNarrowFloat(dtype) ? "f32" : dtype)

/**
 * The attribute "scale", or 1/√dim where it is absent or 0: as a number where dim is known, else already multiplied into q
 * (whose last axis is dim), with 1 left.
 */
export const scaled = (c: Context, q: Value): { readonly q: Value; readonly scale: number } => {
  const { e } = c
  const dim = q.type.shape.at(-1) ?? 1
  const given = c.attribute.float("scale", 0)
  if (given !== 0) return { q, scale: given }
  if (Dim.isStatic(dim)) return { q, scale: 1 / Math.sqrt(dim) }
  const factor = e.unary(Ops.reciprocal, e.sqrt(e.size(dim, wideType(q.type.dtype))))
  return { q: e.mul(q, e.cast(factor, q.type.dtype)), scale: 1 }
}

/** q·kᵀ·scale with grouped heads, `[batch, heads, queries, keys]` in a dtype. */
const scores = (c: Context, q: Value, k: Value, scale: number, dtype: DType): Value => {
  const { e } = c
  const [batch = 1, heads = 1, queries = 1, dim = 1] = q.type.shape
  const [, keyHeads = 1, keys = 1] = k.type.shape
  const rows = Dim.mul(Dim.floorDiv(heads, keyHeads), queries)
  const grouped = e.reshape(e.cast(q, dtype), [batch, keyHeads, rows, dim])
  const products = e.matmul(grouped, e.transpose(e.cast(k, dtype), [0, 1, 3, 2]))
  return e.reshape(e.mul(products, e.scalar(dtype, scale)), [batch, heads, queries, keys])
}

/** weights·v with grouped heads. */
const mixed = (c: Context, weights: Value, v: Value): Value => {
  const { e } = c
  const [batch = 1, heads = 1, queries = 1, keys = 1] = weights.type.shape
  const [, keyHeads = 1, , dim = 1] = v.type.shape
  const rows = Dim.mul(Dim.floorDiv(heads, keyHeads), queries)
  const grouped = e.reshape(weights, [batch, keyHeads, rows, keys])
  return e.reshape(e.matmul(grouped, e.cast(v, weights.type.dtype)), [batch, heads, queries, dim])
}

/** Query i sees keys up to i + past: true where it does, `[queries, keys]`. */
const causalMask = (c: Context, queries: Dim.Dim, keys: Dim.Dim, past: Dim.Dim): Value => {
  const { e } = c
  const last = e.add(e.reshape(e.iota(queries, "i64"), [queries, 1]), e.size(past, "i64"))
  return e.binary(Ops.lessOrEqual, e.iota(keys, "i64"), last)
}

/** What is added to the scores: the mask, −∞ where a key is not seen. Undefined when there is nothing to add. */
const biasOf = (c: Context, dtype: DType, keys: Dim.Dim, seen: ReadonlyArray<Value>): Value | undefined => {
  const { e } = c
  const given = c.optional(3)
  const conditions = [...seen]
  let added: Value | undefined
  if (given !== undefined) {
    const extent = given.type.shape.at(-1) ?? 1
    // Since opset 24 a mask may be shorter than the keys; where that is not decided, running checks that it is not longer.
    const isWhole = extent === 1 || Dim.equal(extent, keys) === true || c.opset < 24
    const short = isWhole ? 0 : Dim.sub(keys, extent)
    const rank = given.type.shape.length
    const pad = (value: number): Value =>
      short === 0
        ? given
        : e.b.one(Ops.pad, [given, e.scalar(given.type.dtype, value)], {
            before: given.type.shape.map(() => 0),
            after: given.type.shape.map((_, axis) => (axis === rank - 1 ? short : 0)),
            mode: "constant"
          })
    if (given.type.dtype === "bool") conditions.push(pad(0))
    else added = e.cast(pad(-Infinity), dtype)
  }
  const [first, ...rest] = conditions
  if (first === undefined) return added
  const all = rest.reduce((a, b) => e.binary(Ops.and, a, b), first)
  return e.select(all, added ?? e.scalar(dtype, 0), e.scalar(dtype, -Infinity))
}

/** `[batch, heads, length, dim]` each; heads of q are a multiple of those of k and v. */
export interface Heads {
  readonly q: Value
  readonly k: Value
  readonly v: Value
}

export interface Setting {
  readonly scale: number
  /** Scores become cap · tanh(score / cap); 0: they don't. */
  readonly cap: number
  /** The last query sees all keys, each before it one less. */
  readonly causal: boolean
  /** Added to the scores, in the dtype that it is asked for. */
  readonly bias: (dtype: DType) => Value | undefined
  /** Of the softmax; that of the scores unless given. */
  readonly precision?: DType
}

/** q, k and v of rank 4, earlier keys and values before the new ones. */
const headsOf = (c: Context): Heads & { readonly past: Dim.Dim; readonly scale: number } => {
  const { e } = c
  const { q, scale } = scaled(c, splitHeads(c, c.input(0), "q_num_heads"))
  const after = (index: number, x: Value): Value => {
    const past = c.optional(index)
    return past === undefined ? x : e.concat([past, x], 2)
  }
  const k = after(4, splitHeads(c, c.input(1), "kv_num_heads"))
  const v = after(5, splitHeads(c, c.input(2), "kv_num_heads"))
  return { q, k, v, scale, past: c.has(4) ? (c.type(4).shape[2] ?? 0) : 0 }
}

/** The result and the matrices on the way: scores, capped, with the bias, their softmax. */
interface Spelled {
  readonly y: Value
  readonly matrices: ReadonlyArray<Value>
}

/** The steps one by one, in float32 at least. */
export const spelled = (c: Context, { k, q, v }: Heads, setting: Setting): Spelled => {
  const { e } = c
  const dtype = wideType(q.type.dtype)
  const [queries, keys] = [q.type.shape[2] ?? 1, k.type.shape[2] ?? 1]
  const raw = scores(c, q, k, setting.scale, dtype)
  const capped =
    setting.cap === 0 ? raw : e.mul(e.tanh(e.div(raw, e.number(raw, setting.cap))), e.number(raw, setting.cap))
  const added = setting.bias(dtype)
  const biased = added === undefined ? capped : e.add(capped, added)
  const logits = setting.causal
    ? e.select(causalMask(c, queries, keys, Dim.sub(keys, queries)), biased, e.number(biased, -Infinity))
    : biased
  const weights = e.cast(e.b.one(Ops.softmax, [e.cast(logits, setting.precision ?? dtype)], { axis: 3 }), dtype)
  return { y: e.cast(mixed(c, weights, v), q.type.dtype), matrices: [raw, capped, logits, weights] }
}

/** The composite where it says everything, else the steps one by one. */
export const attend = (c: Context, heads: Heads, setting: Setting): Value => {
  const dtype = heads.q.type.dtype
  if (setting.cap !== 0 || heads.k.type.dtype !== dtype || (setting.precision ?? wideType(dtype)) !== wideType(dtype))
    return spelled(c, heads, setting).y
  const { causal, scale } = setting
  return c.e.b.one(Ops.attention, [heads.q, heads.k, heads.v, setting.bias(dtype)], { scale, causal })
}

const precisionOf = (c: Context, otherwise: DType): DType => {
  if (!c.attribute.has("softmax_precision")) return otherwise
  const code = c.attribute.int("softmax_precision")
  const dtype = ElementType.fromCode(code)
  return dtype !== undefined && DTypes.isFloat(dtype)
    ? dtype
    : c.fail(`softmax_precision ${ElementType.nameOf(code)} is no float type`)
}

export const attention: Operator = {
  name: "Attention",
  since: [23, 24],
  translate: (c) => {
    const { e } = c
    const heads = headsOf(c)
    const { k, past, q, scale, v } = heads
    const [batch = 1, , queries = 1] = q.type.shape
    const keys = k.type.shape[2] ?? 1
    const isCausal = c.attribute.flag("is_causal", false)
    // The IR aligns the last query with the last key, ONNX the first query with the first new key.
    const isAligned = Dim.equal(Dim.sub(keys, queries), past) === true
    const seen: Array<Value> = []
    if (isCausal && !isAligned) seen.push(causalMask(c, queries, keys, past))
    if (c.has(6)) {
      const lengths = e.reshape(e.cast(c.input(6), "i64"), [batch, 1, 1, 1])
      seen.push(e.binary(Ops.less, e.iota(keys, "i64"), lengths))
    }
    const finish = (y: Value): Value => (c.rank(0) === 3 ? joinHeads(c, y) : y)
    const setting: Setting = {
      scale,
      cap: c.attribute.float("softcap", 0),
      causal: isCausal && isAligned,
      bias: (dtype) => biasOf(c, dtype, keys, seen),
      precision: precisionOf(c, wideType(q.type.dtype))
    }
    if (!c.wanted(3)) return [finish(attend(c, heads, setting)), k, v]
    const { matrices, y } = spelled(c, heads, setting)
    const mode = c.attribute.int("qk_matmul_output_mode", 0)
    const matrix = matrices[mode] ?? c.fail(`qk_matmul_output_mode ${mode} is not known`)
    return [finish(y), k, v, e.cast(matrix, q.type.dtype)]
  }
}

/** Scores and weights pass through sub-graphs of the model, where it has them. */
export const flexAttention: Operator = {
  name: "FlexAttention",
  domain: "ai.onnx.preview",
  since: [1],
  translate: (c) => {
    const { e } = c
    const { q, scale } = scaled(c, c.input(0))
    const [k, v] = [c.input(1), c.input(2)]
    const dtype = q.type.dtype
    const precision = precisionOf(c, wideType(dtype))
    const isPlain = !c.attribute.has("score_mod") && !c.attribute.has("prob_mod")
    if (isPlain && precision === wideType(dtype))
      return e.b.one(Ops.attention, [q, k, v, undefined], { scale, causal: false })
    const through = (name: string, x: Value): Value => {
      if (!c.attribute.has(name)) return x
      const [found] = c.inline(c.attribute.graph(name), name, [c.ofValue(x)])
      return found?.kind === "tensor" ? found.value() : c.fail(`${name} gives no tensor`)
    }
    const logits = through("score_mod", e.cast(scores(c, q, k, scale, wideType(dtype)), precision))
    const weights = through("prob_mod", e.b.one(Ops.softmax, [logits], { axis: 3 }))
    return e.cast(mixed(c, weights, v), dtype)
  }
}

/** Angles by position, `[max, dim/2]` with ids `[batch, sequence]`, or given for each step, `[batch, sequence, dim/2]`. */
export const rotaryEmbedding: Operator = {
  name: "RotaryEmbedding",
  since: [23],
  translate: (c): Result => {
    const { e } = c
    const given = c.input(0)
    const x = splitHeads(c, given, "num_heads")
    const { shape } = x.type
    const [batch = 1, , sequence = 1, dim = 1] = shape
    const partial = c.attribute.int("rotary_embedding_dim", 0)
    const rotated: Dim.Dim = partial === 0 ? dim : partial
    const half = Dim.floorDiv(rotated, 2)
    const angles = (index: number): Value => {
      const cache = c.input(index)
      const rows = c.has(3) ? e.gather(cache, c.input(3), 0) : cache
      const width = rows.type.shape.at(-1) ?? 1
      const cut = Dim.equal(width, half) === false ? e.part(rows, rows.type.shape.length - 1, 0, half) : rows
      return e.reshape(cut, [batch, 1, sequence, half])
    }
    const front = partial === 0 ? x : e.part(x, 3, 0, rotated)
    const turned = e.b.one(Ops.rotaryEmbedding, [front, angles(1), angles(2)], {
      interleaved: c.attribute.flag("interleaved", false)
    })
    const whole = partial === 0 ? turned : e.concat([turned, e.part(x, 3, rotated, Dim.sub(dim, rotated))], 3)
    return given.type.shape.length === 3 ? joinHeads(c, whole) : whole
  }
}

export const all: ReadonlyArray<Operator> = [attention, flexAttention, rotaryEmbedding]
