import * as Scalars from "@anneal/lower/Scalar"
import * as ScalarFolding from "@anneal/wasm/ScalarFolding"
import { describe, expect, it } from "vitest"

const x = Scalars.load(0, "f32")
const number = (value: number): Scalars.Scalar => Scalars.constant("f32", value)
const relu = Scalars.binary("max", x, number(0))

/** saturate(round(x / s) + zero) to u8, as `lower` writes it. */
const quantized = (value: Scalars.Scalar, zero: number, scale = 0.5): Scalars.Scalar => {
  const steps = Scalars.unary("round", Scalars.binary("div", value, number(scale)))
  const shifted = Scalars.binary("add", steps, Scalars.cast(Scalars.constant("u8", zero), "f32"))
  return Scalars.cast(Scalars.binary("min", Scalars.binary("max", shifted, number(0)), number(255)), "u8")
}

const steps = (value: Scalars.Scalar): Scalars.Scalar =>
  Scalars.unary("round", Scalars.binary("div", value, number(0.5)))
const clamped = (value: Scalars.Scalar): Scalars.Scalar =>
  Scalars.cast(Scalars.binary("min", Scalars.binary("max", value, number(-0)), number(255)), "u8")

describe("ScalarFolding", () => {
  it("takes zero points that are 0, and a relu that the clamp does, out of quantise", () => {
    expect(ScalarFolding.fold([quantized(relu, 0)])).toEqual([clamped(steps(x))])
    expect(ScalarFolding.fold([quantized(x, 0)])).toEqual([clamped(steps(x))])
  })

  it("takes a relu out as well where the clamp begins at the zero point", () => {
    const shifted = (value: Scalars.Scalar): Scalars.Scalar => {
      const sum = Scalars.binary("add", steps(value), number(-128))
      return Scalars.cast(Scalars.binary("min", Scalars.binary("max", sum, number(-128)), number(127)), "i8")
    }
    expect(ScalarFolding.fold([shifted(relu)])).toEqual([shifted(x)])
  })

  it("keeps a relu under a zero point that the clamp goes below, or under a scale that is not positive", () => {
    expect(ScalarFolding.fold([quantized(relu, 3)])).toEqual([clamped(Scalars.binary("add", steps(relu), number(3)))])
    const [negative] = ScalarFolding.fold([quantized(relu, 0, -0.5)])
    expect(Scalars.parts(negative === undefined ? [] : [negative])).toContainEqual(relu)
  })

  it("keeps what sets the sign of zero where that is seen", () => {
    const sum = Scalars.binary("add", x, number(0))
    const rounded = Scalars.unary("round", relu)
    expect(ScalarFolding.fold([sum, relu, rounded])).toEqual([sum, relu, rounded])
  })

  it("takes a zero off dequantised integers, and keeps integers that f32 does not hold", () => {
    const q = Scalars.cast(Scalars.load(0, "u8"), "f32")
    const off = Scalars.binary("sub", q, Scalars.cast(Scalars.constant("u8", 0), "f32"))
    expect(ScalarFolding.fold([off])).toEqual([q])
    const large = Scalars.cast(Scalars.constant("i32", 2 ** 24 + 1), "f32")
    expect(ScalarFolding.fold([large])).toEqual([large])
  })

  it("multiplies by reciprocals where products are fused with sums, and only what is rounded to 8 bits", () => {
    const third = Math.fround(1 / 3)
    const [made] = ScalarFolding.fold([quantized(x, 0, third)], true)
    const high = 3 - 2 ** -22
    const low = Math.fround(1 / third - high)
    const product: Scalars.Scalar = {
      kind: "fma",
      dtype: "f32",
      a: x,
      b: number(high),
      c: Scalars.binary("mul", x, number(low))
    }
    expect(made).toEqual(clamped(Scalars.unary("round", product)))
    expect(ScalarFolding.fold([quantized(x, 0)], true)).toEqual([
      clamped(Scalars.unary("round", Scalars.binary("mul", x, number(2))))
    ])
    // Not where products are rounded, nor a quotient that stays a float, nor one of 16 bits.
    const divided = Scalars.binary("div", x, number(third))
    expect(ScalarFolding.fold([quantized(x, 0, third)])).toEqual([clamped(Scalars.unary("round", divided))])
    const wide = Scalars.cast(
      Scalars.binary("min", Scalars.binary("max", Scalars.unary("round", divided), number(-9)), number(9)),
      "i16"
    )
    expect(ScalarFolding.fold([divided, wide], true)).toEqual([divided, wide])
  })
})
