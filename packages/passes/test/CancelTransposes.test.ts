import { assert, describe, it } from "@effect/vitest"
import { cancelTransposes } from "@anneal/passes/CancelTransposes"
import * as Effect from "effect/Effect"
import { becomes, opsAfter, stays } from "./Rewriting.ts"

describe("cancelTransposes", () => {
  it.effect("two compose", () =>
    becomes(
      cancelTransposes,
      `input "x" %x : f32[2, 3, 4]
       %a : f32[3, 4, 2] = transpose(%x) {"permutation":[1,2,0]}
       %b : f32[2, 3, 4] = transpose(%a) {"permutation":[2,0,1]}
       %c : f32[2, 4, 3] = transpose(%a) {"permutation":[2,1,0]}
       %y : f32[2, 3, 4] = relu(%b)
       output "y" = %y
       output "c" = %c`,
      `input "x" %x : f32[2, 3, 4]
       %c : f32[2, 4, 3] = transpose(%x) {"permutation":[0,2,1]}
       %y : f32[2, 3, 4] = relu(%x)
       output "y" = %y
       output "c" = %c`.replace(
        /(%c : .*\n)\s*(%y : .*\n)/,
        (_, transpose: string, relu: string) => `${transpose}       ${relu}`
      )
    )
  )

  it.effect("they sink through elementwise ops and cancel; constants are permuted", () =>
    becomes(
      cancelTransposes,
      `input "x" %x : f32[1, 2, 3, 3]
       constant %b : f32[2] = [1, 2]
       constant %s : f32[] = 2
       %a : f32[1, 3, 3, 2] = transpose(%x) {"permutation":[0,2,3,1]}
       %c : f32[1, 3, 3, 2] = add(%a, %b)
       %d : f32[1, 3, 3, 2] = mul(%s, %c)
       %e : f32[1, 3, 3, 2] = relu(%d)
       %y : f32[1, 2, 3, 3] = transpose(%e) {"permutation":[0,3,1,2]}
       output "y" = %y`,
      `input "x" %x : f32[1, 2, 3, 3]
       constant %b : f32[1, 2, 1, 1] = [1, 2]
       constant %s : f32[] = 2
       %c : f32[1, 2, 3, 3] = add(%x, %b)
       %d : f32[1, 2, 3, 3] = mul(%s, %c)
       %e : f32[1, 2, 3, 3] = relu(%d)
       output "y" = %e`
    )
  )

  it.effect("reductions, softmax, concat, pad and slice speak of the other axes", () =>
    becomes(
      cancelTransposes,
      `input "x" %x : f32[2, 3, 4]
       input "z" %z : f32[2, 3, 4]
       %a : f32[4, 2, 3] = transpose(%x) {"permutation":[2,0,1]}
       %b : f32[4, 2, 3] = transpose(%z) {"permutation":[2,0,1]}
       %c : f32[4, 4, 3] = concat(%a, %b) {"axis":1}
       %d : f32[4, 4, 3] = softmax(%c) {"axis":-1}
       %e : f32[4, 4, 5] = pad(%d) {"before":[0,0,2],"after":[0,0,0],"mode":"constant"}
       %f : f32[4, 4, 2] = slice(%e) {"starts":[0,0,1],"sizes":[4,4,2],"steps":[1,1,1]}
       %g : f32[4, 4] = reduceMax(%f) {"axes":[2],"keepDims":false}
       %y : f32[4, 4] = transpose(%g) {"permutation":[1,0]}
       output "y" = %y`,
      `input "x" %x : f32[2, 3, 4]
       input "z" %z : f32[2, 3, 4]
       %c : f32[4, 3, 4] = concat(%x, %z) {"axis":0}
       %d : f32[4, 3, 4] = softmax(%c) {"axis":1}
       %e : f32[4, 5, 4] = pad(%d) {"before":[0,2,0],"after":[0,0,0],"mode":"constant"}
       %f : f32[4, 2, 4] = slice(%e) {"starts":[0,1,0],"sizes":[4,2,4],"steps":[1,1,1]}
       %g : f32[4, 4] = reduceMax(%f) {"axes":[1],"keepDims":false}
       output "y" = %g`
    )
  )

  it.effect("different permutations, shared ones, and sums in another order stay", () =>
    stays(
      cancelTransposes,
      `input "x" %x : f32[2, 2, 2]
       input "z" %z : f32[2, 2, 2]
       %a : f32[2, 2, 2] = transpose(%x) {"permutation":[2,0,1]}
       %b : f32[2, 2, 2] = transpose(%z) {"permutation":[0,2,1]}
       %c : f32[2, 2, 2] = add(%a, %b)
       %d : f32[2, 2, 2] = transpose(%x) {"permutation":[1,0,2]}
       %e : f32[2, 2, 2] = relu(%d)
       %f : f32[2, 2, 2] = transpose(%x) {"permutation":[0,2,1]}
       %g : f32[2, 1, 1] = reduceSum(%f) {"axes":[1,2],"keepDims":true}
       output "c" = %c
       output "d" = %d
       output "e" = %e
       output "g" = %g`
    )
  )

  it.effect("a residual block between layouts keeps none inside", () =>
    Effect.gen(function* () {
      const ops = yield* opsAfter(
        cancelTransposes,
        `input "x" %x : f32[1, 4, 4, 2]
         constant %w : f32[2, 2, 1, 1] = [1, 2, 3, 4]
         %a : f32[1, 2, 4, 4] = transpose(%x) {"permutation":[0,3,1,2]}
         %b : f32[1, 2, 4, 4] = conv(%a, %w) {"strides":[1,1],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1}
         %c : f32[1, 4, 4, 2] = transpose(%b) {"permutation":[0,2,3,1]}
         %d : f32[1, 4, 4, 2] = relu(%c)
         %e : f32[1, 2, 4, 4] = transpose(%d) {"permutation":[0,3,1,2]}
         %f : f32[1, 2, 4, 4] = conv(%e, %w) {"strides":[1,1],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1}
         output "f" = %f`
      )
      assert.deepStrictEqual(ops, ["transpose", "conv", "relu", "conv"])
    })
  )
})
