import * as Dim from "@anneal/ir/Dim"
import * as Gemm from "@anneal/wasm/kernels/Gemm"
import { describe, expect, it } from "vitest"
import { type Candidates, check, contraction } from "./ContractionCases.ts"
import { relaxed, wide } from "../RunKernel.ts"

const named =
  (name: string): Candidates =>
  (region, typical, features) =>
    Gemm.candidates(region, typical, features).filter((kernel) => kernel.name === name)
const halved = named("gemm-strassen")

describe("GemmStrassen", () => {
  it.each([
    { m: 96, n: 128, k: 192 },
    { m: 98, n: 192, k: 208 },
    { m: 202, n: 448, k: 320 },
    { m: 610, n: 128, k: 192 }
  ])("takes $m × $n × $k, with rows that are no whole tiles", (shape) => {
    expect(check(halved, contraction(shape))).toBe(3)
  })

  it("reads b in any order, adds residuals in place, has long epilogues", () => {
    const shape = { m: 104, n: 128, k: 192 }
    expect(check(halved, contraction(shape, { b: "[k, m]" }))).toBe(3)
    for (const epilogue of ["residual", "long"] as const)
      expect(check(halved, contraction({ ...shape, batch: [1] }, { epilogue, sharedB: true }))).toBe(3)
  })

  it("turns products round whose results lie side by side along m", () => {
    expect(check(named("gemm-strassen-turned"), contraction({ m: 128, n: 104, k: 192 }, { out: "[k, m]" }))).toBe(3)
  })

  it("says by how much roundings grow, and has units for threads", () => {
    for (const features of [relaxed, wide])
      for (const kernel of halved(contraction({ m: 512, n: 512, k: 512 }), new Map(), features)) {
        expect(kernel.config).toHaveProperty("amplification", 9)
        expect(Number(kernel.units)).toBeGreaterThanOrEqual(4)
      }
  })

  it("is not for small, odd or open sizes, for rows of A that are apart along k, for indices in the epilogue", () => {
    const offered = (...args: Parameters<typeof contraction>) => halved(contraction(...args), new Map(), relaxed).length
    expect(offered({ m: 96, n: 128, k: 192 })).toBe(1)
    expect(offered({ m: 94, n: 128, k: 192 })).toBe(0)
    expect(offered({ m: 97, n: 128, k: 192 })).toBe(0)
    expect(offered({ m: 96, n: 136, k: 192 })).toBe(0)
    expect(offered({ m: 96, n: 128, k: 200 })).toBe(0)
    expect(offered({ m: 96, n: 128, k: 176 })).toBe(0)
    expect(offered({ m: Dim.symbol("m"), n: 192, k: 192 })).toBe(0)
    expect(offered({ m: 192, n: 192, k: 192 }, { a: "[k, m]" })).toBe(0)
    expect(offered({ batch: [2], m: 192, n: 192, k: 192 }, { epilogue: "indices", sharedB: true })).toBe(0)
  })
})
