import { assert, describe, it } from "@effect/vitest"
import { run, tensor, values } from "./OneOperator.ts"

const i32 = (values: ReadonlyArray<number>) => tensor("i32", [values.length], values)

describe("reductions of integers", () => {
  it("that leave the integers are truncated", () => {
    const of = (op: string) => {
      const [y] = run({ op, opset: 18, attributes: { keepdims: 0 } }, [i32([3, 4, 5])])
      assert.strictEqual(y?.dtype, "i32")
      return values(y)
    }
    assert.deepStrictEqual(of("ReduceL2"), [7])
    assert.deepStrictEqual(of("ReduceLogSum"), [2])
    assert.deepStrictEqual(of("ReduceLogSumExp"), [5])
  })
})
