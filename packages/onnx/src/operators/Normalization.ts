// Normalisations: BatchNormalization, LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization,
// LpNormalization, MeanVarianceNormalization, LRN; Softmax, LogSoftmax, Hardmax; Dropout.
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator } from "../Operator.ts"

const epsilonOf = (c: Context): number => c.attribute.float("epsilon", Math.fround(1e-5))
const axesFrom = (rank: number, axis: number): ReadonlyArray<number> =>
  Array.from({ length: rank - axis }, (_, index) => axis + index)

/** Inference uses the given statistics; training mode those of the batch, and gives updated ones. */
export const batchNormalization: Operator = {
  name: "BatchNormalization",
  since: [1, 6, 7, 9, 14, 15],
  translate: (c) => {
    const { e } = c
    const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((index) => c.input(index))
    if (x === undefined || scale === undefined || bias === undefined || mean === undefined || variance === undefined)
      return c.fail("takes five inputs")
    if (c.opset < 9 && !c.attribute.flag("spatial", true))
      return c.unsupported("statistics of each element (spatial = 0)")
    const epsilon = epsilonOf(c)
    if (!c.attribute.flag("training_mode", false))
      return e.b.one(Ops.batchNorm, [x, scale, bias, mean, variance], { epsilon })
    const axes = x.type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]))
    const ownMean = e.mean(x, axes, false)
    const centred = e.sub(x, e.along(ownMean, x.type.shape.length, 1))
    const ownVariance = e.mean(e.mul(centred, centred), axes, false)
    const momentum = c.attribute.float("momentum", Math.fround(0.9))
    const running = (before: Value, own: Value): Value =>
      e.add(e.mul(before, e.number(before, momentum)), e.mul(own, e.number(own, 1 - momentum)))
    const result = e.b.one(Ops.batchNorm, [x, scale, bias, ownMean, ownVariance], { epsilon })
    return [result, running(mean, ownMean), running(variance, ownVariance)]
  }
}

/** Results: normalised, mean and 1/√(variance + ε), the latter two in the type of `stash_type`. */
export const layerNormalization: Operator = {
  name: "LayerNormalization",
  since: [17],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const rank = x.type.shape.length
    const axis = c.axis(c.attribute.int("axis", -1), rank)
    const epsilon = epsilonOf(c)
    const normalised = e.b.one(Ops.layerNorm, [x, c.optional(1), c.optional(2)], { axis, epsilon })
    if (!c.wanted(1) && !c.wanted(2)) return normalised
    const stash = ElementType.fromCode(c.attribute.int("stash_type", 1)) ?? "f32"
    const wide = e.cast(x, stash)
    const axes = axesFrom(rank, axis)
    const mean = e.mean(wide, axes, true)
    const centred = e.sub(wide, mean)
    const variance = e.mean(e.mul(centred, centred), axes, true)
    const inverse = e.unary(Ops.reciprocal, e.sqrt(e.add(variance, e.scalar(stash, epsilon))))
    return [normalised, mean, inverse]
  }
}

export const rmsNormalization: Operator = {
  name: "RMSNormalization",
  since: [23],
  translate: (c) => {
    const axis = c.axis(c.attribute.int("axis", -1), c.rank(0))
    return c.e.b.one(Ops.rmsNorm, [c.input(0), c.input(1)], { axis, epsilon: epsilonOf(c) })
  }
}

/** (x − mean) / √(variance + ε) over some axes, in f32 at least. */
const standardised = (c: Context, x: Value, axes: ReadonlyArray<number>, epsilon: number): Value => {
  const { e } = c
  const wide = DTypes.isNarrowFloat(x.type.dtype) ? e.cast(x, "f32") : x
  const centred = e.sub(wide, e.mean(wide, axes, true))
  const variance = e.mean(e.mul(centred, centred), axes, true)
  return e.cast(e.div(centred, e.sqrt(e.add(variance, e.number(wide, epsilon)))), x.type.dtype)
}

export const instanceNormalization: Operator = {
  name: "InstanceNormalization",
  since: [1, 6],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const rank = x.type.shape.length
    const normal = standardised(c, x, axesFrom(rank, 2), epsilonOf(c))
    return e.add(e.mul(normal, e.along(c.input(1), rank, 1)), e.along(c.input(2), rank, 1))
  }
}

/** Scale and bias are per group before opset 21, per channel since. */
export const groupNormalization: Operator = {
  name: "GroupNormalization",
  since: [18, 21],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const { shape } = x.type
    const groups = c.attribute.int("num_groups")
    const [batch = 1, channels = 1] = shape
    const each = Dim.floorDiv(channels, groups)
    const apart = e.reshape(x, [batch, groups, Dim.product([each, ...shape.slice(2)])])
    const normal = standardised(c, apart, [2], epsilonOf(c))
    if (c.opset < 21)
      return e.reshape(e.add(e.mul(normal, e.along(c.input(1), 3, 1)), e.along(c.input(2), 3, 1)), shape)
    const whole = e.reshape(normal, shape)
    return e.add(e.mul(whole, e.along(c.input(1), shape.length, 1)), e.along(c.input(2), shape.length, 1))
  }
}

/** x / (Σ|x|ᵖ)^(1/p); where the norm is 0 the result is 0. */
export const lpNormalization: Operator = {
  name: "LpNormalization",
  since: [1, 22],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const axis = c.axis(c.attribute.int("axis", -1), x.type.shape.length)
    const p = c.attribute.int("p", 2)
    const norm =
      p === 1
        ? e.sum(e.abs(x), [axis], true)
        : p === 2
          ? e.sqrt(e.sum(e.mul(x, x), [axis], true))
          : c.fail(`p is ${p}, not 1 or 2`)
    const zero = e.number(x, 0)
    const isZero = e.binary(Ops.equal, norm, zero)
    return e.div(x, e.select(isZero, e.number(x, 1), norm))
  }
}

