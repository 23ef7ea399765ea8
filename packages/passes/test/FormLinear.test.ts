import { describe, it } from "@effect/vitest"
import { formLinear } from "@anneal/passes/FormLinear"
import { becomes, stays } from "./Rewriting.ts"

describe("formLinear", () => {
  it.effect("a product and a bias in either order, of any leading ones, or a scalar", () =>
    becomes(
      formLinear,
      `input "x" %x : f32[n, s, 2]
       constant %w : f32[2, 3] = [1, 2, 3, 4, 5, 6]
       constant %b : f32[1, 1, 3] = [1, 2, 3]
       constant %c : f32[] = 7
       %a : f32[n, s, 3] = matmul(%x, %w)
       %y : f32[n, s, 3] = add(%b, %a)
       %d : f32[n, s, 3] = matmul(%x, %w)
       %z : f32[n, s, 3] = add(%d, %c)
       output "y" = %y
       output "z" = %z`,
      `input "x" %x : f32[n, s, 2]
       constant %w : f32[2, 3] = [1, 2, 3, 4, 5, 6]
       constant %b : f32[3] = [1, 2, 3]
       constant %c : f32[3] = [7, 7, 7]
       %y : f32[n, s, 3] = linear(%x, %w, %b)
       %z : f32[n, s, 3] = linear(%x, %w, %c)
       output "y" = %y
       output "z" = %z`
    )
  )

  it.effect("a batched product, a sum a row, a residual, a shared product: all stay", () =>
    stays(
      formLinear,
      `input "x" %x : f32[2, 2]
       input "r" %r : f32[2, 2]
       input "v" %v : f32[3, 2, 2]
       constant %w : f32[2, 2] = [1, 2, 3, 4]
       constant %row : f32[2, 1] = [1, 2]
       constant %b : f32[2] = [1, 2]
       %a : f32[3, 2, 2] = matmul(%x, %v)
       %c : f32[3, 2, 2] = add(%a, %b)
       %d : f32[2, 2] = matmul(%x, %w)
       %e : f32[2, 2] = add(%d, %row)
       %f : f32[2, 2] = matmul(%x, %w)
       %g : f32[2, 2] = add(%f, %r)
       %h : f32[2, 2] = matmul(%x, %w)
       %i : f32[2, 2] = add(%h, %b)
       output "c" = %c
       output "e" = %e
       output "g" = %g
       output "h" = %h
       output "i" = %i`
    )
  )
})
