import { assert, describe, it } from "@effect/vitest"
import * as Dim from "@anneal/ir/Dim"
import { distance, f32, graphOf, random, run, values } from "./OneOperator.ts"

/** One batch, one head: S ← S·e^g + k ⊗ β(v − k·S·e^g), y = q·S·scale. */
const gatedDelta = (
  q: ReadonlyArray<number>,
  k: ReadonlyArray<number>,
  v: ReadonlyArray<number>,
  g: ReadonlyArray<number>,
  beta: ReadonlyArray<number>,
  dim: number,
  scale: number
) => {
  const state = Array.from({ length: dim }, () => Array.from({ length: dim }, () => 0))
  const results: Array<number> = []
  for (let t = 0; t < beta.length; t++) {
    const at = (list: ReadonlyArray<number>, i: number): number => list[t * dim + i] ?? 0
    for (const [i, row] of state.entries()) for (let j = 0; j < dim; j++) row[j] = (row[j] ?? 0) * Math.exp(at(g, i))
    const fresh = Array.from({ length: dim }, (_, j) => {
      const found = state.reduce((sum, row, i) => sum + at(k, i) * (row[j] ?? 0), 0)
      return (beta[t] ?? 0) * (at(v, j) - found)
    })
    for (const [i, row] of state.entries())
      for (let j = 0; j < dim; j++) row[j] = (row[j] ?? 0) + at(k, i) * (fresh[j] ?? 0)
    for (let j = 0; j < dim; j++) results.push(scale * state.reduce((sum, row, i) => sum + at(q, i) * (row[j] ?? 0), 0))
  }
  return { results, state: state.flat() }
}

const steps = [1, 2, 3, 4].map((seed) => random([1, 4, 3], seed))
const beta = random([1, 4, 1], 5)
const node = {
  op: "LinearAttention",
  attributes: { q_num_heads: 1, kv_num_heads: 1, scale: { float: 0.5 } },
  outputs: 2
}

describe("LinearAttention", () => {
  it("decays, writes what is new, reads", () => {
    const [q, k, v, g] = steps
    const [y, state] = run(node, [q, k, v, undefined, g, beta])
    const wanted = gatedDelta(values(q), values(k), values(v), values(g), values(beta), 3, 0.5)
    assert.isBelow(distance(values(y), wanted.results), 1e-6)
    assert.isBelow(distance(values(state), wanted.state), 1e-6)
  })

  it("goes on from a state, with sizes that are only named", () => {
    const [q, k, v, g] = steps
    const shapes = Object.fromEntries(
      [0, 1, 2, 4].map((index): [number, ReadonlyArray<number | string>] => [index, ["batch", "time", 3]])
    )
    const graph = graphOf({ ...node, shapes }, [q, k, v, undefined, g, beta])
    const output = graph.outputs[0]
    const type = graph.nodes.flatMap(({ outputs }) => outputs).find(({ id }) => id === output?.id)?.type
    assert.deepStrictEqual(type?.shape.map(Dim.format), ["batch", "time", "3"])
    const [y, state] = run(node, [q, k, v, undefined, g, beta])
    const [again, later] = run(node, [q, k, v, state, g, beta])
    assert.isAbove(distance(values(again), values(y)), 1e-3)
    const twice = [q, k, v, g].map((x) => values(x).concat(values(x)))
    const [qq = [], kk = [], vv = [], gg = []] = twice
    const wanted = gatedDelta(qq, kk, vv, gg, [...values(beta), ...values(beta)], 3, 0.5)
    assert.isBelow(distance(values(again), wanted.results.slice(12)), 1e-5)
    assert.isBelow(distance(values(later), wanted.state), 1e-5)
  })
})

describe("CausalConvWithState", () => {
  it("sees the steps before, and gives the last ones as the next state", () => {
    const whole = random([1, 2, 6], 8)
    const w = random([2, 1, 3], 9)
    const conv = { op: "CausalConvWithState", attributes: { activation: "silu" }, outputs: 2 }
    const [all] = run(conv, [whole, w])
    const part = (from: number, to: number) =>
      f32(
        [1, 2, to - from],
        [0, 6].flatMap((row) => values(whole).slice(row + from, row + to))
      )
    const [first, state] = run(conv, [part(0, 4), w])
    assert.deepStrictEqual(values(state), values(part(2, 4)))
    const [second] = run(conv, [part(4, 6), w, undefined, state])
    const joined = [0, 1].flatMap((row) =>
      values(first)
        .slice(row * 4, row * 4 + 4)
        .concat(values(second).slice(row * 2, row * 2 + 2))
    )
    assert.isBelow(distance(joined, values(all)), 1e-6)
  })
})
