import * as Random from "@anneal/reference/Random"
import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"

const ones = 0xffffffff

describe("Random", () => {
  // The known answers that the authors of Philox publish for ten rounds.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    ],
    [
      [ones, ones, ones, ones],
      [ones, ones],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    ]
  ] as const)("philox %j", (counter, key, expected) => {
    assert.deepStrictEqual(Random.philox(counter, key), expected)
  })

  it("fills uniformly in [0, 1)", () => {
    const values = Random.uniforms(42, 20_000)
    const bins = new Array<number>(10).fill(0)
    for (const value of values) {
      assert.isTrue(value >= 0 && value < 1)
      const bin = Math.floor(value * 10)
      bins[bin] = (bins[bin] ?? 0) + 1
    }
    for (const count of bins) assert.isBelow(Math.abs(count - 2000), 200)
  })

  it("fills normally", () => {
    const values = Random.normals(7, 20_000)
    const moment = (power: number) => values.reduce((total, value) => total + value ** power, 0) / values.length
    assert.isBelow(Math.abs(moment(1)), 0.03)
    assert.isBelow(Math.abs(moment(2) - 1), 0.05)
    assert.isBelow(Math.abs(moment(3)), 0.1)
    assert.isBelow(Math.abs(moment(4) - 3), 0.3)
  })

  it("depends on the seed and the index alone", () => {
    assert.deepStrictEqual(
      [...Random.uniforms(5, 4)],
      [0, 1, 2, 3].map((index) => Random.uniform(5, index))
    )
    assert.notStrictEqual(Random.uniform(5, 0), Random.uniform(5 + 2 ** 32, 0))
    assert.notStrictEqual(Random.uniform(5, 0), Random.uniform(6, 0))
    assert.notStrictEqual(Random.uniform(5, 0), Random.uniform(5, 2 ** 33))
    assert.throws(() => Random.uniform(-1, 0), RangeError)
    assert.throws(() => Random.normal(0, 0.5), /index is an integer/)
    assert.throws(() => Random.normal(0, 2 ** 53), RangeError)
  })

  it("gives the committed bits", () => {
    const view = new DataView(new ArrayBuffer(2000 * 8))
    const values = [...Random.uniforms(1, 1000), ...Random.normals(1, 1000)]
    for (const [index, value] of values.entries()) view.setFloat64(index * 8, value, true)
    assert.strictEqual(
      createHash("sha256").update(view).digest("hex"),
      "3e4e217ab76ee023446db7a86b9d7d93c09033546e9e1d420fbd78570eaca127"
    )
  })
})