export const meanVarianceNormalization: Operator = {
  name: "MeanVarianceNormalization",
  since: [9, 13],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const axes = (c.attribute.ints("axes") ?? [0, 2, 3]).map((axis) => c.axis(axis, x.type.shape.length))
    const centred = e.sub(x, e.mean(x, axes, true))
    const spread = e.sqrt(e.mean(e.mul(centred, centred), axes, true))
    return e.div(centred, e.add(spread, e.number(x, Math.fround(1e-9))))
  }
}

/** x / (bias + alpha/size · Σ x²)^beta, the sum over `size` neighbouring channels. */
export const lrn: Operator = {
  name: "LRN",
  since: [1],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const size = c.attribute.int("size")
    const { shape } = x.type
    const zeros = (amount: number): ReadonlyArray<Dim.Dim> => shape.map((_, axis) => (axis === 1 ? amount : 0))
    const before = Math.floor((size - 1) / 2)
    const padded = e.b.one(Ops.pad, [e.mul(x, x)], {
      before: zeros(before),
      after: zeros(size - 1 - before),
      mode: "constant"
    })
    let total = e.part(padded, 1, 0, shape[1] ?? 1)
    for (let shift = 1; shift < size; shift++) total = e.add(total, e.part(padded, 1, shift, shape[1] ?? 1))
    const [alpha, beta] = [c.attribute.float("alpha", Math.fround(1e-4)), c.attribute.float("beta", 0.75)]
    const base = e.add(e.number(x, c.attribute.float("bias", 1)), e.mul(total, e.number(x, alpha / size)))
    return e.div(x, e.binary(Ops.pow, base, e.number(x, beta)))
  }
}

/** Along one axis since opset 13; before, over all axes from `axis` on, taken as one. */
const alongAxis = (name: string, make: (c: Context, x: Value, axis: number) => Value): Operator => ({
  name,
  since: [1, 11, 13],
  translate: (c) => {
    const x = c.input(0)
    const { shape } = x.type
    const rank = shape.length
    if (c.opset >= 13) return make(c, x, c.axis(c.attribute.int("axis", -1), rank))
    const given = c.attribute.int("axis", 1)
    const axis = given < 0 ? given + rank : given
    if (axis === rank - 1) return make(c, x, axis)
    const flat = c.e.reshape(x, [Dim.product(shape.slice(0, axis)), Dim.product(shape.slice(axis))])
    return c.e.reshape(make(c, flat, 1), shape)
  }
})
const composite =
  (op: OpDefinition<{ readonly axis: number }>) =>
  (c: Context, x: Value, axis: number): Value =>
    c.e.b.one(op, [x], { axis })
export const softmax = alongAxis("Softmax", composite(Ops.softmax))
export const logSoftmax = alongAxis("LogSoftmax", composite(Ops.logSoftmax))

/** 1 at the first greatest element, 0 elsewhere. */
export const hardmax = alongAxis("Hardmax", (c, x, axis) => {
  const { e } = c
  const best = e.b.one(Ops.argMax, [x], { axis, keepDims: true, select: "first" })
  const at = e.along(e.iota(x.type.shape[axis] ?? 1, "i64"), x.type.shape.length, axis)
  return e.cast(e.binary(Ops.equal, at, best), x.type.dtype)
})

/** Inference passes x on; the mask is all true. Training with a ratio drops elements at random by the seed. */
export const dropout: Operator = {
  name: "Dropout",
  since: [1, 7, 10, 12, 13],
  translate: (c) => {
    const { e } = c
    const { dtype, shape } = c.type(0)
    const known = c.content(2)?.elements[0]
    const isInference = c.opset < 7 ? c.attribute.flag("is_test", true) : !c.has(2) || known === 0
    const ratio = c.opset < 12 ? c.attribute.float("ratio", 0.5) : c.has(1) ? c.content(1)?.elements[0] : 0.5
    if (isInference || ratio === 0) {
      const mask = (): Value => e.expand(e.b.tensor({ dtype: "bool", shape: [], data: Uint8Array.of(1) }), shape)
      return c.wanted(1) ? [c.operand(0), mask()] : c.operand(0)
    }
    const one = e.scalar("f32", 1)
    const drop = typeof ratio === "number" ? e.scalar("f32", ratio) : e.cast(e.reshape(c.input(1), []), "f32")
    const chance = known === 1 ? drop : e.select(e.reshape(c.input(2), []), drop, e.scalar("f32", 0))
    const noise = e.b.one(Ops.randomUniform, [], { shape, dtype: "f32", seed: c.attribute.int("seed", 0) })
    const keep = e.binary(Ops.greaterOrEqual, noise, chance)
    const scaled = e.mul(c.input(0), e.cast(e.div(one, e.sub(one, chance)), dtype))
    return [e.select(keep, scaled, e.scalar(dtype, 0)), keep]
  }
}

export const all: ReadonlyArray<Operator> = [
  batchNormalization,
  layerNormalization,
  rmsNormalization,
  instanceNormalization,
  groupNormalization,
  lpNormalization,
  meanVarianceNormalization,
  lrn,
  softmax,
  logSoftmax,
  hardmax,
  dropout
]
