import { assert, describe, it } from "@effect/vitest"
import { trimRecurrent } from "@anneal/passes/TrimRecurrent"
import * as Effect from "effect/Effect"
import { becomes, opsAfter, stays } from "./Rewriting.ts"

const numbers = (size: number, seed: number): string =>
  `[${Array.from({ length: size }, (_, i) => ((i * 37 + seed * 11) % 23) / 16 - 0.7).join(", ")}]`

const constant = (id: string, shape: ReadonlyArray<number>, seed: number): string =>
  `constant %${id} : f32[${shape.join(", ")}] = ${numbers(
    shape.reduce((a, b) => a * b, 1),
    seed
  )}`

const cells = {
  lstm: { gates: 4, names: ["sigmoid", "tanh", "tanh"], more: ',"inputForget":false' },
  gru: { gates: 3, names: ["sigmoid", "tanh"], more: ',"linearBeforeReset":true' },
  rnn: { gates: 1, names: ["tanh"], more: "" }
} as const

const attributes = (cell: keyof typeof cells, direction: "forward" | "reverse" | "bidirectional"): string => {
  const activations = cells[cell].names.map((name) => ({ name, alpha: 0, beta: 0 }))
  const all = direction === "bidirectional" ? [...activations, ...activations] : activations
  return `{"hidden":2,"direction":"${direction}","activations":${JSON.stringify(all)},"clip":null${cells[cell].more}}`
}

/** A bidirectional layer over x [l, n, 3] as %y [l, 2, n, 2]. */
const both = (cell: keyof typeof cells, length: string, states = false): string => {
  const { gates } = cells[cell]
  const state = cell === "lstm" ? "; %c : f32[2, 2, 2]" : ""
  const given = states ? `, _, %h0${cell === "lstm" ? ", %c0" : ""}` : ""
  return `input "x" %x : f32[${length}, 2, 3]
     ${constant("w", [2, gates * 2, 3], 1)}
     ${constant("r", [2, gates * 2, 2], 2)}
     ${constant("b", [2, gates * 4], 3)}
     ${states ? constant("h0", [2, 2, 2], 4) : ""}
     ${states && cell === "lstm" ? constant("c0", [2, 2, 2], 5) : ""}
     %y : f32[${length}, 2, 2, 2]; %h : f32[2, 2, 2]${state} = ${cell}(%x, %w, %r, %b${given}) ${attributes(cell, "bidirectional")}`
}

const ops = (body: string, expected: ReadonlyArray<string>) =>
  Effect.map(opsAfter(trimRecurrent, body), (found) =>
    assert.deepStrictEqual(
      found.filter((name) => name !== "slice" && name !== "reshape"),
      expected
    )
  )

