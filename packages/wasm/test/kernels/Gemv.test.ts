import * as Dim from "@anneal/ir/Dim"
import * as View from "@anneal/lower/View"
import * as Gemv from "@anneal/wasm/kernels/Gemv"
import { describe, expect, it } from "vitest"
import { check, contraction } from "./ContractionCases.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = Gemv

describe("Gemv", () => {
  it.each([
    { m: 1, n: 64, k: 64 },
    { m: 1, n: 21, k: 33 },
    { m: 1, n: 3, k: 2 },
    { m: 1, n: 7, k: 19 },
    { m: 2, n: 12, k: 16 },
    { m: 3, n: 10, k: 47 },
    { m: 5, n: 9, k: 20 },
    { batch: [2, 3], m: 2, n: 6, k: 9 }
  ])("takes $m × $n × $k", (shape) => {
    expect(check(candidates, contraction(shape))).toBe(3)
  })

  it("writes any layout, several results and long epilogues", () => {
    check(candidates, contraction({ m: 3, n: 10, k: 12 }, { out: "[k, m]" }))
    check(candidates, contraction({ batch: [2], m: 9, n: 21, k: 17 }, { epilogue: "residual" }))
    check(candidates, contraction({ batch: [2], m: 9, n: 21, k: 17 }, { epilogue: "long" }))
    check(candidates, contraction({ batch: [2], m: 9, n: 21, k: 17 }, { epilogue: "indices" }))
  })

  it("goes through rows and columns backwards", () => {
    const region = contraction({ m: 5, n: 9, k: 18 })
    check(candidates, { ...region, a: View.reverse(region.a, [0]), b: View.reverse(region.b, [0]) })
  })

  it("has units that threads can share", () => {
    const region = contraction({ m: 1, n: 3001, k: 1100 })
    expect(candidates(region, new Map(), relaxed)[0]?.units).toBeGreaterThan(1)
    check(candidates, region)
  })

  it("takes symbolic sizes", () => {
    const [m, n, k] = [Dim.symbol("m"), Dim.symbol("n"), Dim.symbol("k")]
    for (const rows of [1, 2, 5])
      check(candidates, contraction({ m, n: 9, k: 12 }), new Map([["m", rows]]), new Map([["m", 2]]))
    for (const columns of [1, 4, 15]) check(candidates, contraction({ m: 1, n, k: 12 }), new Map([["n", columns]]))
    for (const steps of [1, 6, 37]) check(candidates, contraction({ m: 2, n: 9, k }), new Map([["k", steps]]))
  })

  it("leaves many rows, and operands that do not run along k, to others", () => {
    expect(candidates(contraction({ m: 64, n: 9, k: 12 }), new Map(), relaxed)).toEqual([])
    expect(candidates(contraction({ m: 1, n: 9, k: 12 }, { b: "[k, m]" }), new Map(), relaxed)).toEqual([])
  })
})
