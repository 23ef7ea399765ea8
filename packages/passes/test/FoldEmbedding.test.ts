import { assert, describe, it } from "@effect/vitest"
import { foldEmbedding } from "@anneal/passes/FoldEmbedding"
import * as Effect from "effect/Effect"
import { becomes, opsAfter, stays } from "./Rewriting.ts"

/** Numbers of a tensor, small and of both signs. */
const numbers = (size: number, seed: number): string =>
  `[${Array.from({ length: size }, (_, i) => ((i * 37 + seed * 11) % 23) / 8 - 1.25).join(", ")}]`

const constant = (id: string, shape: ReadonlyArray<number>, seed: number): string =>
  `constant %${id} : f32[${shape.join(", ")}] = ${numbers(
    shape.reduce((a, b) => a * b, 1),
    seed
  )}`

const conv = (stride: number, dilation = 1, pads = 0): string =>
  `{"strides":[${stride}],"padsBegin":[${pads}],"padsEnd":[0],"dilations":[${dilation}],"groups":1}`

const activations = (directions: number, names: ReadonlyArray<string>): string =>
  JSON.stringify(Array.from({ length: directions }, () => names.map((name) => ({ name, alpha: 0, beta: 0 }))).flat())

const ops = (body: string, expected: ReadonlyArray<string>) =>
  Effect.map(opsAfter(foldEmbedding, body), (found) => assert.deepStrictEqual(found, expected))

