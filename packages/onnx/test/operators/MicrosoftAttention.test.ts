import { assert, describe, it } from "@effect/vitest"
import * as Bind from "@anneal/ir/Bind"
import type { Tensor } from "@anneal/ir/Tensor"
import { distance, f32, graphOf, random, run, tensor, values } from "./OneOperator.ts"

const domain = "com.microsoft"

/** A box of rows `[batch, length, width]`: steps from … to of each sequence. */
const steps = (x: Tensor, from: number, to: number): Tensor => {
  const [batch = 1, length = 1, width = 1] = x.shape
  const all = values(x)
  const kept = Array.from({ length: batch }, (_, n) =>
    all.slice((n * length + from) * width, (n * length + to) * width)
  )
  return f32([batch, to - from, width], kept.flat())
}

describe("com.microsoft Attention and MultiHeadAttention", () => {
  const x = random([2, 3, 8], 1)
  const w = random([8, 12], 2)
  const bias = random([12], 3)

  it("project, split and attend as the steps one by one do", () => {
    const product = run({ op: "Gemm", opset: 13 }, [f32([6, 8], values(x)), w, bias])[0]
    assert.isDefined(product)
    if (product === undefined) return
    const whole = f32([2, 3, 12], values(product))
    const column = (part: number): Tensor =>
      f32(
        [2, 3, 4],
        values(whole).filter((_, i) => Math.floor((i % 12) / 4) === part)
      )
    const heads = { q_num_heads: 2, kv_num_heads: 2 }
    const parts = [0, 1, 2].map(column)
    const wanted = values(run({ op: "Attention", opset: 23, attributes: { ...heads, is_causal: 1 } }, parts)[0])
    const attributes = { num_heads: 2, unidirectional: 1 }
    assert.isBelow(distance(values(run({ op: "Attention", domain, attributes }, [x, w, bias])[0]), wanted), 1e-6)
    assert.isBelow(distance(values(run({ op: "MultiHeadAttention", domain, attributes }, parts)[0]), wanted), 1e-6)
  })

  it("give the past with the new keys and values as one tensor", () => {
    const past = random([2, 2, 2, 5, 2], 4)
    const node = { op: "Attention", domain, attributes: { num_heads: 2 }, outputs: 2 }
    const [, present] = run(node, [x, w, bias, undefined, past])
    assert.deepStrictEqual(present?.shape, [2, 2, 2, 8, 2])
    assert.deepStrictEqual(values(present).slice(0, 10), values(past).slice(0, 10))
  })

  it("ask that the mask fits sizes that are open", () => {
    const node = { op: "Attention", domain, attributes: { num_heads: 2 }, shapes: { 0: ["batch", "length", 8] } }
    const graph = graphOf(node, [x, w, bias, tensor("i32", [2, 3], [1, 1, 1, 1, 1, 0])])
    assert.strictEqual(Bind.bind(graph, [[2, 3, 8], [8, 12], [12], [2, 3]]).get("length"), 3)
    assert.throws(() => Bind.bind(graph, [[2, 4, 8], [8, 12], [12], [2, 3]]), /mask and scores/)
  })

  it("hide padded keys, by mask or by length", () => {
    const parts = [5, 6, 7].map((seed) => random([2, 3, 4], seed))
    const attributes = { num_heads: 2, mask_filter_value: { float: -1e30 } }
    const node = { op: "MultiHeadAttention", domain, attributes }
    const mask = tensor("i32", [2, 3], [1, 1, 0, 1, 1, 1])
    const masked = values(run(node, [...parts, undefined, mask])[0])
    const counted = values(run(node, [...parts, undefined, tensor("i32", [2], [2, 3])])[0])
    assert.deepStrictEqual(masked, counted)
    const [q, k, v] = parts
    const short = run(node, [q, ...[k, v].map((part) => (part === undefined ? part : steps(part, 0, 2)))])[0]
    assert.isBelow(distance(masked.slice(0, 12), values(short).slice(0, 12)), 1e-6)
  })
})

