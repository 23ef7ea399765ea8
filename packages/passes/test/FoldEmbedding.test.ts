import { assert, describe, it } from "@effect/vitest"
import * as Builders from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import { foldEmbedding } from "@anneal/passes/FoldEmbedding"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { becomes, opsAfter, stays, validate } from "./Rewriting.ts"

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

/** Lookups of tables, things done to their rows and places, and something that multiplies them, all made at random. */
const random = (seed: number): Graph => {
  let state = (seed * 2_654_435_761 + 1) >>> 0
  const draw = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * limit)
  }
  const b = Builders.make("random")
  const weights = (...shape: ReadonlyArray<number>): Value =>
    b.tensor(
      Numbers.fromNumbers(
        "f32",
        shape,
        Array.from({ length: Tensor.size(shape) }, () => (draw(33) - 16) / 24)
      )
    )
  const width = 16
  const places = [draw(2) === 0 ? Dim.symbol("n") : 2, 6]
  const lookup = (name: string): Value =>
    b.one(Ops.gather, [weights(3 + draw(5), width), b.input(name, Type.make("i64", places))], { axis: 0 })
  let x = lookup("i")
  const count = draw(2)
  if (count === 1) x = b.one(Ops.add, [x, lookup("j")], {})
  for (let step = draw(4); step > 0; step--) {
    const last = x.type.shape.length - 1
    const way = draw(5)
    if (way === 0) x = b.one([Ops.tanh, Ops.relu, Ops.sigmoid, Ops.neg][draw(4)] ?? Ops.abs, [x], {})
    else if (way === 1) x = b.one([Ops.sub, Ops.mul, Ops.max][draw(3)] ?? Ops.min, [weights(width), x], {})
    else if (way === 2) x = b.one(Ops.rmsNorm, [x], { axis: last, epsilon: 1e-5 })
    else if (way === 3) x = b.one(Ops.transpose, [x], { permutation: [1, 0, 2] })
    else x = b.one(Ops.add, [x, weights(1)], {})
  }
  const way = draw(3)
  if (way === 0) b.output("y", b.one(Ops.linear, [x, weights(width, 5), weights(5)], {}))
  else if (way === 1) {
    const turned = b.one(Ops.transpose, [x], { permutation: [0, 2, 1] })
    const attributes = { strides: [1 + draw(2)], padsBegin: [0], padsEnd: [0], dilations: [1], groups: 1 }
    b.output("y", b.one(Ops.conv, [turned, weights(4, width, 1 + draw(2))], attributes))
  } else {
    const direction = draw(2) === 0 ? ("bidirectional" as const) : ("reverse" as const)
    const ways = direction === "bidirectional" ? 2 : 1
    const cell = ["sigmoid" as const, "tanh" as const].map((one) => ({ name: one, alpha: 0, beta: 0 }))
    const activations = Array.from({ length: ways }, () => cell).flat()
    const attributes = { hidden: 2, direction, activations, clip: null, linearBeforeReset: draw(2) === 0 }
    const [y] = b.node(Ops.gru, [x, weights(ways, 6, width), weights(ways, 6, 2), weights(ways, 12)], attributes)
    if (y !== undefined) b.output("y", y)
  }
  return b.finish()
}

const ops = (body: string, expected: ReadonlyArray<string>) =>
  Effect.map(opsAfter(foldEmbedding, body), (found) => assert.deepStrictEqual(found, expected))

describe("foldEmbedding", () => {
  it.live(
    "graphs made at random mean the same",
    () =>
      Effect.gen(function* () {
        let fired = 0
        for (let seed = 0; seed < 80; seed++) {
          const before = random(seed)
          const edited = yield* foldEmbedding.rewrite(before)
          if (!edited.changed) continue
          fired++
          assert.deepStrictEqual(Verify.verify(edited.graph), [], `seed ${seed}`)
          const { failures } = yield* validate(foldEmbedding, before, edited)
          assert.deepStrictEqual(
            failures.map(({ message }) => message),
            [],
            `seed ${seed}`
          )
        }
        assert.isAbove(fired, 40)
      }).pipe(Effect.provide(Reference.layer())),
    60_000
  )

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
