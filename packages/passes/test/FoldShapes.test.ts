import { describe, it } from "@effect/vitest"
import { foldShapes } from "@anneal/passes/FoldShapes"
import { becomes, stays } from "./Rewriting.ts"

describe("foldShapes", () => {
  it.effect("arithmetic on sizes becomes sizes", () =>
    becomes(
      foldShapes,
      `input "x" %x : f32[n, 3]
       constant %at : i64[] = 0
       constant %two : i64[] = 2
       constant %one : i64[1] = [-1]
       %s : i64[2] = sizes() {"values":["n",3],"scalar":false}
       %n : i64[] = gather(%s, %at) {"axis":0}
       %m : i64[] = mul(%n, %two)
       %v : i64[1] = reshape(%m) {"shape":[1]}
       %y : i64[2] = concat(%v, %one) {"axis":0}
       output "x" = %x
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %y : i64[2] = sizes() {"values":["2*n",-1],"scalar":false}
       output "x" = %x
       output "y" = %y`
    )
  )

  it.effect("a size that is known takes the place of its symbol everywhere", () =>
    becomes(
      foldShapes,
      `input "x" %x : f32[n, 3]
       constant %two : i64[1] = [2]
       constant %zero : f32[] = 0
       %s : i64[1] = sizes() {"values":["n"],"scalar":false}
       %m : i64[1] = mul(%s, %two)
       %d : i64[1] = readDims(%m) {"symbols":["u0"]}
       %y : f32[u0] = expand(%zero) {"shape":["u0"]}
       output "x" = %x
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       constant %zero : f32[] = 0
       %y : f32[2*n] = expand(%zero) {"shape":["2*n"]}
       output "x" = %x
       output "y" = %y`
    )
  )

  it.effect("comparisons that the dims decide", () =>
    becomes(
      foldShapes,
      `input "x" %x : f32[n, 3]
       constant %minus : i64[2] = [-1, -1]
       constant %ones : i64[2] = [1, 1]
       %s : i64[2] = sizes() {"values":["n",3],"scalar":false}
       %p : bool[2] = equal(%s, %minus)
       %y : i64[2] = select(%p, %ones, %s)
       output "x" = %x
       output "y" = %y`,
      `input "x" %x : f32[n, 3]
       %y : i64[2] = sizes() {"values":["n",3],"scalar":false}
       output "x" = %x
       output "y" = %y`
    )
  )

  it.effect("a comparison that they don't decide stays", () =>
    stays(
      foldShapes,
      `input "x" %x : f32[n, 3]
       constant %four : i64[1] = [4]
       %s : i64[1] = sizes() {"values":["n"],"scalar":false}
       %y : bool[1] = equal(%s, %four)
       output "x" = %x
       output "y" = %y`
    )
  )

  it.effect("data is no shape", () =>
    stays(
      foldShapes,
      `input "x" %x : i64[2]
       constant %two : i64[] = 2
       %y : i64[2] = mul(%x, %two)
       output "y" = %y`
    )
  )
})
