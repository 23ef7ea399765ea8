// The ops that work on each element by itself, whatever the shape: layout changes pass through them.
import * as Ops from "@anneal/ir/Ops"

/** One operand. */
export const unary: ReadonlyArray<string> = [
  Ops.neg,
  Ops.abs,
  Ops.sign,
  Ops.ceil,
  Ops.floor,
  Ops.round,
  Ops.exp,
  Ops.log,
  Ops.log1p,
  Ops.expm1,
  Ops.sqrt,
  Ops.reciprocal,
  Ops.sin,
  Ops.cos,
  Ops.tan,
  Ops.asin,
  Ops.acos,
  Ops.atan,
  Ops.sinh,
  Ops.cosh,
  Ops.tanh,
  Ops.asinh,
  Ops.acosh,
  Ops.atanh,
  Ops.erf,
  Ops.sigmoid,
  Ops.isNaN,
  Ops.isInf,
  Ops.not,
  Ops.bitwiseNot,
  Ops.cast,
  Ops.bitcast,
  Ops.relu,
  Ops.silu,
  Ops.softplus,
  Ops.gelu,
  Ops.leakyRelu
].map((op) => op.name)

/** Operands that broadcast; clip's limits are scalars, which broadcast too. */
export const broadcasting: ReadonlyArray<string> = [
  Ops.add,
  Ops.sub,
  Ops.mul,
  Ops.div,
  Ops.mod,
  Ops.pow,
  Ops.min,
  Ops.max,
  Ops.and,
  Ops.or,
  Ops.xor,
  Ops.bitwiseAnd,
  Ops.bitwiseOr,
  Ops.bitwiseXor,
  Ops.shiftLeft,
  Ops.shiftRight,
  Ops.equal,
  Ops.less,
  Ops.lessOrEqual,
  Ops.greater,
  Ops.greaterOrEqual,
  Ops.select,
  Ops.clip
].map((op) => op.name)

export const names: ReadonlyArray<string> = [...unary, ...broadcasting]
