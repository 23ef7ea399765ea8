// LSTM, GRU and RNN. `layout` 1 puts the batch first.
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { Context, Operator } from "../Operator.ts"

interface Defaults {
  readonly onnx: string
  readonly name: Activation["name"]
  readonly alpha: number
  readonly beta: number
}
const activations: ReadonlyArray<Defaults> = [
  { onnx: "relu", name: "relu", alpha: 0, beta: 0 },
  { onnx: "tanh", name: "tanh", alpha: 0, beta: 0 },
  { onnx: "sigmoid", name: "sigmoid", alpha: 0, beta: 0 },
  { onnx: "affine", name: "affine", alpha: 1, beta: 0 },
  { onnx: "leakyrelu", name: "leakyRelu", alpha: Math.fround(0.01), beta: 0 },
  { onnx: "thresholdedrelu", name: "thresholdedRelu", alpha: 1, beta: 0 },
  { onnx: "scaledtanh", name: "scaledTanh", alpha: 1, beta: 1 },
  { onnx: "hardsigmoid", name: "hardSigmoid", alpha: Math.fround(0.2), beta: 0.5 },
  { onnx: "elu", name: "elu", alpha: 1, beta: 0 },
  { onnx: "softsign", name: "softsign", alpha: 0, beta: 0 },
  { onnx: "softplus", name: "softplus", alpha: 0, beta: 0 }
]
/** Those that take alpha (and beta) from the attribute lists, in order. */
const takesAlpha = new Set(["affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"])
const takesBeta = new Set(["affine", "scaledtanh", "hardsigmoid"])

const activationsOf = (c: Context, defaults: ReadonlyArray<string>, directions: number): ReadonlyArray<Activation> => {
  const names = c.attribute.strings("activations") ?? Array.from({ length: directions }, () => defaults).flat()
  const alphas = [...(c.attribute.floats("activation_alpha") ?? [])]
  const betas = [...(c.attribute.floats("activation_beta") ?? [])]
  return names.map((given) => {
    const key = given.toLowerCase()
    const found = activations.find(({ onnx }) => onnx === key) ?? c.fail(`activation "${given}" is not known`)
    const alpha = takesAlpha.has(key) ? (alphas.shift() ?? found.alpha) : found.alpha
    const beta = takesBeta.has(key) ? (betas.shift() ?? found.beta) : found.beta
    return { name: found.name, alpha, beta }
  })
}

const directionOf = (c: Context): "forward" | "reverse" | "bidirectional" => {
  const given = c.attribute.string("direction", "forward")
  return given === "forward" || given === "reverse" || given === "bidirectional"
    ? given
    : c.fail(`direction "${given}" is not known`)
}

/** First two axes exchanged, for `layout` 1. */
const turned = (c: Context, x: Value | undefined): Value | undefined =>
  x === undefined || !c.attribute.flag("layout", false) ? x : c.e.transpose(x, [1, 0, 2])

const shared = (c: Context, defaults: ReadonlyArray<string>) => {
  const direction = directionOf(c)
  return {
    hidden: c.attribute.has("hidden_size") ? c.attribute.int("hidden_size") : Number(c.type(2).shape.at(-1)),
    direction,
    activations: activationsOf(c, defaults, direction === "bidirectional" ? 2 : 1),
    clip: c.attribute.has("clip") ? c.attribute.float("clip") : null
  }
}

/** Results in ONNX's order, batch first when the layout says so. */
const results = (c: Context, [outputs, ...states]: ReadonlyArray<Value>): ReadonlyArray<Value> => {
  if (outputs === undefined || !c.attribute.flag("layout", false))
    return outputs === undefined ? [] : [outputs, ...states]
  return [c.e.transpose(outputs, [2, 0, 1, 3]), ...states.map((state) => c.e.transpose(state, [1, 0, 2]))]
}

const operands = (c: Context): ReadonlyArray<Value | undefined> => [
  turned(c, c.input(0)),
  c.input(1),
  c.input(2),
  c.optional(3),
  c.optional(4),
  turned(c, c.optional(5))
]

export const lstm: Operator = {
  name: "LSTM",
  since: [1, 7, 14],
  translate: (c) => {
    const attributes = {
      ...shared(c, ["Sigmoid", "Tanh", "Tanh"]),
      inputForget: c.attribute.flag("input_forget", false)
    }
    const inputs = [...operands(c), turned(c, c.optional(6)), c.optional(7)]
    return results(c, c.e.b.node(Ops.lstm, inputs, attributes))
  }
}

export const gru: Operator = {
  name: "GRU",
  since: [1, 3, 7, 14],
  translate: (c) => {
    const linearBeforeReset = c.attribute.flag("linear_before_reset", false)
    return results(c, c.e.b.node(Ops.gru, operands(c), { ...shared(c, ["Sigmoid", "Tanh"]), linearBeforeReset }))
  }
}

export const rnn: Operator = {
  name: "RNN",
  since: [1, 7, 14],
  translate: (c) => results(c, c.e.b.node(Ops.rnn, operands(c), shared(c, ["Tanh"])))
}

export const all: ReadonlyArray<Operator> = [lstm, gru, rnn]