describe("GroupQueryAttention", () => {
  const [q, k, v] = [random([2, 4, 16], 1), random([2, 4, 8], 2), random([2, 4, 8], 3)]
  const [cos, sin] = [random([8, 2], 4), random([8, 2], 5)]
  const attributes = { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }
  const node = { op: "GroupQueryAttention", domain, attributes, outputs: 3 }
  const last = (...numbers: ReadonlyArray<number>): Tensor => tensor("i32", [numbers.length], numbers)
  const prompt = (end: number): ReadonlyArray<Tensor> => {
    const [a, b, c] = [q, k, v].map((x) => steps(x, 0, end))
    return run(node, [a, b, c, undefined, undefined, last(end - 1, end - 1), last(end), cos, sin])
  }

  it("sees each key up to its own position", () => {
    const graph = graphOf(node, [q, k, v, undefined, undefined, last(3, 3), last(4), cos, sin])
    assert.deepInclude(graph.nodes.find(({ op }) => op.name === "attention")?.attributes, { causal: true })
    const [all] = prompt(4)
    const [short] = prompt(2)
    assert.isDefined(all)
    if (all === undefined) return
    assert.isBelow(distance(values(steps(all, 0, 2)), values(short)), 1e-6)
  })

  it("goes on from a cache of which each sequence uses its own length", () => {
    const [all] = prompt(4)
    const [, pastK, pastV] = prompt(3)
    assert.isDefined(all)
    if (all === undefined) return
    // Sequence 0 has used 3 of the cache and is at step 3, sequence 1 has used 2 and is at step 2.
    const next = (x: Tensor): Tensor => {
      const width = x.shape[2] ?? 1
      return f32(
        [2, 1, width],
        values(steps(x, 3, 4))
          .slice(0, width)
          .concat(values(steps(x, 2, 3)).slice(width))
      )
    }
    const [y, presentK] = run(node, [next(q), next(k), next(v), pastK, pastV, last(3, 2), last(4), cos, sin])
    assert.deepStrictEqual(presentK?.shape, [2, 2, 4, 4])
    assert.isBelow(distance(values(y), values(next(all))), 1e-6)
  })

  it("takes queries, keys and values in one tensor", () => {
    const rows = Array.from({ length: 8 }, (_, row) => [
      values(q).slice(row * 16, row * 16 + 16),
      values(k).slice(row * 8, row * 8 + 8),
      values(v).slice(row * 8, row * 8 + 8)
    ])
    const packed = f32([2, 4, 32], rows.flat(2))
    const none = [undefined, undefined, undefined, undefined]
    const [y] = run(node, [packed, ...none, last(3, 3), last(4), cos, sin])
    assert.deepStrictEqual(values(y), values(prompt(4)[0]))
  })

  it("sees only a window of the last keys", () => {
    const windowed = { ...node, attributes: { ...attributes, local_window_size: 1, do_rotary: 0 } }
    const [y] = run(windowed, [q, k, v, undefined, undefined, last(3, 3), last(4)])
    // A window of 1: each query sees its own key only, so its result is its own value.
    const own = Array.from({ length: 8 }, (_, row) =>
      [0, 0, 1, 1].map((head) => values(v).slice(row * 8 + head * 4, row * 8 + head * 4 + 4))
    )
    assert.isBelow(distance(values(y), own.flat(2)), 1e-6)
  })

  it("has names for sizes", () => {
    const shapes = {
      0: ["batch", "steps", 16],
      1: ["batch", "steps", 8],
      2: ["batch", "steps", 8],
      3: ["batch", 2, "past", 4],
      4: ["batch", 2, "past", 4],
      5: ["batch"]
    }
    const [, pastK, pastV] = prompt(3)
    const inputs = [steps(q, 3, 4), steps(k, 3, 4), steps(v, 3, 4), pastK, pastV, last(3, 3), last(4), cos, sin]
    const named = run({ ...node, shapes }, inputs)
    assert.deepStrictEqual(named.map(values), run(node, inputs).map(values))
  })
})
