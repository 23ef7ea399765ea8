import { nameOf, needsColumnTerms, needsRowSums, schemes } from "@anneal/wasm/kernels/IntegerScheme"
import { describe, expect, it } from "vitest"

const none = { a: 0, b: 0 }
const names = (...given: Parameters<typeof schemes>): ReadonlyArray<string> =>
  schemes(...given).map(({ arithmetic }) => nameOf(arithmetic))

describe("IntegerScheme", () => {
  it("widens any 8 bits; weights stay bytes where their zero point lets them", () => {
    expect(names({ a: "u8", b: "i8" }, { a: 128, b: 0 }, undefined, true)).toEqual(["widened", "widened-bytes"])
    expect(names({ a: "i8", b: "u8" }, { a: 0, b: 128 }, undefined, false)).toEqual(["widened", "widened-bytes"])
    expect(names({ a: "u8", b: "u8" }, { a: 0, b: 3 }, undefined, true)).toEqual(["widened"])
    expect(names({ a: "f32", b: "i8" }, none, undefined, true)).toEqual([])
  })

  it("takes byte products only where one operand has seven bits and sums of pairs stay in 16", () => {
    const at = (a: readonly [number, number], b: readonly [number, number]): string | undefined =>
      names({ a: "u8", b: "i8" }, none, { a, b }, true).find((name) => !name.endsWith("-add"))
    expect(at([0, 127], [-128, 127])).toBe("seven-a")
    // 2 · 2 · 127 · 64 = 32512, and 65 would be 33020.
    expect(at([0, 127], [-64, 64])).toBe("seven-a-2")
    expect(at([0, 127], [-65, 64])).toBe("seven-a")
    expect(at([0, 127], [-32, 32])).toBe("seven-a-4")
    expect(at([0, 255], [-64, 63])).toBe("seven-b")
    expect(at([0, 255], [-64, 64])).toBe("widened")
    expect(names({ a: "u8", b: "i8" }, none, { a: [0, 127] }, false)).not.toContain("seven-a")
  })

  it("adds to 32 bits at once wherever one operand has seven bits, before everything else", () => {
    const first = (a: readonly [number, number], b: readonly [number, number]): string | undefined =>
      names({ a: "u8", b: "i8" }, none, { a, b }, true)[0]
    expect(first([0, 127], [-128, 127])).toBe("seven-a-add")
    expect(first([0, 255], [-64, 63])).toBe("seven-b-add")
    expect(first([0, 255], [-64, 64])).toBe("widened")
  })

  it("leaves out the terms that offsets make 0", () => {
    const [scheme] = schemes({ a: "u8", b: "i8" }, none, { a: [0, 127] }, true)
    if (scheme === undefined) throw new Error("no scheme")
    expect([needsRowSums(scheme), needsColumnTerms(scheme)]).toEqual([false, false])
    const [shifted] = schemes({ a: "u8", b: "i8" }, { a: 64, b: 0 }, { b: [-64, 63] }, true)
    if (shifted === undefined) throw new Error("no scheme")
    expect([needsRowSums(shifted), needsColumnTerms(shifted)]).toEqual([true, true])
  })
})
