import { describe, it } from "@effect/vitest"
import { recognizeAttention } from "@anneal/passes/RecognizeAttention"
import { becomes, stays } from "./Rewriting.ts"

const inputs = `input "q" %q : f32[b, 4, s, 8]
       input "k" %k : f32[b, 4, t, 8]
       input "v" %v : f32[b, 4, t, 8]`
const attention = (mask: string, attributes: string) =>
  `%y : f32[b, 4, s, 8] = attention(%q, %k, %v${mask}) ${attributes}
       output "y" = %y`
const end = `%w : f32[b, 4, s, t] = softmax(%l) {"axis":-1}
       %y : f32[b, 4, s, 8] = matmul(%w, %v)
       output "y" = %y`

describe("recognizeAttention", () => {
  it.effect("the scale after the product, an added mask", () =>
    becomes(
      recognizeAttention,
      `${inputs}
       input "m" %m : f32[b, 1, s, t]
       constant %scale : f32[] = 4
       %kt : f32[b, 4, 8, t] = transpose(%k) {"permutation":[0,1,3,2]}
       %p : f32[b, 4, s, t] = matmul(%q, %kt)
       %d : f32[b, 4, s, t] = div(%p, %scale)
       %l : f32[b, 4, s, t] = add(%d, %m)
       ${end}`,
      `${inputs}
       input "m" %m : f32[b, 1, s, t]
       ${attention(", %m", '{"scale":0.25,"causal":false}')}`
    )
  )

  it.effect("half of the scale on each side, keys from [b, t, h, d]", () =>
    becomes(
      recognizeAttention,
      `input "q" %q : f32[b, 4, s, 8]
       input "k" %k : f32[b, t, 4, 8]
       input "v" %v : f32[b, 4, t, 8]
       constant %half : f32[1] = [0.5]
       %kt : f32[b, 4, 8, t] = transpose(%k) {"permutation":[0,2,3,1]}
       %ks : f32[b, 4, 8, t] = mul(%kt, %half)
       %qs : f32[b, 4, s, 8] = mul(%half, %q)
       %l : f32[b, 4, s, t] = matmul(%qs, %ks)
       ${end}`,
      `input "q" %q : f32[b, 4, s, 8]
       input "k" %k : f32[b, t, 4, 8]
       input "v" %v : f32[b, 4, t, 8]
       %h : f32[b, 4, t, 8] = transpose(%k) {"permutation":[0,2,1,3]}
       %y : f32[b, 4, s, 8] = attention(%q, %h, %v) {"scale":0.25,"causal":false}
       output "y" = %y`
    )
  )

  it.effect("a select against −∞ is an added mask", () =>
    becomes(
      recognizeAttention,
      `${inputs}
       input "m" %m : bool[1, 1, s, t]
       constant %low : f32[] = -Infinity
       %kt : f32[b, 4, 8, t] = transpose(%k) {"permutation":[0,1,3,2]}
       %p : f32[b, 4, s, t] = matmul(%q, %kt)
       %l : f32[b, 4, s, t] = select(%m, %p, %low)
       ${end}`,
      `${inputs}
       input "m" %m : bool[1, 1, s, t]
       constant %zero : f32[] = 0
       constant %low : f32[] = -Infinity
       %a : f32[1, 1, s, t] = select(%m, %zero, %low)
       ${attention(", %a", '{"scale":1,"causal":false}')}`
    )
  )

  it.effect("a constant lower triangle is causal", () =>
    becomes(
      recognizeAttention,
      `input "q" %q : f32[b, 2, 2, 8]
       input "k" %k : f32[b, 2, 3, 8]
       input "v" %v : f32[b, 2, 3, 8]
       constant %m : f32[2, 3] = [0, 0, -Infinity, 0, 0, 0]
       %kt : f32[b, 2, 8, 3] = transpose(%k) {"permutation":[0,1,3,2]}
       %p : f32[b, 2, 2, 3] = matmul(%q, %kt)
       %l : f32[b, 2, 2, 3] = add(%m, %p)
       %w : f32[b, 2, 2, 3] = softmax(%l) {"axis":3}
       %y : f32[b, 2, 2, 8] = matmul(%w, %v)
       output "y" = %y`,
      `input "q" %q : f32[b, 2, 2, 8]
       input "k" %k : f32[b, 2, 3, 8]
       input "v" %v : f32[b, 2, 3, 8]
       %y : f32[b, 2, 2, 8] = attention(%q, %k, %v) {"scale":1,"causal":true}
       output "y" = %y`
    )
  )

  it.effect("repeated heads of keys and values are not repeated", () =>
    becomes(
      recognizeAttention,
      `input "q" %q : f32[b, 4, s, 8]
       input "k" %k : f32[b, 2, t, 8]
       input "v" %v : f32[b, 2, t, 8]
       %k5 : f32[b, 2, 1, t, 8] = reshape(%k) {"shape":["b",2,1,"t",8]}
       %ke : f32[b, 2, 2, t, 8] = expand(%k5) {"shape":["b",2,2,"t",8]}
       %kr : f32[b, 4, t, 8] = reshape(%ke) {"shape":["b",4,"t",8]}
       %v5 : f32[b, 2, 1, t, 8] = reshape(%v) {"shape":["b",2,1,"t",8]}
       %ve : f32[b, 2, 2, t, 8] = expand(%v5) {"shape":["b",2,2,"t",8]}
       %vr : f32[b, 4, t, 8] = reshape(%ve) {"shape":["b",4,"t",8]}
       %kt : f32[b, 4, 8, t] = transpose(%kr) {"permutation":[0,1,3,2]}
       %l : f32[b, 4, s, t] = matmul(%q, %kt)
       %w : f32[b, 4, s, t] = softmax(%l) {"axis":-1}
       %y : f32[b, 4, s, 8] = matmul(%w, %vr)
       output "y" = %y`,
      `input "q" %q : f32[b, 4, s, 8]
       input "k" %k : f32[b, 2, t, 8]
       input "v" %v : f32[b, 2, t, 8]
       %y : f32[b, 4, s, 8] = attention(%q, %k, %v) {"scale":1,"causal":false}
       output "y" = %y`
    )
  )

  it.effect("softmax over the queries, weights that leave the graph, unknown batches: all stay", () =>
    stays(
      recognizeAttention,
      `input "q" %q : f32[2, 4, 3, 8]
       input "k" %k : f32[2, 4, 3, 8]
       input "v" %v : f32[2, 4, 3, 8]
       input "o" %o : f32[1, 4, 3, 8]
       %kt : f32[2, 4, 8, 3] = transpose(%k) {"permutation":[0,1,3,2]}
       %l : f32[2, 4, 3, 3] = matmul(%q, %kt)
       %w : f32[2, 4, 3, 3] = softmax(%l) {"axis":2}
       %y : f32[2, 4, 3, 8] = matmul(%w, %v)
       %lt : f32[2, 4, 8, 3] = transpose(%k) {"permutation":[0,1,3,2]}
       %m : f32[2, 4, 3, 3] = matmul(%q, %lt)
       %u : f32[2, 4, 3, 3] = softmax(%m) {"axis":3}
       %z : f32[2, 4, 3, 8] = matmul(%u, %v)
       %nt : f32[2, 4, 8, 3] = transpose(%k) {"permutation":[0,1,3,2]}
       %n : f32[2, 4, 3, 3] = matmul(%q, %nt)
       %r : f32[2, 4, 3, 3] = softmax(%n) {"axis":3}
       %s : f32[2, 4, 3, 8] = matmul(%r, %o)
       output "y" = %y
       output "u" = %u
       output "z" = %z
       output "s" = %s`
    )
  )
})
