import { assert, describe, it } from "@effect/vitest"
import * as Dim from "@anneal/ir/Dim"
import type { Tensor } from "@anneal/ir/Tensor"
import { distance, f32, graphOf, i64, random, run, tensor, values } from "./OneOperator.ts"

interface Setting {
  readonly scale?: number
  readonly cap?: number
  /** Added to the score of a query and a key. */
  readonly bias?: (batch: number, query: number, key: number) => number
}

/** Attention as its definition says, `[batch, heads, length, dim]`. */
const expected = (q: Tensor, k: Tensor, v: Tensor, setting: Setting = {}): ReadonlyArray<number> => {
  const [batch = 0, heads = 0, queries = 0, dim = 0] = q.shape
  const [, keyHeads = 0, keys = 0] = k.shape
  const [, , , width = 0] = v.shape
  const [a, b, c] = [values(q), values(k), values(v)]
  const result: Array<number> = []
  for (let n = 0; n < batch; n++)
    for (let h = 0; h < heads; h++) {
      const group = Math.floor(h / (heads / keyHeads))
      for (let i = 0; i < queries; i++) {
        const scores = Array.from({ length: keys }, (_, j) => {
          let dot = 0
          for (let d = 0; d < dim; d++)
            dot +=
              (a[((n * heads + h) * queries + i) * dim + d] ?? 0) *
              (b[((n * keyHeads + group) * keys + j) * dim + d] ?? 0)
          const scaled = dot * (setting.scale ?? 1 / Math.sqrt(dim))
          const capped = setting.cap === undefined ? scaled : setting.cap * Math.tanh(scaled / setting.cap)
          return Math.exp(capped + (setting.bias?.(n, i, j) ?? 0))
        })
        const total = scores.reduce((sum, score) => sum + score, 0)
        for (let d = 0; d < width; d++)
          result.push(
            scores.reduce(
              (sum, score, j) => sum + (score / total) * (c[((n * keyHeads + group) * keys + j) * width + d] ?? 0),
              0
            )
          )
      }
    }
  return result
}

const [q, k, v] = [random([2, 4, 3, 8], 1), random([2, 2, 5, 8], 2), random([2, 2, 5, 6], 3)]
const attention = { op: "Attention", opset: 24 }

describe("Attention", () => {
  it("groups query heads over key heads", () => {
    const graph = graphOf(attention, [q, k, v])
    assert.deepStrictEqual(
      graph.nodes.map(({ op }) => op.name),
      ["attention"]
    )
    assert.isBelow(distance(values(run(attention, [q, k, v])[0]), expected(q, k, v)), 1e-6)
  })

  it("aligns the causal mask with the first key when there are more keys than queries", () => {
    const found = run({ ...attention, attributes: { is_causal: 1 } }, [q, k, v])
    const bias = (_: number, i: number, j: number): number => (j <= i ? 0 : -Infinity)
    assert.isBelow(distance(values(found[0]), expected(q, k, v, { bias })), 1e-6)
  })

  it("puts the past before the new keys, and gives both back", () => {
    const [newK, newV] = [random([2, 2, 3, 8], 4), random([2, 2, 3, 6], 5)]
    const causal = { ...attention, attributes: { is_causal: 1 }, outputs: 3 }
    const [y, keys, presentValues] = run(causal, [q, newK, newV, undefined, k, v])
    assert.deepStrictEqual(keys?.shape, [2, 2, 8, 8])
    assert.isDefined(presentValues)
    if (keys === undefined || presentValues === undefined) return
    const bias = (_: number, i: number, j: number): number => (j <= i + 5 ? 0 : -Infinity)
    assert.isBelow(distance(values(y), expected(q, keys, presentValues, { bias })), 1e-6)
    const graph = graphOf(causal, [q, newK, newV, undefined, k, v])
    assert.deepStrictEqual(graph.nodes.find(({ op }) => op.name === "attention")?.attributes, {
      scale: 1 / Math.sqrt(8),
      causal: true
    })
  })

  it("hides keys by a bool mask, by lengths, and where a mask is short", () => {
    const mask = tensor("bool", [3, 4], [1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1])
    const lengths = i64([2], [5, 2])
    const shown = values(mask)
    const found = run(attention, [q, k, v, mask, undefined, undefined, lengths])
    const bias = (n: number, i: number, j: number): number =>
      j < 4 && shown[i * 4 + j] === 1 && j < (n === 0 ? 5 : 2) ? 0 : -Infinity
    assert.isBelow(distance(values(found[0]), expected(q, k, v, { bias })), 1e-6)
  })

  it("caps scores before the mask, and gives the capped ones", () => {
    const mask = random([3, 5], 6)
    const attributes = { softcap: { float: 0.5 }, scale: { float: 2 }, qk_matmul_output_mode: 1 }
    const [y, , , matrix] = run({ ...attention, attributes, outputs: 4 }, [q, k, v, mask])
    const bias = (_: number, i: number, j: number): number => values(mask)[i * 5 + j] ?? 0
    assert.isBelow(distance(values(y), expected(q, k, v, { bias, cap: 0.5, scale: 2 })), 1e-6)
    assert.deepStrictEqual(matrix?.shape, [2, 4, 3, 5])
    assert.isAtMost(Math.max(...values(matrix)), 0.5)
  })

  it("splits rank 3 into heads, with sizes that are only named", () => {
    const flat = (heads: number, dim: number, seed: number): Tensor => random([2, 3, heads * dim], seed)
    const inputs = [flat(4, 8, 1), flat(2, 8, 2), flat(2, 6, 3)]
    const node = {
      ...attention,
      attributes: { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 },
      shapes: { 0: ["batch", "steps", 32], 1: ["batch", "steps", 16], 2: ["batch", "steps", 12] }
    }
    const graph = graphOf(node, inputs)
    const last = graph.nodes.at(-1)?.outputs[0]?.type.shape
    assert.deepStrictEqual(last?.map(Dim.format), ["batch", "steps", "24"])
    assert.deepStrictEqual(run(node, inputs)[0]?.shape, [2, 3, 24])
    assert.deepStrictEqual(values(run(node, inputs)[0]), values(run({ ...node, shapes: {} }, inputs)[0]))
  })
})

