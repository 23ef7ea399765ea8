// NonMaxSuppression, and the small ones of ai.onnx.ml and text: Binarizer, TfIdfVectorizer.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

export const nonMaxSuppression: Operator = {
  name: "NonMaxSuppression",
  since: [10, 11],
  translate: (c) => {
    const scalar = (index: number): Value | undefined => {
      const given = c.optional(index)
      return given === undefined ? undefined : c.e.reshape(given, [])
    }
    const format = c.attribute.int("center_point_box", 0) === 0 ? "corner" : "center"
    return c.e.b.one(Ops.nonMaxSuppression, [c.input(0), c.input(1), scalar(2), scalar(3), scalar(4)], { format })
  }
}

export const binarizer: Operator = {
  name: "Binarizer",
  domain: "ai.onnx.ml",
  since: [1],
  translate: (c) => {
    const x = c.input(0)
    return c.e.cast(c.e.binary(Ops.greater, x, c.e.number(x, c.attribute.float("threshold", 0))), x.type.dtype)
  }
}

interface Grams {
  readonly length: number
  /** Flat, `length` numbers each. */
  readonly pool: ReadonlyArray<number>
  /** Index of the first of them among all. */
  readonly first: number
}

const gramsOf = (c: Context): ReadonlyArray<Grams> => {
  const starts = c.attribute.ints("ngram_counts") ?? []
  const pool = c.attribute.ints("pool_int64s") ?? c.unsupported("n-grams of strings", "Strings have no IR type.")
  let first = 0
  return starts.map((start, i) => {
    const own = pool.slice(start, starts[i + 1] ?? pool.length)
    const grams = { length: i + 1, pool: own, first }
    first += own.length / (i + 1)
    return grams
  })
}

/** How often each n-gram of the pool occurs in a row, its elements 1 … max_skip_count + 1 apart. */
export const tfIdfVectorizer: Operator = {
  name: "TfIdfVectorizer",
  since: [9],
  translate: (c) => {
    const { e } = c
    const given = e.cast(c.input(0), "i64")
    const isFlat = given.type.shape.length === 1
    const x = isFlat ? e.reshape(given, [1, ...given.type.shape]) : given
    const [rows = 1, extent = 1] = x.type.shape
    if (!Dim.isStatic(extent)) return c.unsupported("rows whose length is not known before it runs")
    const indices = c.attribute.ints("ngram_indexes") ?? c.fail('the attribute "ngram_indexes" is missing')
    const [shortest, longest] = [c.attribute.int("min_gram_length"), c.attribute.int("max_gram_length")]
    const width = Math.max(-1, ...indices) + 1
    let counts = e.expand(e.scalar("f32", 0), [rows, width])
    for (const { first, length, pool } of gramsOf(c)) {
      const size = pool.length / length
      if (length < shortest || length > longest || size === 0) continue
      const grams = e.b.tensor(Numbers.fromNumbers("i64", [size, length], pool))
      const places = new Float64Array(size * width)
      for (let i = 0; i < size; i++) places[i * width + (indices[first + i] ?? 0)] = 1
      const placed = e.b.tensor(Numbers.fromNumbers("f32", [size, width], places))
      const skips = length === 1 ? 0 : c.attribute.int("max_skip_count")
      for (let skip = 0; skip <= skips; skip++) {
        const positions = extent - (length - 1) * (skip + 1)
        if (positions <= 0) break
        const at = e.add(
          e.reshape(e.iota(positions, "i64"), [positions, 1]),
          e.mul(e.iota(length, "i64"), e.scalar("i64", skip + 1))
        )
        const windows = e.reshape(e.gather(x, at, 1), [rows, positions, 1, length])
        const isSame = e.cast(e.binary(Ops.equal, windows, grams), "f32")
        const found = e.reduce(Ops.reduceMin, isSame, [3], false)
        counts = e.add(counts, e.matmul(e.sum(found, [1], false), placed))
      }
    }
    const mode = c.attribute.string("mode")
    const weights = c.attribute.floats("weights")
    const present = mode === "IDF" ? e.min(counts, e.scalar("f32", 1)) : counts
    const scale = new Float64Array(width).fill(1)
    if (mode !== "TF" && weights !== undefined)
      for (const [i, index] of indices.entries()) scale[index] = weights[i] ?? 1
    const result = mode === "TF" ? present : e.mul(present, e.b.tensor(Numbers.fromNumbers("f32", [width], scale)))
    return isFlat ? e.reshape(result, [width]) : result
  }
}

export const all: ReadonlyArray<Operator> = [nonMaxSuppression, binarizer, tfIdfVectorizer]
