import { describe, it } from "@effect/vitest"
import { recognizeSoftmax } from "@anneal/passes/RecognizeSoftmax"
import { becomes, stays } from "./Rewriting.ts"

const over = (axis: number) => `{"axes":[${axis}],"keepDims":true}`

describe("recognizeSoftmax", () => {
  it.effect("with the greatest taken off", () =>
    becomes(
      recognizeSoftmax,
      `input "x" %x : f32[n, 3]
       %m : f32[n, 1] = reduceMax(%x) ${over(1)}
       %d : f32[n, 3] = sub(%x, %m)
       %e : f32[n, 3] = exp(%d)
       %s : f32[n, 1] = reduceSum(%e) ${over(1)}
       %y : f32[n, 3] = div(%e, %s)
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %y : f32[n, 3] = softmax(%x) {"axis":1}
       output "y" = %y`
    )
  )

  it.effect("plain, by a reciprocal, along the first axis", () =>
    becomes(
      recognizeSoftmax,
      `input "x" %x : f32[3, n]
       %e : f32[3, n] = exp(%x)
       %s : f32[1, n] = reduceSum(%e) ${over(0)}
       %r : f32[1, n] = reciprocal(%s)
       %y : f32[3, n] = mul(%r, %e)
       output "y" = %y`,
      `input "x" %x : f32[3, n]
       %y : f32[3, n] = softmax(%x) {"axis":0}
       output "y" = %y`
    )
  )

  it.effect("logarithms", () =>
    becomes(
      recognizeSoftmax,
      `input "x" %x : f32[n, 3]
       %a : f32[n, 3] = softmax(%x) {"axis":1}
       %b : f32[n, 3] = log(%a)
       %m : f32[n, 1] = reduceMax(%x) ${over(1)}
       %d : f32[n, 3] = sub(%x, %m)
       %e : f32[n, 3] = exp(%d)
       %s : f32[n, 1] = reduceSum(%e) ${over(1)}
       %l : f32[n, 1] = log(%s)
       %y : f32[n, 3] = sub(%d, %l)
       output "b" = %b
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %b : f32[n, 3] = logSoftmax(%x) {"axis":1}
       %y : f32[n, 3] = logSoftmax(%x) {"axis":1}
       output "b" = %b
       output "y" = %y`
    )
  )

  it.effect("a sum over another axis or other powers, and powers that others use, stay", () =>
    stays(
      recognizeSoftmax,
      `input "x" %x : f32[3, 3]
       input "z" %z : f32[3, 3]
       %e : f32[3, 3] = exp(%x)
       %f : f32[3, 3] = exp(%z)
       %s : f32[3, 1] = reduceSum(%f) ${over(1)}
       %a : f32[3, 3] = div(%e, %s)
       %t : f32[3, 1] = reduceSum(%e) ${over(1)}
       %b : f32[3, 3] = div(%e, %t)
       %g : f32[3] = reduceSum(%f) {"axes":[1],"keepDims":false}
       %c : f32[3, 3] = div(%f, %g)
       output "a" = %a
       output "b" = %b
       output "c" = %c`
    )
  )
})