describe("Attention over sizes that are only named", () => {
  const inputs = [q, k, v]
  const shapes = {
    0: ["batch", "heads", "queries", "dim"],
    1: ["batch", "groups", "keys", "dim"],
    2: ["batch", "groups", "keys", "width"]
  }

  it("scales by the extent of the heads when it runs", () => {
    const graph = graphOf({ ...attention, shapes }, inputs)
    assert.deepInclude(graph.nodes.at(-1)?.attributes, { scale: 1 })
    const found = values(run({ ...attention, shapes }, inputs)[0])
    assert.isBelow(distance(found, expected(q, k, v)), 1e-6)
  })

  it("takes a mask that may be shorter than the keys", () => {
    const mask = random([3, 4], 6)
    const bias = (_: number, i: number, j: number): number => (j < 4 ? (values(mask)[i * 4 + j] ?? 0) : -Infinity)
    const node = { ...attention, shapes: { ...shapes, 3: ["queries", "shown"] } }
    assert.isBelow(distance(values(run(node, [...inputs, mask])[0]), expected(q, k, v, { bias })), 1e-6)
    const whole = random([3, 5], 7)
    const all = (_: number, i: number, j: number): number => values(whole)[i * 5 + j] ?? 0
    assert.isBelow(distance(values(run(node, [...inputs, whole])[0]), expected(q, k, v, { bias: all })), 1e-6)
  })
})

describe("RotaryEmbedding", () => {
  it("turns pairs by the angles of their positions, and leaves the rest", () => {
    const x = random([1, 1, 2, 6], 7)
    const angles = [0, 0.3, 1.1, 0.7, 2, 0.2]
    const cache = (f: (angle: number) => number): Tensor => f32([3, 2], angles.map(f))
    const ids = i64([1, 2], [2, 1])
    const node = { op: "RotaryEmbedding", opset: 23, attributes: { rotary_embedding_dim: 4 } }
    const found = values(run(node, [x, cache(Math.cos), cache(Math.sin), ids])[0])
    const given = values(x)
    const wanted = [2, 1].flatMap((position, row) => {
      const at = (i: number): number => given[row * 6 + i] ?? 0
      const turn = (i: number): readonly [number, number] => {
        const angle = angles[position * 2 + i] ?? 0
        const [a, b] = [at(i), at(i + 2)]
        return [a * Math.cos(angle) - b * Math.sin(angle), b * Math.cos(angle) + a * Math.sin(angle)]
      }
      const [first, second] = [turn(0), turn(1)]
      return [first[0], second[0], first[1], second[1], at(4), at(5)]
    })
    assert.isBelow(distance(found, wanted), 1e-6)
  })
})
