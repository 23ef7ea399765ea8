import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Contraction, Convolution } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import { candidates } from "@anneal/wasm/kernels/ProductRows"
import { describe, expect, it } from "vitest"
import * as Random from "../Random.ts"
import { plain, reach, relaxed, resultsOf } from "../RunKernel.ts"
import * as Contractions from "./ContractionCases.ts"
import * as Convolutions from "./ConvolutionCases.ts"
import { sums } from "./IntegerReference.ts"

const none = new Map<string, number>()

/** The region on integers, with the bare sum as its result. */
const onIntegers = <R extends Contraction | Convolution>(
  region: R,
  first: DType,
  second: DType,
  zero = { a: 0, b: 0 }
): R => {
  const as = (view: View, dtype: DType): View => ({ ...view, dtype })
  const [result] = region.epilogue.results
  if (result === undefined) throw new Error("a region has a result")
  const factors =
    region.kind === "contraction"
      ? { a: as(region.a, first), b: as(region.b, second) }
      : { input: as(region.input, first), weight: as(region.weight, second) }
  return {
    ...region,
    ...factors,
    zero,
    accumulate: "i32",
    epilogue: {
      operands: [],
      results: [{ view: as(result.view, "i32"), value: Scalars.previous("accumulator", "i32") }]
    }
  }
}

const checkIntegers = (region: Contraction | Convolution): void => {
  const next = Random.integers(17)
  const factors = region.kind === "contraction" ? [region.a, region.b] : [region.input, region.weight]
  const buffers = new Map(
    factors.map((view): [string, DTypes.TypedArray] => {
      const data = DTypes.allocate(view.dtype, reach(view, none))
      const { max, min } = DTypes.integerRange(view.dtype)
      for (let i = 0; i < data.length; i++)
        data[i] = next(Math.max(-40_000, Number(min)), Math.min(40_000, Number(max)))
      return [view.buffer, data]
    })
  )
  const want = sums(region, buffers, none)
  for (const features of [plain, relaxed]) {
    const kernels = candidates(region, none, features)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels)
      expect(resultsOf(region, kernel, features, buffers, { parts: 3 })[0]?.data, kernel.name).toEqual(want)
  }
}

describe("ProductRows", () => {
  it("multiplies matrices in any layout, batched, with every epilogue", () => {
    for (const a of Contractions.layouts)
      for (const b of Contractions.layouts)
        expect(
          Contractions.check(candidates, Contractions.contraction({ m: 5, n: 11, k: 7 }, { a, b, out: a }))
        ).toBeGreaterThan(2)
    for (const epilogue of ["residual", "long", "indices"] as const)
      Contractions.check(candidates, Contractions.contraction({ batch: [2], m: 3, n: 9, k: 6 }, { epilogue }))
    Contractions.check(candidates, Contractions.contraction({ batch: [2, 3], m: 1, n: 6, k: 9 }, { sharedB: true }))
  })

  it("takes sizes that are known only when it runs", () => {
    const [m, k] = [Dim.symbol("m"), Dim.symbol("k")]
    for (const size of [0, 1, 5])
      Contractions.check(
        candidates,
        Contractions.contraction({ m, n: 6, k }),
        new Map([
          ["m", size],
          ["k", 2 * size]
        ]),
        new Map([
          ["m", 8],
          ["k", 16]
        ])
      )
    const one = { channels: 3, outChannels: 5, size: [Dim.symbol("width")], kernel: [1], strides: [2] }
    for (const width of [3, 4, 9])
      expect(
        Convolutions.check(candidates, one, new Map([["width", width]]), new Map([["width", 16]]))
      ).toBeGreaterThan(2)
  })

  it("convolves points of shapes that nobody chose, and leaves others alone", () => {
    const next = Random.integers(5)
    for (let round = 0; round < 24; round++) {
      const rank = next(1, 3)
      const each = (low: number, high: number) => Array.from({ length: rank }, () => next(low, high))
      const groups = next(1, 3)
      const lies = () => (next(0, 1) === 0 ? "channelsFirst" : "channelsLast")
      Convolutions.check(candidates, {
        batch: next(1, 2),
        groups,
        channels: groups * next(1, 3),
        outChannels: groups * next(1, 5),
        size: each(5, 7),
        kernel: each(1, 1),
        strides: each(1, 3),
        dilations: each(1, 2),
        input: lies(),
        output: lies(),
        ...(next(0, 3) === 0 ? { epilogue: Convolutions.residual } : {})
      })
    }
    const one = { channels: 2, outChannels: 2, size: [5], kernel: [1] }
    for (const other of [{ pads: [1] }, { transposed: true }, { kernel: [3] }])
      expect(candidates(Convolutions.convolution({ ...one, ...other }), none, plain)).toEqual([])
  })

  it("sums integers of every width exactly, as 32 bits wrap", () => {
    const region = Contractions.contraction({ m: 3, n: 10, k: 33 })
    for (const [first, second] of [
      ["i32", "i32"],
      ["u8", "i8"],
      ["i16", "i16"]
    ] as const)
      checkIntegers(onIntegers(region, first, second))
    checkIntegers(onIntegers(region, "u8", "i8", { a: 128, b: -3 }))
    const one = { channels: 3, outChannels: 6, size: [6, 5], kernel: [1, 1], strides: [2, 1] }
    checkIntegers(onIntegers(Convolutions.convolution(one), "i32", "i32"))
    checkIntegers(onIntegers(Convolutions.convolution(one), "u8", "i8", { a: 7, b: 2 }))
  })
})
