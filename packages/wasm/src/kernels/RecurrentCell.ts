/**
 * RecurrentCell: what happens to the gates of four hidden units: activations, clipping, peepholes, and the next state.
 *
 *   LSTM: c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c')        GRU: h' = (1 − z) ⊙ n + z ⊙ h        RNN: h' = f(gate)
 *
 * Gates, activations and their order are ONNX's, as in the IR's ops. Sigmoid and tanh are quotients that are divided late: a
 * product of two is divided once (`RecurrentGate.ts`).
 */
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { V128 } from "../Instruction.ts"
import { f32x4, v128 } from "../Instruction.ts"
import * as VectorMath from "../VectorMath.ts"
import type { Writer } from "../Writer.ts"
import type { Quotient } from "./RecurrentGate.ts"
import * as Gate from "./RecurrentGate.ts"

const elementary = (w: Writer, name: "exp" | "expm1" | "log1p", x: V128): V128 => {
  const result = VectorMath.unary(w, name, x)
  if (result === undefined) throw new Error(`${name} has no code`)
  return result
}

/** An activation of four values. */
const activate = (w: Writer, { alpha, beta, name }: Activation, value: V128): V128 => {
  const number = (x: number): V128 => w.splatF32(x)
  switch (name) {
    case "relu":
      return f32x4.max(value, number(0))
    case "tanh":
      return Gate.value(w, Gate.tanh(w, value))
    case "sigmoid":
      return Gate.value(w, Gate.sigmoid(w, value))
    case "affine":
      return f32x4.add(f32x4.mul(value, number(alpha)), number(beta))
    case "leakyRelu": {
      const x = w.keep(value)
      return v128.bitselect(x, f32x4.mul(x, number(alpha)), f32x4.ge(x, number(0)))
    }
    case "thresholdedRelu": {
      const x = w.keep(value)
      return v128.and(x, f32x4.gt(x, number(alpha)))
    }
    case "scaledTanh":
      return f32x4.mul(Gate.value(w, Gate.tanh(w, f32x4.mul(value, number(beta)))), number(alpha))
    case "hardSigmoid":
      return f32x4.max(f32x4.min(f32x4.add(f32x4.mul(value, number(alpha)), number(beta)), number(1)), number(0))
    case "elu": {
      const x = w.keep(value)
      return v128.bitselect(x, f32x4.mul(elementary(w, "expm1", x), number(alpha)), f32x4.ge(x, number(0)))
    }
    case "softsign": {
      const x = w.keep(value)
      return f32x4.div(x, f32x4.add(f32x4.abs(x), number(1)))
    }
    case "softplus": {
      const x = w.keep(value)
      const tail = elementary(w, "log1p", elementary(w, "exp", f32x4.neg(f32x4.abs(x))))
      return f32x4.add(f32x4.max(x, number(0)), tail)
    }
  }
}

export interface CellOptions {
  /** One direction's, in ONNX's order. */
  readonly activations: ReadonlyArray<Activation>
  readonly clip: number | null
  readonly inputForget: boolean
}

const clipped = (w: Writer, value: V128, clip: number | null): V128 =>
  clip === null ? value : f32x4.min(f32x4.max(value, w.splatF32(-clip)), w.splatF32(clip))

const at = ({ activations }: CellOptions, index: number): Activation =>
  activations[index] ?? { name: "tanh", alpha: 0, beta: 0 }

/** Inputs of gates, with the activation that each goes through. */
type Given = readonly [index: number, value: V128]

/** Gates' inputs through their clips and activations, not divided yet. */
const gatesOf = (w: Writer, options: CellOptions, given: ReadonlyArray<Given>): ReadonlyArray<Quotient> => {
  const inputs = given.map(([index, value]) => ({ activation: at(options, index), x: clipped(w, value, options.clip) }))
  const together = inputs.flatMap(({ activation: { name }, x }, place) =>
    name === "sigmoid" || name === "tanh" ? [{ name, x, place }] : []
  )
  const quotients = Gate.quotients(w, together)
  return inputs.map(({ activation, x }, place) => {
    const found = quotients[together.findIndex((one) => one.place === place)]
    return found ?? { top: activate(w, activation, x) }
  })
}

const gate = (w: Writer, options: CellOptions, index: number, value: V128): Quotient =>
  gatesOf(w, options, [[index, value]])[0] ?? {}

/** The output's activation: no gate, and not clipped. */
const outputOf = (w: Writer, options: CellOptions, value: V128): Quotient =>
  gate(w, { ...options, clip: null }, 2, value)

const divided = (w: Writer, one: Quotient): V128 => w.keep(Gate.value(w, one))

/** Gates i, o, f, c of an LSTM; peepholes i, o, f. */
export const lstm = (
  w: Writer,
  options: CellOptions,
  [input, output, forget, candidate]: readonly [V128, V128, V128, V128],
  before: V128,
  peepholes: readonly [V128, V128, V128] | undefined
): { readonly h: V128; readonly c: V128 } => {
  const c = w.keep(before)
  const peep = (value: V128, which: 0 | 1 | 2, cell: V128): V128 =>
    peepholes === undefined ? value : w.madd(peepholes[which], cell, value)
  // The output's gate sees the new cell state, where there are peepholes.
  const isEarly = peepholes === undefined
  const [i = {}, g = {}, f = {}, early = {}] = gatesOf(w, options, [
    [0, peep(input, 0, c)],
    [1, candidate],
    ...(options.inputForget ? [] : [[0, peep(forget, 2, c)] as const]),
    ...(isEarly ? [[0, output] as const] : [])
  ])
  const next = w.keep(
    options.inputForget
      ? coupled(w, divided(w, i), Gate.value(w, g), c)
      : f32x4.add(Gate.value(w, Gate.times(f, { top: c })), Gate.value(w, Gate.times(i, g)))
  )
  const o = isEarly ? (options.inputForget ? f : early) : gate(w, options, 0, peep(output, 1, next))
  return { c: next, h: w.keep(Gate.value(w, Gate.times(o, outputOf(w, options, next)))) }
}

/** i ⊙ g + (1 − i) ⊙ c. */
const coupled = (w: Writer, i: V128, g: V128, c: V128): V128 => w.madd(i, g, f32x4.mul(f32x4.sub(w.splatF32(1), i), c))

/** The update or reset gate of a GRU. */
export const gruGate = (w: Writer, options: CellOptions, value: V128): V128 => divided(w, gate(w, options, 0, value))

/** (1 − z) ⊙ g(candidate) + z ⊙ h. */
export const gruState = (w: Writer, options: CellOptions, update: V128, candidate: V128, before: V128): V128 => {
  const z = w.keep(update)
  const fresh = Gate.value(w, gate(w, options, 1, candidate))
  return w.keep(w.madd(z, before, f32x4.mul(f32x4.sub(w.splatF32(1), z), fresh)))
}

export const rnn = (w: Writer, options: CellOptions, value: V128): V128 => divided(w, gate(w, options, 0, value))
