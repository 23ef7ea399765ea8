import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Contraction, OperandRanges, Region } from "@anneal/lower/Region"
import * as Scalar from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import * as Views from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { candidates } from "@anneal/wasm/kernels/IntegerContraction"
import { describe, expect, it } from "vitest"
import { accumulator, requantise, requantised, sums } from "./IntegerReference.ts"
import * as Random from "../Random.ts"
import { type Contents, plain, reach, relaxed, resultsOf, type Symbols, wide } from "../RunKernel.ts"

const none: Symbols = new Map()

interface Options {
  readonly a: DType
  readonly b: DType
  readonly batch?: ReadonlyArray<Dim.Dim>
  readonly m: Dim.Dim
  readonly n: Dim.Dim
  readonly k: Dim.Dim
  readonly zero?: { readonly a: number; readonly b: number }
  readonly ranges?: OperandRanges
  readonly views?: (views: { readonly a: View; readonly b: View }) => { readonly a: View; readonly b: View }
}

const contraction = (options: Options): Contraction => {
  const { batch = [], k, m, n } = options
  const given = {
    a: Views.contiguous("a", options.a, [...batch, m, k]),
    b: Views.contiguous("b", options.b, [...batch, n, k])
  }
  const { a, b } = options.views?.(given) ?? given
  return {
    kind: "contraction",
    id: "y",
    members: [],
    batch,
    m,
    n,
    k,
    a,
    b,
    zero: options.zero ?? { a: 0, b: 0 },
    ...(options.ranges === undefined ? {} : { ranges: options.ranges }),
    accumulate: "i32",
    epilogue: {
      operands: [],
      results: [{ view: Views.contiguous("y", "i32", [...batch, m, n]), value: accumulator }]
    }
  }
}

const extremes = (dtype: DType, range: readonly [number, number] | undefined): readonly [number, number] => {
  const { max, min } = DTypes.integerRange(dtype)
  return range ?? [Number(min), Number(max)]
}

/** Random integers of the operands' ranges, the ends of the range often. */
const fill = (region: Contraction, symbols: Symbols, seed: number): Contents => {
  const next = Random.integers(seed)
  const make = (view: View, range: readonly [number, number] | undefined) => {
    const [least, greatest] = extremes(view.dtype, range)
    const data = DTypes.allocate(view.dtype, reach(view, symbols))
    for (let i = 0; i < data.length; i++) {
      const dice = next(0, 9)
      data[i] = dice === 0 ? least : dice === 1 ? greatest : next(least, greatest)
    }
    return data
  }
  return new Map([
    [region.a.buffer, make(region.a, region.ranges?.a)],
    [region.b.buffer, make(region.b, region.ranges?.b)]
  ])
}

const check = (region: Contraction, features: Features, symbols: Symbols = none, seed = 1): ReadonlyArray<Kernel> => {
  const buffers = fill(region, symbols, seed)
  const want = sums(region, buffers, symbols)
  const kernels = candidates(region, symbols, features)
  expect(kernels.length).toBeGreaterThan(0)
  for (const kernel of kernels)
    for (const parts of [1, 3]) {
      const results = resultsOf(region, kernel, features, buffers, { symbols, parts })
      const label = `${kernel.name} ${JSON.stringify(kernel.config)} in ${parts}`
      expect({ label, data: results[0]?.data }).toEqual({ label, data: want })
    }
  return kernels
}

const pairs: ReadonlyArray<readonly [DType, DType]> = [
  ["u8", "i8"],
  ["i8", "i8"],
  ["u8", "u8"],
  ["i8", "u8"]
]

