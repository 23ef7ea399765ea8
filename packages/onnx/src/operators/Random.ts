// Random tensors, by the seed that the model gives, else one of the node's own made from its path: equal runs give equal
// numbers, and two nodes different ones.
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator } from "../Operator.ts"

/** FNV-1a, 32 bits. */
const hash = (text: string): number => {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193) >>> 0
  return state
}

export const seedOf = (c: Context): number =>
  c.attribute.has("seed") ? Math.trunc(c.attribute.float("seed")) : hash(c.path)

const typeOf = (c: Context, otherwise: DType): DType => {
  const code = c.attribute.int("dtype", 0)
  return code === 0 ? otherwise : (ElementType.fromCode(code) ?? c.unsupported(`random ${ElementType.nameOf(code)}`))
}

const uniform = (c: Context, { dtype, shape }: TensorType): Value => {
  const { e } = c
  const [low, high] = [c.attribute.float("low", 0), c.attribute.float("high", 1)]
  const unit = e.b.one(Ops.randomUniform, [], { shape, dtype, seed: seedOf(c) })
  return e.add(e.mul(unit, e.scalar(dtype, high - low)), e.scalar(dtype, low))
}

const normal = (c: Context, { dtype, shape }: TensorType): Value => {
  const { e } = c
  const unit = e.b.one(Ops.randomNormal, [], { shape, dtype, seed: seedOf(c) })
  const spread = e.scalar(dtype, c.attribute.float("scale", 1))
  return e.add(e.mul(unit, spread), e.scalar(dtype, c.attribute.float("mean", 0)))
}

type Make = (c: Context, type: TensorType) => Value
const ofShape = (name: string, make: Make): Operator => ({
  name,
  since: [1],
  translate: (c) =>
    make(c, { dtype: typeOf(c, "f32"), shape: c.attribute.ints("shape") ?? c.fail("the shape is missing") })
})
const like = (name: string, make: Make): Operator => ({
  name,
  since: [1],
  translate: (c) => {
    const { dtype, shape } = c.type(0)
    return make(c, { dtype: typeOf(c, DTypes.isFloat(dtype) ? dtype : "f32"), shape })
  }
})

/** 1 with the probability that x gives. */
const bernoulli: Operator = {
  name: "Bernoulli",
  since: [15],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const noise = e.b.one(Ops.randomUniform, [], { shape: x.type.shape, dtype: x.type.dtype, seed: seedOf(c) })
    return e.cast(e.binary(Ops.less, noise, x), typeOf(c, x.type.dtype))
  }
}

export const all: ReadonlyArray<Operator> = [
  ofShape("RandomUniform", uniform),
  ofShape("RandomNormal", normal),
  like("RandomUniformLike", uniform),
  like("RandomNormalLike", normal),
  bernoulli
]
