import * as Dim from "@anneal/ir/Dim"
import * as View from "@anneal/lower/View"
import * as Gemm from "@anneal/wasm/kernels/Gemm"
import { describe, expect, it } from "vitest"
import { check, contraction, layouts } from "./ContractionCases.ts"
import * as Random from "../Random.ts"
import { relaxed } from "../RunKernel.ts"

const { candidates } = Gemm

describe("Gemm", () => {
  const next = Random.signed(11)
  const pick = (limit: number): number => 1 + Math.floor(((next() + 1) / 2) * limit)
  const sizes = Array.from({ length: 24 }, () => ({ m: pick(23), n: pick(40), k: pick(50) }))
  it.each([
    ...sizes,
    { m: 1, n: 64, k: 64 },
    { m: 1, n: 172, k: 64 },
    { m: 2, n: 1, k: 9 },
    { m: 3, n: 33, k: 1 },
    { m: 13, n: 10, k: 256 },
    { m: 97, n: 19, k: 31 }
  ])("takes $m × $n × $k with every tail", (shape) => {
    expect(check(candidates, contraction(shape))).toBeGreaterThan(6)
  })

  it.each(layouts.flatMap((a) => layouts.flatMap((b) => layouts.map((out) => ({ a, b, out })))))(
    "reads and writes any layout: $a $b $out",
    (options) => {
      check(candidates, contraction({ m: 11, n: 14, k: 21 }, options))
    }
  )

  it("has units that threads can share", () => {
    const region = contraction({ m: 150, n: 70, k: 260 })
    for (const kernel of candidates(region, new Map(), relaxed).filter(({ name }) => name === "gemm-packed"))
      expect(kernel.units).toBeGreaterThan(1)
    check(candidates, region)
    check(candidates, contraction({ m: 1, n: 2050, k: 700 }))
  })

  it("takes a symbolic number of rows, whatever it is", () => {
    const m = Dim.symbol("m")
    for (const rows of [1, 2, 3, 5, 6, 7, 13, 200])
      check(candidates, contraction({ m, n: 19, k: 16 }), new Map([["m", rows]]), new Map([["m", 12]]))
    check(candidates, contraction({ m, n: 32, k: 8 }), new Map([["m", 5]]), new Map([["m", 1]]))
    check(
      candidates,
      contraction({ m, n: 19, k: 16 }, { a: "[k, m]", out: "[k, m]" }),
      new Map([["m", 9]]),
      new Map([["m", 12]])
    )
  })

  it("takes symbolic columns and a symbolic k", () => {
    const [n, k] = [Dim.symbol("n"), Dim.symbol("k")]
    for (const b of layouts)
      for (const columns of [1, 3, 8, 21])
        check(candidates, contraction({ m: 7, n, k: 12 }, { b }), new Map([["n", columns]]), new Map([["n", 32]]))
    for (const b of layouts)
      for (const steps of [1, 4, 7, 33])
        check(candidates, contraction({ m: 7, n: 10, k }, { b }), new Map([["k", steps]]))
  })

  it("takes batches, with b of their own or shared", () => {
    for (const sharedB of [false, true])
      for (const batch of [[3], [2, 3], [1, 4]])
        for (const out of layouts) check(candidates, contraction({ batch, m: 5, n: 9, k: 12 }, { sharedB, out }))
    const size = Dim.symbol("batch")
    for (const sharedB of [false, true])
      check(candidates, contraction({ batch: [size], m: 5, n: 9, k: 12 }, { sharedB }), new Map([["batch", 3]]))
  })

  it("computes epilogues with residuals in place, several results, long ones and indices", () => {
    for (const epilogue of ["residual", "long", "indices"] as const)
      for (const sharedB of [false, true])
        check(candidates, contraction({ batch: [2], m: 9, n: 21, k: 17 }, { epilogue, sharedB }))
  })

  it("reads operands that run backwards", () => {
    for (const k of [5, 40])
      for (const b of layouts) {
        const region = contraction({ m: 7, n: 10, k }, { b })
        for (const axes of [[0], [1], [0, 1]])
          check(candidates, { ...region, a: View.reverse(region.a, axes), b: View.reverse(region.b, axes) })
      }
  })

  it("leaves to others what is no product of f32", () => {
    const region = contraction({ m: 4, n: 4, k: 4 })
    expect(candidates({ ...region, accumulate: "i32" }, new Map(), relaxed)).toEqual([])
    expect(candidates({ ...region, zero: { a: 3, b: 0 } }, new Map(), relaxed)).toEqual([])
  })
})
