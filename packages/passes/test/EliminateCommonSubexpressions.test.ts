import { describe, it } from "@effect/vitest"
import { eliminateCommonSubexpressions } from "@anneal/passes/EliminateCommonSubexpressions"
import { becomes, stays } from "./Rewriting.ts"

describe("eliminateCommonSubexpressions", () => {
  it.effect("the same twice is once, operands of commutative ops in any order, constants by value", () =>
    becomes(
      eliminateCommonSubexpressions,
      `input "x" %x : f32[3]
       input "z" %z : f32[3]
       constant %c : f32[] = 2
       constant %d : f32[] = 2
       %a : f32[3] = add(%x, %z)
       %b : f32[3] = add(%z, %x)
       %e : f32[3] = mul(%a, %c)
       %f : f32[3] = mul(%d, %b)
       %y : f32[3] = sub(%e, %f)
       output "y" = %y`,
      `input "x" %x : f32[3]
       input "z" %z : f32[3]
       constant %c : f32[] = 2
       %a : f32[3] = add(%x, %z)
       %e : f32[3] = mul(%a, %c)
       %y : f32[3] = sub(%e, %e)
       output "y" = %y`
    )
  )

  it.effect("one name is enough for one size", () =>
    becomes(
      eliminateCommonSubexpressions,
      `input "x" %x : f32[5]
       %i : i64[1, u0] = nonZero(%x)
       %j : i64[1, u1] = nonZero(%x)
       %y : i64[1, u1] = add(%j, %j)
       output "i" = %i
       output "y" = %y`,
      `input "x" %x : f32[5]
       %i : i64[1, u0] = nonZero(%x)
       %y : i64[1, u0] = add(%i, %i)
       output "i" = %i
       output "y" = %y`
    )
  )

  it.effect("other attributes, other operands, swapped operands: two nodes", () =>
    stays(
      eliminateCommonSubexpressions,
      `input "x" %x : f32[2, 2]
       input "z" %z : f32[2, 2]
       %a : f32[2, 1] = reduceSum(%x) {"axes":[1],"keepDims":true}
       %b : f32[1, 2] = reduceSum(%x) {"axes":[0],"keepDims":true}
       %c : f32[2, 2] = sub(%x, %z)
       %d : f32[2, 2] = sub(%z, %x)
       output "a" = %a
       output "b" = %b
       output "c" = %c
       output "d" = %d`
    )
  )

  it.effect("the sign of a zero counts", () =>
    stays(
      eliminateCommonSubexpressions,
      `input "x" %x : f32[2]
       constant %p : f32[] = 0
       constant %m : f32[] = -0
       %a : f32[2] = add(%x, %p)
       %b : f32[2] = add(%x, %m)
       output "a" = %a
       output "b" = %b`
    )
  )
})
