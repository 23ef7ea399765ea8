import * as Dim from "@anneal/ir/Dim"
import * as ConvDepthwise from "@anneal/wasm/kernels/ConvDepthwise"
import { describe, expect, it } from "vitest"
import { type Case, check, convolution, residual } from "./ConvolutionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = ConvDepthwise
const depthwise = (channels: number, one: Omit<Case, "channels" | "outChannels" | "groups">): Case => ({
  ...one,
  channels,
  outChannels: channels,
  groups: channels
})

describe("ConvDepthwise", () => {
  const cases: ReadonlyArray<readonly [string, Case]> = [
    ["3 × 3 padded", depthwise(8, { size: [9, 30], kernel: [3, 3], pads: [1, 1] })],
    ["channels that fill no vector", depthwise(7, { size: [5, 11], kernel: [3, 3], pads: [1, 1], batch: 2 })],
    ["two channels", depthwise(2, { size: [5, 5], kernel: [3, 3], pads: [1, 1] })],
    ["steps", depthwise(20, { size: [11, 23], kernel: [3, 3], pads: [1, 1], strides: [2, 2] })],
    ["dilation", depthwise(12, { size: [12, 13], kernel: [3, 3], pads: [2, 2], dilations: [2, 2] })],
    ["wide kernels", depthwise(9, { size: [12, 25], kernel: [5, 11], pads: [2, 5] })],
    ["narrow inputs", depthwise(16, { size: [2, 2], kernel: [5, 5], pads: [2, 2] })],
    ["uneven padding", depthwise(8, { size: [8, 9], kernel: [3, 3], pads: [0, 0], padsEnd: [1, 2], strides: [2, 2] })],
    ["one axis", depthwise(40, { size: [31], kernel: [7], pads: [3], batch: 2 })],
    ["three axes", depthwise(6, { size: [4, 5, 6], kernel: [3, 3, 3], pads: [1, 1, 1], strides: [1, 2, 1] })],
    ["channels first out", depthwise(6, { size: [5, 6], kernel: [3, 3], pads: [1, 1], output: "channelsFirst" })],
    ["results in place", depthwise(8, { size: [9, 9], kernel: [3, 3], pads: [1, 1], epilogue: residual })]
  ]
  for (const [name, one] of cases)
    it(`computes ${name}`, () => {
      expect(check(candidates, one)).toBeGreaterThan(2)
    })

  it("has units that threads can share", () => {
    for (const one of [
      depthwise(32, { size: [60, 60], kernel: [3, 3], pads: [1, 1] }),
      depthwise(256, { size: [500], kernel: [9], pads: [4] })
    ]) {
      expect(candidates(convolution(one), new Map(), relaxed).some(({ units }) => units !== 1)).toBe(true)
      check(candidates, one)
    }
  })

  it("takes symbolic sizes", () => {
    const [height, width] = [Dim.symbol("height"), Dim.symbol("width")]
    for (const size of [1, 2, 5, 9, 26])
      for (const strides of [
        [1, 1],
        [2, 2]
      ])
        check(
          candidates,
          depthwise(10, { size: [height, width], kernel: [3, 5], pads: [1, 2], strides }),
          new Map([
            ["height", 1 + (size % 4)],
            ["width", size]
          ]),
          new Map([
            ["height", 16],
            ["width", 16]
          ])
        )
  })

  it("computes shapes that nobody chose", () => {
    const next = Random.signed(9)
    const pick = (limit: number): number => Math.floor(((next() + 1) / 2) * limit)
    for (let round = 0; round < 20; round++)
      check(
        candidates,
        depthwise(2 + pick(20), {
          size: [8 + pick(7), 8 + pick(20)],
          kernel: [1 + pick(4), 1 + pick(4)],
          pads: [pick(3), pick(4)],
          padsEnd: [pick(3), pick(3)],
          strides: [1 + pick(2), 1 + pick(3)],
          dilations: [1 + pick(2), 1 + pick(2)],
          batch: 1 + pick(2)
        })
      )
  })

  it("leaves others to others", () => {
    const one = depthwise(8, { size: [5, 5], kernel: [3, 3] })
    expect(candidates(convolution({ ...one, outChannels: 16 }), new Map(), relaxed)).toEqual([])
    expect(candidates(convolution({ ...one, input: "channelsFirst" }), new Map(), relaxed)).toEqual([])
  })
})
