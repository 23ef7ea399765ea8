import { assert, describe, it } from "@effect/vitest"
import { distance, f32, graphOf, i64, random, run, tensor, values } from "./OneOperator.ts"

const domain = "com.microsoft"

describe("com.microsoft", () => {
  it("adds the bias before Gelu", () => {
    const [x, bias] = [random([2, 3], 1), random([3], 2)]
    const sums = f32(
      [2, 3],
      values(x).map((value, i) => value + (values(bias)[i % 3] ?? 0))
    )
    const fused = values(run({ op: "FastGelu", domain }, [x, bias])[0])
    assert.isBelow(
      distance(fused, values(run({ op: "Gelu", opset: 20, attributes: { approximate: "tanh" } }, [sums])[0])),
      1e-6
    )
    assert.isBelow(
      distance(
        values(run({ op: "BiasGelu", domain }, [x, bias])[0]),
        values(run({ op: "Gelu", opset: 20 }, [sums])[0])
      ),
      1e-6
    )
    assert.deepStrictEqual(
      graphOf({ op: "Gelu", domain }, [x]).nodes.map(({ op }) => op.name),
      ["gelu"]
    )
  })

  it("QuickGelu is x · sigmoid(1.702 x)", () => {
    const found = values(run({ op: "QuickGelu", domain }, [f32([2], [1, -2])])[0])
    assert.isBelow(
      distance(
        found,
        [1, -2].map((x) => x / (1 + Math.exp(-1.702 * x)))
      ),
      1e-6
    )
  })

  it("FusedMatMul transposes and scales", () => {
    const [a, b] = [f32([2, 1], [1, 2]), f32([1, 2], [3, 4])]
    const attributes = { transA: 1, transB: 1, alpha: { float: 0.5 } }
    assert.deepStrictEqual(values(run({ op: "FusedMatMul", domain, attributes }, [a, b])[0]), [5.5])
  })

  it("SkipLayerNormalization normalises the sum, and gives it", () => {
    const [x, skip, gamma, bias] = [f32([1, 2], [1, 2]), f32([1, 2], [2, 5]), f32([2], [2, 3]), f32([2], [0, 2])]
    const node = { op: "SkipLayerNormalization", domain, outputs: 4 }
    assert.throws(() => run(node, [x, skip, gamma, undefined, bias]), /mean and the inverse deviation/)
    const [y] = run({ ...node, outputs: 1 }, [x, skip, gamma, undefined, bias])
    // Sums are 3 and 9: −1 and 1 when normalised.
    assert.isBelow(distance(values(y), [-2, 3]), 1e-5)
    const rms = { op: "SkipSimplifiedLayerNormalization", domain }
    const root = Math.sqrt((9 + 81) / 2)
    assert.isBelow(distance(values(run(rms, [x, skip, gamma, bias])[0]), [(2 * 3) / root, (3 * 9) / root]), 1e-5)
  })

  it("RotaryEmbedding counts positions from a start", () => {
    const x = random([1, 2, 8], 3)
    const [cos, sin] = [random([5, 2], 4), random([5, 2], 5)]
    const started = run({ op: "RotaryEmbedding", domain }, [x, i64([1], [2]), cos, sin])
    const named = run({ op: "RotaryEmbedding", domain }, [x, i64([1, 2], [2, 3]), cos, sin])
    assert.deepStrictEqual(values(started[0]), values(named[0]))
    const onnx = run({ op: "RotaryEmbedding", opset: 23, attributes: { num_heads: 2 } }, [
      x,
      cos,
      sin,
      i64([1, 2], [2, 3])
    ])
    assert.isBelow(distance(values(named[0]), values(onnx[0])), 1e-6)
  })
})

describe("fused operators", () => {
  it("FusedConv adds the fourth input, then activates", () => {
    const [x, w, bias, z] = [random([1, 2, 4, 4], 1), random([3, 2, 3, 3], 2), random([3], 3), random([1, 3, 2, 2], 4)]
    const plain = values(run({ op: "Conv", opset: 22 }, [x, w, bias])[0])
    const fused = values(run({ op: "FusedConv", domain, attributes: { activation: "Relu" } }, [x, w, bias, z])[0])
    assert.isBelow(
      distance(
        fused,
        plain.map((value, i) => Math.max(0, value + (values(z)[i] ?? 0)))
      ),
      1e-6
    )
    assert.throws(() => run({ op: "FusedConv", domain, attributes: { activation: "Sine" } }, [x, w]), /Sine/)
  })

  it("EmbedLayerNormalization adds embeddings and counts the mask", () => {
    const ids = tensor("i32", [1, 2], [1, 0])
    const [words, places] = [f32([2, 2], [0, 1, 2, 5]), f32([3, 2], [1, 1, 0, 4, 9, 9])]
    const node = { op: "EmbedLayerNormalization", domain, outputs: 3 }
    const inputs = [
      ids,
      undefined,
      words,
      places,
      undefined,
      f32([2], [1, 2]),
      f32([2], [0, 1]),
      tensor("i32", [1, 2], [1, 0])
    ]
    const [y, lengths, sum] = run(node, inputs)
    assert.deepStrictEqual(values(sum), [3, 6, 0, 5])
    assert.isBelow(distance(values(y), [-1, 3, -1, 3]), 1e-5)
    assert.deepStrictEqual(values(lengths), [1])
  })

  it("SimplifiedLayerNormalization divides by the root mean square", () => {
    const found = values(run({ op: "SimplifiedLayerNormalization" }, [f32([1, 2], [3, 4]), f32([2], [1, 2])])[0])
    const root = Math.sqrt(12.5)
    assert.isBelow(distance(found, [3 / root, 8 / root]), 1e-5)
  })
})
