import * as Dim from "@anneal/ir/Dim"
import type { Features } from "@anneal/wasm/Emission"
import * as Gemm from "@anneal/wasm/kernels/Gemm"
import * as Predicate from "effect/Predicate"
import { describe, expect, it } from "vitest"
import { type Candidates, check, contraction } from "./ContractionCases.ts"
import { plain, prepare, relaxed, wide } from "../RunKernel.ts"
import { type Buffers, expected, fill } from "./ProductDefinition.ts"
import * as Random from "../Random.ts"

const named =
  (levels: 1 | 2, ...names: ReadonlyArray<string>): Candidates =>
  (region, typical, features) =>
    Gemm.candidates(region, typical, features).filter(
      ({ config, name }) => names.includes(name) && Predicate.hasProperty(config, "levels") && config.levels === levels
    )
const once = named(1, "gemm-strassen", "gemm-strassen-packing")
const twice = named(2, "gemm-strassen", "gemm-strassen-packing")
const either: Candidates = (...args) => [...once(...args), ...twice(...args)]

describe("GemmStrassen", () => {
  it.each([
    { m: 96, n: 128, k: 128 },
    { m: 98, n: 192, k: 208 },
    { m: 197, n: 448, k: 320 },
    { m: 610, n: 128, k: 192 }
  ])("takes $m × $n × $k by halves, with rows that are no whole tiles and no whole halves", (shape) => {
    expect(check(once, contraction(shape))).toBe(6)
  })

  it.each([
    { m: 128, n: 256, k: 256 },
    { m: 141, n: 320, k: 256 },
    { m: 1023, n: 256, k: 256 }
  ])("takes $m × $n × $k by quarters", (shape) => {
    expect(check(twice, contraction(shape))).toBe(6)
  })

  it("takes no long sums by quarters: results near zero would not bear it", () => {
    expect(check(once, contraction({ m: 128, n: 256, k: 512 }))).toBe(6)
    expect(check(twice, contraction({ m: 128, n: 256, k: 512 }))).toBe(0)
  })

  it("reads b in any order, adds residuals in place, has long epilogues", () => {
    const shape = { m: 134, n: 256, k: 256 }
    expect(check(either, contraction(shape, { b: "[k, m]" }))).toBe(12)
    for (const epilogue of ["residual", "long"] as const)
      expect(check(either, contraction({ ...shape, batch: [1] }, { epilogue, sharedB: true }))).toBe(12)
  })

  it("turns products round whose results lie side by side along m", () => {
    expect(check(named(1, "gemm-strassen-turned"), contraction({ m: 128, n: 104, k: 192 }, { out: "[k, m]" }))).toBe(3)
  })

  it("takes as many rows as there are when it runs", () => {
    const region = contraction({ m: Dim.symbol("m"), n: 256, k: 256 })
    for (const m of [1, 3, 150, 257]) expect(check(either, region, new Map([["m", m]]), new Map([["m", 256]]))).toBe(12)
  })

  it("keeps what is no number, or too large for sums, to its own row and column", () => {
    const region = contraction({ batch: [1], m: 128, n: 256, k: 256 }, { epilogue: "residual", sharedB: true })
    const offending: ReadonlyArray<readonly [buffer: string, at: number, value: number]> = [
      ["a", 5 * 256 + 3, Infinity],
      ["a", 100 * 256 + 200, NaN],
      ["a", 127 * 256 + 255, -3.4e38],
      ["b", 130 * 256 + 7, -Infinity],
      ["b", 255 * 256 + 255, NaN]
    ]
    const resultOf = (kind: Candidates, features: Features, contents: Buffers): ReadonlyArray<number | bigint> => {
      const [kernel] = kind(region, new Map(), features)
      if (kernel === undefined) throw new Error("there is none")
      const running = prepare(region, kernel, features, contents)
      running.run(0, running.units)
      running.check()
      return [...(running.results()[0]?.data ?? [])]
    }
    for (const features of [plain, relaxed, wide])
      for (const levels of [1, 2] as const)
        for (const name of ["gemm-strassen", "gemm-strassen-packing"])
          for (const [buffer, at, value] of offending) {
            const contents = new Map(
              [...fill(region, new Map(), Random.signed(3))].map(([id, data]) => [id, Float32Array.from(data)])
            )
            contents.get(buffer)?.set([value], at)
            const [want] = expected(region, new Map(), contents)
            const differ = resultOf(named(levels, name), features, contents).filter(
              (x, place) => Number.isFinite(x) !== Number.isFinite(want?.values[place])
            )
            expect(differ.length, `${levels} ${name} ${buffer}[${at}] = ${value} ${JSON.stringify(features)}`).toBe(0)
          }
  })

  it("says by how much roundings grow, and has units for threads", () => {
    for (const features of [relaxed, wide]) {
      const region = contraction({ m: 512, n: 512, k: 512 })
      for (const kernel of once(region, new Map(), features)) {
        expect(kernel.config).toHaveProperty("amplification", 9)
        expect(Number(kernel.units)).toBeGreaterThanOrEqual(4)
      }
      for (const kernel of twice(region, new Map(), features)) {
        expect(kernel.config).toHaveProperty("amplification", 41)
        expect(Number(kernel.units)).toBeGreaterThanOrEqual(4)
      }
    }
  })

  it("is not for small or odd sizes, for rows of A that are apart along k, for indices in the epilogue", () => {
    const offered = (...args: Parameters<typeof contraction>) => once(contraction(...args), new Map(), relaxed).length
    expect(offered({ m: 96, n: 128, k: 192 })).toBe(2)
    expect(offered({ m: 60, n: 128, k: 192 })).toBe(0)
    expect(offered({ m: 96, n: 136, k: 192 })).toBe(0)
    expect(offered({ m: 96, n: 112, k: 192 })).toBe(0)
    expect(offered({ m: 96, n: 128, k: 200 })).toBe(0)
    expect(offered({ m: 96, n: 128, k: 112 })).toBe(0)
    expect(offered({ m: 192, n: 192, k: 192 }, { a: "[k, m]" })).toBe(0)
    expect(offered({ batch: [2], m: 192, n: 192, k: 192 }, { epilogue: "indices", sharedB: true })).toBe(0)
    expect(twice(contraction({ m: 512, n: 512, k: 240 }), new Map(), relaxed)).toHaveLength(0)
  })
})