describe("IntegerContraction", () => {
  it.each(pairs)("is exact for %s · %s at full range, with zero points", (a, b) => {
    for (const features of [plain, relaxed])
      for (const [m, n, k] of [
        [5, 7, 9],
        [1, 33, 64],
        [13, 20, 31],
        [8, 16, 128]
      ] as const) {
        const zero = { a: a === "u8" ? 117 : -3, b: b === "u8" ? 128 : 5 }
        check(contraction({ a, b, m, n, k, zero }), features)
        check(contraction({ a, b, m, n, k }), features)
      }
  })

  it("takes the relaxed dot product for operands of seven bits, sums of two and four of them for less", () => {
    const cases: ReadonlyArray<readonly [OperandRanges, string]> = [
      [{ a: [0, 127] }, "integer-seven-a"],
      [{ b: [-64, 63] }, "integer-seven-b"],
      [{ a: [0, 127], b: [-64, 64] }, "integer-seven-a-2"],
      [{ a: [3, 66], b: [-31, 32] }, "integer-seven-a-4"],
      [{ a: [100, 200] }, "integer-seven-a"]
    ]
    for (const [ranges, name] of cases)
      for (const zero of [
        { a: 64, b: 0 },
        { a: 101, b: -7 }
      ]) {
        const region = contraction({ a: "u8", b: "i8", m: 9, n: 21, k: 77, zero, ranges })
        const kernels = check(region, relaxed)
        expect(kernels.map((kernel) => kernel.name)).toContain(name)
        expect(kernels.map((kernel) => kernel.name)).toContain(`${name.replace(/-[24]$/, "")}-add`)
        expect(candidates(region, none, plain).every((kernel) => !kernel.name.includes("seven"))).toBe(true)
        check(region, wide)
      }
  })

  it("reads rows in place where they are what the tile takes", () => {
    const region = contraction({ a: "u8", b: "i8", m: 6, n: 12, k: 32, ranges: { a: [0, 127] } })
    const kernel = check(region, relaxed).find(({ name }) => name === "integer-seven-a")
    // Only the tile is in scratch memory.
    expect(kernel?.scratch).toBeLessThan(32 * 6)
  })

  it("follows strides, broadcast and joined batches", () => {
    const options = { a: "u8", b: "i8", m: 5, n: 6, k: 10, zero: { a: 3, b: -2 } } as const
    // Transposed operands.
    check(
      contraction({
        ...options,
        batch: [2],
        views: () => ({
          a: Views.transpose(Views.contiguous("a", "u8", [2, 10, 5]), [0, 2, 1]),
          b: Views.transpose(Views.contiguous("b", "i8", [2, 10, 6]), [0, 2, 1])
        })
      }),
      relaxed
    )
    // One weight for all of the batch, and a weight for each of its inner axis.
    for (const strides of [
      [0, 0, 10, 1],
      [0, 60, 10, 1]
    ])
      for (const features of [plain, relaxed])
        check(
          contraction({
            ...options,
            batch: [2, 3],
            views: ({ a, b }) => ({ a, b: { ...b, strides } })
          }),
          features
        )
    // Rows apart, from an offset, backwards.
    check(
      contraction({
        ...options,
        views: ({ a, b }) => ({ a: { ...a, offset: 7 + 4 * 24, strides: [-24, 2] }, b: { ...b, offset: 5 } })
      }),
      plain
    )
  })

  it("takes sizes that are known only when it runs", () => {
    const [m, k, n, batch] = ["m", "k", "n", "batch"].map(Dim.symbol)
    if (m === undefined || k === undefined || n === undefined || batch === undefined) return
    for (const size of [1, 4, 11]) {
      const symbols = new Map([["m", size]])
      const region = contraction({ a: "u8", b: "i8", m, n: 18, k: 40, zero: { a: 9, b: 0 }, ranges: { b: [-64, 63] } })
      expect(check(region, relaxed, symbols).length).toBeGreaterThan(3)
    }
    for (const [size, terms, columns] of [
      [2, 5, 3],
      [7, 32, 17],
      [3, 1, 8]
    ] as const) {
      const symbols = new Map([
        ["m", size],
        ["k", terms],
        ["n", columns],
        ["batch", 2]
      ])
      check(contraction({ a: "i8", b: "i8", batch: [batch], m, n, k, zero: { a: -9, b: 4 } }), relaxed, symbols)
    }
  })

  it("ends as a quantised layer does: scales and biases by column, u8, and a tail", () => {
    const [m, n, k] = [7, 27, 50]
    const base = contraction({ a: "u8", b: "i8", m, n, k, zero: { a: 120, b: 0 }, ranges: { b: [-63, 63] } })
    const column = (buffer: string): View => ({ buffer, dtype: "f32", shape: [m, n], offset: 0, strides: [0, 1] })
    for (const result of [
      Views.contiguous("y", "u8", [m, n]),
      // Column by column.
      Views.transpose(Views.contiguous("y", "u8", [n, m]), [1, 0])
    ]) {
      const region: Contraction = {
        ...base,
        epilogue: {
          operands: [column("scale"), column("bias")],
          results: [{ view: result, value: requantised }]
        }
      }
      const next = Random.integers(5)
      const scale = Float32Array.from({ length: n }, () => next(1, 1000) / 300000)
      const bias = Float32Array.from({ length: n }, () => next(0, 255))
      const buffers = new Map([...fill(region, none, 3), ["scale", scale] as const, ["bias", bias] as const])
      const want = Uint8Array.from(sums(base, buffers, none), (sum, i) =>
        requantise(sum, scale[i % n] ?? 0, bias[i % n] ?? 0)
      )
      expect(new Set(want).size).toBeGreaterThan(20)
      for (const features of [plain, relaxed])
        for (const kernel of candidates(region, none, features)) {
          const results = resultsOf(region, kernel, features, buffers, { parts: 2 })
          expect(results[0]?.data).toEqual(want)
        }
    }
  })

  it("says where it is to epilogues that ask", () => {
    const base = contraction({ a: "u8", b: "i8", batch: [2], m: 3, n: 6, k: 8 })
    const shared = { ...base, b: { ...base.b, strides: [0, 8, 1] } }
    const value = [0, 1, 2].reduce<Scalar.Scalar>(
      (sum, axis) =>
        Scalar.binary("add", Scalar.binary("mul", sum, Scalar.constant("i32", 10)), {
          kind: "index",
          dtype: "i32",
          axis
        }),
      Scalar.binary("mul", accumulator, Scalar.constant("i32", 0))
    )
    const region: Contraction = {
      ...shared,
      epilogue: { operands: [], results: [{ view: Views.contiguous("y", "i32", [2, 3, 6]), value }] }
    }
    const want = Int32Array.from(
      { length: 36 },
      (_, i) => Math.floor(i / 18) * 100 + (Math.floor(i / 6) % 3) * 10 + (i % 6)
    )
    for (const kernel of candidates(region, none, plain))
      expect(resultsOf(region, kernel, plain, fill(region, none, 1))[0]?.data).toEqual(want)
  })

  it("leaves other regions to others", () => {
    const float: Region = { ...contraction({ a: "u8", b: "i8", m: 2, n: 2, k: 2 }), accumulate: "f32" }
    expect(candidates(float, none, relaxed)).toEqual([])
    expect(candidates(contraction({ a: "i16", b: "i8", m: 2, n: 2, k: 2 }), none, relaxed)).toEqual([])
  })
})
