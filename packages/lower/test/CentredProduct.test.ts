// Products of integers whose zero points are taken off before: bytes are multiplied, and results are the oracle's.
import { assert, describe, it } from "@effect/vitest"
import * as Decisions from "@anneal/lower/Decisions"
import type { Contraction, Convolution } from "@anneal/lower/Region"
import { planned, type Options } from "./Agreement.ts"
import { fusions, lowered, parse } from "./Regions.ts"

type Product = Contraction | Convolution

const productOf = (body: string, options: Options = {}): Product => {
  for (const step of planned(parse(body), options).steps)
    if (step.kind === "region" && (step.region.kind === "contraction" || step.region.kind === "convolution"))
      return step.region
  return assert.fail("there is no product")
}

/** What a product multiplies, and what it takes off by itself. */
const multiplied = (product: Product): unknown => {
  const [a, b] = product.kind === "contraction" ? [product.a, product.b] : [product.input, product.weight]
  return { dtypes: [a.dtype, b.dtype], zero: product.zero }
}

const scaled = `
  %s : f32[2, 4, 3] = cast(%m) {"to":"f32","saturate":true}
  %y : f32[2, 4, 3] = mul(%s, %scale)
  output "y" = %y`

const matrix = (zero: string, weight = "[5, -7, 100, 3, -128, 127]") => `
  input "x" %x : u8[2, 4, 2]
  input "scale" %scale : f32[]
  ${zero}
  constant %w : i32[2, 3] = ${weight}
  %c : i32[2, 4, 2] = cast(%x) {"to":"i32","saturate":true}
  %d : i32[2, 4, 2] = sub(%c, %z)
  %m : i32[2, 4, 3] = matmul(%d, %w)
  ${scaled}`

const convolution = (zero: string, pads: string, out: string, groups = 1) => `
  input "x" %x : u8[1, 2, 4, 4]
  ${zero}
  constant %w : i32[2, ${2 / groups}, 2, 2] = ${JSON.stringify(Array.from({ length: 16 / groups }, (_, i) => ((i * 37) % 255) - 127))}
  %c : i32[1, 2, 4, 4] = cast(%x) {"to":"i32","saturate":true}
  %d : i32[1, 2, 4, 4] = sub(%c, %z)
  %m : i32[1, 2, ${out}] = conv(%d, %w) {"strides":[1,1],${pads},"dilations":[1,1],"groups":${groups}}
  output "y" = %m`

const known = "constant %z : i32[] = 120"
const given = `input "zero" %zu : u8[]
  %z : i32[] = cast(%zu) {"to":"i32","saturate":true}`

const unpadded = `"padsBegin":[0,0],"padsEnd":[0,0]`
const padded = `"padsBegin":[1,0],"padsEnd":[0,2]`

describe("CentredProduct", () => {
  it("a zero point that is known is the product's own", () => {
    assert.deepStrictEqual(lowered(matrix(known)), ["contraction matmul cast mul"])
    assert.deepStrictEqual(multiplied(productOf(matrix(known))), { dtypes: ["u8", "i8"], zero: { a: 120, b: 0 } })
    const text = convolution(known, padded, "4, 5")
    assert.deepStrictEqual(lowered(text), ["convolution conv"])
    assert.deepStrictEqual(multiplied(productOf(text)), { dtypes: ["u8", "i8"], zero: { a: 120, b: 0 } })
  })

  it("one that the run knows is taken off the sums", () => {
    lowered(matrix(given))
    assert.deepStrictEqual(multiplied(productOf(matrix(given))), { dtypes: ["u8", "i8"], zero: { a: 0, b: 0 } })
    lowered(convolution(given, unpadded, "3, 3"))
    lowered(convolution(given, unpadded, "3, 3", 2))
  })

  it("what lies outside of a convolution's input is the zero point", () => {
    for (const groups of [1, 2]) {
      const text = convolution(given, padded, "4, 5", groups)
      lowered(text)
      const region = productOf(text)
      assert.deepStrictEqual(multiplied(region), { dtypes: ["u8", "i8"], zero: { a: 0, b: 0 } })
      assert.deepStrictEqual(region.kind === "convolution" ? region.padsBegin : [], [0, 0])
    }
  })

  it("one zero point a row", () => {
    const text = matrix(`input "zero" %zu : u8[4, 1]
      %z : i32[4, 1] = cast(%zu) {"to":"i32","saturate":true}`)
    lowered(text)
    assert.deepStrictEqual(multiplied(productOf(text)), { dtypes: ["u8", "i8"], zero: { a: 0, b: 0 } })
  })

  it("weights without a sign, or that lie in 256 integers", () => {
    const text = matrix(given, "[0, 200, 17, -55, 3, 1]")
    lowered(text)
    assert.deepStrictEqual(multiplied(productOf(text)), { dtypes: ["u8", "u8"], zero: { a: 0, b: 55 } })
  })

  it("stays as it is: weights that bytes do not hold, a zero point a column, padding that is no byte, a switch", () => {
    const isWide = (text: string, options: Options = {}): void => {
      lowered(text, options)
      assert.deepStrictEqual(multiplied(productOf(text, options)), {
        dtypes: ["i32", "i32"],
        zero: { a: 0, b: 0 }
      })
    }
    isWide(matrix(given, "[0, 200, 17, -56, 3, 1]"))
    isWide(matrix("constant %z : i32[2] = [3, 4]"))
    isWide(convolution(`input "zero" %z : i32[]`, padded, "4, 5"))
    const id = "integer x m"
    assert.deepStrictEqual(fusions(matrix(given), "integer"), ["x m: taken"])
    isWide(matrix(given), { decisions: { ...Decisions.none, fusionsOff: [id] } })
  })
})
