// Fused attention of com.microsoft: Attention (one weight for q, k and v), MultiHeadAttention, GroupQueryAttention (with
// the key-value cache of decoders).  Source: ONNX Runtime's contrib operators.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import { attend, joinHeads, scaled } from "./Attention.ts"

const domain = "com.microsoft"

/** `[batch, length, heads · dim]` as `[batch, heads, length, dim]`. */
const split = (c: Context, x: Value, heads: number): Value => {
  const [batch = 1, length = 1, hidden = 1] = x.type.shape
  return c.e.transpose(c.e.reshape(x, [batch, length, heads, Dim.floorDiv(hidden, heads)]), [0, 2, 1, 3])
}

/** `[batch, length, heads, parts, dim]` as `parts` tensors `[batch, heads, length, dim]`. */
const unpacked = (c: Context, x: Value): ReadonlyArray<Value> => {
  const [batch = 1, length = 1, heads = 1, parts, dim = 1] = x.type.shape
  const count = parts !== undefined && Dim.isStatic(parts) ? parts : c.fail("packed values of rank 5 are expected")
  return Array.from({ length: count }, (_, part) =>
    c.e.transpose(c.e.reshape(c.e.part(x, 3, part, 1), [batch, length, heads, dim]), [0, 2, 1, 3])
  )
}

/** −∞-like where a key is padding. The mask: `[batch]` lengths, `[batch, keys]` or `[batch, queries, keys]` of 0 and 1. */
const paddingBias = (c: Context, index: number, dtype: DType, batch: Dim.Dim, keys: Dim.Dim): Value | undefined => {
  const { e } = c
  const mask = c.optional(index)
  if (mask === undefined) return undefined
  const { shape } = mask.type
  const away = e.scalar(dtype, c.attribute.float("mask_filter_value", -10000))
  const shown = (): Value => {
    if (shape.length === 1) {
      if (Dim.equal(shape[0] ?? 0, batch) === false) return c.unsupported("a mask of starts and ends of sequences")
      return e.binary(Ops.less, e.iota(keys, "i64"), e.reshape(e.cast(mask, "i64"), [batch, 1, 1, 1]))
    }
    const wide =
      shape.length === 2
        ? e.reshape(mask, [shape[0] ?? 1, 1, 1, shape[1] ?? 1])
        : shape.length === 3
          ? e.reshape(mask, [shape[0] ?? 1, 1, shape[1] ?? 1, shape[2] ?? 1])
          : c.unsupported(`a mask of rank ${shape.length}`)
    return e.binary(Ops.greater, wide, e.number(wide, 0))
  }
  return e.select(shown(), e.scalar(dtype, 0), away)
}

const added = (c: Context, a: Value | undefined, b: Value | undefined): Value | undefined =>
  a === undefined ? b : b === undefined ? a : c.e.add(a, b)

/** Keys or values after the earlier ones, `[batch, heads, length, dim]`. */
const after = (c: Context, past: Value | undefined, x: Value): Value =>
  past === undefined ? x : c.e.concat([past, x], 2)

