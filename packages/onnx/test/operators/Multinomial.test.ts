import { assert, describe, it } from "@effect/vitest"
import { f32, run, values } from "./OneOperator.ts"

describe("Multinomial", () => {
  it("draws classes as often as their probabilities say, by a seed", () => {
    const probabilities = [
      [0.1, 0.6, 0.3],
      [0, 0.5, 0.5]
    ]
    const x = f32(
      [2, 3],
      probabilities.flat().map((value) => Math.log(value))
    )
    const node = (seed: number) => ({
      op: "Multinomial",
      attributes: { sample_size: 4000, dtype: 7, seed: { float: seed } }
    })
    const [drawn] = run(node(3), [x])
    assert.deepStrictEqual([drawn?.dtype, drawn?.shape], ["i64", [2, 4000]])
    for (const [row, wanted] of probabilities.entries())
      for (const [label, probability] of wanted.entries()) {
        const own = values(drawn).slice(row * 4000, row * 4000 + 4000)
        assert.approximately(own.filter((value) => value === label).length / 4000, probability, 0.03)
      }
    assert.deepStrictEqual(values(run(node(3), [x])[0]), values(drawn))
    assert.notDeepEqual(values(run(node(4), [x])[0]), values(drawn))
  })
})
