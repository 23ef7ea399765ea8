import { describe, it } from "@effect/vitest"
import { delayActivation } from "@anneal/passes/DelayActivation"
import { becomes, stays } from "./Rewriting.ts"

const pool = (stride: number): string =>
  `{"kernel":[2],"strides":[${stride}],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"ceil":false,"indexOrder":"rowMajor"}`

describe("delayActivation", () => {
  it.effect("what never falls is computed of the extreme", () =>
    becomes(
      delayActivation,
      `input "x" %x : f32[n, 3, 4]
       %a : f32[n, 3, 4] = tanh(%x)
       %y : f32[n, 3, 1] = reduceMax(%a) {"axes":[2],"keepDims":true}
       %b : f32[n, 3, 4] = exp(%x)
       %z : f32[n] = reduceMin(%b) {"axes":[1,2],"keepDims":false}
       output "y" = %y
       output "z" = %z`,
      `input "x" %x : f32[n, 3, 4]
       %m : f32[n, 3, 1] = reduceMax(%x) {"axes":[2],"keepDims":true}
       %y : f32[n, 3, 1] = tanh(%m)
       %l : f32[n] = reduceMin(%x) {"axes":[1,2],"keepDims":false}
       %z : f32[n] = exp(%l)
       output "y" = %y
       output "z" = %z`
    )
  )

  it.effect("what falls and rises is greatest at an extreme", () =>
    becomes(
      delayActivation,
      `input "x" %x : f32[2, 8]
       %a : f32[2, 8] = gelu(%x) {"approximate":"tanh"}
       %y : f32[2] = reduceMax(%a) {"axes":[1],"keepDims":false}
       %b : f32[2, 8] = silu(%x)
       %z : f32[2] = reduceMax(%b) {"axes":[1],"keepDims":false}
       output "y" = %y
       output "z" = %z`,
      `input "x" %x : f32[2, 8]
       %g : f32[2] = reduceMax(%x) {"axes":[1],"keepDims":false}
       %gg : f32[2] = gelu(%g) {"approximate":"tanh"}
       %l : f32[2] = reduceMin(%x) {"axes":[1],"keepDims":false}
       %gl : f32[2] = gelu(%l) {"approximate":"tanh"}
       %y : f32[2] = max(%gg, %gl)
       %h : f32[2] = reduceMax(%x) {"axes":[1],"keepDims":false}
       %sh : f32[2] = silu(%h)
       %m : f32[2] = reduceMin(%x) {"axes":[1],"keepDims":false}
       %sm : f32[2] = silu(%m)
       %z : f32[2] = max(%sh, %sm)
       output "y" = %y
       output "z" = %z`
    )
  )

  it.effect("windows that leave fewer elements", () =>
    becomes(
      delayActivation,
      `input "x" %x : f32[1, 2, 8]
       %a : f32[1, 2, 8] = sigmoid(%x)
       %y : f32[1, 2, 4]; %i : i64[1, 2, 4] = maxPool(%a) ${pool(2)}
       output "y" = %y`,
      `input "x" %x : f32[1, 2, 8]
       %p : f32[1, 2, 4]; %i : i64[1, 2, 4] = maxPool(%x) ${pool(2)}
       %y : f32[1, 2, 4] = sigmoid(%p)
       output "y" = %y`
    )
  )

  it.effect(
    "least of a valley, few elements, unknown extents, other users, indices, as many windows, cheap ones: all stay",
    () =>
      stays(
        delayActivation,
        `input "x" %x : f32[1, 2, 8]
       input "v" %v : f32[n, 3]
       %a : f32[1, 2, 8] = gelu(%x) {"approximate":"none"}
       %a1 : f32[1, 2] = reduceMin(%a) {"axes":[2],"keepDims":false}
       %b : f32[1, 2, 8] = tanh(%x)
       %b1 : f32[1, 8] = reduceMax(%b) {"axes":[1],"keepDims":false}
       %c : f32[n, 3] = tanh(%v)
       %c1 : f32[3] = reduceMax(%c) {"axes":[0],"keepDims":false}
       %d : f32[1, 2, 8] = exp(%x)
       %d1 : f32[1, 2] = reduceMax(%d) {"axes":[2],"keepDims":false}
       %e : f32[1, 2, 8] = erf(%x)
       %e1 : f32[1, 2, 4]; %e2 : i64[1, 2, 4] = maxPool(%e) ${pool(2)}
       %f : f32[1, 2, 8] = erf(%x)
       %f1 : f32[1, 2, 7]; %f2 : i64[1, 2, 7] = maxPool(%f) ${pool(1)}
       %g : f32[1, 2, 8] = relu(%x)
       %g1 : f32[1, 2] = reduceMax(%g) {"axes":[2],"keepDims":false}
       output "a" = %a1
       output "b" = %b1
       output "c" = %c1
       output "d" = %d
       output "d1" = %d1
       output "e1" = %e1
       output "e2" = %e2
       output "f1" = %f1
       output "g1" = %g1`
      )
  )
})
