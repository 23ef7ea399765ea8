import { describe, it } from "@effect/vitest"
import { eliminateDeadCode } from "@anneal/passes/EliminateDeadCode"
import { becomes, stays } from "./Rewriting.ts"

describe("eliminateDeadCode", () => {
  it.effect("nodes without users go, and what only they used", () =>
    becomes(
      eliminateDeadCode,
      `input "x" %x : f32[3]
       constant %c : f32[] = 2
       %a : f32[3] = mul(%x, %c)
       %b : f32[3] = exp(%a)
       %y : f32[3] = relu(%x)
       output "y" = %y`,
      `input "x" %x : f32[3]
       %y : f32[3] = relu(%x)
       output "y" = %y`
    )
  )

  it.effect("a node that defines a used size stays", () =>
    stays(
      eliminateDeadCode,
      `input "n" %n : i64[1]
       constant %zero : f32[] = 0
       %m : i64[1] = readDims(%n) {"symbols":["u0"]}
       %y : f32[u0] = expand(%zero) {"shape":["u0"]}
       output "y" = %y`
    )
  )

  it.effect("a capture that no branch uses is not handed over", () =>
    becomes(
      eliminateDeadCode,
      `input "p" %p : bool[]
       input "x" %x : f32[3]
       input "z" %z : f32[3]
       %y : f32[3] = if(%p, %x, %z) with then graph "t" {
         input "x" %a : f32[3]
         input "z" %b : f32[3]
         %r : f32[3] = relu(%a)
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         input "z" %b : f32[3]
         %dead : f32[3] = exp(%b)
         output "r" = %a
       }
       output "y" = %y`,
      `input "p" %p : bool[]
       input "x" %x : f32[3]
       input "z" %z : f32[3]
       %y : f32[3] = if(%p, %x) with then graph "t" {
         input "x" %a : f32[3]
         %r : f32[3] = relu(%a)
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         output "r" = %a
       }
       output "y" = %y`
    )
  )

  it.effect("everything used: nothing changes", () =>
    stays(
      eliminateDeadCode,
      `input "x" %x : f32[3]
       %y : f32[3] = relu(%x)
       output "y" = %y
       output "same" = %x`
    )
  )
})