export const attention: Operator = {
  name: "Attention",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    if (c.attribute.flag("do_rotary", false)) return c.unsupported("com.microsoft Attention with rotary embedding")
    const [x, w] = [c.input(0), c.input(1)]
    const heads = c.attribute.int("num_heads")
    const bias = c.optional(2)
    const product = bias === undefined ? e.matmul(x, w) : e.b.one(Ops.linear, [x, w, bias], {})
    const third = Dim.floorDiv(w.type.shape[1] ?? 0, 3)
    const sizes: ReadonlyArray<Dim.Dim> = c.attribute.ints("qkv_hidden_sizes") ?? [third, third, third]
    const starts = sizes.map((_, i) => Dim.sum(sizes.slice(0, i)))
    const [q, k, v] = sizes.map((extent, i) => split(c, e.part(product, 2, starts[i] ?? 0, extent), heads))
    if (q === undefined || k === undefined || v === undefined) return c.fail("qkv_hidden_sizes has three numbers")
    const past = c.optional(4)
    const earlier = (which: number): Value | undefined =>
      past === undefined ? undefined : e.reshape(e.part(past, 0, which, 1), past.type.shape.slice(1))
    const [allK, allV] = [after(c, earlier(0), k), after(c, earlier(1), v)]
    const [batch = 1] = q.type.shape
    const { q: query, scale } = scaled(c, q)
    const y = attend(
      c,
      { q: query, k: allK, v: allV },
      {
        scale,
        cap: 0,
        causal: c.attribute.flag("unidirectional", false),
        bias: (dtype) => added(c, paddingBias(c, 3, dtype, batch, allK.type.shape[2] ?? 1), cast(c, 5, dtype))
      }
    )
    if (!c.wanted(1)) return joinHeads(c, y)
    const whole = (part: Value): Value => e.reshape(part, [1, ...part.type.shape])
    return [joinHeads(c, y), e.concat([whole(allK), whole(allV)], 0)]
  }
}

const cast = (c: Context, index: number, dtype: DType): Value | undefined => {
  const given = c.optional(index)
  return given === undefined ? undefined : c.e.cast(given, dtype)
}

export const multiHeadAttention: Operator = {
  name: "MultiHeadAttention",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const heads = c.attribute.int("num_heads")
    const bias = c.optional(3)
    /** q, k or v of rank 3 with its part of the bias: parts in this order, one after another. */
    const projected = (index: number): Value => {
      const x = c.input(index)
      if (x.type.shape.length === 4) return x
      if (bias === undefined) return split(c, x, heads)
      const widths = [0, 1, 2].map((at): Dim.Dim => {
        const { shape } = c.type(Math.min(at, 2))
        return shape.length === 3 ? (shape[2] ?? 0) : Dim.mul(shape[1] ?? 0, shape[3] ?? 0)
      })
      return split(c, e.add(x, e.part(bias, 0, Dim.sum(widths.slice(0, index)), widths[index] ?? 0)), heads)
    }
    const isPacked = c.rank(0) === 5 || (c.has(1) && c.rank(1) === 5)
    if (isPacked && bias !== undefined) return c.unsupported("a bias of packed queries, keys and values")
    const packed = c.rank(0) === 5 ? unpacked(c, c.input(0)) : undefined
    const pair = packed === undefined && isPacked ? unpacked(c, c.input(1)) : undefined
    const { q, scale } = scaled(c, packed?.[0] ?? projected(0))
    const k = after(c, c.optional(6), packed?.[1] ?? pair?.[0] ?? projected(1))
    const v = after(c, c.optional(7), packed?.[2] ?? pair?.[1] ?? projected(2))
    const [batch = 1] = q.type.shape
    const y = attend(
      c,
      { q, k, v },
      {
        scale,
        cap: 0,
        causal: c.attribute.flag("unidirectional", false),
        bias: (dtype) => added(c, paddingBias(c, 4, dtype, batch, k.type.shape[2] ?? 1), cast(c, 5, dtype))
      }
    )
    if (c.wanted(3)) return c.unsupported("the scores as a result")
    return [joinHeads(c, y), k, v]
  }
}

/** Rotary embedding of `[batch, heads, length, dim]` at positions `[batch, length]`. */
const rotated = (c: Context, x: Value, positions: Value): Value => {
  const { e } = c
  const [cosines, sines] = [c.input(7), c.input(8)]
  const half = cosines.type.shape[1] ?? 1
  const dim = x.type.shape[3] ?? 1
  const [batch = 1, length = 1] = positions.type.shape
  const angles = (cache: Value): Value => e.reshape(e.gather(cache, positions, 0), [batch, 1, length, half])
  const width = Dim.mul(half, 2)
  const isWhole = Dim.equal(width, dim) === true
  const turned = e.b.one(Ops.rotaryEmbedding, [isWhole ? x : e.part(x, 3, 0, width), angles(cosines), angles(sines)], {
    interleaved: c.attribute.flag("rotary_interleaved", false)
  })
  return isWhole ? turned : e.concat([turned, e.part(x, 3, width, Dim.sub(dim, width))], 3)
}

