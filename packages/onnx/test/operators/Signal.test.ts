import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, random, run, tensor, values } from "./OneOperator.ts"

/** Σ x·e^(∓2πi·kn/N), pairs of real and imaginary parts. */
const transform = (x: ReadonlyArray<readonly [number, number]>, inverse = false): ReadonlyArray<number> =>
  x.flatMap((_, k) => {
    let [re, im] = [0, 0]
    for (const [n, [a, b]] of x.entries()) {
      const angle = ((inverse ? 2 : -2) * Math.PI * k * n) / x.length
      re += a * Math.cos(angle) - b * Math.sin(angle)
      im += a * Math.sin(angle) + b * Math.cos(angle)
    }
    return inverse ? [re / x.length, im / x.length] : [re, im]
  })

describe("DFT", () => {
  const signal = random([1, 7, 2], 1)
  const pairs = Array.from({ length: 7 }, (_, n): readonly [number, number] => [
    values(signal)[2 * n] ?? 0,
    values(signal)[2 * n + 1] ?? 0
  ])

  it("and its inverse, of an odd length", () => {
    const [forward] = run({ op: "DFT", opset: 20 }, [signal])
    assert.isBelow(distance(values(forward), transform(pairs)), 1e-5)
    const back = run({ op: "DFT", opset: 20, attributes: { inverse: 1 } }, [forward])[0]
    assert.isBelow(distance(values(back), values(signal)), 1e-6)
  })

  it("fills a signal with zeros, or cuts it", () => {
    for (const length of [4, 9]) {
      const fitted = Array.from({ length }, (_, n) => pairs[n] ?? ([0, 0] as const))
      const node = { op: "DFT", opset: 20, constants: [1] }
      assert.isBelow(distance(values(run(node, [signal, i64([], [length])])[0]), transform(fitted)), 1e-5)
    }
  })

  for (const length of [6, 7])
    it(`gives a real signal of ${length} back from half its spectrum`, () => {
      const real = random([1, length, 1], 2)
      const [half] = run({ op: "DFT", opset: 20, attributes: { onesided: 1 } }, [real])
      assert.deepStrictEqual(half?.shape, [1, Math.floor(length / 2) + 1, 2])
      const node = { op: "DFT", opset: 20, attributes: { inverse: 1, onesided: 1 }, constants: [1] }
      const [back] = run(node, [half, i64([], [length])])
      assert.isBelow(distance(values(back), values(real)), 1e-6)
    })
})

describe("STFT", () => {
  it("transforms windowed frames", () => {
    const signal = random([1, 10, 1], 3)
    const window = f32([4], [0.5, 1, 1, 0.5])
    const [found] = run({ op: "STFT", opset: 17, constants: [1] }, [signal, i64([], [3]), window])
    assert.deepStrictEqual(found?.shape, [1, 3, 3, 2])
    const wanted = [0, 3, 6].flatMap((start) =>
      transform(
        [0.5, 1, 1, 0.5].map((weight, n): readonly [number, number] => [weight * (values(signal)[start + n] ?? 0), 0])
      ).slice(0, 6)
    )
    assert.isBelow(distance(values(found), wanted), 1e-5)
  })
})

describe("windows", () => {
  it("are periodic, or symmetric", () => {
    const hann = (periodic: number): ReadonlyArray<number> =>
      values(run({ op: "HannWindow", attributes: { periodic }, constants: [0] }, [tensor("i32", [], [4])])[0])
    assert.isBelow(distance(hann(1), [0, 0.5, 1, 0.5]), 1e-6)
    assert.isBelow(distance(hann(0), [0, 0.75, 0.75, 0]), 1e-6)
    const hamming = run({ op: "HammingWindow", constants: [0], attributes: { output_datatype: 11 } }, [
      tensor("i32", [], [2])
    ])[0]
    assert.strictEqual(hamming?.dtype, "f64")
    assert.isBelow(distance(values(hamming), [4 / 46, 1]), 1e-12)
  })
})
