import { describe, it } from "@effect/vitest"
import { foldIf } from "@anneal/passes/FoldIf"
import { becomes, stays } from "./Rewriting.ts"

const branches = `with then graph "t" {
         input "x" %a : f32[3]
         constant %two : f32[] = 2
         %r : f32[3] = mul(%a, %two)
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         %s : f32[2] = slice(%a) {"starts":[0],"sizes":[2],"steps":[1]}
         output "r" = %s
       }`

describe("foldIf", () => {
  it.effect("the branch that is taken, and the size that it gives", () =>
    becomes(
      foldIf,
      `input "x" %x : f32[3]
       constant %no : bool[] = 0
       %y : f32[u0] = if(%no, %x) ${branches}
       %z : f32[u0] = relu(%y)
       output "z" = %z`,
      `input "x" %x : f32[3]
       %s : f32[2] = slice(%x) {"starts":[0],"sizes":[2],"steps":[1]}
       %z : f32[2] = relu(%s)
       output "z" = %z`
    )
  )

  it.effect("inside another one, whose condition is open", () =>
    becomes(
      foldIf,
      `input "p" %p : bool[]
       input "x" %x : f32[3]
       %y : f32[3] = if(%p, %x) with then graph "t" {
         input "x" %a : f32[3]
         constant %yes : bool[1] = [1]
         %one : bool[] = reshape(%yes) {"shape":[]}
         constant %true : bool[] = 1
         %r : f32[3] = if(%true, %a) with then graph "tt" {
           input "x" %c : f32[3]
           %s : f32[3] = exp(%c)
           output "r" = %s
         } with else graph "ee" {
           input "x" %c : f32[3]
           output "r" = %c
         }
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         output "r" = %a
       }
       output "y" = %y`,
      `input "p" %p : bool[]
       input "x" %x : f32[3]
       %y : f32[3] = if(%p, %x) with then graph "t" {
         input "x" %a : f32[3]
         %r : f32[3] = exp(%a)
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         output "r" = %a
       }
       output "y" = %y`
    )
  )

  it.effect("an open condition stays", () =>
    stays(
      foldIf,
      `input "p" %p : bool[]
       input "x" %x : f32[3]
       %y : f32[u0] = if(%p, %x) ${branches}
       output "y" = %y`
    )
  )
})
