import { assert, describe, it } from "@effect/vitest"
import type { Region } from "@anneal/lower/Region"
import * as RegionKey from "@anneal/lower/RegionKey"
import * as Scalar from "@anneal/lower/Scalar"
import { planned } from "./Agreement.ts"
import { parse } from "./Regions.ts"

const generator = { target: "t", features: ["a", "b"], version: "1" }

const keys = (body: string, by = generator): ReadonlyArray<string> => {
  const program = planned(parse(body))
  return program.steps.flatMap((step) =>
    step.kind === "region" ? [RegionKey.make(step.region, program.buffers, by)] : []
  )
}

/** Two products, one after the other, with weights of their own. */
const twice = (second: string, weights = "f32[4, 4]") => `
  input "x" %x : f32[2, 4]
  input "v" %v : f32[4, 4]
  input "w" %w : ${weights}
  %a : f32[2, 4] = matmul(%x, %v)
  %r : f32[2, 4] = ${second}(%a)
  %b : f32[2, 4] = matmul(%r, %w)
  %s : f32[2, 4] = relu(%b)
  output "y" = %s`

describe("the key of a region", () => {
  it("is the same whatever its buffers and values are called", () => {
    const [first, second] = keys(twice("relu"))
    assert.strictEqual(first, second)
    assert.match(first ?? "", /^[0-9a-f]{64}$/)
  })

  it("differs with what is computed, with shapes, and with who makes code for it", () => {
    const [first, second] = keys(twice("neg"))
    assert.notStrictEqual(first, second)
    assert.notStrictEqual(keys(twice("relu"))[0], keys(twice("relu").replaceAll("[2, 4]", "[3, 4]"))[0])
    for (const other of [
      { ...generator, target: "u" },
      { ...generator, features: ["a"] },
      { ...generator, version: "2" }
    ])
      assert.notStrictEqual(keys(twice("relu"))[0], keys(twice("relu"), other)[0])
    assert.strictEqual(keys(twice("relu"))[0], keys(twice("relu"), { ...generator, features: ["b", "a"] })[0])
  })

  it("tells constants from what is computed, and −0 from 0", () => {
    const loop = (value: string) => `
      input "x" %x : f32[2]
      constant %c : f32[] = ${value}
      %y : f32[2] = max(%x, %c)
      output "y" = %y`
    assert.notStrictEqual(keys(loop("0"))[0], keys(loop("-0"))[0])
    const product = (weight: string) => `
      input "x" %x : f32[1, 2]
      ${weight}
      %y : f32[1, 2] = matmul(%x, %w)
      output "y" = %y`
    assert.notStrictEqual(
      keys(product('input "w" %w : f32[2, 2]'))[0],
      keys(product("constant %w : f32[2, 2] = [1, 2, 3, 4]"))[0]
    )
  })

  it("is written from shared parts once, in a time that does not double with each level", () => {
    let scalar = Scalar.load(0, "f32")
    for (let level = 0; level < 200; level++) scalar = Scalar.binary("add", scalar, scalar)
    const view = { buffer: "b", dtype: "f32", shape: [1], offset: 0, strides: [1] } as const
    const region: Region = {
      kind: "loop",
      id: "r",
      members: [],
      domain: [1],
      operands: [view],
      results: [{ view, value: scalar }]
    }
    assert.isBelow(RegionKey.text(region, new Map()).length, 10_000)
    // What is equal counts as one, whether it is the same object or not.
    const apart = Scalar.binary("add", Scalar.load(0, "f32"), Scalar.load(0, "f32"))
    const shared = Scalar.load(0, "f32")
    assert.strictEqual(RegionKey.scalarsText([apart]), RegionKey.scalarsText([Scalar.binary("add", shared, shared)]))
  })
})
