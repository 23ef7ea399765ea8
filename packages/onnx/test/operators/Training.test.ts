import { assert, describe, it } from "@effect/vitest"
import { distance, f32, i64, run, values } from "./OneOperator.ts"

const domain = "ai.onnx.preview.training"
const [rate, step] = [f32([], [0.1]), i64([], [2])]
const [x, gradient] = [f32([2], [1, -2]), f32([2], [0.5, 4])]

describe("optimizers", () => {
  it("Adagrad divides by the root of the squares so far, at a rate that decays", () => {
    const attributes = { decay_factor: { float: 0.5 }, epsilon: { float: 0.25 } }
    const inputs = [rate, step, x, gradient, f32([2], [2, 9])]
    const [next, squares] = run({ op: "Adagrad", domain, attributes, outputs: 2 }, inputs)
    assert.deepStrictEqual(values(squares), [2.25, 25])
    // The rate is 0.1 / (1 + 2 · 0.5).
    assert.isBelow(distance(values(next), [1 - (0.05 * 0.5) / 1.75, -2 - (0.05 * 4) / 5.25]), 1e-6)
  })

  it("Adam corrects the rate by the number of steps", () => {
    const attributes = { alpha: { float: 0.5 }, beta: { float: 0.75 }, epsilon: { float: 0.25 } }
    const inputs = [rate, step, x, gradient, f32([2], [1, 0]), f32([2], [1, 0])]
    const [next, means, squares] = run({ op: "Adam", domain, attributes, outputs: 3 }, inputs)
    assert.deepStrictEqual(
      [values(means), values(squares)],
      [
        [0.75, 2],
        [0.8125, 4]
      ]
    )
    const corrected = (0.1 * Math.sqrt(1 - 0.75 ** 2)) / (1 - 0.5 ** 2)
    const wanted = [1 - (corrected * 0.75) / (Math.sqrt(0.8125) + 0.25), -2 - (corrected * 2) / 2.25]
    assert.isBelow(distance(values(next), wanted), 1e-6)
  })

  it("Momentum looks ahead when it is Nesterov's, for several tensors at once", () => {
    const attributes = {
      alpha: { float: 0.5 },
      beta: { float: 0.25 },
      norm_coefficient: { float: 0.5 },
      mode: "nesterov"
    }
    const inputs = [rate, step, x, f32([1], [4]), gradient, f32([1], [1]), f32([2], [1, 0]), f32([1], [2])]
    const [first, second, moved, other] = run({ op: "Momentum", domain, attributes, outputs: 4 }, inputs)
    // Gradients with decay: 0.5 + 0.5, 4 − 1 and 1 + 2; momenta α·v + β·g.
    assert.isBelow(distance(values(moved), [0.5 + 0.25, 0.75]), 1e-6)
    assert.isBelow(distance(values(other), [1 + 0.75]), 1e-6)
    assert.isBelow(distance(values(first), [1 - 0.1 * (1 + 0.5 * 0.75), -2 - 0.1 * (3 + 0.5 * 0.75)]), 1e-6)
    assert.isBelow(distance(values(second), [4 - 0.1 * (3 + 0.5 * 1.75)]), 1e-6)
  })
})
