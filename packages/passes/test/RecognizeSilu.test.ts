import { describe, it } from "@effect/vitest"
import { recognizeSilu } from "@anneal/passes/RecognizeSilu"
import { becomes, stays } from "./Rewriting.ts"

describe("recognizeSilu", () => {
  it.effect("x·sigmoid(x) in either order, and sigmoid written out", () =>
    becomes(
      recognizeSilu,
      `input "x" %x : f32[n]
       constant %one : f32[] = 1
       %a : f32[n] = sigmoid(%x)
       %b : f32[n] = mul(%a, %x)
       %c : f32[n] = neg(%x)
       %d : f32[n] = exp(%c)
       %e : f32[n] = add(%one, %d)
       %f : f32[n] = reciprocal(%e)
       %g : f32[n] = mul(%x, %f)
       output "b" = %b
       output "g" = %g`,
      `input "x" %x : f32[n]
       %b : f32[n] = silu(%x)
       %g : f32[n] = silu(%x)
       output "b" = %b
       output "g" = %g`
    )
  )

  it.effect("x / (1 + exp(−x))", () =>
    becomes(
      recognizeSilu,
      `input "x" %x : f32[n]
       constant %one : f32[1] = [1]
       %c : f32[n] = neg(%x)
       %d : f32[n] = exp(%c)
       %e : f32[n] = add(%d, %one)
       %g : f32[n] = div(%x, %e)
       output "g" = %g`,
      `input "x" %x : f32[n]
       %g : f32[n] = silu(%x)
       output "g" = %g`
    )
  )

  it.effect("the sigmoid of something else, a shared sigmoid, 2 + exp(−x), exp(x): all stay", () =>
    stays(
      recognizeSilu,
      `input "x" %x : f32[n]
       input "z" %z : f32[n]
       constant %one : f32[] = 1
       constant %two : f32[] = 2
       %a : f32[n] = sigmoid(%x)
       %b : f32[n] = mul(%a, %z)
       %c : f32[n] = sigmoid(%z)
       %d : f32[n] = mul(%c, %z)
       %e : f32[n] = neg(%x)
       %f : f32[n] = exp(%e)
       %g : f32[n] = add(%f, %two)
       %h : f32[n] = div(%x, %g)
       %i : f32[n] = exp(%x)
       %j : f32[n] = add(%i, %one)
       %k : f32[n] = div(%x, %j)
       output "b" = %b
       output "c" = %c
       output "d" = %d
       output "h" = %h
       output "k" = %k`
    )
  )
})
