// Weights that are kept as integers, where floats are multiplied: constants for convolutions, made once for matrices.
import { assert, describe, it } from "@effect/vitest"
import * as Regions from "@anneal/lower/Region"
import { planned } from "./Agreement.ts"
import { lowered, parse } from "./Regions.ts"

/** Where the second operand of each product lies, and its elements. */
const weights = (body: string): ReadonlyArray<string> => {
  const program = planned(parse(body))
  return program.steps.flatMap((step) => {
    if (step.kind !== "region" || (step.region.kind !== "convolution" && step.region.kind !== "contraction")) return []
    const view = Regions.reads(step.region)[1]
    return [`${program.buffers.get(view?.buffer ?? "")?.kind} ${view?.dtype}`]
  })
}

const convolution = (weight: string, placed: string, name = "conv") => `
  input "x" %x : f32[1, 2, 3, 3]
  ${weight}
  %wd : f32[2, 2, 2, 1] = dequantize(%w, %s, %z) {${placed},"to":"f32"}
  %y : f32[1, 2, ${name === "conv" ? "2, 3" : "4, 3"}] = ${name}(%x, %wd) {"strides":[1,1],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1${name === "conv" ? "" : `,"outputPadding":[0,0]`}}
  output "y" = %y`

const bytes = "constant %w : i8[2, 2, 2, 1] = [5, -7, 100, 3, -128, 127, 0, 9]"
const nibbles = "constant %w : u4[2, 2, 2, 1] = [5, 7, 15, 3, 1, 12, 0, 9]"

describe("FloatWeights", () => {
  it("a convolution's weights are floats that its kernel may have in an order of its own", () => {
    for (const [weight, placed] of [
      [`${bytes}\nconstant %s : f32[] = 0.3\nconstant %z : i8[] = -3`, `"axis":0,"block":0`],
      [`${bytes}\nconstant %s : f32[2] = [0.3, 0.7]\nconstant %z : i8[2] = [0, -3]`, `"axis":0,"block":0`],
      [`${bytes}\nconstant %s : f32[2] = [0.3, 0.7]\nconstant %z : i8[2] = [0, -3]`, `"axis":-3,"block":0`],
      [
        `${nibbles}\nconstant %s : f32[2, 2, 1, 1] = [0.3, 0.7, 0.1, 2]\nconstant %z : u4[2, 2, 1, 1] = [8, 7, 6, 5]`,
        `"axis":2,"block":2`
      ]
    ] as const)
      for (const name of ["conv", "convTranspose"] as const) {
        const text = convolution(weight, placed, name)
        assert.deepStrictEqual(lowered(text), [`convolution ${name}`])
        assert.deepStrictEqual(weights(text), ["constant f32"])
      }
  })

  it("a matrix is made of its bytes once, so that the file holds no floats", () => {
    const text = `
      input "x" %x : f32[3, 2]
      constant %w : i8[2, 2] = [5, -7, 100, 3]
      constant %s : f32[] = 0.3
      %wd : f32[2, 2] = dequantize(%w, %s) {"axis":0,"block":0,"to":"f32"}
      %y : f32[3, 2] = matmul(%x, %wd)
      output "y" = %y`
    lowered(text)
    assert.deepStrictEqual(weights(text), ["prepared f32"])
  })
})
