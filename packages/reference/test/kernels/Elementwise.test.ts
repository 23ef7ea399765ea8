import { assert, describe, it } from "@effect/vitest"
import * as DTypes from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import * as Ops from "@anneal/ir/Ops"
import * as Rounding from "@anneal/reference/Rounding"
import { draws, f32, run, runAll, tensor, values } from "../OneNode.ts"

describe("unary kernels", () => {
  it("rounds to nearest, ties to even, and keeps what is not finite", () => {
    const x = f32([9], [0.5, 1.5, 2.5, -0.5, -1.5, 3.2, NaN, Infinity, -Infinity])
    assert.deepStrictEqual(run(Ops.round, [x], {}), [0, 2, 2, -0, -2, 3, NaN, Infinity, -Infinity])
    assert.deepStrictEqual(run(Ops.sign, [f32([3], [-2, 0, 5])], {}), [-1, 0, 1])
  })
  it("wraps integers in their width", () => {
    assert.deepStrictEqual(run(Ops.neg, [tensor("i8", [2], [-128, 5])], {}), [-128, -5])
    assert.deepStrictEqual(run(Ops.neg, [tensor("i4", [2], [-8, 3])], {}), [-8, -3])
    assert.deepStrictEqual(run(Ops.bitwiseNot, [tensor("u4", [2], [0, 5])], {}), [15, 10])
    assert.deepStrictEqual(run(Ops.bitwiseNot, [tensor("u32", [1], [0])], {}), [4294967295])
  })
  it("gives f32 functions the rounding of their float64 value", () => {
    assert.deepStrictEqual(run(Ops.sqrt, [f32([1], [2])], {}), [Math.fround(Math.SQRT2)])
    assert.deepStrictEqual(run(Ops.exp, [f32([1], [1])], {}), [Math.fround(Math.E)])
    assert.deepStrictEqual(run(Ops.sigmoid, [f32([3], [0, -1000, 1000])], {}), [0.5, 0, 1])
    assert.closeTo(run(Ops.erf, [tensor("f64", [1], [0.5])], {})[0] ?? 0, 0.5204998778130465, 1e-15)
  })
  it("keeps the infinities of f8e5m2 where nothing is rounded, and saturates where something is", () => {
    const [positive, negative] = [0x7c, 0xfc]
    const x = { dtype: "f8e5m2" as const, shape: [2], data: Uint8Array.of(positive, negative) }
    const one = tensor("f8e5m2", [2], [1, 1])
    for (const op of [Ops.ceil, Ops.floor, Ops.round]) assert.deepStrictEqual(run(op, [x], {}), [Infinity, -Infinity])
    assert.deepStrictEqual(run(Ops.neg, [x], {}), [-Infinity, Infinity])
    assert.deepStrictEqual(run(Ops.abs, [x], {}), [Infinity, Infinity])
    assert.deepStrictEqual(run(Ops.min, [x, one], {}), [1, -Infinity])
    assert.deepStrictEqual(run(Ops.max, [x, one], {}), [Infinity, 1])
    assert.deepStrictEqual(run(Ops.add, [x, one], {}), [57344, -57344])
  })
  it("classifies", () => {
    const x = f32([4], [NaN, Infinity, -Infinity, 0])
    assert.deepStrictEqual(run(Ops.isNaN, [x], {}), [1, 0, 0, 0])
    assert.deepStrictEqual(run(Ops.isInf, [x], { positive: true, negative: false }), [0, 1, 0, 0])
  })
})

