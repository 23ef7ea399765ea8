import { describe, it } from "@effect/vitest"
import { recognizeLayerNorm } from "@anneal/passes/RecognizeLayerNorm"
import { becomes, stays } from "./Rewriting.ts"

const last = '{"axes":[2],"keepDims":true}'
const parameters = `constant %eps : f32[] = 0.5
       constant %scale : f32[4] = [1, 2, 3, 4]
       constant %bias : f32[4] = [0, 1, 0, -1]`
const whole = `input "x" %x : f32[n, s, 4]
       constant %scale : f32[4] = [1, 2, 3, 4]
       constant %bias : f32[4] = [0, 1, 0, -1]
       %y : f32[n, s, 4] = layerNorm(%x, %scale, %bias) {"axis":2,"epsilon":0.5}
       output "y" = %y`

describe("recognizeLayerNorm", () => {
  it.effect("divided by the root, scaled and shifted", () =>
    becomes(
      recognizeLayerNorm,
      `input "x" %x : f32[n, s, 4]
       ${parameters}
       %m : f32[n, s, 1] = reduceMean(%x) ${last}
       %c : f32[n, s, 4] = sub(%x, %m)
       %q : f32[n, s, 4] = mul(%c, %c)
       %v : f32[n, s, 1] = reduceMean(%q) ${last}
       %a : f32[n, s, 1] = add(%v, %eps)
       %r : f32[n, s, 1] = sqrt(%a)
       %d : f32[n, s, 4] = div(%c, %r)
       %e : f32[n, s, 4] = mul(%scale, %d)
       %y : f32[n, s, 4] = add(%e, %bias)
       output "y" = %y`,
      whole
    )
  )

  it.effect("with sums over n, powers, a second difference, a reciprocal, no scale", () =>
    becomes(
      recognizeLayerNorm,
      `input "x" %x : f32[n, s, 4]
       constant %eps : f32[1] = [0.5]
       constant %four : f32[] = 4
       constant %quarter : f32[] = 0.25
       constant %two : f32[] = 2
       constant %bias : f32[1, 1, 4] = [0, 1, 0, -1]
       %t : f32[n, s, 1] = reduceSum(%x) ${last}
       %m : f32[n, s, 1] = div(%t, %four)
       %c : f32[n, s, 4] = sub(%x, %m)
       %o : f32[n, s, 4] = sub(%x, %m)
       %q : f32[n, s, 4] = pow(%o, %two)
       %u : f32[n, s, 1] = reduceSum(%q) ${last}
       %v : f32[n, s, 1] = mul(%u, %quarter)
       %a : f32[n, s, 1] = add(%eps, %v)
       %r : f32[n, s, 1] = sqrt(%a)
       %i : f32[n, s, 1] = reciprocal(%r)
       %d : f32[n, s, 4] = mul(%c, %i)
       %y : f32[n, s, 4] = add(%d, %bias)
       output "y" = %y`,
      `input "x" %x : f32[n, s, 4]
       constant %bias : f32[4] = [0, 1, 0, -1]
       %y : f32[n, s, 4] = layerNorm(%x, _, %bias) {"axis":2,"epsilon":0.5}
       output "y" = %y`
    )
  )

  it.effect("TensorFlow's x·f + (bias − mean·f)", () =>
    becomes(
      recognizeLayerNorm,
      `input "x" %x : f32[n, s, 4]
       ${parameters}
       %m : f32[n, s, 1] = reduceMean(%x) ${last}
       %c : f32[n, s, 4] = sub(%x, %m)
       %q : f32[n, s, 4] = mul(%c, %c)
       %v : f32[n, s, 1] = reduceMean(%q) ${last}
       %a : f32[n, s, 1] = add(%v, %eps)
       %r : f32[n, s, 1] = sqrt(%a)
       %i : f32[n, s, 1] = reciprocal(%r)
       %f : f32[n, s, 4] = mul(%i, %scale)
       %p : f32[n, s, 4] = mul(%x, %f)
       %o : f32[n, s, 4] = mul(%m, %f)
       %d : f32[n, s, 4] = sub(%bias, %o)
       %y : f32[n, s, 4] = add(%p, %d)
       output "y" = %y`,
      whole
    )
  )

  it.effect("the variance as a difference of means, the scale multiplied first", () =>
    becomes(
      recognizeLayerNorm,
      `input "x" %x : f32[n, s, 4]
       ${parameters}
       %m : f32[n, s, 1] = reduceMean(%x) ${last}
       %q : f32[n, s, 4] = mul(%x, %x)
       %o : f32[n, s, 1] = reduceMean(%q) ${last}
       %k : f32[n, s, 1] = mul(%m, %m)
       %t : f32[n, s, 1] = sub(%o, %k)
       %v : f32[n, s, 1] = relu(%t)
       %a : f32[n, s, 1] = add(%v, %eps)
       %r : f32[n, s, 1] = sqrt(%a)
       %i : f32[n, s, 1] = reciprocal(%r)
       %f : f32[n, s, 4] = mul(%i, %scale)
       %c : f32[n, s, 4] = sub(%x, %m)
       %e : f32[n, s, 4] = mul(%f, %c)
       %y : f32[n, s, 4] = add(%e, %bias)
       output "y" = %y`,
      whole
    )
  )

  it.effect("a mean over the first axis, a variance over another one, a root that others use: all stay", () =>
    stays(
      recognizeLayerNorm,
      `input "x" %x : f32[4, 4]
       constant %eps : f32[] = 0.5
       %m : f32[1, 4] = reduceMean(%x) {"axes":[0],"keepDims":true}
       %c : f32[4, 4] = sub(%x, %m)
       %q : f32[4, 4] = mul(%c, %c)
       %v : f32[1, 4] = reduceMean(%q) {"axes":[0],"keepDims":true}
       %a : f32[1, 4] = add(%v, %eps)
       %r : f32[1, 4] = sqrt(%a)
       %d : f32[4, 4] = div(%c, %r)
       %n : f32[4, 1] = reduceMean(%x) {"axes":[1],"keepDims":true}
       %e : f32[4, 4] = sub(%x, %n)
       %s : f32[4, 4] = mul(%e, %e)
       %t : f32[1, 1] = reduceMean(%s) {"axes":[0,1],"keepDims":true}
       %b : f32[1, 1] = add(%t, %eps)
       %u : f32[1, 1] = sqrt(%b)
       %f : f32[4, 4] = div(%e, %u)
       %w : f32[4, 1] = reduceMean(%s) {"axes":[1],"keepDims":true}
       %g : f32[4, 1] = add(%w, %eps)
       %h : f32[4, 1] = sqrt(%g)
       %i : f32[4, 4] = div(%e, %h)
       output "d" = %d
       output "f" = %f
       output "i" = %i
       output "h" = %h`
    )
  )
})
