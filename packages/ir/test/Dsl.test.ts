import * as Dsl from "@anneal/ir/Dsl"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import { assert, describe, it } from "@effect/vitest"
import { expectTypeOf } from "vitest"

describe("the typed DSL", () => {
  it("builds graphs whose static shapes are what inference finds", () => {
    const g = Dsl.graph("mlp")
    const x = g.input("x", "f32", ["batch", 8])
    const w = g.input("w", "f32", [8, 4])
    const bias = g.constant("f32", [4], [1, 2, 3, 4])
    const y = Dsl.softmax(Dsl.add(Dsl.matmul(x, w), bias), 1)
    g.output("y", y)
    expectTypeOf(y).toEqualTypeOf<Dsl.Tensor<"f32", ["batch", 4]>>()
    assert.deepStrictEqual([...y.shape], ["batch", 4])
    const graph = g.finish()
    assert.deepStrictEqual(Verify.verify(graph), [])
    assert.include(Text.print(graph), "%softmax : f32[batch, 4] = softmax(%add)")
  })

  it("broadcasts and permutes in the types", () => {
    const g = Dsl.graph("g")
    const a = g.input("a", "f32", [2, 1, 3])
    const b = g.input("b", "f32", [5, 1])
    expectTypeOf(Dsl.add(a, b)).toEqualTypeOf<Dsl.Tensor<"f32", [2, 5, 3]>>()
    const turned = Dsl.transpose(a, [2, 0, 1])
    expectTypeOf(turned).toEqualTypeOf<Dsl.Tensor<"f32", [3, 2, 1]>>()
    assert.deepStrictEqual([...turned.shape], [3, 2, 1])
  })

  it("refuses a wrong rank, extent or dtype when compiling, and when building too", () => {
    const g = Dsl.graph("g")
    const x = g.input("x", "f32", ["batch", 8])
    const vector = g.input("v", "f32", [8])
    const half = g.input("h", "f16", [8])
    const wrong = g.input("w", "f32", [7, 4])
    const image = g.input("image", "f32", [1, 3, 8, 8])
    // @ts-expect-error  extent 8 is not 7
    assert.throws(() => Dsl.matmul(x, wrong), /8 is not 7/)
    // @ts-expect-error  extents 8 and 4 do not broadcast
    assert.throws(() => Dsl.add(vector, g.constant("f32", [4], [1, 2, 3, 4])), /is not/)
    // @ts-expect-error  f16 is not f32
    assert.throws(() => Dsl.add(x, half), /dtypes differ/)
    // @ts-expect-error  a convolution's input has rank 4
    assert.throws(() => Dsl.conv2d(x, g.input("k", "f32", [4, 3, 3, 3])), /rank/)
    // @ts-expect-error  a permutation has one entry an axis
    assert.throws(() => Dsl.transpose(x, [1, 0, 2]), /permutation/)
    expectTypeOf(Dsl.conv2d(image, g.input("k2", "f32", [4, 3, 3, 3]))).toEqualTypeOf<
      Dsl.Tensor<"f32", [1, 4, number, number]>
    >()
  })
})
