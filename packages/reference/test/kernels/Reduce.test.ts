import { assert, describe, it } from "@effect/vitest"
import * as Float from "@anneal/ir/Float"
import * as Ops from "@anneal/ir/Ops"
import { draws, f32, run, runAll, tensor, values } from "../OneNode.ts"

const x = f32([2, 3, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])

describe("reductions", () => {
  it("reduces any axes, keeping them or not", () => {
    assert.deepStrictEqual(run(Ops.reduceSum, [x], { axes: [1], keepDims: false }), [9, 12, 27, 30])
    const [kept] = runAll(Ops.reduceSum, [x], { axes: [0, 2], keepDims: true })
    assert.deepStrictEqual(kept?.shape, [1, 3, 1])
    assert.deepStrictEqual(values(kept), [18, 26, 34])
    assert.deepStrictEqual(run(Ops.reduceMean, [x], { axes: [0, 1, 2], keepDims: false }), [6.5])
    assert.deepStrictEqual(run(Ops.reduceProd, [x], { axes: [2], keepDims: false }), [2, 12, 30, 56, 90, 132])
    assert.deepStrictEqual(run(Ops.reduceMax, [x], { axes: [1], keepDims: false }), [5, 6, 11, 12])
    assert.deepStrictEqual(run(Ops.reduceMin, [x], { axes: [0], keepDims: false }), [1, 2, 3, 4, 5, 6])
    assert.deepStrictEqual(run(Ops.reduceSum, [x], { axes: [], keepDims: true }), values(x))
  })
  it("rounds a long f16 sum once", () => {
    const terms = draws(4000).map((value) => Float.round("f16", value + 1))
    const exact = terms.reduce((total, value) => total + value, 0)
    assert.deepStrictEqual(run(Ops.reduceSum, [tensor("f16", [4000], terms)], { axes: [0], keepDims: false }), [
      Float.round("f16", exact)
    ])
  })
  it("wraps integers", () => {
    const all = { axes: [0], keepDims: false }
    assert.deepStrictEqual(run(Ops.reduceSum, [tensor("u8", [3], [200, 100, 3])], all), [47])
    assert.deepStrictEqual(run(Ops.reduceProd, [tensor("i32", [3], [65536, 65536, 3])], all), [0])
    assert.deepStrictEqual(run(Ops.reduceMean, [tensor("i32", [2], [-3, 0])], all), [-1])
    const big = { dtype: "u64" as const, shape: [2], data: BigUint64Array.of(2n ** 64n - 1n, 5n) }
    assert.strictEqual(runAll(Ops.reduceSum, [big], all)[0]?.data[0], 4n)
  })
  it("gives the neutral element over none", () => {
    const empty = { axes: [1], keepDims: false }
    assert.deepStrictEqual(run(Ops.reduceSum, [f32([1, 0], [])], empty), [0])
    assert.deepStrictEqual(run(Ops.reduceProd, [f32([1, 0], [])], empty), [1])
    assert.deepStrictEqual(run(Ops.reduceMax, [f32([1, 0], [])], empty), [-Infinity])
    assert.deepStrictEqual(run(Ops.reduceMin, [tensor("i8", [1, 0], [])], empty), [127])
  })
  it("lets NaN win, and finds the first or the last extreme", () => {
    const row = f32([5], [1, 4, 4, -2, -2])
    const first = { axis: 0, keepDims: false, select: "first" as const }
    const last = { ...first, select: "last" as const }
    assert.deepStrictEqual(run(Ops.argMax, [row], first), [1])
    assert.deepStrictEqual(run(Ops.argMax, [row], last), [2])
    assert.deepStrictEqual(run(Ops.argMin, [row], first), [3])
    assert.deepStrictEqual(run(Ops.argMin, [row], last), [4])
    assert.deepStrictEqual(run(Ops.argMax, [f32([3], [1, NaN, 5])], first), [1])
    assert.deepStrictEqual(run(Ops.reduceMax, [f32([3], [1, NaN, 5])], { axes: [0], keepDims: false }), [NaN])
  })
  it("runs totals, exclusive and from the end", () => {
    const row = f32([4], [1, 2, 3, 4])
    const totals = (exclusive: boolean, reverse: boolean) =>
      run(Ops.cumulativeSum, [row], { axis: 0, exclusive, reverse })
    assert.deepStrictEqual(totals(false, false), [1, 3, 6, 10])
    assert.deepStrictEqual(totals(true, false), [0, 1, 3, 6])
    assert.deepStrictEqual(totals(false, true), [10, 9, 7, 4])
    assert.deepStrictEqual(totals(true, true), [9, 7, 4, 0])
    const product = { axis: 1, exclusive: false, reverse: false }
    assert.deepStrictEqual(run(Ops.cumulativeProduct, [tensor("i64", [2, 2], [2, 3, 4, 5])], product), [2, 6, 4, 20])
  })
})

const window = { strides: [2], padsBegin: [0], padsEnd: [0], dilations: [1], ceil: false }

describe("pooling", () => {
  it("takes the greatest, and where it is", () => {
    const image = f32([1, 1, 2, 4], [1, 5, 2, 2, 4, 3, 9, 0])
    const square = {
      kernel: [2, 2],
      strides: [2, 2],
      padsBegin: [0, 0],
      padsEnd: [0, 0],
      dilations: [1, 1],
      ceil: false
    }
    const [best, where] = runAll(Ops.maxPool, [image], { ...square, indexOrder: "rowMajor" })
    assert.deepStrictEqual(values(best), [5, 9])
    assert.deepStrictEqual(values(where), [1, 6])
    const [, columns] = runAll(Ops.maxPool, [image], { ...square, indexOrder: "columnMajor" })
    assert.deepStrictEqual(values(columns), [2, 5])
  })
  it("leaves padding out of the greatest, and lets NaN win", () => {
    const row = f32([1, 1, 3], [-3, -1, NaN])
    const padded = { ...window, kernel: [2], padsBegin: [1], indexOrder: "rowMajor" as const }
    assert.deepStrictEqual(run(Ops.maxPool, [row], padded), [-3, NaN])
  })
  it("counts padding in the mean or not", () => {
    const row = f32([1, 1, 3], [2, 4, 6])
    const padded = { ...window, kernel: [2], padsBegin: [1] }
    assert.deepStrictEqual(run(Ops.averagePool, [row], { ...padded, includePad: true }), [1, 5])
    assert.deepStrictEqual(run(Ops.averagePool, [row], { ...padded, includePad: false }), [2, 5])
  })
})
