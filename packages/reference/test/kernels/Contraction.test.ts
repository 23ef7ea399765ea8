import { assert, describe, it } from "@effect/vitest"
import * as Float from "@anneal/ir/Float"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import { draws, f32, run, runAll, tensor, values } from "../OneNode.ts"

const random = (dtype: "f32" | "f16" | "f64", shape: ReadonlyArray<number>, seed: number): Tensor =>
  tensor(dtype, shape, draws(Tensors.size(shape), seed))

/** By the definition: one sum for each element of the result. */
const directConv = (
  x: Tensor,
  w: Tensor,
  bias: ReadonlyArray<number>,
  output: ReadonlyArray<number>,
  a: { strides: Array<number>; padsBegin: Array<number>; dilations: Array<number>; groups: number }
): ReadonlyArray<number> => {
  const [xs, ws] = [values(x), values(w)]
  const rank = output.length - 2
  const at = (all: ReadonlyArray<number>, shape: ReadonlyArray<number>, position: ReadonlyArray<number>): number =>
    position.some((p, axis) => p < 0 || p >= (shape[axis] ?? 0))
      ? 0
      : (all[position.reduce((flat, p, axis) => flat * (shape[axis] ?? 1) + p, 0)] ?? 0)
  const coordinates = (flat: number, shape: ReadonlyArray<number>): Array<number> =>
    Tensors.strides(shape).map((stride, axis) => Math.floor(flat / stride) % (shape[axis] ?? 1))
  const kernel = w.shape.slice(2)
  const perGroup = (w.shape[0] ?? 1) / a.groups
  return Array.from({ length: Tensors.size(output) }, (_, flat) => {
    const [n = 0, o = 0, ...p] = coordinates(flat, output)
    let total = 0
    for (let c = 0; c < (w.shape[1] ?? 1); c++)
      for (let tap = 0; tap < Tensors.size(kernel); tap++) {
        const t = coordinates(tap, kernel)
        const place = p.map(
          (q, axis) => q * (a.strides[axis] ?? 1) + (t[axis] ?? 0) * (a.dilations[axis] ?? 1) - (a.padsBegin[axis] ?? 0)
        )
        const channel = Math.floor(o / perGroup) * (w.shape[1] ?? 1) + c
        total += at(xs, x.shape, [n, channel, ...place.slice(0, rank)]) * at(ws, w.shape, [o, c, ...t])
      }
    return total + (bias[o] ?? 0)
  })
}

const closeTo = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>, tolerance: number): void => {
  assert.strictEqual(found.length, expected.length)
  for (const [i, value] of found.entries()) assert.closeTo(value, expected[i] ?? NaN, tolerance, `element ${i}`)
}

describe("matmul", () => {
  it("multiplies, with vectors as a row and a column", () => {
    const m = f32([2, 2], [1, 2, 3, 4])
    assert.deepStrictEqual(run(Ops.matmul, [m, m], {}), [7, 10, 15, 22])
    assert.deepStrictEqual(run(Ops.matmul, [m, f32([2], [1, 1])], {}), [3, 7])
    assert.deepStrictEqual(run(Ops.matmul, [f32([2], [1, 1]), m], {}), [4, 6])
    assert.deepStrictEqual(run(Ops.matmul, [f32([2], [1, 2]), f32([2], [3, 4])], {}), [11])
  })
  it("broadcasts batches", () => {
    const a = random("f64", [2, 1, 3, 5], 1)
    const b = random("f64", [4, 5, 2], 2)
    const [result] = runAll(Ops.matmul, [a, b], {})
    assert.deepStrictEqual(result?.shape, [2, 4, 3, 2])
    const [as, bs] = [values(a), values(b)]
    const expected = Array.from({ length: 48 }, (_, flat) => {
      const [p, q, i, j] = [Math.floor(flat / 24), Math.floor(flat / 6) % 4, Math.floor(flat / 2) % 3, flat % 2]
      let total = 0
      for (let k = 0; k < 5; k++) total += (as[(p * 3 + i) * 5 + k] ?? 0) * (bs[(q * 5 + k) * 2 + j] ?? 0)
      return total
    })
    assert.deepStrictEqual(values(result), expected)
  })
  it("is the same sum at any size of the blocks", () => {
    for (const [m, k, n] of [
      [3, 131, 259],
      [1, 70, 5],
      [5, 3, 1]
    ] as const) {
      const [a, b] = [random("f64", [m, k], 3), random("f64", [k, n], 4)]
      const [as, bs] = [values(a), values(b)]
      const expected = Array.from({ length: m * n }, (_, flat) => {
        let total = 0
        for (let p = 0; p < k; p++) total += (as[Math.floor(flat / n) * k + p] ?? 0) * (bs[p * n + (flat % n)] ?? 0)
        return total
      })
      assert.deepStrictEqual(run(Ops.matmul, [a, b], {}), expected)
    }
  })
  it("accumulates narrow floats in float64 and rounds once", () => {
    const [a, b] = [random("f16", [1, 300], 5), random("f16", [300, 1], 6)]
    const [as, bs] = [values(a), values(b)]
    const exact = as.reduce((total, x, i) => total + x * (bs[i] ?? 0), 0)
    assert.deepStrictEqual(run(Ops.matmul, [a, b], {}), [Float.round("f16", exact)])
  })
  it("wraps integers of every width", () => {
    const a = tensor("i32", [1, 2], [2147483647, 2147483647])
    assert.deepStrictEqual(run(Ops.matmul, [a, tensor("i32", [2, 1], [2147483647, 3])], {}), [2147483646])
    assert.deepStrictEqual(run(Ops.matmul, [tensor("i8", [1, 2], [100, 100]), tensor("i8", [2, 1], [2, 1])], {}), [44])
    const big = { dtype: "i64" as const, shape: [1, 1], data: BigInt64Array.of(2n ** 62n) }
    const three = { dtype: "i64" as const, shape: [1, 1], data: BigInt64Array.of(3n) }
    assert.deepStrictEqual(runAll(Ops.matmul, [big, three], {})[0]?.data[0], BigInt.asIntN(64, 3n * 2n ** 62n))
  })
})