/**
 * Queries at positions after a cache. `seqlens_k` is each sequence's last position, so a sequence of the batch may use less
 * of the cache than its extent: new keys go behind what it uses, and later ones are not seen.
 */
export const groupQueryAttention: Operator = {
  name: "GroupQueryAttention",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const [heads, keyHeads] = [c.attribute.int("num_heads"), c.attribute.int("kv_num_heads")]
    if (c.attribute.flag("smooth_softmax", false) || c.has(11)) return c.unsupported("a softmax with a sink")
    const given = c.input(0)
    const [batch = 1, steps = 1, hidden = 1] = given.type.shape
    const dim = c.has(1) ? Dim.floorDiv(hidden, heads) : Dim.floorDiv(hidden, heads + 2 * keyHeads)
    const cut = (first: number, count: number): Value => e.part(given, 2, Dim.mul(dim, first), Dim.mul(dim, count))
    let q = split(c, c.has(1) ? given : cut(0, heads), heads)
    let k = split(c, c.has(1) ? c.input(1) : cut(heads, keyHeads), keyHeads)
    const v = split(c, c.has(2) ? c.input(2) : cut(heads + keyHeads, keyHeads), keyHeads)
    const past = c.optional(3)
    const cached = past === undefined ? 0 : (past.type.shape[2] ?? 0)
    // [batch, 1]: how much of the cache each sequence uses.
    const lengths = e.reshape(e.cast(c.input(5), "i64"), [batch, 1])
    const zero = e.scalar("i64", 0)
    const used =
      cached === 0
        ? e.expand(zero, [batch, 1])
        : e.min(e.max(e.sub(e.add(lengths, e.scalar("i64", 1)), e.size(steps, "i64")), zero), e.size(cached, "i64"))
    const positions = e.add(used, e.iota(steps, "i64"))
    if (c.attribute.flag("do_rotary", false)) {
      const ids = c.has(9) ? e.cast(c.input(9), "i64") : positions
      ;[q, k] = [rotated(c, q, ids), rotated(c, k, ids)]
    }
    const placed = (index: number, x: Value): Value => {
      const before = c.optional(index)
      if (before === undefined || cached === 0) return x
      const room = e.concat([before, e.expand(e.number(x, 0), x.type.shape)], 2)
      const at = e.expand(e.reshape(positions, [batch, 1, steps, 1]), x.type.shape)
      return e.b.one(Ops.scatterElements, [room, at, x], { axis: 2, reduction: "none" })
    }
    const [allK, allV] = [placed(3, k), placed(4, v)]
    const keys = allK.type.shape[2] ?? 1
    const window = c.attribute.int("local_window_size", -1)
    const isCausal = cached === 0 && window <= 0
    const bias = (dtype: DType): Value | undefined => {
      const extra = cast(c, 10, dtype)
      if (isCausal) return extra
      const rows = e.reshape(positions, [batch, 1, steps, 1])
      const columns = e.iota(keys, "i64")
      const seen = e.binary(Ops.lessOrEqual, columns, rows)
      const near = window > 0 ? e.binary(Ops.greater, columns, e.sub(rows, e.scalar("i64", window))) : undefined
      const shown = near === undefined ? seen : e.binary(Ops.and, seen, near)
      return e.select(shown, extra ?? e.scalar(dtype, 0), e.scalar(dtype, -Infinity))
    }
    const { q: query, scale } = scaled(c, q)
    const setting = { scale, cap: c.attribute.float("softcap", 0), causal: isCausal, bias }
    return [joinHeads(c, attend(c, { q: query, k: allK, v: allV }, setting)), allK, allV]
  }
}

export const all: ReadonlyArray<Operator> = [attention, multiHeadAttention, groupQueryAttention]
