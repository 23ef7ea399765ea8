import { describe, it } from "@effect/vitest"
import { eliminateNoOps } from "@anneal/passes/EliminateNoOps"
import { becomes, stays } from "./Rewriting.ts"

describe("eliminateNoOps", () => {
  it.effect("arithmetic with a neutral element, whatever the constant's rank", () =>
    becomes(
      eliminateNoOps,
      `input "x" %x : f32[n, 3]
       constant %one : f32[] = 1
       constant %ones : f32[1, 3] = [1, 1, 1]
       constant %zero : f32[1] = [0]
       constant %minus : f32[] = -0
       constant %low : f32[] = -Infinity
       %a : f32[n, 3] = mul(%one, %x)
       %b : f32[n, 3] = div(%a, %ones)
       %c : f32[n, 3] = sub(%b, %zero)
       %d : f32[n, 3] = add(%c, %minus)
       %e : f32[n, 3] = pow(%d, %one)
       %l : f32[n, 3] = max(%low, %e)
       %f : f32[n, 3] = neg(%l)
       %g : f32[n, 3] = neg(%f)
       %y : f32[n, 3] = relu(%g)
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %y : f32[n, 3] = relu(%x)
       output "y" = %y`
    )
  )

  it.effect("movement that moves nothing", () =>
    becomes(
      eliminateNoOps,
      `input "x" %x : f32[n, 3]
       %a : f32[n, 3] = reshape(%x) {"shape":["n",3]}
       %b : f32[n, 3] = transpose(%a) {"permutation":[0,1]}
       %c : f32[n, 3] = slice(%b) {"starts":[0,0],"sizes":["n",3],"steps":[1,1]}
       %d : f32[n, 3] = pad(%c) {"before":[0,0],"after":[0,0],"mode":"constant"}
       %e : f32[n, 3] = expand(%d) {"shape":["n",3]}
       %f : f32[n, 3] = concat(%e) {"axis":0}
       %g : f32[n, 3] = cast(%f) {"to":"f32","saturate":true}
       %y : f32[n, 3] = relu(%g)
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %y : f32[n, 3] = relu(%x)
       output "y" = %y`
    )
  )

  it.effect("casts to a wider type and back, selects that are decided, what is done twice", () =>
    becomes(
      eliminateNoOps,
      `input "x" %x : f16[3]
       input "z" %z : f16[3]
       constant %yes : bool[1] = [1]
       %a : f32[3] = cast(%x) {"to":"f32","saturate":true}
       %b : f16[3] = cast(%a) {"to":"f16","saturate":true}
       %c : f16[3] = select(%yes, %b, %z)
       %d : f16[3] = relu(%c)
       %e : f16[3] = relu(%d)
       %y : f16[3] = max(%e, %e)
       output "y" = %y`,
      `input "x" %x : f16[3]
       input "z" %z : f16[3]
       %d : f16[3] = relu(%x)
       output "y" = %d`
    )
  )

  it.effect("x + 0 turns −0 into 0, a narrow cast rounds, broadcasting makes another shape: all stay", () =>
    stays(
      eliminateNoOps,
      `input "x" %x : f32[3]
       constant %zero : f32[] = 0
       constant %ones : f32[2, 1] = [1, 1]
       %a : f32[3] = add(%x, %zero)
       %b : f16[3] = cast(%x) {"to":"f16","saturate":true}
       %c : f32[3] = cast(%b) {"to":"f32","saturate":true}
       %d : f32[2, 3] = mul(%x, %ones)
       %e : f32[3] = reshape(%d) {"shape":[6]}
       output "a" = %a
       output "c" = %c
       output "d" = %d`.replace(/%e.*\n/, "")
    )
  )

  it.effect("a slice from the middle and a reversed order stay", () =>
    stays(
      eliminateNoOps,
      `input "x" %x : f32[3]
       input "z" %z : f32[n]
       %a : f32[2] = slice(%x) {"starts":[1],"sizes":[2],"steps":[1]}
       %b : f32[3] = slice(%x) {"starts":[2],"sizes":[3],"steps":[-1]}
       %c : f32[m] = reshape(%z) {"shape":["m"]}
       output "a" = %a
       output "b" = %b
       output "c" = %c`
    )
  )
})
