import { assert, describe, it } from "@effect/vitest"
import * as Precision from "@anneal/quantize/Precision"

const choices: Precision.Choices = {
  decidedOn: "0".repeat(64),
  products: {
    a: { node: "conv1", precision: "int8", noise: 0.0001, reason: "" },
    b: { node: "conv2", precision: "float", noise: 0.1, reason: "reverted to meet the budget" },
    c: { node: "fc", precision: "float", noise: 0, reason: "kept on request" }
  },
  before: { metric: "top-1", value: 0.9, higherIsBetter: true, count: 100 },
  after: { metric: "top-1", value: 0.895, higherIsBetter: true, count: 100 },
  maxDrop: 0.01
}

describe("Precision", () => {
  it("is a table, worst first, with reasons", () => {
    assert.strictEqual(
      Precision.format(choices),
      [
        "top-1: 0.9 before, 0.895 after, on 100 samples (allowed loss 0.01)",
        "float    10.0 dB  conv2: reverted to meet the budget",
        "int8     40.0 dB  conv1",
        "float       – dB  fc: kept on request"
      ].join("\n")
    )
  })

  it("says what stays float", () => {
    assert.deepStrictEqual([...Precision.kept(choices)], ["b", "c"])
  })

  it("decibels are of the power ratio, infinite without noise", () => {
    assert.strictEqual(Precision.decibels(1), 0)
    assert.strictEqual(Precision.decibels(0), Infinity)
    assert.closeTo(Precision.decibels(0.5), 3.0103, 1e-4)
  })

  it("survives being kept", () => {
    const encoded = Precision.Precision.codec.encode(choices)
    assert.deepStrictEqual(Precision.Precision.codec.decode(encoded), choices)
  })
})
