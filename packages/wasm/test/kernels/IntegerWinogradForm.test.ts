import { forms, formsFor, gain, one, pointsOf, reachOf, removal } from "@anneal/wasm/kernels/IntegerWinogradForm"
import { describe, expect, it } from "vitest"
import * as Random from "../Random.ts"

type Row = ReadonlyArray<number>

const times = (matrix: ReadonlyArray<Row>, x: Row): Row =>
  matrix.map((row) => row.reduce((sum, value, j) => sum + value * (x[j] ?? 0), 0))

describe("IntegerWinogradForm", () => {
  it("gives the factor times the convolution, in integers", () => {
    const next = Random.integers(1)
    const inSteps = [
      [3, 2],
      [5, 2],
      [4, 3],
      [2, 1]
    ].flatMap(([taps = 1, stride = 1]) => formsFor(taps, stride))
    expect(inSteps.length).toBeGreaterThan(6)
    for (const form of [one, ...forms, ...inSteps]) {
      const { factor, input, output, outputs, step, taps, weights } = form
      const stride = step / outputs
      expect(reachOf(form)).toBe((outputs - 1) * stride + taps)
      expect(pointsOf(form)).toBeLessThanOrEqual(outputs * taps)
      for (let round = 0; round < 20; round++) {
        const x = Array.from({ length: reachOf(form) }, () => next(-255, 255))
        const w = Array.from({ length: taps }, () => next(-128, 127))
        const [u, v] = [times(weights, w), times(input, x)]
        const products = u.map((value, point) => value * (v[point] ?? 0))
        const want = Array.from({ length: outputs }, (_, at) =>
          w.reduce((sum, value, tap) => sum + value * (x[at * stride + tap] ?? 0), 0)
        )
        expect(times(output, products)).toEqual(want.map((value) => value * factor))
      }
    }
  })

  it("takes nine products for four outputs of three taps in steps of two, none for steps as long as the filter", () => {
    expect(formsFor(3, 2).map(pointsOf)).toEqual([9, 5])
    expect(formsFor(3, 3)).toEqual([])
  })

  it("takes factors off modulo 2³²", () => {
    for (const { factor } of forms)
      for (const whole of [factor, factor * factor]) {
        const { inverse, shift } = removal(whole)
        for (const value of [0, 1, -1, 12345, -(2 ** (30 - shift)), 2 ** (31 - shift) - 1]) {
          // The product with the factor leaves i32: only its low 32 bits are there.
          const low = Number(BigInt.asIntN(32, BigInt(value) * BigInt(whole)))
          expect(Math.imul(low, inverse) >> shift).toBe(value)
        }
      }
  })

  it("knows by how much a transform grows what it is given", () => {
    expect(
      gain([
        [1, -5, 0],
        [2, 2, 1]
      ])
    ).toBe(6)
  })
})