describe("cast and bitcast", () => {
  it("truncates to integers and wraps", () => {
    const x = f32([5], [1.9, -1.9, 300, NaN, Infinity])
    assert.deepStrictEqual(run(Ops.cast, [x], { to: "i8", saturate: true }), [1, -1, 44, 0, 0])
    assert.deepStrictEqual(run(Ops.cast, [x], { to: "bool", saturate: true }), [1, 1, 1, 1, 1])
    assert.deepStrictEqual(run(Ops.cast, [tensor("i32", [2], [9, -9])], { to: "i4", saturate: true }), [-7, 7])
  })
  it("rounds a 64-bit integer only once", () => {
    // 2^62 + 2^38 + 1 is just above a tie of f32; by way of float64 it would be the tie itself, and go down.
    const big = { dtype: "i64" as const, shape: [1], data: BigInt64Array.of((1n << 62n) + (1n << 38n) + 1n) }
    assert.deepStrictEqual(run(Ops.cast, [big], { to: "f32", saturate: true }), [2 ** 62 + 2 ** 39])
  })
  it("saturates fp8 or not", () => {
    const x = f32([2], [1000, -1e9])
    assert.deepStrictEqual(run(Ops.cast, [x], { to: "f8e4m3", saturate: true }), [448, -448])
    assert.deepStrictEqual(run(Ops.cast, [x], { to: "f8e4m3", saturate: false }), [NaN, NaN])
    assert.deepStrictEqual(run(Ops.cast, [x], { to: "f8e5m2", saturate: false }), [1024, -Infinity])
  })
  it("keeps bits", () => {
    assert.deepStrictEqual(run(Ops.bitcast, [f32([1], [1])], { to: "u32" }), [0x3f800000])
    assert.deepStrictEqual(run(Ops.bitcast, [tensor("u4", [2], [15, 7])], { to: "i4" }), [-1, 7])
  })
})

