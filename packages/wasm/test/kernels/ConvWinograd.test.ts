import * as Dim from "@anneal/ir/Dim"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as ConvWinograd from "@anneal/wasm/kernels/ConvWinograd"
import { describe, expect, it } from "vitest"
import { type Case, check, convolution, residual } from "./ConvolutionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = ConvWinograd
/** Minimal filtering loses a digit or two: its errors are held to the bound of a direct sum times what it says itself. */
const loss = ({ config }: Kernel): number => {
  if (typeof config !== "object" || config === null || !("amplification" in config)) throw new Error("no amplification")
  return 4 + Number(config.amplification) / 6
}
const run = (one: Case, symbols = new Map<string, number>(), typical = symbols): number =>
  check(candidates, one, symbols, typical, loss)

describe("ConvWinograd", () => {
  const cases: ReadonlyArray<readonly [string, Case]> = [
    ["3 × 3 padded", { channels: 8, outChannels: 12, size: [8, 12], kernel: [3, 3], pads: [1, 1] }],
    ["sizes that no tile divides", { channels: 4, outChannels: 6, size: [9, 13], kernel: [3, 3], pads: [1, 1] }],
    ["3 × 3 without padding", { channels: 8, outChannels: 8, size: [10, 14], kernel: [3, 3] }],
    ["small images", { channels: 16, outChannels: 20, size: [3, 2], kernel: [3, 3], pads: [1, 1], batch: 3 }],
    ["5 × 5", { channels: 8, outChannels: 16, size: [14, 14], kernel: [5, 5], pads: [2, 2] }],
    ["taps that differ", { channels: 4, outChannels: 8, size: [7, 11], kernel: [2, 5], pads: [0, 2] }],
    ["one axis", { channels: 12, outChannels: 19, size: [36], kernel: [5] }],
    ["one axis, padded", { channels: 12, outChannels: 16, size: [35], kernel: [3], pads: [1], batch: 2 }],
    ["one element and its padding", { channels: 8, outChannels: 8, size: [1], kernel: [3], pads: [2] }],
    ["one row and its padding", { channels: 8, outChannels: 8, size: [1, 9], kernel: [3, 3], pads: [1, 1] }],
    ["one axis of two", { channels: 8, outChannels: 24, size: [36, 1], kernel: [5, 1] }],
    [
      "taps along one axis, space along two",
      { channels: 8, outChannels: 9, size: [9, 10], kernel: [3, 1], pads: [1, 0] }
    ],
    ["steps", { channels: 8, outChannels: 12, size: [16, 17], kernel: [3, 3], pads: [1, 1], strides: [2, 2] }],
    ["steps without padding", { channels: 4, outChannels: 9, size: [21, 19], kernel: [5, 3], strides: [2, 2] }],
    ["steps along one axis of two", { channels: 8, outChannels: 8, size: [9, 18], kernel: [3, 3], strides: [1, 2] }],
    [
      "steps along one axis",
      { channels: 8, outChannels: 8, size: [39], kernel: [5], pads: [2], strides: [2], batch: 2 }
    ],
    [
      "steps past a single tap",
      { channels: 8, outChannels: 8, size: [14, 15], kernel: [3, 1], pads: [1, 0], strides: [1, 3] }
    ],
    [
      "steps of three, blocks of rows",
      { channels: 16, outChannels: 16, size: [41, 30], kernel: [5, 5], pads: [2, 2], strides: [3, 3] }
    ],
    ["groups", { channels: 16, outChannels: 24, groups: 2, size: [9, 9], kernel: [3, 3], pads: [1, 1], batch: 2 }],
    [
      "channels first out",
      { channels: 8, outChannels: 10, size: [9, 9], kernel: [3, 3], pads: [1, 1], output: "channelsFirst" }
    ],
    [
      "results in place",
      { channels: 8, outChannels: 11, size: [9, 9], kernel: [3, 3], pads: [1, 1], epilogue: residual }
    ]
  ]
  for (const [name, one] of cases)
    it(`computes ${name}`, () => {
      expect(run(one)).toBeGreaterThan(2)
    })

  it("has units that threads can share", () => {
    for (const one of [
      { channels: 32, outChannels: 32, size: [42, 40], kernel: [3, 3], pads: [1, 1] },
      { channels: 64, outChannels: 64, size: [420], kernel: [5] }
    ]) {
      expect(candidates(convolution(one), new Map(), relaxed).some(({ units }) => units !== 1)).toBe(true)
      run(one)
    }
  })

  it("reads weights beyond the second cache few times: threads share panels of channels", () => {
    const one: Case = { channels: 64, outChannels: 90, size: [14, 13], kernel: [3, 3], pads: [1, 1] }
    const heavy = candidates(convolution(one), new Map(), relaxed).filter(
      ({ packed: [weights] }) => (weights?.bytes ?? 0) > 700_000
    )
    expect(heavy.length).toBeGreaterThan(0)
    for (const { config, units } of heavy) {
      const tile = typeof config === "object" && config !== null && "tile" in config ? config.tile : undefined
      const down = Array.isArray(tile) ? Math.ceil(14 / Number(tile[0])) : 0
      // All rows of tiles in a unit, of which there are several.
      expect(config).toHaveProperty("rows", down)
      expect(units).toBeGreaterThan(1)
    }
    for (const batch of [1, 2]) run({ ...one, batch })
  })

  it("takes a symbolic batch", () => {
    const one = { batch: Dim.symbol("batch"), channels: 8, outChannels: 8, size: [8, 8], kernel: [3, 3], pads: [1, 1] }
    run(one, new Map([["batch", 3]]), new Map([["batch", 1]]))
  })

  it("computes shapes that nobody chose", () => {
    const next = Random.signed(21)
    const pick = (limit: number): number => Math.floor(((next() + 1) / 2) * limit)
    for (let round = 0; round < 12; round++)
      run({
        channels: 4 * (1 + pick(5)),
        outChannels: 1 + pick(20),
        size: [5 + pick(12), 5 + pick(20)],
        kernel: [1 + pick(4), 1 + pick(4)],
        pads: [pick(3), pick(3)],
        padsEnd: [pick(3), pick(3)],
        strides: [1 + pick(3), 1 + pick(2)],
        batch: 1 + pick(2)
      })
  })

  it("says how much its tactic loses, and leaves alone what it cannot compute", () => {
    const one: Case = { channels: 8, outChannels: 8, size: [12, 12], kernel: [3, 3], pads: [1, 1] }
    for (const { config } of candidates(convolution(one), new Map(), relaxed))
      expect(config).toHaveProperty("amplification")
    // Steps as long as the filter: no input is used twice, there is nothing to save.
    expect(candidates(convolution({ ...one, strides: [3, 3] }), new Map(), relaxed)).toEqual([])
    expect(candidates(convolution({ ...one, dilations: [2, 2] }), new Map(), relaxed)).toEqual([])
    expect(candidates(convolution({ ...one, kernel: [1, 1], pads: [0, 0] }), new Map(), relaxed)).toEqual([])
    expect(candidates(convolution({ ...one, input: "channelsFirst" }), new Map(), relaxed)).toEqual([])
  })
})
