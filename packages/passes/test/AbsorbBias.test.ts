import { describe, it } from "@effect/vitest"
import { absorbBias } from "@anneal/passes/AbsorbBias"
import { becomes, stays } from "./Rewriting.ts"

const plainConv = '{"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":1}'

describe("absorbBias", () => {
  it.effect("a constant a channel after a convolution, and what is taken off", () =>
    becomes(
      absorbBias,
      `input "x" %x : f32[n, 1, 4]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %b : f32[1, 2, 1] = [1, 2]
       constant %c : f32[2, 1] = [0.5, 0.25]
       %a : f32[n, 2, 3] = conv(%x, %w) ${plainConv}
       %d : f32[n, 2, 3] = add(%b, %a)
       %y : f32[n, 2, 3] = sub(%d, %c)
       output "y" = %y`,
      `input "x" %x : f32[n, 1, 4]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [0.5, 1.75]
       %y : f32[n, 2, 3] = conv(%x, %w, %b) ${plainConv}
       output "y" = %y`
    )
  )

  it.effect("after a linear", () =>
    becomes(
      absorbBias,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [1, 2]
       constant %c : f32[] = 1
       %a : f32[n, 2] = linear(%x, %w, %b)
       %y : f32[n, 2] = add(%a, %c)
       output "y" = %y`,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [2, 3]
       %y : f32[n, 2] = linear(%x, %w, %b)
       output "y" = %y`
    )
  )

  it.effect("c − conv, a sum along the spatial axis, a residual, a shared result: all stay", () =>
    stays(
      absorbBias,
      `input "x" %x : f32[1, 1, 3]
       input "r" %r : f32[1, 2, 2]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %c : f32[2, 1] = [1, 2]
       constant %along : f32[2] = [1, 2]
       %a : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %b : f32[1, 2, 2] = sub(%c, %a)
       %d : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %e : f32[1, 2, 2] = add(%d, %along)
       %f : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %g : f32[1, 2, 2] = add(%f, %r)
       %h : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %i : f32[1, 2, 2] = add(%h, %c)
       output "b" = %b
       output "e" = %e
       output "g" = %g
       output "h" = %h
       output "i" = %i`
    )
  )
})
