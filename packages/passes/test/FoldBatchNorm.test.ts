import { describe, it } from "@effect/vitest"
import { foldBatchNorm } from "@anneal/passes/FoldBatchNorm"
import { becomes, stays } from "./Rewriting.ts"

const plainConv = '{"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":1}'
// scale / √(variance + ε) = [2, −1], mean = [1, 0], bias = [0.5, 3].
const norm = `constant %scale : f32[2] = [4, -1]
       constant %bias : f32[2] = [0.5, 3]
       constant %mean : f32[2] = [1, 0]
       constant %variance : f32[2] = [3.75, 0.75]`

describe("foldBatchNorm", () => {
  it.effect("into a convolution without a bias", () =>
    becomes(
      foldBatchNorm,
      `input "x" %x : f32[n, 1, 8]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       ${norm}
       %a : f32[n, 2, 7] = conv(%x, %w) ${plainConv}
       %y : f32[n, 2, 7] = batchNorm(%a, %scale, %bias, %mean, %variance) {"epsilon":0.25}
       output "y" = %y`,
      `input "x" %x : f32[n, 1, 8]
       constant %w : f32[2, 1, 2] = [2, 4, -3, -4]
       constant %b : f32[2] = [-1.5, 3]
       %y : f32[n, 2, 7] = conv(%x, %w, %b) ${plainConv}
       output "y" = %y`
    )
  )

  it.effect("into a transposed convolution with groups: the group's channels", () =>
    becomes(
      foldBatchNorm,
      `input "x" %x : f32[n, 2, 4]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [1, 1]
       ${norm}
       %a : f32[n, 2, 5] = convTranspose(%x, %w, %b) {"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":2,"outputPadding":[0]}
       %y : f32[n, 2, 5] = batchNorm(%a, %scale, %bias, %mean, %variance) {"epsilon":0.25}
       output "y" = %y`,
      `input "x" %x : f32[n, 2, 4]
       constant %w : f32[2, 1, 2] = [2, 4, -3, -4]
       constant %b : f32[2] = [0.5, 2]
       %y : f32[n, 2, 5] = convTranspose(%x, %w, %b) {"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":2,"outputPadding":[0]}
       output "y" = %y`
    )
  )

  it.effect("into a linear, and a product with a constant into its weight", () =>
    becomes(
      foldBatchNorm,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [1, 1]
       constant %s : f32[] = 0.5
       ${norm}
       %a : f32[n, 2] = linear(%x, %w, %b)
       %c : f32[n, 2] = batchNorm(%a, %scale, %bias, %mean, %variance) {"epsilon":0.25}
       %d : f32[n, 2] = matmul(%x, %w)
       %e : f32[n, 2] = mul(%d, %s)
       output "c" = %c
       output "e" = %e`,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 2] = [2, -2, 6, -4]
       constant %b : f32[2] = [0.5, 2]
       constant %v : f32[2, 2] = [0.5, 1, 1.5, 2]
       %c : f32[n, 2] = linear(%x, %w, %b)
       %e : f32[n, 2] = matmul(%x, %v)
       output "c" = %c
       output "e" = %e`
    )
  )

  it.effect("a scale a channel after a convolution", () =>
    becomes(
      foldBatchNorm,
      `input "x" %x : f32[n, 1, 4]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %b : f32[2] = [1, 1]
       constant %s : f32[2, 1] = [2, 4]
       %a : f32[n, 2, 3] = conv(%x, %w, %b) ${plainConv}
       %y : f32[n, 2, 3] = div(%a, %s)
       output "y" = %y`,
      `input "x" %x : f32[n, 1, 4]
       constant %w : f32[2, 1, 2] = [0.5, 1, 0.75, 1]
       constant %b : f32[2] = [0.5, 0.25]
       %y : f32[n, 2, 3] = conv(%x, %w, %b) ${plainConv}
       output "y" = %y`
    )
  )

  it.effect("alone it is a product and a sum", () =>
    becomes(
      foldBatchNorm,
      `input "x" %x : f32[n, 2, 8]
       ${norm}
       %y : f32[n, 2, 8] = batchNorm(%x, %scale, %bias, %mean, %variance) {"epsilon":0.25}
       output "y" = %y`,
      `input "x" %x : f32[n, 2, 8]
       constant %s : f32[2, 1] = [2, -1]
       constant %t : f32[2, 1] = [-1.5, 3]
       %a : f32[n, 2, 8] = mul(%x, %s)
       %y : f32[n, 2, 8] = add(%a, %t)
       output "y" = %y`
    )
  )

  it.effect("a scale along another axis, a shared product, weights that are no constants, half floats: all stay", () =>
    stays(
      foldBatchNorm,
      `input "x" %x : f32[1, 1, 3]
       input "h" %h : f16[1, 1, 3]
       input "v" %v : f32[2, 1, 2]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %g : f16[2, 1, 2] = [1, 2, 3, 4]
       constant %along : f32[2] = [2, 4]
       constant %s : f32[] = 2
       constant %t : f16[] = 2
       %a : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %b : f32[1, 2, 2] = mul(%a, %along)
       %c : f32[1, 2, 2] = conv(%x, %w) ${plainConv}
       %d : f32[1, 2, 2] = mul(%c, %s)
       %e : f32[1, 2, 2] = conv(%x, %v) ${plainConv}
       %f : f32[1, 2, 2] = mul(%e, %s)
       %i : f16[1, 2, 2] = conv(%h, %g) ${plainConv}
       %j : f16[1, 2, 2] = mul(%i, %t)
       output "b" = %b
       output "c" = %c
       output "d" = %d
       output "f" = %f
       output "j" = %j`
    )
  )
})