describe("trimRecurrent", () => {
  for (const cell of ["lstm", "gru", "rnn"] as const)
    it.effect(`${cell}: the last step, as an exporter of batches first takes it`, () =>
      ops(
        `${both(cell, "5", true)}
         %t : f32[5, 2, 2, 2] = transpose(%y) {"permutation":[0,2,1,3]}
         %m : f32[5, 2, 4] = reshape(%t) {"shape":[5,2,4]}
         %s : f32[2, 5, 4] = transpose(%m) {"permutation":[1,0,2]}
         constant %last : i64[] = -1
         %z : f32[2, 4] = gather(%s, %last) {"axis":1}
         output "z" = %z`,
        [cell, cell, "concat", "transpose", "transpose", "gather"]
      )
    )

  it.effect("the last and the first step of a length that is a symbol", () =>
    Effect.all([
      ops(
        `${both("lstm", "l")}
         %z : f32[1, 2, 2, 2] = slice(%y) {"starts":["l - 1",0,0,0],"sizes":[1,2,2,2],"steps":[1,1,1,1]}
         output "z" = %z`,
        ["lstm", "lstm", "concat"]
      ),
      ops(
        `${both("gru", "l")}
         %z : f32[1, 1, 2, 1] = slice(%y) {"starts":[0,1,0,1],"sizes":[1,1,2,1],"steps":[1,1,1,1]}
         output "z" = %z`,
        ["gru", "gru", "concat"]
      )
    ])
  )

  it.effect("one direction that begins where it is read", () =>
    becomes(
      trimRecurrent,
      `input "x" %x : f32[4, 1, 1]
       constant %w : f32[1, 2, 1] = [1, 2]
       constant %r : f32[1, 2, 2] = [1, 0, 0, 1]
       %y : f32[4, 1, 1, 2]; %h : f32[1, 1, 2] = rnn(%x, %w, %r) ${attributes("rnn", "reverse")}
       %z : f32[1, 1, 1, 2] = slice(%y) {"starts":[3,0,0,0],"sizes":[1,1,1,2],"steps":[1,1,1,1]}
       output "z" = %z`,
      `input "x" %x : f32[4, 1, 1]
       constant %w : f32[1, 2, 1] = [1, 2]
       constant %r : f32[1, 2, 2] = [1, 0, 0, 1]
       %p : f32[1, 1, 1] = slice(%x) {"starts":[3,0,0],"sizes":[1,1,1],"steps":[1,1,1]}
       %y : f32[1, 1, 1, 2]; %h : f32[1, 1, 2] = rnn(%p, %w, %r) ${attributes("rnn", "forward")}
       %s : f32[1, 1, 1, 2] = reshape(%h) {"shape":[1,1,1,2]}
       %z : f32[1, 1, 1, 2] = slice(%s) {"starts":[0,0,0,0],"sizes":[1,1,1,2],"steps":[1,1,1,1]}
       output "z" = %z`
    )
  )

  const kept: ReadonlyArray<readonly [why: string, body: string]> = [
    [
      "a step in the middle",
      `${both("rnn", "5")}
       %z : f32[1, 2, 2, 2] = slice(%y) {"starts":[3,0,0,0],"sizes":[1,2,2,2],"steps":[1,1,1,1]}
       output "z" = %z`
    ],
    [
      "other users of the outputs",
      `${both("rnn", "5")}
       %z : f32[1, 2, 2, 2] = slice(%y) {"starts":[4,0,0,0],"sizes":[1,2,2,2],"steps":[1,1,1,1]}
       output "y" = %y
       output "z" = %z`
    ],
    [
      "states that are taken",
      `${both("rnn", "5")}
       %z : f32[1, 2, 2, 2] = slice(%y) {"starts":[4,0,0,0],"sizes":[1,2,2,2],"steps":[1,1,1,1]}
       output "h" = %h
       output "z" = %z`
    ],
    [
      "a reshape that mixes the steps",
      `${both("rnn", "5")}
       %m : f32[10, 4] = reshape(%y) {"shape":[10,4]}
       %z : f32[1, 4] = slice(%m) {"starts":[9,0],"sizes":[1,4],"steps":[1,1]}
       output "z" = %z`
    ],
    [
      "one direction that ends where it is read",
      `input "x" %x : f32[4, 1, 1]
       constant %w : f32[1, 2, 1] = [1, 2]
       constant %r : f32[1, 2, 2] = [1, 0, 0, 1]
       %y : f32[4, 1, 1, 2]; %h : f32[1, 1, 2] = rnn(%x, %w, %r) ${attributes("rnn", "forward")}
       %z : f32[1, 1, 1, 2] = slice(%y) {"starts":[3,0,0,0],"sizes":[1,1,1,2],"steps":[1,1,1,1]}
       output "z" = %z`
    ],
    [
      "lengths of each sequence",
      `input "x" %x : f32[4, 1, 1]
       input "n" %n : i32[1]
       constant %w : f32[1, 2, 1] = [1, 2]
       constant %r : f32[1, 2, 2] = [1, 0, 0, 1]
       %y : f32[4, 1, 1, 2]; %h : f32[1, 1, 2] = rnn(%x, %w, %r, _, %n) ${attributes("rnn", "reverse")}
       %z : f32[1, 1, 1, 2] = slice(%y) {"starts":[3,0,0,0],"sizes":[1,1,1,2],"steps":[1,1,1,1]}
       output "z" = %z`
    ]
  ]
  for (const [why, body] of kept) it.effect(`stays: ${why}`, () => stays(trimRecurrent, body))
})