describe("binary kernels", () => {
  it("broadcasts as numpy does", () => {
    const a = f32([2, 1, 2], [1, 2, 3, 4])
    const b = f32([3, 1], [10, 20, 30])
    assert.deepStrictEqual(run(Ops.add, [a, b], {}), [11, 12, 21, 22, 31, 32, 13, 14, 23, 24, 33, 34])
    assert.deepStrictEqual(run(Ops.sub, [f32([], [1]), f32([2], [3, 4])], {}), [-2, -3])
  })
  it("computes every float dtype in float64 and rounds once", () => {
    for (const dtype of DTypes.all.filter(Rounding.isFloat)) {
      const a = draws(64, 3).map((x) => Float.round(dtype, x * 4))
      const b = draws(64, 5).map((x) => Float.round(dtype, x * 4))
      for (const [op, f] of [
        [Ops.add, (x: number, y: number) => x + y],
        [Ops.sub, (x: number, y: number) => x - y],
        [Ops.mul, (x: number, y: number) => x * y],
        [Ops.div, (x: number, y: number) => x / y]
      ] as const)
        assert.deepStrictEqual(
          run(op, [tensor(dtype, [64], a), tensor(dtype, [64], b)], {}),
          a.map((x, i) => Float.round(dtype, f(x, b[i] ?? 0))),
          `${op.name} of ${dtype}`
        )
    }
  })
  it("computes every integer dtype exactly, wrapping", () => {
    for (const dtype of DTypes.all.filter(DTypes.isInteger)) {
      const { max, min } = DTypes.integerRange(dtype)
      const picked = [min, max, max - 1n, min + 1n, 0n, 1n, 3n, max / 3n]
      const pairs = picked.flatMap((x) => picked.map((y) => [x, y] as const))
      const wrap = (x: bigint): bigint =>
        DTypes.isSigned(dtype) ? BigInt.asIntN(DTypes.bits(dtype), x) : BigInt.asUintN(DTypes.bits(dtype), x)
      const make = (items: ReadonlyArray<bigint>) => {
        const data = DTypes.allocate(dtype, items.length)
        for (const [i, item] of items.entries()) data[i] = DTypes.isBig(dtype) ? item : Number(item)
        return { dtype, shape: [items.length], data }
      }
      for (const [op, f] of [
        [Ops.add, (x: bigint, y: bigint) => x + y],
        [Ops.sub, (x: bigint, y: bigint) => x - y],
        [Ops.mul, (x: bigint, y: bigint) => x * y],
        [Ops.div, (x: bigint, y: bigint) => (y === 0n ? 0n : x / y)],
        [Ops.max, (x: bigint, y: bigint) => (x > y ? x : y)],
        [Ops.bitwiseXor, (x: bigint, y: bigint) => x ^ y]
      ] as const) {
        const result = runAll(op, [make(pairs.map(([x]) => x)), make(pairs.map(([, y]) => y))], {})[0]
        const found = [...(result?.data ?? [])].map(BigInt)
        assert.deepStrictEqual(
          found,
          pairs.map(([x, y]) => wrap(f(x, y))),
          `${op.name} of ${dtype}`
        )
      }
    }
  })
  it("takes remainders with either sign", () => {
    const [a, b] = [tensor("i32", [4], [7, -7, 7, -7]), tensor("i32", [4], [3, 3, -3, 0])]
    assert.deepStrictEqual(run(Ops.mod, [a, b], { rounding: "floor" }), [1, 2, -2, 0])
    assert.deepStrictEqual(run(Ops.mod, [a, b], { rounding: "truncate" }), [1, -1, 1, 0])
    assert.deepStrictEqual(run(Ops.mod, [f32([2], [-5.5, 5.5]), f32([2], [2, -2])], { rounding: "floor" }), [0.5, -0.5])
  })
  it("shifts every bit out from the width on", () => {
    const a = tensor("u8", [4], [129, 129, 129, 129])
    const by = tensor("u8", [4], [1, 7, 8, 200])
    assert.deepStrictEqual(run(Ops.shiftLeft, [a, by], {}), [2, 128, 0, 0])
    assert.deepStrictEqual(run(Ops.shiftRight, [a, by], {}), [64, 1, 0, 0])
    assert.deepStrictEqual(run(Ops.shiftRight, [tensor("i8", [2], [-8, -8]), tensor("i8", [2], [2, 9])], {}), [-2, -1])
  })
  it("raises to powers of any dtype", () => {
    assert.deepStrictEqual(
      run(Ops.pow, [tensor("i32", [3], [3, -2, 2]), tensor("i64", [3], [4, 3, 31])], {}),
      [81, -8, -2147483648]
    )
    assert.deepStrictEqual(run(Ops.pow, [tensor("i32", [2], [2, -1]), tensor("i32", [2], [-1, -3])], {}), [0, -1])
    assert.deepStrictEqual(run(Ops.pow, [f32([2], [2, 9]), tensor("i32", [2], [10, -1])], {}), [
      1024,
      Math.fround(1 / 9)
    ])
  })
  it("lets NaN through min and max, and orders comparisons", () => {
    const [a, b] = [f32([3], [NaN, 1, 5]), f32([3], [1, NaN, 3])]
    assert.deepStrictEqual(run(Ops.max, [a, b], {}), [NaN, NaN, 5])
    assert.deepStrictEqual(run(Ops.min, [a, b], {}), [NaN, NaN, 3])
    assert.deepStrictEqual(run(Ops.less, [a, b], {}), [0, 0, 0])
    assert.deepStrictEqual(run(Ops.greaterOrEqual, [a, b], {}), [0, 0, 1])
    assert.deepStrictEqual(run(Ops.equal, [a, a], {}), [0, 1, 1])
  })
  it("compares 64-bit integers beyond 2^53", () => {
    const a = { dtype: "i64" as const, shape: [2], data: BigInt64Array.of(2n ** 53n, 2n ** 53n + 1n) }
    const b = { dtype: "i64" as const, shape: [2], data: BigInt64Array.of(2n ** 53n + 1n, 2n ** 53n + 1n) }
    assert.deepStrictEqual(run(Ops.equal, [a, b], {}), [0, 1])
    assert.deepStrictEqual(run(Ops.less, [a, b], {}), [1, 0])
  })
  it("selects, broadcasting all three", () => {
    const condition = tensor("bool", [2, 1], [1, 0])
    const result = runAll(Ops.select, [condition, f32([2], [1, 2]), f32([], [9])], {})[0]
    assert.deepStrictEqual(result?.shape, [2, 2])
    assert.deepStrictEqual(values(result), [1, 2, 9, 9])
  })
})
