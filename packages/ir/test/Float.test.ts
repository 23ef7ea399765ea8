import * as Float from "@anneal/ir/Float"
import { assert, describe, it } from "@effect/vitest"

const narrow: ReadonlyArray<Float.NarrowFloat> = ["f16", "bf16", "f8e4m3", "f8e5m2"]
const every: ReadonlyArray<Float.Float> = [...narrow, "f32", "f64"]

const same = (found: number, expected: number, message?: string) =>
  assert.isTrue(Object.is(found, expected), `${message ?? ""} found ${found}, expected ${expected}`)

/** All finite numbers of a format with their bits, ascending, one zero. */
const finite = (dtype: Float.NarrowFloat): ReadonlyArray<{ readonly bits: number; readonly value: number }> =>
  Array.from({ length: 2 ** Float.formats[dtype].width }, (_, bits) => ({ bits, value: Float.decode(dtype, bits) }))
    .filter(({ value }) => Number.isFinite(value) && !Object.is(value, -0))
    .sort((a, b) => a.value - b.value)

describe("bits", () => {
  it.each([
    ["f16", 0x3c00, 1],
    ["f16", 0xc000, -2],
    ["f16", 0x0001, 2 ** -24],
    ["f16", 0x0400, 2 ** -14],
    ["f16", 0x7bff, 65504],
    ["f16", 0x7c00, Infinity],
    ["f16", 0x8000, -0],
    ["bf16", 0x3f80, 1],
    ["bf16", 0x4049, 3.140625],
    ["bf16", 0x0001, 2 ** -133],
    ["bf16", 0xff80, -Infinity],
    ["f8e4m3", 0x38, 1],
    ["f8e4m3", 0x7e, 448],
    ["f8e4m3", 0x01, 2 ** -9],
    ["f8e4m3", 0x08, 2 ** -6],
    ["f8e4m3", 0x80, -0],
    ["f8e5m2", 0x3c, 1],
    ["f8e5m2", 0x7b, 57344],
    ["f8e5m2", 0x01, 2 ** -16],
    ["f8e5m2", 0x7c, Infinity]
  ] as const)("%s 0x%s", (dtype, bits, value) => {
    same(Float.decode(dtype, bits), value)
    assert.strictEqual(Float.encode(dtype, value, false), bits)
  })

  it.each(narrow)("%s: each number comes back as its own bits", (dtype) => {
    for (let bits = 0; bits < 2 ** Float.formats[dtype].width; bits++) {
      const value = Float.decode(dtype, bits)
      if (Number.isNaN(value)) assert.isNaN(Float.decode(dtype, Float.encode(dtype, value)))
      else assert.strictEqual(Float.encode(dtype, value, false), bits)
    }
  })

  it.each(narrow)("%s: rounds to nearest, ties to even, once", (dtype) => {
    const all = finite(dtype)
    for (const [index, { bits, value }] of all.entries()) {
      const next = all[index + 1]
      if (next === undefined) continue
      const middle = (value + next.value) / 2
      const even = bits % 2 === 0 ? value : next.value
      same(Math.abs(Float.round(dtype, middle)), Math.abs(even), `${dtype} at the middle ${middle}:`)
      // A float32 does not hold these neighbours of the middle: rounding through it would get a tie.
      same(Float.round(dtype, Float.nextDown(middle, "f64")) + 0, value, `${dtype} below ${middle}:`)
      same(Float.round(dtype, Float.nextUp(middle, "f64")) + 0, next.value, `${dtype} above ${middle}:`)
    }
  })

  it("overflows by the format's rule", () => {
    assert.strictEqual(Float.encodeF16(65519.999), 0x7bff)
    assert.strictEqual(Float.encodeF16(65520), 0x7c00)
    assert.strictEqual(Float.encodeF16(-1e300), 0xfc00)
    assert.strictEqual(Float.encodeBf16(2 ** 127 * (2 - 2 ** -8)), 0x7f80)
    assert.strictEqual(Float.encodeBf16(Number.MAX_VALUE), 0x7f80)
    for (const value of [464.001, 479, 480, 500, 512, 1e300, Infinity]) {
      assert.strictEqual(Float.encodeF8e4m3(value), 0x7e)
      assert.strictEqual(Float.encodeF8e4m3(-value), 0xfe)
      assert.isNaN(Float.decodeF8e4m3(Float.encodeF8e4m3(value, false)))
    }
    assert.strictEqual(Float.encodeF8e4m3(464, false), 0x7e)
    for (const value of [61440, 65535, 65536, 1e300, Infinity]) {
      assert.strictEqual(Float.encodeF8e5m2(value), 0x7b)
      assert.strictEqual(Float.encodeF8e5m2(-value, false), 0xfc)
    }
    assert.strictEqual(Float.encodeF8e5m2(61439.9, false), 0x7b)
    assert.strictEqual(Float.encodeF16(5e-324), 0)
    assert.strictEqual(Float.encodeF16(-5e-324), 0x8000)
  })

  it("makes a NaN of NaN", () => {
    for (const dtype of narrow) {
      for (const saturate of [true, false]) assert.isNaN(Float.decode(dtype, Float.encode(dtype, Number.NaN, saturate)))
    }
  })
})

describe("arrays", () => {
  it.each(narrow)("%s: as the single numbers", (dtype) => {
    const values = Float64Array.from([0, -0, 1 / 3, -2.5, 1e-7, 460, 1e9, Infinity, -Infinity, Number.NaN])
    for (const saturate of [true, false]) {
      const bits = Float.encodeArray(dtype, values, saturate)
      assert.strictEqual(bits.BYTES_PER_ELEMENT * 8, Float.formats[dtype].width)
      const decoded = Float.decodeArray(dtype, bits)
      for (const [index, value] of values.entries()) {
        same(bits[index] ?? -1, Float.encode(dtype, value, saturate))
        same(decoded[index] ?? 0, Float.round(dtype, value, saturate))
      }
    }
  })
})

describe("spacing", () => {
  it.each(every)("%s: constants", (dtype) => {
    const format = Float.formats[dtype]
    same(Float.nextUp(1, dtype), 1 + format.epsilon)
    same(Float.unitRoundoff(dtype), format.epsilon / 2)
    same(Float.ulp(1, dtype), format.epsilon)
    same(Float.ulp(1.99, dtype), format.epsilon)
    same(Float.ulp(0, dtype), format.minSubnormal)
    same(Float.nextUp(0, dtype), format.minSubnormal)
    same(Float.nextUp(-format.minSubnormal, dtype) + 0, 0)
    same(Float.nextDown(1, dtype), 1 - format.epsilon / 2)
    same(Float.nextUp(-Infinity, dtype), -format.max)
    same(Float.nextUp(format.max, dtype), format.hasInfinity ? Infinity : Number.NaN)
    same(Float.nextDown(Infinity, dtype), format.max)
    same(Float.nextDown(format.max, dtype), format.max - Float.ulp(format.max, dtype))
    assert.isNaN(Float.nextUp(Number.NaN, dtype))
    assert.isNaN(Float.ulp(Infinity, dtype))
    assert.strictEqual(Float.round(dtype, format.max), format.max)
  })

  it.each(narrow)("%s: nextUp walks through all numbers", (dtype) => {
    const all = finite(dtype)
    for (const [index, { value }] of all.entries()) {
      const next = all[index + 1]
      if (next !== undefined) same(Float.nextUp(value, dtype) + 0, next.value)
      if (next !== undefined) same(Float.nextUp((value + next.value) / 2, dtype) + 0, next.value)
    }
  })
})
