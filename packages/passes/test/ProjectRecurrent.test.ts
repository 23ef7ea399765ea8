import { assert, describe, it } from "@effect/vitest"
import { projectRecurrent } from "@anneal/passes/ProjectRecurrent"
import * as Effect from "effect/Effect"
import { opsAfter, stays } from "./Rewriting.ts"

const constant = (id: string, shape: ReadonlyArray<number>, seed: number): string => {
  const size = shape.reduce((a, b) => a * b, 1)
  const numbers = Array.from({ length: size }, (_, i) => ((i * 37 + seed * 11) % 23) / 32 - 0.35)
  return `constant %${id} : f32[${shape.join(", ")}] = [${numbers.join(", ")}]`
}

const cells = {
  lstm: { gates: 4, names: ["sigmoid", "tanh", "tanh"], more: ',"inputForget":false' },
  gru: { gates: 3, names: ["sigmoid", "tanh"], more: ',"linearBeforeReset":false' },
  resetAfter: { gates: 3, names: ["sigmoid", "tanh"], more: ',"linearBeforeReset":true' },
  rnn: { gates: 1, names: ["tanh"], more: "" }
} as const
type Cell = keyof typeof cells
const opOf = (cell: Cell): string => (cell === "resetAfter" ? "gru" : cell)

interface Options {
  readonly length?: string
  readonly width?: number
  readonly directions?: 1 | 2
  readonly bias?: boolean
  /** Text of the operands behind the bias, and what declares them. */
  readonly others?: readonly [operands: string, declared: string]
  readonly weights?: string
}

const layer = (cell: Cell, options: Options = {}): string => {
  const { bias = true, directions = 2, length = "l", others = ["", ""], width = 32 } = options
  const { gates, more, names } = cells[cell]
  const activations = Array.from({ length: directions }, () => names.map((one) => ({ name: one, alpha: 0, beta: 0 })))
  const direction = directions === 2 ? "bidirectional" : "forward"
  const state = cell === "lstm" ? `; %c : f32[${directions}, n, 3]` : ""
  return `input "x" %x : f32[${length}, n, ${width}]
    ${options.weights ?? constant("w", [directions, gates * 3, width], 1)}
    ${constant("r", [directions, gates * 3, 3], 2)}
    ${bias ? constant("b", [directions, gates * 6], 3) : ""}
    ${others[1]}
    %y : f32[${length}, ${directions}, n, 3]; %h : f32[${directions}, n, 3]${state} = ${opOf(cell)}(%x, %w, %r${bias ? ", %b" : others[0] === "" ? "" : ", _"}${others[0]}) {"hidden":3,"direction":"${direction}","activations":${JSON.stringify(activations.flat())},"clip":null${more}}
    output "y" = %y
    output "h" = %h`
}

const ops = (body: string, expected: ReadonlyArray<string>) =>
  Effect.map(opsAfter(projectRecurrent, body), (found) => assert.deepStrictEqual(found, expected))

describe("projectRecurrent", () => {
  for (const cell of ["lstm", "gru", "rnn"] as const) {
    it.effect(`${cell}: both directions in one product, with the bias`, () => ops(layer(cell), ["linear", opOf(cell)]))
    it.effect(`${cell}: one direction, without a bias`, () =>
      ops(layer(cell, { directions: 1, bias: false }), ["matmul", opOf(cell)])
    )
  }

  it.effect("a GRU that resets after the product keeps its bias", () => ops(layer("resetAfter"), ["matmul", "gru"]))

  it.effect("states as they begin, and lengths, stay with the layer", () =>
    ops(
      layer("lstm", {
        length: "5",
        others: [", %len, %h0", `input "len" %len : i32[n]\ninput "h0" %h0 : f32[2, n, 3]`]
      }),
      ["linear", "lstm"]
    )
  )

  it.effect("few inputs, one step, weights that are no constants: all stay", () =>
    Effect.all([
      stays(projectRecurrent, layer("lstm", { width: 31 })),
      stays(projectRecurrent, layer("lstm", { length: "1" })),
      stays(projectRecurrent, layer("rnn", { weights: 'input "w" %w : f32[2, 3, 32]' }))
    ])
  )
})
