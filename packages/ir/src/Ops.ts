// Every built-in op, by name. `import * as Ops from "@anneal/ir/Ops"`: `Ops.conv`, `Ops.softmax`, `Ops.all`.
import type { OpDefinition } from "./Op.ts"
import * as Composite from "./ops/Composite.ts"
import * as Contract from "./ops/Contract.ts"
import * as Control from "./ops/Control.ts"
import * as Elementwise from "./ops/Elementwise.ts"
import * as Movement from "./ops/Movement.ts"
import * as Pool from "./ops/Pool.ts"
import * as Quantize from "./ops/Quantize.ts"
import * as Random from "./ops/Random.ts"
import * as Recurrent from "./ops/Recurrent.ts"
import * as Reduce from "./ops/Reduce.ts"
import * as Region from "./ops/Region.ts"
import * as Resample from "./ops/Resample.ts"
import * as Shape from "./ops/Shape.ts"
import * as Sort from "./ops/Sort.ts"

export const all: ReadonlyArray<OpDefinition> = [
  ...Elementwise.all,
  ...Reduce.all,
  ...Contract.all,
  ...Pool.all,
  ...Movement.all,
  ...Shape.all,
  ...Sort.all,
  ...Control.all,
  ...Recurrent.all,
  ...Random.all,
  ...Quantize.all,
  ...Resample.all,
  ...Region.all,
  ...Composite.all
]

/** A table by name, for the parser: the built-in ops and a plug-in's. */
export const table = (extra: ReadonlyArray<OpDefinition> = []): ReadonlyMap<string, OpDefinition> =>
  new Map([...all, ...extra].map((op) => [op.name, op]))

export {
  relu,
  silu,
  softplus,
  gelu,
  leakyRelu,
  clip,
  softmax,
  logSoftmax,
  layerNorm,
  rmsNorm,
  batchNorm,
  linear,
  attention,
  rotaryEmbedding
} from "./ops/Composite.ts"
export { matmul, conv, convTranspose } from "./ops/Contract.ts"
export { branch, loop, scan } from "./ops/Control.ts"
export {
  neg,
  abs,
  sign,
  ceil,
  floor,
  round,
  exp,
  log,
  log1p,
  expm1,
  sqrt,
  reciprocal,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  erf,
  sigmoid,
  isNaN,
  isInf,
  not,
  bitwiseNot,
  add,
  sub,
  mul,
  div,
  mod,
  pow,
  min,
  max,
  and,
  or,
  xor,
  bitwiseAnd,
  bitwiseOr,
  bitwiseXor,
  shiftLeft,
  shiftRight,
  equal,
  less,
  lessOrEqual,
  greater,
  greaterOrEqual,
  select,
  cast,
  bitcast
} from "./ops/Elementwise.ts"
export {
  reshape,
  transpose,
  expand,
  slice,
  pad,
  concat,
  reverse,
  gather,
  gatherElements,
  gatherNd,
  scatterElements,
  scatterNd
} from "./ops/Movement.ts"
export { maxPool, averagePool } from "./ops/Pool.ts"
export { quantize, dequantize } from "./ops/Quantize.ts"
export { randomUniform, randomNormal } from "./ops/Random.ts"
export { lstm, gru, rnn } from "./ops/Recurrent.ts"
export {
  reduceSum,
  reduceMean,
  reduceProd,
  reduceMax,
  reduceMin,
  argMax,
  argMin,
  cumulativeSum,
  cumulativeProduct
} from "./ops/Reduce.ts"
export { roiAlign, maxRoiPool } from "./ops/Region.ts"
export { resize, gridSample } from "./ops/Resample.ts"
export { sizes, readDims, iota, nonZero, unique, nonMaxSuppression } from "./ops/Shape.ts"
export { topK } from "./ops/Sort.ts"
