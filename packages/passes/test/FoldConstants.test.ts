import { assert, describe, it } from "@effect/vitest"
import { foldConstants } from "@anneal/passes/FoldConstants"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { becomes, parse, show, stays } from "./Rewriting.ts"

describe("foldConstants", () => {
  it.effect("what constants alone make is a constant", () =>
    becomes(
      foldConstants,
      `input "x" %x : f32[2, 2]
       constant %a : f32[2, 3] = [1, 2, 3, 4, 5, 6]
       constant %b : f32[3] = [1, 0, -1]
       %s : f32[2, 3] = add(%a, %b)
       %t : f32[3, 2] = transpose(%s) {"permutation":[1,0]}
       %y : f32[2, 3] = matmul(%x, %s)
       output "y" = %y
       output "t" = %t`,
      `input "x" %x : f32[2, 2]
       constant %s : f32[2, 3] = [2, 2, 2, 5, 5, 5]
       constant %t : f32[3, 2] = [2, 5, 2, 5, 2, 5]
       %y : f32[2, 3] = matmul(%x, %s)
       output "y" = %y
       output "t" = %t`
    )
  )

  it.effect("a size that the data decided is known afterwards", () =>
    becomes(
      foldConstants,
      `input "x" %x : f32[2]
       constant %a : f32[4] = [0, 1, 0, 2]
       %i : i64[1, u0] = nonZero(%a)
       %f : f32[1, u0] = cast(%i) {"to":"f32","saturate":true}
       output "x" = %x
       output "f" = %f`,
      `input "x" %x : f32[2]
       constant %i : i64[1, 2] = [1, 3]
       %f : f32[1, 2] = cast(%i) {"to":"f32","saturate":true}
       output "x" = %x
       output "f" = %f`
    )
  )

  it.effect("a quantised weight stays quantised", () =>
    stays(
      foldConstants,
      `input "x" %x : f32[1, 2]
       constant %q : i8[2, 2] = [1, 2, 3, 4]
       constant %s : f32[] = 0.5
       %w : f32[2, 2] = dequantize(%q, %s) {"axis":0,"block":0,"to":"f32"}
       %y : f32[1, 2] = matmul(%x, %w)
       output "y" = %y`
    )
  )

  it.effect("nothing that makes the model bigger, nothing random", () =>
    stays(
      foldConstants,
      `input "x" %x : f32[2]
       constant %a : f32[] = 1
       %big : f32[1000, 1000] = expand(%a) {"shape":[1000,1000]}
       %r : f32[2] = randomUniform() {"shape":[2],"dtype":"f32","seed":1}
       output "x" = %x
       output "big" = %big
       output "r" = %r`
    )
  )

  it.effect("branches fold, too, and twice the same is the same", () =>
    Effect.gen(function* () {
      const graph = parse(
        `input "p" %p : bool[]
         input "x" %x : f32[2]
         %y : f32[2] = if(%p, %x) with then graph "t" {
           input "x" %a : f32[2]
           constant %two : f32[] = 2
           %four : f32[] = mul(%two, %two)
           %r : f32[2] = mul(%a, %four)
           output "r" = %r
         } with else graph "e" {
           input "x" %a : f32[2]
           output "r" = %a
         }
         output "y" = %y`
      )
      const first = yield* foldConstants.rewrite(graph)
      const second = yield* foldConstants.rewrite(graph)
      assert.include(show(first.graph), ": f32[] = 4")
      assert.strictEqual(show(first.graph), show(second.graph))
    }).pipe(Effect.provide(Reference.layer()))
  )
})
