import { describe, it } from "@effect/vitest"
import { recognizeRotaryEmbedding } from "@anneal/passes/RecognizeRotaryEmbedding"
import { becomes, stays } from "./Rewriting.ts"

const half = (start: number) => `{"starts":[0,${start}],"sizes":["n",2],"steps":[1,1]}`

describe("recognizeRotaryEmbedding", () => {
  it.effect("x·cos + rotateHalf(x)·sin, with angles that repeat", () =>
    becomes(
      recognizeRotaryEmbedding,
      `input "x" %x : f32[n, 4]
       input "t" %t : f32[n, 2]
       %tt : f32[n, 4] = concat(%t, %t) {"axis":1}
       %cos : f32[n, 4] = cos(%tt)
       %sin : f32[n, 4] = sin(%tt)
       %x1 : f32[n, 2] = slice(%x) ${half(0)}
       %x2 : f32[n, 2] = slice(%x) ${half(2)}
       %m : f32[n, 2] = neg(%x2)
       %r : f32[n, 4] = concat(%m, %x1) {"axis":1}
       %a : f32[n, 4] = mul(%x, %cos)
       %b : f32[n, 4] = mul(%r, %sin)
       %y : f32[n, 4] = add(%a, %b)
       output "y" = %y`,
      `input "x" %x : f32[n, 4]
       input "t" %t : f32[n, 2]
       %tt : f32[n, 4] = concat(%t, %t) {"axis":1}
       %cos : f32[n, 4] = cos(%tt)
       %sin : f32[n, 4] = sin(%tt)
       %c : f32[n, 2] = slice(%cos) ${half(0)}
       %s : f32[n, 2] = slice(%sin) ${half(0)}
       %y : f32[n, 4] = rotaryEmbedding(%x, %c, %s) {"interleaved":false}
       output "y" = %y`
    )
  )

  it.effect("the halves on their own", () =>
    becomes(
      recognizeRotaryEmbedding,
      `input "x" %x : f32[n, 4]
       input "c" %c : f32[n, 2]
       input "s" %s : f32[n, 2]
       %x1 : f32[n, 2] = slice(%x) ${half(0)}
       %x2 : f32[n, 2] = slice(%x) ${half(2)}
       %p : f32[n, 2] = mul(%x1, %c)
       %q : f32[n, 2] = mul(%x2, %s)
       %a : f32[n, 2] = sub(%p, %q)
       %r : f32[n, 2] = mul(%c, %x2)
       %t : f32[n, 2] = mul(%x1, %s)
       %b : f32[n, 2] = add(%t, %r)
       %y : f32[n, 4] = concat(%a, %b) {"axis":-1}
       output "y" = %y`,
      `input "x" %x : f32[n, 4]
       input "c" %c : f32[n, 2]
       input "s" %s : f32[n, 2]
       %y : f32[n, 4] = rotaryEmbedding(%x, %c, %s) {"interleaved":false}
       output "y" = %y`
    )
  )

  it.effect("pairs of neighbours", () =>
    becomes(
      recognizeRotaryEmbedding,
      `input "x" %x : f32[n, 4]
       input "c" %c : f32[n, 2]
       input "s" %s : f32[n, 2]
       %g : f32[n, 2, 2] = reshape(%x) {"shape":["n",2,2]}
       %e1 : f32[n, 2, 1] = slice(%g) {"starts":[0,0,0],"sizes":["n",2,1],"steps":[1,1,1]}
       %e2 : f32[n, 2, 1] = slice(%g) {"starts":[0,0,1],"sizes":["n",2,1],"steps":[1,1,1]}
       %x1 : f32[n, 2] = reshape(%e1) {"shape":["n",2]}
       %x2 : f32[n, 2] = reshape(%e2) {"shape":["n",2]}
       %p : f32[n, 2] = mul(%x1, %c)
       %q : f32[n, 2] = mul(%x2, %s)
       %a : f32[n, 2] = sub(%p, %q)
       %r : f32[n, 2] = mul(%x1, %s)
       %t : f32[n, 2] = mul(%x2, %c)
       %b : f32[n, 2] = add(%r, %t)
       %u : f32[n, 2, 1] = reshape(%a) {"shape":["n",2,1]}
       %v : f32[n, 2, 1] = reshape(%b) {"shape":["n",2,1]}
       %w : f32[n, 2, 2] = concat(%u, %v) {"axis":2}
       %y : f32[n, 4] = reshape(%w) {"shape":["n",4]}
       output "y" = %y`,
      `input "x" %x : f32[n, 4]
       input "c" %c : f32[n, 2]
       input "s" %s : f32[n, 2]
       %y : f32[n, 4] = rotaryEmbedding(%x, %c, %s) {"interleaved":true}
       output "y" = %y`
    )
  )

  it.effect("angles that don't repeat, halves in the other order, a sum where a difference belongs: all stay", () =>
    stays(
      recognizeRotaryEmbedding,
      `input "x" %x : f32[n, 4]
       input "cos" %cos : f32[n, 4]
       input "sin" %sin : f32[n, 4]
       input "c" %c : f32[n, 2]
       input "s" %s : f32[n, 2]
       %x1 : f32[n, 2] = slice(%x) ${half(0)}
       %x2 : f32[n, 2] = slice(%x) ${half(2)}
       %m : f32[n, 2] = neg(%x2)
       %r : f32[n, 4] = concat(%m, %x1) {"axis":1}
       %a : f32[n, 4] = mul(%x, %cos)
       %b : f32[n, 4] = mul(%r, %sin)
       %y : f32[n, 4] = add(%a, %b)
       %p : f32[n, 2] = mul(%x1, %c)
       %q : f32[n, 2] = mul(%x2, %s)
       %d : f32[n, 2] = add(%p, %q)
       %t : f32[n, 2] = mul(%x2, %c)
       %u : f32[n, 2] = mul(%x1, %s)
       %e : f32[n, 2] = add(%t, %u)
       %z : f32[n, 4] = concat(%d, %e) {"axis":1}
       output "y" = %y
       output "z" = %z`
    )
  )
})
