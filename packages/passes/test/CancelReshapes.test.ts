import { describe, it } from "@effect/vitest"
import { cancelReshapes } from "@anneal/passes/CancelReshapes"
import { becomes, stays } from "./Rewriting.ts"

describe("cancelReshapes", () => {
  it.effect("two in a row are one, or none", () =>
    becomes(
      cancelReshapes,
      `input "x" %x : f32[n, 6]
       %a : f32[n, 2, 3] = reshape(%x) {"shape":["n",2,3]}
       %b : f32[2*n, 3] = reshape(%a) {"shape":["2*n",3]}
       %c : f32[n, 6] = reshape(%b) {"shape":["n",6]}
       %y : f32[n, 6] = relu(%c)
       output "b" = %b
       output "y" = %y`,
      `input "x" %x : f32[n, 6]
       %b : f32[2*n, 3] = reshape(%x) {"shape":["2*n",3]}
       %y : f32[n, 6] = relu(%x)
       output "b" = %b
       output "y" = %y`
    )
  )

  it.effect("they sink through elementwise ops towards the next one", () =>
    becomes(
      cancelReshapes,
      `input "x" %x : f32[2, 6]
       constant %s : f32[] = 2
       %a : f32[12] = reshape(%x) {"shape":[12]}
       %b : f32[12] = mul(%a, %s)
       %c : f32[12] = exp(%b)
       %y : f32[2, 6] = reshape(%c) {"shape":[2,6]}
       output "y" = %y`,
      `input "x" %x : f32[2, 6]
       constant %s : f32[] = 2
       %b : f32[2, 6] = mul(%x, %s)
       %c : f32[2, 6] = exp(%b)
       output "y" = %c`
    )
  )

  it.effect("a product needs no flattening, a bias no unflattening", () =>
    becomes(
      cancelReshapes,
      `input "x" %x : f32[b, s, 2]
       constant %w : f32[2, 3] = [1, 2, 3, 4, 5, 6]
       constant %c : f32[3] = [1, 2, 3]
       %f : f32[b*s, 2] = reshape(%x) {"shape":["b*s",2]}
       %m : f32[b*s, 3] = matmul(%f, %w)
       %u : f32[b, s, 3] = reshape(%m) {"shape":["b","s",3]}
       %y : f32[b, s, 3] = add(%u, %c)
       output "y" = %y`,
      `input "x" %x : f32[b, s, 2]
       constant %w : f32[2, 3] = [1, 2, 3, 4, 5, 6]
       constant %c : f32[3] = [1, 2, 3]
       %m : f32[b, s, 3] = matmul(%x, %w)
       %y : f32[b, s, 3] = add(%m, %c)
       output "y" = %y`
    )
  )

  it.effect("a transpose that moves only ones is a reshape", () =>
    becomes(
      cancelReshapes,
      `input "x" %x : f32[n, 1, 3]
       %y : f32[n, 3, 1] = transpose(%x) {"permutation":[0,2,1]}
       output "y" = %y`,
      `input "x" %x : f32[n, 1, 3]
       %y : f32[n, 3, 1] = reshape(%x) {"shape":["n",3,1]}
       output "y" = %y`
    )
  )

  it.effect("a bias passes a reshape that takes axes of 1 out, a dropped axis that comes back is kept", () =>
    becomes(
      cancelReshapes,
      `input "x" %x : f32[n, 2, 3, 1]
       constant %c : f32[1, 2, 1] = [1, 2]
       constant %third : f32[] = 0.25
       %a : f32[n, 2, 3] = reshape(%x) {"shape":["n",2,3]}
       %b : f32[n, 2, 3] = add(%c, %a)
       %s : f32[n, 2] = reduceSum(%b) {"axes":[2],"keepDims":false}
       %m : f32[n, 2] = mul(%s, %third)
       %k : f32[n, 2, 1] = reshape(%m) {"shape":["n",2,1]}
       %y : f32[n, 2, 3] = sub(%b, %k)
       output "y" = %y`,
      `input "x" %x : f32[n, 2, 3, 1]
       constant %c : f32[1, 2, 1, 1] = [1, 2]
       constant %third : f32[] = 0.25
       %b : f32[n, 2, 3, 1] = add(%c, %x)
       %r : f32[n, 2, 3] = reshape(%b) {"shape":["n",2,3]}
       %s : f32[n, 2, 1] = reduceSum(%r) {"axes":[2],"keepDims":true}
       %m : f32[n, 2, 1] = mul(%s, %third)
       %y : f32[n, 2, 3] = sub(%r, %m)
       output "y" = %y`
    )
  )

  it.effect("a bias along an axis that the reshape makes, a shared reshape, other contracted axes: all stay", () =>
    stays(
      cancelReshapes,
      `input "x" %x : f32[2, 6]
       constant %c : f32[3] = [1, 2, 3]
       constant %w : f32[4, 2] = [1, 2, 3, 4, 5, 6, 7, 8]
       %a : f32[2, 2, 3] = reshape(%x) {"shape":[2,2,3]}
       %b : f32[2, 2, 3] = add(%a, %c)
       %d : f32[3, 4] = reshape(%x) {"shape":[3,4]}
       %e : f32[3, 2] = matmul(%d, %w)
       %f : f32[6] = reshape(%e) {"shape":[6]}
       output "a" = %a
       output "b" = %b
       output "f" = %f`
    )
  )
})
