import * as Dim from "@anneal/ir/Dim"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as ConvGemm from "@anneal/wasm/kernels/ConvGemm"
import { describe, expect, it } from "vitest"
import { type Case, check, convolution, residual } from "./ConvolutionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = ConvGemm

describe("ConvGemm", () => {
  const cases: ReadonlyArray<readonly [string, Case]> = [
    ["3 × 3 padded", { channels: 8, outChannels: 12, size: [9, 13], kernel: [3, 3], pads: [1, 1] }],
    ["3 × 3 without padding", { channels: 5, outChannels: 6, size: [9, 13], kernel: [3, 3] }],
    ["1 × 1", { channels: 16, outChannels: 20, size: [7, 5], kernel: [1, 1], batch: 3 }],
    ["1 × 1 with steps", { channels: 16, outChannels: 8, size: [8, 9], kernel: [1, 1], strides: [2, 2] }],
    [
      "steps and uneven padding",
      { channels: 4, outChannels: 16, size: [10, 11], kernel: [3, 3], strides: [2, 2], pads: [0, 0], padsEnd: [1, 1] }
    ],
    ["dilation", { channels: 4, outChannels: 8, size: [15, 14], kernel: [3, 3], pads: [3, 3], dilations: [3, 3] }],
    ["padding beyond the input", { channels: 3, outChannels: 4, size: [2, 3], kernel: [3, 5], pads: [4, 4] }],
    ["groups", { channels: 12, outChannels: 18, groups: 3, size: [6, 7], kernel: [3, 2], pads: [1, 0], batch: 2 }],
    [
      "channels first in",
      { channels: 3, outChannels: 16, size: [11, 12], kernel: [3, 3], pads: [1, 1], input: "channelsFirst" }
    ],
    [
      "channels first in and out",
      {
        channels: 3,
        outChannels: 7,
        size: [11, 12],
        kernel: [5, 5],
        pads: [2, 2],
        strides: [2, 1],
        input: "channelsFirst",
        output: "channelsFirst"
      }
    ],
    [
      "one channel",
      { channels: 1, outChannels: 8, size: [14, 14], kernel: [5, 5], pads: [2, 2], input: "channelsFirst" }
    ],
    ["one axis", { channels: 6, outChannels: 9, size: [29], kernel: [5] }],
    [
      "one axis, padded, in steps",
      { channels: 6, outChannels: 9, size: [29], kernel: [3], pads: [1], strides: [2], batch: 2 }
    ],
    ["one output pixel", { channels: 9, outChannels: 10, size: [3], kernel: [3], pads: [1], strides: [4] }],
    [
      "three axes",
      { channels: 3, outChannels: 5, size: [5, 6, 7], kernel: [3, 2, 3], pads: [1, 0, 1], strides: [1, 2, 1], batch: 2 }
    ],
    [
      "rows and results in place",
      { channels: 8, outChannels: 11, size: [6, 6], kernel: [3, 3], pads: [1, 1], batch: 2, epilogue: residual }
    ],
    ["many rows", { channels: 4, outChannels: 6, size: [70, 40], kernel: [3, 3], pads: [1, 1] }]
  ]
  for (const [name, one] of cases)
    it(`computes ${name}`, () => {
      expect(check(candidates, one)).toBeGreaterThan(2)
    })

  it("takes pointwise convolutions by products of halves", () => {
    const pointwise: Case = { channels: 128, outChannels: 128, size: [9, 8], kernel: [1, 1] }
    const halved = (one: Case): ReadonlyArray<Kernel> =>
      candidates(convolution(one), new Map(), relaxed).filter(({ name }) => name === "gemm-strassen")
    expect(halved(pointwise)).toHaveLength(1)
    expect(halved({ ...pointwise, batch: 2 })).toHaveLength(1)
    // Pixels that lie apart, padding and groups are not one product.
    expect(halved({ ...pointwise, strides: [2, 2], size: [18, 16] })).toEqual([])
    expect(halved({ ...pointwise, pads: [1, 1] })).toEqual([])
    expect(halved({ ...pointwise, channels: 256, outChannels: 256, groups: 2 })).toEqual([])
    for (const batch of [1, 2]) check(candidates, { ...pointwise, batch }, new Map(), new Map(), () => 40)
  })

  it("has units that threads can share, each with a copy of its own rows", () => {
    const one: Case = { channels: 24, outChannels: 32, size: [40, 40], kernel: [3, 3], pads: [1, 1] }
    for (const kernel of candidates(convolution(one), new Map(), relaxed)) expect(kernel.units).toBeGreaterThan(2)
    check(candidates, one)
  })

  it("takes symbolic batches and sizes", () => {
    const [batch, width] = [Dim.symbol("batch"), Dim.symbol("width")]
    for (const size of [1, 3])
      check(
        candidates,
        { batch, channels: 4, outChannels: 6, size: [6, 7], kernel: [3, 3], pads: [1, 1] },
        new Map([["batch", size]]),
        new Map([["batch", 1]])
      )
    for (const size of [3, 8, 21]) {
      const symbols = new Map([["width", size]])
      const typical = new Map([["width", 16]])
      check(candidates, { channels: 4, outChannels: 6, size: [width], kernel: [3], pads: [1] }, symbols, typical)
      check(
        candidates,
        { channels: 4, outChannels: 6, size: [width], kernel: [3], strides: [2], input: "channelsFirst" },
        symbols,
        typical
      )
      check(
        candidates,
        { channels: 4, outChannels: 6, size: [5, width], kernel: [3, 3], pads: [1, 1] },
        symbols,
        typical
      )
      check(
        candidates,
        { channels: 4, outChannels: 6, size: [width, 5], kernel: [3, 3], pads: [1, 1] },
        symbols,
        typical
      )
    }
  })

  it("computes shapes that nobody chose", () => {
    const next = Random.signed(3)
    const pick = (limit: number): number => Math.floor(((next() + 1) / 2) * limit)
    for (let round = 0; round < 25; round++) {
      const groups = 1 + pick(2)
      const kernel = [1 + pick(4), 1 + pick(4)]
      check(candidates, {
        groups,
        channels: groups * (1 + pick(7)),
        outChannels: groups * (1 + pick(13)),
        size: [8 + pick(9), 8 + pick(9)],
        kernel,
        pads: [pick(3), pick(3)],
        padsEnd: [pick(3), pick(3)],
        strides: [1 + pick(2), 1 + pick(3)],
        dilations: [1 + pick(2), 1 + pick(2)],
        batch: 1 + pick(2),
        input: pick(2) === 0 ? "channelsFirst" : "channelsLast",
        output: pick(2) === 0 ? "channelsFirst" : "channelsLast"
      })
    }
  })
})
