import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Convolution, OperandRanges } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Views from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { candidates } from "@anneal/wasm/kernels/IntegerConvolution"
import { describe, expect, it } from "vitest"
import { accumulator, requantise, requantised, sums } from "./IntegerReference.ts"
import * as Random from "../Random.ts"
import { type Contents, plain, reach, relaxed, resultsOf, type Symbols, wide } from "../RunKernel.ts"

const none: Symbols = new Map()

interface Options {
  readonly dtypes?: readonly [DType, DType]
  readonly batch?: Dim.Dim
  readonly groups?: number
  readonly channels: number
  readonly filters: number
  readonly size: ReadonlyArray<Dim.Dim>
  readonly kernel: ReadonlyArray<number>
  readonly stride?: number
  readonly dilation?: number
  readonly pad?: number
  readonly zero?: { readonly a: number; readonly b: number }
  readonly ranges?: OperandRanges
  /** Channels last, as the planner lays convolutions out; else first. */
  readonly last?: boolean
}

/** [batch, groups, channels of a group, …space], channels last or first. */
const activations = (buffer: string, dtype: DType, shape: ReadonlyArray<Dim.Dim>, last: boolean): View =>
  Views.ordered(
    buffer,
    dtype,
    shape,
    last ? [0, ...shape.map((_, axis) => axis).slice(3), 1, 2] : shape.map((_, axis) => axis)
  )

const convolution = (options: Options): Convolution => {
  const { channels, filters, kernel, size } = options
  const [a, b] = options.dtypes ?? ["u8", "i8"]
  const { batch = 1, dilation = 1, groups = 1, last = true, pad = 0, stride = 1 } = options
  const out = size.map((extent, s) =>
    Dim.add(Dim.floorDiv(Dim.sub(Dim.add(extent, 2 * pad), ((kernel[s] ?? 1) - 1) * dilation + 1), stride), 1)
  )
  const all = (value: number): ReadonlyArray<number> => size.map(() => value)
  return {
    kind: "convolution",
    id: "y",
    members: [],
    batch,
    groups,
    input: activations("x", a, [batch, groups, channels, ...size], last),
    weight: Views.contiguous("w", b, [groups, filters, channels, ...kernel]),
    out,
    strides: all(stride),
    dilations: all(dilation),
    padsBegin: all(pad),
    padsEnd: all(pad),
    transposed: false,
    zero: options.zero ?? { a: 0, b: 0 },
    ...(options.ranges === undefined ? {} : { ranges: options.ranges }),
    accumulate: "i32",
    epilogue: {
      operands: [],
      results: [{ view: activations("y", "i32", [batch, groups, filters, ...out], last), value: accumulator }]
    }
  }
}

const fill = (region: Convolution, symbols: Symbols, seed: number): Contents => {
  const next = Random.integers(seed)
  const make = (view: View, range: readonly [number, number] | undefined) => {
    const limits = DTypes.integerRange(view.dtype)
    const [least, greatest] = range ?? [Number(limits.min), Number(limits.max)]
    const data = DTypes.allocate(view.dtype, reach(view, symbols))
    for (let i = 0; i < data.length; i++)
      data[i] = next(0, 5) === 0 ? (next(0, 1) === 0 ? least : greatest) : next(least, greatest)
    return data
  }
  return new Map([
    ["x", make(region.input, region.ranges?.a)],
    ["w", make(region.weight, region.ranges?.b)]
  ])
}

const check = (region: Convolution, features: Features, symbols: Symbols = none): ReadonlyArray<Kernel> => {
  const buffers = fill(region, symbols, 7)
  const want = sums(region, buffers, symbols)
  const kernels = candidates(region, symbols, features)
  expect(kernels.length).toBeGreaterThan(0)
  for (const kernel of kernels)
    for (const parts of [1, 4]) {
      const results = resultsOf(region, kernel, features, buffers, { symbols, parts })
      const label = `${kernel.name} ${JSON.stringify(kernel.config)} in ${parts}`
      expect({ label, data: results[0]?.data }).toEqual({ label, data: want })
    }
  return kernels
}

