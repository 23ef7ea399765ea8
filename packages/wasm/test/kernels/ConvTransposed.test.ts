import * as Dim from "@anneal/ir/Dim"
import * as ConvTransposed from "@anneal/wasm/kernels/ConvTransposed"
import { describe, expect, it } from "vitest"
import { type Case, check, convolution, residual } from "./ConvolutionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = ConvTransposed
/** Some classes are computed by minimal filtering. */
const loss = (): number => 40
const run = (one: Omit<Case, "transposed">, symbols = new Map<string, number>(), typical = symbols): number =>
  check(candidates, { ...one, transposed: true }, symbols, typical, loss)

describe("ConvTransposed", () => {
  const cases: ReadonlyArray<readonly [string, Omit<Case, "transposed">]> = [
    ["steps of 2", { channels: 8, outChannels: 12, size: [5, 7], kernel: [3, 3], strides: [2, 2], pads: [1, 1] }],
    ["kernel and step of one size", { channels: 8, outChannels: 5, size: [5, 7], kernel: [2, 2], strides: [2, 2] }],
    ["kernels smaller than the step", { channels: 4, outChannels: 4, size: [4, 5], kernel: [1, 2], strides: [3, 3] }],
    ["steps of 1", { channels: 8, outChannels: 8, size: [9, 9], kernel: [3, 3], pads: [1, 1] }],
    [
      "dilation",
      { channels: 4, outChannels: 6, size: [5, 6], kernel: [3, 3], strides: [2, 3], dilations: [2, 2], pads: [1, 2] }
    ],
    [
      "output padding",
      {
        channels: 4,
        outChannels: 6,
        size: [5, 6],
        kernel: [4, 3],
        strides: [2, 2],
        pads: [1, 1],
        outputPadding: [1, 1]
      }
    ],
    [
      "groups",
      { channels: 8, outChannels: 12, groups: 2, size: [5, 6], kernel: [4, 4], strides: [2, 2], pads: [1, 1], batch: 2 }
    ],
    [
      "a channel to a group",
      { channels: 8, outChannels: 8, groups: 8, size: [5, 6], kernel: [4, 4], strides: [2, 2], pads: [1, 1] }
    ],
    ["one axis", { channels: 6, outChannels: 9, size: [13], kernel: [8], strides: [4], pads: [2] }],
    [
      "channels first",
      {
        channels: 6,
        outChannels: 9,
        size: [5, 4],
        kernel: [3, 3],
        strides: [2, 2],
        input: "channelsFirst",
        output: "channelsFirst"
      }
    ],
    [
      "results in place",
      { channels: 6, outChannels: 9, size: [5, 4], kernel: [3, 3], strides: [2, 2], epilogue: residual }
    ]
  ]
  for (const [name, one] of cases)
    it(`computes ${name}`, () => {
      expect(run(one)).toBeGreaterThan(2)
    })

  it("takes symbolic sizes", () => {
    const one = { channels: 4, outChannels: 6, size: [Dim.symbol("width")], kernel: [4], strides: [2], pads: [1] }
    for (const width of [1, 2, 9]) run(one, new Map([["width", width]]), new Map([["width", 16]]))
  })

  it("computes shapes that nobody chose", () => {
    const next = Random.signed(33)
    const pick = (limit: number): number => Math.floor(((next() + 1) / 2) * limit)
    for (let round = 0; round < 12; round++) {
      const kernel = [1 + pick(4), 1 + pick(4)]
      run({
        channels: 1 + pick(6),
        outChannels: 1 + pick(9),
        size: [3 + pick(5), 3 + pick(5)],
        kernel,
        strides: [1 + pick(3), 1 + pick(3)],
        dilations: [1 + pick(2), 1 + pick(2)],
        pads: kernel.map((extent) => pick(extent)),
        padsEnd: kernel.map((extent) => pick(extent)),
        outputPadding: [pick(2), pick(2)]
      })
    }
  })

  it("leaves others to others", () => {
    const one: Case = { channels: 4, outChannels: 4, size: [4, 4], kernel: [3, 3] }
    expect(candidates(convolution(one), new Map(), relaxed)).toEqual([])
  })
})
