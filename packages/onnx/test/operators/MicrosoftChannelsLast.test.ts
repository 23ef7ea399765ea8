import { assert, describe, it } from "@effect/vitest"
import type { Tensor } from "@anneal/ir/Tensor"
import { distance, f32, random, run, tensor, values } from "./OneOperator.ts"

const domain = "com.microsoft"

/** `[batch, height, width, channels]` as `[batch, channels, height, width]`, or back. */
const permuted = (x: Tensor, perm: ReadonlyArray<number>): Tensor =>
  run({ op: "Transpose", attributes: { perm } }, [x])[0] ?? x
const first = (x: Tensor): Tensor => permuted(x, [0, 3, 1, 2])
const last = (x: Tensor | undefined): ReadonlyArray<number> =>
  x === undefined ? [] : values(permuted(x, [0, 2, 3, 1]))

const scalar = (value: number): Tensor => f32([], [value])
const bytes = (shape: ReadonlyArray<number>, from: number): Tensor =>
  tensor(
    "u8",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (from + i * 37) % 256)
  )

describe("operators of com.microsoft with the channels last", () => {
  it("NhwcMaxPool is MaxPool", () => {
    const x = random([1, 5, 6, 2])
    const attributes = { kernel_shape: [2, 3], strides: [2, 1], pads: [0, 1, 0, 1] }
    const [y] = run({ op: "NhwcMaxPool", domain, attributes }, [x])
    assert.deepStrictEqual(values(y), last(run({ op: "MaxPool", opset: 12, attributes }, [first(x)])[0]))
  })

  it("QLinearConv and QLinearAveragePool are those of ai.onnx", () => {
    const x = bytes([1, 5, 5, 2], 3)
    const scales = [scalar(0.02), tensor("u8", [], [120])]
    const parameters = [...scales, bytes([3, 2, 3, 3], 11), ...scales, scalar(0.5), tensor("u8", [], [128])]
    const attributes = { pads: [1, 1, 1, 1], strides: [2, 1] }
    const plain = run({ op: "QLinearConv", opset: 10, attributes }, [first(x), ...parameters])[0]
    const node = { op: "QLinearConv", domain, attributes: { ...attributes, channels_last: 1 } }
    assert.deepStrictEqual(values(run(node, [x, ...parameters])[0]), last(plain))
    const pool = { op: "QLinearAveragePool", domain, attributes: { kernel_shape: [2, 2], channels_last: 1 } }
    const halves = [scalar(0.5), tensor("u8", [], [120])]
    const [y] = run(pool, [bytes([1, 2, 2, 1], 3), ...halves, ...halves])
    // 3, 40, 77, 114: their mean is 58.5, to the even neighbour.
    assert.deepStrictEqual(values(y), [58])
  })

  it("GroupNorm is GroupNormalization, then SiLU", () => {
    const [x, scale, shift] = [random([2, 3, 3, 4], 1), random([4], 2), random([4], 3)]
    const [y] = run({ op: "GroupNorm", domain, attributes: { groups: 2, activation: 1 } }, [x, scale, shift])
    const normal = run({ op: "GroupNormalization", opset: 21, attributes: { num_groups: 2 } }, [
      first(x),
      scale,
      shift
    ])[0]
    const silu = last(normal).map((value) => value / (1 + Math.exp(-value)))
    assert.isBelow(distance(values(y), silu), 1e-5)
    const skip = random([2, 4], 4)
    const node = { op: "SkipGroupNorm", domain, attributes: { groups: 2, activation: 0 }, outputs: 2 }
    const [, sum] = run(node, [x, scale, shift, skip, random([4], 5)])
    const bias = values(random([4], 5))
    const wanted = values(x).map(
      (value, i) => value + (values(skip)[Math.floor(i / 36) * 4 + (i % 4)] ?? 0) + (bias[i % 4] ?? 0)
    )
    assert.isBelow(distance(values(sum), wanted), 1e-6)
  })

  it("BiasAdd and BiasSplitGelu add the bias first", () => {
    const [x, bias, skip] = [random([1, 2, 4], 1), random([4], 2), random([1, 2, 4], 3)]
    const sum = values(run({ op: "Add" }, [x, bias])[0])
    const [y] = run({ op: "BiasAdd", domain }, [x, bias, skip])
    const whole = sum.map((value, i) => value + (values(skip)[i] ?? 0))
    assert.isBelow(distance(values(y), whole), 1e-6)
    const gelu = values(run({ op: "Gelu" }, [f32([1, 2, 4], sum)])[0])
    const split = [0, 1, 4, 5].map((at) => (sum[at] ?? 0) * (gelu[at + 2] ?? 0))
    assert.isBelow(distance(values(run({ op: "BiasSplitGelu", domain }, [x, bias])[0]), split), 1e-6)
  })
})