describe("IntegerConvolution", () => {
  it("is exact over kernels, strides, dilations and padding, which holds the zero point", () => {
    const cases: ReadonlyArray<Options> = [
      { channels: 3, filters: 8, size: [9, 7], kernel: [3, 3], pad: 1 },
      { channels: 16, filters: 13, size: [6, 8], kernel: [3, 3], pad: 1, stride: 2 },
      { channels: 5, filters: 4, size: [10, 9], kernel: [3, 2], dilation: 2, pad: 2 },
      { channels: 8, filters: 8, size: [5, 5], kernel: [1, 1] },
      { channels: 12, filters: 20, size: [4, 6], kernel: [1, 1], stride: 2 },
      { channels: 2, filters: 3, size: [17], kernel: [5], pad: 2, stride: 3 },
      { channels: 4, filters: 6, size: [4, 5, 3], kernel: [2, 3, 2], pad: 1 },
      { channels: 6, filters: 5, size: [5, 5], kernel: [5, 5], pad: 4, batch: 2 }
    ]
    for (const options of cases)
      for (const features of [plain, relaxed]) {
        check(convolution({ ...options, zero: { a: 131, b: 0 } }), features)
        check(convolution({ ...options, zero: { a: 100, b: -3 }, last: false }), features)
      }
  })

  it("uses seven bits of the input or of the weights where they are known", () => {
    const options = { channels: 8, filters: 16, size: [7, 6], kernel: [3, 3], pad: 1, batch: 2 } as const
    const named = (region: Convolution, features: Features): ReadonlyArray<string> =>
      check(region, features).map(({ name }) => name)
    for (const features of [relaxed, wide]) {
      expect(named(convolution({ ...options, zero: { a: 128, b: 0 }, ranges: { b: [-64, 63] } }), features)).toContain(
        "integer-conv-seven-b"
      )
      const both = { a: [0, 127], b: [-64, 64] } as const
      expect(named(convolution({ ...options, zero: { a: 10, b: 0 }, ranges: both }), features)).toContain(
        "integer-conv-seven-a-2"
      )
      // The zero point is no integer of the input's range: with padding, the range takes it in.
      const odd = convolution({ ...options, zero: { a: 255, b: 0 }, ranges: { a: [0, 127] } })
      expect(named(odd, features)).not.toContain("integer-conv-seven-a")
    }
  })

  it("filters minimally where that is exact, at the greatest sums that it takes", () => {
    const names = (region: Convolution): ReadonlyArray<string> =>
      candidates(region, none, plain).map(({ name }) => name)
    for (const options of [
      { channels: 4, filters: 6, size: [4, 4], kernel: [3, 3] },
      { channels: 9, filters: 16, size: [13, 22], kernel: [3, 3], pad: 1, batch: 2 },
      { channels: 17, filters: 21, size: [9, 70], kernel: [3, 3], pad: 1 },
      { channels: 6, filters: 3, size: [6, 5], kernel: [3, 3], pad: 2 }
    ])
      for (const last of [true, false])
        for (const dtypes of [["u8", "i8"] as const, ["i8", "u8"] as const]) {
          const zero = dtypes[0] === "u8" ? { a: 128, b: 0 } : { a: -5, b: 128 }
          const region = convolution({ ...options, dtypes, zero, last })
          expect(names(region)).toEqual(expect.arrayContaining(["integer-winograd-4x4", "integer-winograd-2x2"]))
          check(region, plain)
          check(region, wide)
        }
    // Along one axis, and five taps.
    for (const [size, kernel, name] of [
      [[23], [5], "1x4"],
      [[23, 3], [5, 1], "4x1"],
      [[3, 22], [1, 5], "1x2"],
      [[9, 4], [3, 1], "4x1"],
      [[9], [3], "1x2"]
    ] as const) {
      const region = convolution({ channels: 9, filters: 7, size, kernel, pad: 1, zero: { a: 120, b: 0 } })
      expect(names(region)).toContain(`integer-winograd-${name}`)
      check(region, plain)
    }
    // In steps: a filter for each phase, side by side.
    for (const [size, kernel, name, last] of [
      [[16, 9], [3, 3], "4x4", true],
      [[7, 12], [3, 3], "2x2", false],
      [[12, 11], [5, 5], "2x2", true],
      [[31], [3], "1x4", true]
    ] as const) {
      const shape = { channels: 9, filters: 7, size, kernel, pad: 1, stride: 2, batch: 2, last }
      const region = convolution({ ...shape, zero: { a: 120, b: 0 } })
      expect(names(region)).toContain(`integer-winograd-${name}`)
      check(region, plain)
    }
    // Every product 255 · −128: 64 times the sum of 114 channels is an i32, of 115 no more.
    const extreme = (channels: number): Convolution =>
      convolution({ channels, filters: 4, size: [4, 5], kernel: [3, 3], pad: 1 })
    expect(names(extreme(115))).not.toContain("integer-winograd-4x4")
    const region = extreme(114)
    const buffers: Contents = new Map<string, DTypes.TypedArray>([
      ["x", new Uint8Array(114 * 20).fill(255)],
      ["w", new Int8Array(4 * 114 * 9).fill(-128)]
    ])
    const kernels = candidates(region, none, plain)
    expect(kernels.map(({ name }) => name)).toContain("integer-winograd-4x4")
    const want = sums(region, buffers, none)
    expect(Math.min(...want)).toBe(-9 * 114 * 255 * 128)
    for (const kernel of kernels) expect(resultsOf(region, kernel, plain, buffers)[0]?.data).toEqual(want)
  })

  it("reads pointwise positions in place", () => {
    const region = convolution({
      channels: 16,
      filters: 8,
      size: [5, 6],
      kernel: [1, 1],
      batch: 2,
      ranges: { a: [0, 127] }
    })
    const kernels = check(region, relaxed).filter(({ name }) => name === "integer-conv-seven-a")
    expect(kernels.length).toBeGreaterThan(0)
    for (const { scratch } of kernels) expect(scratch).toBeLessThan(300)
  })

  it("computes groups, and depthwise filters in vectors of channels", () => {
    for (const features of [plain, relaxed]) {
      check(
        convolution({ groups: 3, channels: 4, filters: 5, size: [6, 5], kernel: [3, 3], pad: 1, zero: { a: 7, b: 0 } }),
        features
      )
      for (const groups of [8, 13, 32])
        for (const [stride, pad, dilation] of [
          [1, 1, 1],
          [2, 1, 1],
          [1, 0, 2]
        ] as const) {
          const shape = { groups, channels: 1, filters: 1, stride, pad, dilation, batch: 2 }
          const zero = { a: 130, b: 2 }
          const two = check(convolution({ ...shape, size: [7, 9], kernel: [3, 3], zero }), features)
          expect(two.map(({ name }) => name)).toContain("integer-depthwise")
          check(convolution({ ...shape, size: [12], kernel: [4], zero, last: groups !== 13 }), features)
        }
    }
  })

  it("takes batch and size that are known only when it runs", () => {
    const [batch, height, width] = ["batch", "height", "width"].map(Dim.symbol)
    if (batch === undefined || height === undefined || width === undefined) return
    for (const [n, h, w] of [
      [1, 3, 5],
      [3, 8, 4]
    ] as const) {
      const symbols = new Map([
        ["batch", n],
        ["height", h],
        ["width", w]
      ])
      const shape = { batch, size: [height, width], kernel: [3, 3], pad: 1, zero: { a: 50, b: 0 } }
      for (const stride of [1, 2]) {
        check(convolution({ ...shape, stride, channels: 4, filters: 9 }), relaxed, symbols)
        check(convolution({ ...shape, stride, groups: 16, channels: 1, filters: 1 }), relaxed, symbols)
      }
    }
  })

  it("ends as a quantised layer does", () => {
    for (const shape of [
      { channels: 8, filters: 11, groups: 1 },
      { channels: 1, filters: 1, groups: 11 }
    ]) {
      const base = convolution({ ...shape, size: [5, 6], kernel: [3, 3], pad: 1, zero: { a: 120, b: 0 } })
      const [result] = base.epilogue.results
      if (result === undefined) return
      const axis = shape.groups === 1 ? 2 : 1
      const column = (buffer: string): View => ({
        buffer,
        dtype: "f32",
        shape: result.view.shape,
        offset: 0,
        strides: result.view.shape.map((_, one) => (one === axis ? 1 : 0))
      })
      const region: Convolution = {
        ...base,
        epilogue: {
          operands: [column("scale"), column("bias")],
          results: [{ view: { ...result.view, dtype: "u8" }, value: requantised }]
        }
      }
      const next = Random.integers(11)
      const scale = Float32Array.from({ length: 11 }, () => next(1, 1000) / 100000)
      const bias = Float32Array.from({ length: 11 }, () => next(0, 255))
      const buffers = new Map([...fill(region, none, 3), ["scale", scale] as const, ["bias", bias] as const])
      const want = Uint8Array.from(sums(base, buffers, none), (sum, i) => {
        const channel = Math.floor(i / 30)
        return requantise(sum, scale[channel] ?? 0, bias[channel] ?? 0)
      })
      expect(new Set(want).size).toBeGreaterThan(20)
      for (const kernel of candidates(region, none, relaxed))
        expect(resultsOf(region, kernel, relaxed, buffers, { parts: 2 })[0]?.data).toEqual(want)
    }
  })
})
