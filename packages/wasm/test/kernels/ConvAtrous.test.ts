import * as ConvAtrous from "@anneal/wasm/kernels/ConvAtrous"
import { describe, expect, it } from "vitest"
import { type Case, check, convolution, residual } from "./ConvolutionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = ConvAtrous
/** Some phases are computed by minimal filtering. */
const loss = (): number => 40
const run = (one: Case): number => check(candidates, one, new Map(), new Map(), loss)

describe("ConvAtrous", () => {
  const square: Case = {
    channels: 8,
    outChannels: 12,
    size: [13, 14],
    kernel: [3, 3],
    pads: [2, 2],
    dilations: [2, 2]
  }
  const cases: ReadonlyArray<readonly [string, Case]> = [
    ["phases of two sizes", square],
    ["batches, results in place", { ...square, batch: 2, epilogue: residual }],
    ["other steps along each axis", { ...square, dilations: [3, 1], pads: [3, 1] }],
    ["padding that no step divides", { ...square, dilations: [3, 2], pads: [1, 3], padsEnd: [4, 0] }],
    ["no padding", { ...square, pads: [0, 0] }],
    ["groups", { ...square, channels: 16, outChannels: 16, groups: 2 }],
    ["a channel to a group", { ...square, channels: 12, groups: 12 }],
    ["channels first", { ...square, input: "channelsFirst", output: "channelsFirst" }],
    [
      "one axis, all padding at its begin",
      { ...square, size: [41], kernel: [3], dilations: [4], pads: [8], padsEnd: [0] }
    ],
    ["strides, taps that meet nothing", { ...square, dilations: [9, 9], pads: [9, 9], strides: [2, 3], size: [7, 8] }],
    [
      "taps that meet nothing on one side",
      { ...square, kernel: [5, 3], dilations: [4, 2], pads: [0, 2], padsEnd: [16, 2] }
    ],
    ["more steps than outputs", { ...square, size: [5, 5], dilations: [4, 4], pads: [4, 4] }]
  ]
  for (const [name, one] of cases)
    it(`computes ${name}`, () => {
      expect(run(one)).toBeGreaterThan(0)
    })

  it("leaves out taps that meet nothing but padding", () => {
    const one: Case = { ...square, dilations: [18, 36], pads: [18, 36] }
    for (const { config } of candidates(convolution(one), new Map(), relaxed))
      expect(config).toMatchObject({ classes: [{ phases: 1, taps: [1, 1] }] })
    expect(run(one)).toBeGreaterThan(0)
  })

  it("computes shapes that nobody chose", () => {
    const next = Random.signed(8)
    const pick = (limit: number): number => Math.floor(((next() + 1) / 2) * limit)
    let count = 0
    for (let round = 0; round < 25; round++)
      count += run({
        channels: 4 * (1 + pick(3)),
        outChannels: 1 + pick(9),
        size: [9 + pick(8), 9 + pick(8)],
        kernel: [1 + pick(3), 1 + pick(3)],
        pads: [pick(5), pick(5)],
        padsEnd: [pick(5), pick(5)],
        dilations: [1 + pick(4), 1 + pick(4)],
        strides: [1 + pick(2), 1],
        batch: 1 + pick(2)
      })
    expect(count).toBeGreaterThan(40)
  })

  it("leaves alone what has no steps between taps, open sizes and many phases", () => {
    expect(candidates(convolution({ ...square, dilations: [1, 1] }), new Map(), relaxed)).toEqual([])
    expect(candidates(convolution({ ...square, size: [60, 60], dilations: [9, 9] }), new Map(), relaxed)).toEqual([])
  })
})
