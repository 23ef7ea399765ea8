import { describe, it } from "@effect/vitest"
import { simplifyAlgebra } from "@anneal/passes/SimplifyAlgebra"
import { becomes, stays } from "./Rewriting.ts"

describe("simplifyAlgebra", () => {
  it.effect("small powers are products, and roots where nothing is negative", () =>
    becomes(
      simplifyAlgebra,
      `input "x" %x : f32[3]
       constant %two : f32[] = 2
       constant %half : f32[1] = [0.5]
       constant %three : f32[] = 3
       %a : f32[3] = pow(%x, %two)
       %b : f32[3] = pow(%a, %half)
       %c : f32[3] = pow(%x, %three)
       output "b" = %b
       output "c" = %c`,
      `input "x" %x : f32[3]
       %a : f32[3] = mul(%x, %x)
       %b : f32[3] = sqrt(%a)
       %c : f32[3] = mul(%x, %x)
       %d : f32[3] = mul(%c, %x)
       output "b" = %b
       output "c" = %d`
    )
  )

  it.effect("scalars in a row become one", () =>
    becomes(
      simplifyAlgebra,
      `input "x" %x : f32[3]
       constant %two : f32[] = 2
       constant %three : f32[1] = [3]
       constant %zero : f32[] = 0
       constant %one : f32[] = 1
       %a : f32[3] = mul(%x, %two)
       %b : f32[3] = mul(%three, %a)
       %c : f32[3] = add(%b, %zero)
       %d : f32[3] = div(%one, %c)
       output "d" = %d`,
      `input "x" %x : f32[3]
       constant %six : f32[] = 6
       %b : f32[3] = mul(%x, %six)
       %d : f32[3] = reciprocal(%b)
       output "d" = %d`
    )
  )

  it.effect("limits merge into clip", () =>
    becomes(
      simplifyAlgebra,
      `input "x" %x : f32[3]
       constant %six : f32[] = 6
       constant %low : f32[] = -1
       constant %high : f32[1] = [4]
       %a : f32[3] = relu(%x)
       %b : f32[3] = min(%a, %six)
       %c : f32[3] = max(%x, %low)
       %d : f32[3] = min(%high, %c)
       output "b" = %b
       output "d" = %d`,
      `input "x" %x : f32[3]
       constant %zero : f32[] = 0
       constant %six : f32[] = 6
       constant %low : f32[] = -1
       constant %high : f32[] = 4
       %b : f32[3] = clip(%x, %zero, %six)
       %d : f32[3] = clip(%x, %low, %high)
       output "b" = %b
       output "d" = %d`
    )
  )

  it.effect("integers cancel", () =>
    becomes(
      simplifyAlgebra,
      `input "x" %x : i32[3]
       %y : i32[3] = sub(%x, %x)
       output "y" = %y`,
      `input "x" %x : i32[3]
       constant %zero : i32[] = 0
       %y : i32[3] = expand(%zero) {"shape":[3]}
       output "y" = %y`
    )
  )

  it.effect("floats don't cancel, roots of anything are powers, shared and crossing limits stay", () =>
    stays(
      simplifyAlgebra,
      `input "x" %x : f32[3]
       constant %half : f32[] = 0.5
       constant %two : f32[] = 2
       constant %five : f32[] = 5
       %a : f32[3] = sub(%x, %x)
       %b : f32[3] = pow(%x, %half)
       %c : f32[3] = div(%x, %two)
       %d : f32[3] = max(%x, %five)
       %e : f32[3] = min(%d, %two)
       %f : f32[3] = mul(%x, %two)
       %g : f32[3] = mul(%f, %five)
       output "a" = %a
       output "b" = %b
       output "c" = %c
       output "d" = %d
       output "e" = %e
       output "f" = %f
       output "g" = %g`
    )
  )
})
