import { describe, it } from "@effect/vitest"
import { mergeMatmuls } from "@anneal/passes/MergeMatmuls"
import { becomes, stays } from "./Rewriting.ts"

const cut = (start: number, size: number) => `{"starts":[0,${start}],"sizes":["n",${size}],"steps":[1,1]}`

describe("mergeMatmuls", () => {
  it.effect("products of one x stand side by side", () =>
    becomes(
      mergeMatmuls,
      `input "x" %x : f32[n, 2]
       constant %q : f32[2, 2] = [1, 2, 3, 4]
       constant %k : f32[2, 1] = [5, 6]
       constant %v : f32[2, 3] = [7, 8, 9, 10, 11, 12]
       %a : f32[n, 2] = matmul(%x, %q)
       %b : f32[n, 1] = matmul(%x, %k)
       %c : f32[n, 3] = matmul(%x, %v)
       output "a" = %a
       output "b" = %b
       output "c" = %c`,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 6] = [1, 2, 5, 7, 8, 9, 3, 4, 6, 10, 11, 12]
       %m : f32[n, 6] = matmul(%x, %w)
       %a : f32[n, 2] = slice(%m) ${cut(0, 2)}
       %b : f32[n, 1] = slice(%m) ${cut(2, 1)}
       %c : f32[n, 3] = slice(%m) ${cut(3, 3)}
       output "a" = %a
       output "b" = %b
       output "c" = %c`
    )
  )

  it.effect("linears with their biases", () =>
    becomes(
      mergeMatmuls,
      `input "x" %x : f32[n, 2]
       constant %q : f32[2, 1] = [1, 2]
       constant %k : f32[2, 1] = [5, 6]
       constant %s : f32[1] = [3]
       constant %t : f32[1] = [4]
       %a : f32[n, 1] = linear(%x, %q, %s)
       %b : f32[n, 1] = linear(%x, %k, %t)
       output "a" = %a
       output "b" = %b`,
      `input "x" %x : f32[n, 2]
       constant %w : f32[2, 2] = [1, 5, 2, 6]
       constant %c : f32[2] = [3, 4]
       %m : f32[n, 2] = linear(%x, %w, %c)
       %a : f32[n, 1] = slice(%m) ${cut(0, 1)}
       %b : f32[n, 1] = slice(%m) ${cut(1, 1)}
       output "a" = %a
       output "b" = %b`
    )
  )

  it.effect("one product, products of different values, weights that are no constants: all stay", () =>
    stays(
      mergeMatmuls,
      `input "x" %x : f32[2, 2]
       input "z" %z : f32[2, 2]
       constant %q : f32[2, 1] = [1, 2]
       constant %s : f32[1] = [3]
       %a : f32[2, 1] = matmul(%x, %q)
       %b : f32[2, 1] = matmul(%z, %q)
       %c : f32[2, 2] = matmul(%x, %z)
       %d : f32[2, 1] = linear(%x, %q, %s)
       output "a" = %a
       output "b" = %b
       output "c" = %c
       output "d" = %d`
    )
  )
})
