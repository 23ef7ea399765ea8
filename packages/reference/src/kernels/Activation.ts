// The activations of recurrent cells: their values, and bounds of their slopes near a point.
import type { Activation } from "@anneal/ir/ops/Recurrent"
import * as Functions from "../Math.ts"
import { sigmoid } from "./Unary.ts"

export interface ActivationFunction {
  readonly value: (z: number) => number
  /** Bound of |f′| on [z − error, z + error]; Infinity where f jumps there. */
  readonly slope: (z: number, error: number) => number
  /** The extent of f's range: no error is larger. */
  readonly range: number
}

type Make = (alpha: number, beta: number) => ActivationFunction

const makers: { readonly [Name in Activation["name"]]: Make } = {
  relu: () => ({ value: (z) => Math.max(0, z), slope: (z, error) => (z + error < 0 ? 0 : 1), range: Infinity }),
  // |tanh″| ≤ 0.77, |sigmoid″| ≤ 0.0963: the slope at z, and what it can change within the error.
  tanh: () => ({
    value: Functions.tanh,
    slope: (z, error) => {
      const t = Functions.tanh(z)
      return Math.min(1, 1 - t * t + 0.77 * error)
    },
    range: 2
  }),
  sigmoid: () => ({
    value: sigmoid,
    slope: (z, error) => {
      const s = sigmoid(z)
      return Math.min(0.25, s * (1 - s) + 0.0963 * error)
    },
    range: 1
  }),
  affine: (alpha, beta) => ({ value: (z) => alpha * z + beta, slope: () => Math.abs(alpha), range: Infinity }),
  leakyRelu: (alpha) => ({
    value: (z) => (z >= 0 ? z : alpha * z),
    slope: () => Math.max(1, Math.abs(alpha)),
    range: Infinity
  }),
  thresholdedRelu: (alpha) => ({
    value: (z) => (z > alpha ? z : 0),
    slope: (z, error) => (Math.abs(z - alpha) <= error ? Infinity : z > alpha ? 1 : 0),
    range: Infinity
  }),
  scaledTanh: (alpha, beta) => ({
    value: (z) => alpha * Functions.tanh(beta * z),
    slope: () => Math.abs(alpha * beta),
    range: 2 * Math.abs(alpha)
  }),
  hardSigmoid: (alpha, beta) => ({
    value: (z) => Math.max(0, Math.min(1, alpha * z + beta)),
    slope: () => Math.abs(alpha),
    range: 1
  }),
  elu: (alpha) => ({
    value: (z) => (z >= 0 ? z : alpha * Functions.expm1(z)),
    slope: () => Math.max(1, Math.abs(alpha)),
    range: Infinity
  }),
  softsign: () => ({ value: (z) => z / (1 + Math.abs(z)), slope: () => 1, range: 2 }),
  softplus: () => ({
    value: (z) => Math.max(z, 0) + Functions.log1p(Functions.exp(-Math.abs(z))),
    slope: () => 1,
    range: Infinity
  })
}

export const activation = ({ alpha, beta, name }: Activation): ActivationFunction => makers[name](alpha, beta)
