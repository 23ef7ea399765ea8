/**
 * RecurrentCell: what happens to the gates of four hidden units: activations, clipping, peepholes, and the next state.
 *
 *   LSTM: c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c')        GRU: h' = (1 − z) ⊙ n + z ⊙ h        RNN: h' = f(gate)
 *
 * Gates, activations and their order are ONNX's, as in the IR's ops.
 */
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { V128 } from "../Instruction.ts"
import { f32x4, v128 } from "../Instruction.ts"
import * as VectorMath from "../VectorMath.ts"
import type { Writer } from "../Writer.ts"

const elementary = (w: Writer, name: "tanh" | "sigmoid" | "exp" | "expm1" | "log1p", x: V128): V128 => {
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
      return elementary(w, "tanh", value)
    case "sigmoid":
      return elementary(w, "sigmoid", value)
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
      return f32x4.mul(elementary(w, "tanh", f32x4.mul(value, number(beta))), number(alpha))
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

/** A gate's input through its clip and activation. */
const gate = (w: Writer, options: CellOptions, index: number, value: V128): V128 =>
  w.keep(activate(w, at(options, index), clipped(w, value, options.clip)))

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
  const i = gate(w, options, 0, peep(input, 0, c))
  const f = options.inputForget ? f32x4.sub(w.splatF32(1), i) : gate(w, options, 0, peep(forget, 2, c))
  const g = gate(w, options, 1, candidate)
  const next = w.keep(w.madd(i, g, f32x4.mul(f, c)))
  const o = gate(w, options, 0, peep(output, 1, next))
  return { c: next, h: f32x4.mul(o, activate(w, at(options, 2), next)) }
}

/** The update or reset gate of a GRU. */
export const gruGate = (w: Writer, options: CellOptions, value: V128): V128 => gate(w, options, 0, value)

/** (1 − z) ⊙ g(candidate) + z ⊙ h. */
export const gruState = (w: Writer, options: CellOptions, update: V128, candidate: V128, before: V128): V128 => {
  const z = w.keep(update)
  const fresh = gate(w, options, 1, candidate)
  return w.madd(z, before, f32x4.mul(f32x4.sub(w.splatF32(1), z), fresh))
}

export const rnn = (w: Writer, options: CellOptions, value: V128): V128 => gate(w, options, 0, value)
