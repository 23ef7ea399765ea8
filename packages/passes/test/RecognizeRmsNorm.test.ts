import { describe, it } from "@effect/vitest"
import { recognizeRmsNorm } from "@anneal/passes/RecognizeRmsNorm"
import { becomes, stays } from "./Rewriting.ts"

const last = '{"axes":[1],"keepDims":true}'

describe("recognizeRmsNorm", () => {
  it.effect("by the root and by its reciprocal, with a scale", () =>
    becomes(
      recognizeRmsNorm,
      `input "x" %x : f32[n, 4]
       constant %eps : f32[] = 0.5
       constant %scale : f32[4] = [1, 2, 3, 4]
       %q : f32[n, 4] = mul(%x, %x)
       %m : f32[n, 1] = reduceMean(%q) ${last}
       %a : f32[n, 1] = add(%m, %eps)
       %r : f32[n, 1] = sqrt(%a)
       %d : f32[n, 4] = div(%x, %r)
       %e : f32[n, 4] = mul(%scale, %d)
       %f : f32[n, 4] = mul(%e, %e)
       %g : f32[n, 1] = reduceMean(%f) ${last}
       %h : f32[n, 1] = add(%eps, %g)
       %i : f32[n, 1] = sqrt(%h)
       %j : f32[n, 1] = reciprocal(%i)
       %y : f32[n, 4] = mul(%e, %j)
       output "y" = %y`,
      `input "x" %x : f32[n, 4]
       constant %scale : f32[4] = [1, 2, 3, 4]
       %e : f32[n, 4] = rmsNorm(%x, %scale) {"axis":1,"epsilon":0.5}
       %y : f32[n, 4] = rmsNorm(%e) {"axis":1,"epsilon":0.5}
       output "y" = %y`
    )
  )

  it.effect("half floats normalised in f32", () =>
    becomes(
      recognizeRmsNorm,
      `input "h" %h : f16[n, 4]
       constant %eps : f32[] = 0.5
       %x : f32[n, 4] = cast(%h) {"to":"f32","saturate":true}
       %q : f32[n, 4] = mul(%x, %x)
       %m : f32[n, 1] = reduceMean(%q) ${last}
       %a : f32[n, 1] = add(%m, %eps)
       %r : f32[n, 1] = sqrt(%a)
       %d : f32[n, 4] = div(%x, %r)
       %y : f16[n, 4] = cast(%d) {"to":"f16","saturate":true}
       output "y" = %y`,
      `input "h" %h : f16[n, 4]
       %y : f16[n, 4] = rmsNorm(%h) {"axis":1,"epsilon":0.5}
       output "y" = %y`
    )
  )

  it.effect("the mean square of something else, a sum instead of a mean, no ε, a scale a row: all stay", () =>
    stays(
      recognizeRmsNorm,
      `input "x" %x : f32[4, 4]
       input "z" %z : f32[4, 4]
       constant %eps : f32[] = 0.5
       %q : f32[4, 4] = mul(%z, %z)
       %m : f32[4, 1] = reduceMean(%q) ${last}
       %a : f32[4, 1] = add(%m, %eps)
       %r : f32[4, 1] = sqrt(%a)
       %d : f32[4, 4] = div(%x, %r)
       %e : f32[4, 4] = mul(%x, %x)
       %f : f32[4, 1] = reduceSum(%e) ${last}
       %g : f32[4, 1] = add(%f, %eps)
       %h : f32[4, 1] = sqrt(%g)
       %i : f32[4, 4] = div(%x, %h)
       %j : f32[4, 1] = reduceMean(%e) ${last}
       %k : f32[4, 1] = sqrt(%j)
       %l : f32[4, 4] = div(%x, %k)
       output "d" = %d
       output "i" = %i
       output "l" = %l`
    )
  )
})
