// Recurrent layers, whole, with ONNX's gate orders and shapes.
//
// x [length, batch, features]; w [directions, gates·hidden, features]; r [directions, gates·hidden, hidden];
// without w, x is what the inputs give to the gates already: [length, batch, directions·gates·hidden];
// bias [directions, 2·gates·hidden] (input and recurrent halves); lengths i32 [batch]; states [directions, batch, hidden].
// Results: all outputs [length, directions, batch, hidden], the last hidden state, and for LSTM the last cell state.
import * as Schema from "effect/Schema"
import * as Dims from "../Dim.ts"
import * as Op from "../Op.ts"
import type { TensorType } from "../Type.ts"

/** An activation with its parameters; the names are ONNX's, in camel case. */
const Activation = Schema.Struct({
  name: Schema.Literals([
    "relu",
    "tanh",
    "sigmoid",
    "affine",
    "leakyRelu",
    "thresholdedRelu",
    "scaledTanh",
    "hardSigmoid",
    "elu",
    "softsign",
    "softplus"
  ]),
  alpha: Schema.Finite,
  beta: Schema.Finite
})
export type Activation = typeof Activation.Type

const shared = {
  hidden: Schema.Int,
  direction: Schema.Literals(["forward", "reverse", "bidirectional"]),
  /** For each direction, the cell's activations in ONNX's order. */
  activations: Schema.Array(Activation),
  /** Clip threshold of gate inputs; null for none. */
  clip: Schema.NullOr(Schema.Finite)
}

const operands: ReadonlyArray<Op.Operand> = [
  { name: "x" },
  { name: "w", optional: true },
  { name: "r" },
  { name: "bias", optional: true },
  { name: "lengths", optional: true },
  { name: "initialHidden", optional: true }
]

const results = (
  context: Op.InferContext<{ readonly hidden: number; readonly direction: string }>,
  gates: number,
  states: number
): ReadonlyArray<TensorType> => {
  const { attributes, constrain, fail, input } = context
  const [x, w, r] = [input(0), context.inputs[1], input(2)]
  if (x.shape.length !== 3 || (w !== undefined && w.shape.length !== 3) || r.shape.length !== 3)
    fail("x, w and r have rank 3")
  const directions = attributes.direction === "bidirectional" ? 2 : 1
  const { hidden } = attributes
  if (w === undefined) constrain(x.shape[2] ?? 0, directions * gates * hidden, "inputs of the gates")
  for (const [matrix, columns] of [...(w === undefined ? [] : [[w, x.shape[2] ?? 0] as const]), [r, hidden] as const]) {
    constrain(matrix.shape[0] ?? 0, directions, "directions")
    constrain(matrix.shape[1] ?? 0, gates * hidden, "gates · hidden")
    constrain(matrix.shape[2] ?? 0, columns, "columns of the weights")
  }
  const [length, batch] = [x.shape[0] ?? 1, x.shape[1] ?? 1]
  const state: TensorType = { dtype: x.dtype, shape: [directions, batch, hidden] }
  return [
    { dtype: x.dtype, shape: [length, directions, batch, hidden] },
    ...Array.from({ length: states }, () => state)
  ]
}

/** Gates i, o, f, c; activations f (gates), g (cell), h (output). Peepholes [directions, 3·hidden]: i, o, f. */
export const lstm = Op.define({
  name: "lstm",
  summary: "long short-term memory layer",
  attributes: Schema.Struct({ ...shared, /** Couple input and forget gates. */ inputForget: Schema.Boolean }),
  operands: [...operands, { name: "initialCell", optional: true }, { name: "peepholes", optional: true }],
  error: { kind: "run" },
  infer: (context) => results(context, 4, 2)
})

/** Gates z, r, h; activations f (gates), g (hidden). */
export const gru = Op.define({
  name: "gru",
  summary: "gated recurrent unit layer",
  attributes: Schema.Struct({
    ...shared,
    /** Apply the reset gate after the product. */ linearBeforeReset: Schema.Boolean
  }),
  operands,
  error: { kind: "run" },
  infer: (context) => results(context, 3, 1)
})

export const rnn = Op.define({
  name: "rnn",
  summary: "simple recurrent layer",
  attributes: Schema.Struct(shared),
  operands,
  error: { kind: "run" },
  infer: (context) => results(context, 1, 1)
})

/** Number of directions of a recurrent node. */
export const directions = (direction: string): Dims.Dim => (direction === "bidirectional" ? 2 : 1)

export const all: ReadonlyArray<Op.OpDefinition> = [lstm, gru, rnn]
