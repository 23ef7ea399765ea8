import * as Quotient from "@anneal/wasm/Quotient"
import { describe, expect, it } from "vitest"
import * as Random from "./Random.ts"

const even = (x: number): number => {
  const nearest = Math.round(x)
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest
}

/** x · high + x · low with one rounding at the end, in integers. */
const exact = (x: number, { high, low }: Quotient.Reciprocal): number => {
  const scale = 2 ** 52
  // Terms of 24 bits by 24 bits are doubles; their sum is rounded to 53 bits and seldom lies between two floats then.
  const [first, second] = [x * high, Math.fround(x * low)]
  return Math.fround((first * scale + second * scale) / scale)
}

describe("Quotient", () => {
  it("takes the reciprocal of a power of two as it is", () => {
    expect(Quotient.reciprocal(0.25, 512)).toEqual({ high: 4, low: 0 })
  })

  it("rounds quotients to the integers that division rounds them to, at every border and between", () => {
    const next = Random.signed(3)
    let found = 0
    for (let round = 0; round < 200; round++) {
      const s = Math.fround(Math.exp(next() * 8))
      const by = Quotient.reciprocal(s, 400)
      if (by === undefined) continue
      found++
      expect(by.low).toBeGreaterThanOrEqual(0)
      for (let i = 0; i < 200; i++) {
        const near = (Math.floor(Math.abs(next()) * 400) + 0.5) * s
        const x = Math.fround((i % 2 === 0 ? near : near * (1 + next() * 2 ** -20)) * (i % 3 === 0 ? -1 : 1))
        expect(even(exact(x, by)), `${x} / ${s}`).toBe(even(Math.fround(x / s)))
      }
    }
    // Not a division for most scales.
    expect(found).toBeGreaterThan(150)
  })

  it("is not for scales that are no positive float of moderate size", () => {
    for (const s of [0, -1, Number.NaN, Infinity, 2 ** -100, 2 ** 100, 0.1])
      expect(Quotient.reciprocal(s, 512)).toBeUndefined()
  })
})