describe("conv", () => {
  const cases = [
    {
      x: [2, 3, 7, 6],
      w: [4, 3, 3, 2],
      strides: [2, 1],
      padsBegin: [1, 0],
      padsEnd: [1, 1],
      dilations: [1, 2],
      groups: 1
    },
    { x: [1, 4, 9], w: [6, 2, 3], strides: [2], padsBegin: [2], padsEnd: [0], dilations: [3], groups: 2 },
    {
      x: [1, 2, 4, 3, 5],
      w: [2, 1, 2, 2, 3],
      strides: [1, 1, 2],
      padsBegin: [0, 1, 1],
      padsEnd: [1, 0, 1],
      dilations: [1, 1, 1],
      groups: 2
    }
  ]
  for (const { w: wShape, x: xShape, ...attributes } of cases)
    it(`equals its definition: x [${xShape.join()}], w [${wShape.join()}], ${attributes.groups} groups`, () => {
      const [x, w] = [random("f64", xShape, 7), random("f64", wShape, 8)]
      const bias = draws(wShape[0] ?? 1, 9)
      const [result] = runAll(Ops.conv, [x, w, tensor("f64", [bias.length], bias)], attributes)
      closeTo(values(result), directConv(x, w, bias, result?.shape ?? [], attributes), 1e-13)
    })
  it("does long rows of positions in parts, the same", () => {
    const [taps, positions] = [8192, 300]
    const [x, w] = [random("f64", [1, 1, taps + positions - 1], 10), random("f64", [1, 1, taps], 11)]
    const [xs, ws] = [values(x), values(w)]
    const expected = Array.from({ length: positions }, (_, p) => {
      let total = 0
      for (let t = 0; t < taps; t++) total += (xs[p + t] ?? 0) * (ws[t] ?? 0)
      return total
    })
    const attributes = { strides: [1], padsBegin: [0], padsEnd: [0], dilations: [1], groups: 1 }
    assert.deepStrictEqual(run(Ops.conv, [x, w], attributes), expected)
  })
})

describe("convTranspose", () => {
  it("is the adjoint of conv: ⟨conv(x), y⟩ = ⟨x, convTranspose(y)⟩", () => {
    const forward = { strides: [2, 1], padsBegin: [1, 0], padsEnd: [0, 1], dilations: [1, 2], groups: 2 }
    const x = random("f64", [1, 4, 8, 7], 12)
    const w = random("f64", [6, 2, 3, 2], 13)
    const [y] = runAll(Ops.conv, [x, w], forward)
    const other = random("f64", y?.shape ?? [], 14)
    const outputPadding = [0, 0]
    const [back] = runAll(Ops.convTranspose, [other, w], { ...forward, outputPadding })
    assert.deepStrictEqual(back?.shape, x.shape)
    const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
      a.reduce((total, value, i) => total + value * (b[i] ?? 0), 0)
    assert.closeTo(dot(values(y), values(other)), dot(values(x), values(back)), 1e-12)
  })
  it("adds a bias and output padding", () => {
    const attributes = { strides: [2], padsBegin: [0], padsEnd: [0], dilations: [1], groups: 1, outputPadding: [1] }
    const result = run(Ops.convTranspose, [f32([1, 1, 2], [1, 2]), f32([1, 1, 2], [10, 1]), f32([1], [5])], attributes)
    assert.deepStrictEqual(result, [15, 6, 25, 7, 5])
  })
})