describe("foldEmbedding", () => {
  it.effect("a linear of rows of a table", () =>
    becomes(
      foldEmbedding,
      `input "i" %i : i64[n, 3]
       constant %table : f32[2, 8] = [1, 2, 3, 4, 5, 6, 7, 8, -1, 0, 1, 0, 2, 0, 0.5, 0]
       constant %w : f32[8, 2] = [1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]
       constant %b : f32[2] = [100, 200]
       %x : f32[n, 3, 8] = gather(%table, %i) {"axis":0}
       %y : f32[n, 3, 2] = linear(%x, %w, %b)
       output "y" = %y`,
      `input "i" %i : i64[n, 3]
       constant %t : f32[2, 2] = [116, 220, 102.5, 200]
       %y : f32[n, 3, 2] = gather(%t, %i) {"axis":0}
       output "y" = %y`
    )
  )

  it.effect("through activations, norms and constants of a row; the rows stay where others use them", () =>
    ops(
      `input "i" %i : i64[n]
       ${constant("table", [5, 8], 1)}
       ${constant("w", [8, 6], 2)}
       ${constant("scale", [8], 3)}
       ${constant("shift", [1, 8], 4)}
       constant %two : f32[] = 2
       %x : f32[n, 8] = gather(%table, %i) {"axis":0}
       %a : f32[n, 8] = layerNorm(%x, %scale) {"axis":1,"epsilon":0.00001}
       %c : f32[n, 8] = sub(%shift, %a)
       %d : f32[n, 8] = mul(%c, %two)
       %e : f32[n, 8] = silu(%d)
       %p : f32[n, 6] = matmul(%e, %w)
       output "x" = %x
       output "p" = %p`,
      ["gather", "gather"]
    )
  )

  it.effect("sums of lookups, other places, transposed places", () =>
    ops(
      `input "i" %i : i64[2, 3]
       input "j" %j : i64[2, 3]
       ${constant("words", [5, 16], 1)}
       ${constant("places", [3, 16], 2)}
       ${constant("w", [16, 4], 3)}
       ${constant("b", [4], 4)}
       %x : f32[2, 3, 16] = gather(%words, %i) {"axis":0}
       %z : f32[2, 3, 16] = gather(%places, %j) {"axis":0}
       %s : f32[2, 3, 16] = add(%x, %z)
       %t : f32[3, 2, 16] = transpose(%s) {"permutation":[1,0,2]}
       %r : f32[6, 16] = reshape(%t) {"shape":[6,16]}
       %y : f32[6, 4] = linear(%r, %w, %b)
       output "y" = %y`,
      ["transpose", "reshape", "gather", "transpose", "reshape", "gather", "add"]
    )
  )

  it.effect("each tap of a convolution", () =>
    ops(
      `input "i" %i : i64[n, 9]
       ${constant("table", [6, 8], 1)}
       ${constant("w", [3, 8, 3], 2)}
       ${constant("b", [3], 4)}
       %x : f32[n, 9, 8] = gather(%table, %i) {"axis":0}
       %t : f32[n, 8, 9] = transpose(%x) {"permutation":[0,2,1]}
       %y : f32[n, 3, 3] = conv(%t, %w, %b) ${conv(2, 2)}
       output "y" = %y`,
      ["slice", "gather", "slice", "gather", "add", "slice", "gather", "add", "transpose"]
    )
  )

  for (const [cell, gates, names, more] of [
    ["lstm", 4, ["sigmoid", "tanh", "tanh"], ',"inputForget":false'],
    ["gru", 3, ["sigmoid", "tanh"], ',"linearBeforeReset":true'],
    ["gru", 3, ["sigmoid", "tanh"], ',"linearBeforeReset":false'],
    ["rnn", 1, ["tanh"], ""]
  ] as const)
    it.effect(`the inputs of a recurrent layer: ${cell}${more}`, () =>
      ops(
        `input "i" %i : i64[n, l]
         ${constant("table", [6, 8], 1)}
         ${constant("w", [2, gates * 3, 8], 2)}
         ${constant("r", [2, gates * 3, 3], 3)}
         ${constant("b", [2, gates * 6], 4)}
         %x : f32[n, l, 8] = gather(%table, %i) {"axis":0}
         %t : f32[l, n, 8] = transpose(%x) {"permutation":[1,0,2]}
         %y : f32[l, 2, n, 3]; %h : f32[2, n, 3]${cell === "lstm" ? "; %c : f32[2, n, 3]" : ""} = ${cell}(%t, %w, %r, %b) {"hidden":3,"direction":"bidirectional","activations":${activations(2, names)},"clip":null${more}}
         output "y" = %y
         output "h" = %h`,
        ["transpose", "gather", cell]
      )
    )

  it.effect("a convolution and the layer behind it are one table a tap", () =>
    ops(
      `input "i" %i : i64[1, 8]
       ${constant("table", [6, 16], 1)}
       ${constant("taps", [16, 16, 2], 5)}
       ${constant("w", [1, 8, 16], 2)}
       ${constant("r", [1, 8, 2], 3)}
       %x : f32[1, 8, 16] = gather(%table, %i) {"axis":0}
       %t : f32[1, 16, 8] = transpose(%x) {"permutation":[0,2,1]}
       %c : f32[1, 16, 4] = conv(%t, %taps) ${conv(2)}
       %u : f32[4, 1, 16] = transpose(%c) {"permutation":[2,0,1]}
       %y : f32[4, 1, 1, 2]; %h : f32[1, 1, 2]; %s : f32[1, 1, 2] = lstm(%u, %w, %r) {"hidden":2,"direction":"forward","activations":${activations(1, ["sigmoid", "tanh", "tanh"])},"clip":null,"inputForget":false}
       output "y" = %y`,
      ["slice", "slice", "transpose", "gather", "transpose", "gather", "add", "lstm"]
    )
  )

  it.effect(
    "few terms, long tables, two lookups behind an activation, padding, weights that are no constants: all stay",
    () =>
      stays(
        foldEmbedding,
        `input "i" %i : i64[4]
       input "m" %m : i64[2, 6]
       input "v" %v : f32[8, 2]
       ${constant("narrow", [3, 4], 1)}
       ${constant("long", [257, 8], 2)}
       ${constant("table", [4, 16], 3)}
       ${constant("w4", [4, 2], 4)}
       ${constant("w8", [8, 2], 5)}
       ${constant("w16", [16, 2], 6)}
       ${constant("taps", [2, 16, 2], 7)}
       %a : f32[4, 4] = gather(%narrow, %i) {"axis":0}
       %b : f32[4, 2] = matmul(%a, %w4)
       %c : f32[4, 8] = gather(%long, %i) {"axis":0}
       %d : f32[4, 2] = matmul(%c, %w8)
       %dv : f32[4, 2] = matmul(%c, %v)
       %e : f32[4, 16] = gather(%table, %i) {"axis":0}
       %f : f32[4, 16] = add(%e, %e)
       %g : f32[4, 16] = relu(%f)
       %h : f32[4, 2] = matmul(%g, %w16)
       %k : f32[2, 6, 16] = gather(%table, %m) {"axis":0}
       %t : f32[2, 16, 6] = transpose(%k) {"permutation":[0,2,1]}
       %p : f32[2, 2, 6] = conv(%t, %taps) ${conv(1, 1, 1)}
       output "b" = %b
       output "d" = %d
       output "dv" = %dv
       output "h" = %h
       output "p" = %p`
      )
  )

  it.effect("half-width tables, another axis, norms along the places: all stay", () =>
    stays(
      foldEmbedding,
      `input "i" %i : i64[4]
       constant %half : f16[2, 8] = ${numbers(16, 1)}
       constant %wh : f16[8, 2] = ${numbers(16, 2)}
       ${constant("table", [8, 8], 3)}
       ${constant("w", [4, 2], 4)}
       ${constant("w8", [8, 2], 5)}
       %a : f16[4, 8] = gather(%half, %i) {"axis":0}
       %b : f16[4, 2] = matmul(%a, %wh)
       %c : f32[8, 4] = gather(%table, %i) {"axis":1}
       %d : f32[8, 2] = matmul(%c, %w)
       %e : f32[4, 8] = gather(%table, %i) {"axis":0}
       %f : f32[4, 8] = softmax(%e) {"axis":0}
       %g : f32[4, 2] = matmul(%f, %w8)
       output "b" = %b
       output "d" = %d
       output "g" = %g`
    )
  )
})
