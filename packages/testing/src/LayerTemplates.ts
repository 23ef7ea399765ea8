// Templates of whole layers with all that their attributes can say: strides, dilations, groups and pads of convolutions,
// broadcast batches of products, norms over several axes, recurrent layers with lengths, integer chains between quantize
// and dequantize. For targets, whose kernels differ by just these:
//
//   Graphs.generate(7, { templates: [...Templates.all, ...LayerTemplates.all], inputs: LayerTemplates.inputs })
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import * as Type from "@anneal/ir/Type"
import * as OperatorTemplates from "./OperatorTemplates.ts"
import * as PositionTemplates from "./PositionTemplates.ts"
import type { Site, Template } from "./Template.ts"
import {
  all as both,
  extent,
  hasRank,
  isFloat,
  isInteger,
  isStatic,
  isWide,
  make,
  scalar,
  weights
} from "./Template.ts"

/** Inputs of many types, with axes that are empty or have one element, and sizes that are no multiple of anything. */
export const inputs: ReadonlyArray<Type.TensorType> = [
  Type.make("f32", [Dim.symbol("n"), 3]),
  Type.make("f32", [Dim.symbol("n"), Dim.symbol("m")]),
  Type.make("f32", [Dim.symbol("n"), 2, 5, 6]),
  Type.make("f32", [1, 4, 7, 5]),
  Type.make("f32", [2, 3, 9]),
  Type.make("f32", [1, 2, 3, 4, 5]),
  Type.make("f32", [0, 3]),
  Type.make("f32", [1, 1]),
  Type.make("f32", [5, 17]),
  Type.make("f16", [3, 5]),
  Type.make("bf16", [2, 6]),
  Type.make("f64", [4, 3]),
  Type.make("i8", [2, 7]),
  Type.make("u8", [1, 2, 5, 5]),
  Type.make("i32", [4, 3]),
  Type.make("i64", [6]),
  Type.make("bool", [3, 2])
]

const anyOf = <A>({ random }: Site, first: A, ...rest: ReadonlyArray<A>): A => random.pick([first, ...rest]) ?? first
const each = <A>({ length }: ReadonlyArray<unknown>, value: () => A): ReadonlyArray<A> => Array.from({ length }, value)

/** Known channels and extents, at least one of each. */
const isSpatial = (type: Type.TensorType): boolean =>
  isFloat(type) &&
  type.shape.length >= 3 &&
  type.shape.length <= 5 &&
  type.shape.slice(1).every((dim) => Dim.isStatic(dim) && dim >= 1)

/** Windows that fit into their padded axes. */
const windowOf = (site: Site, spatial: ReadonlyArray<Dim.Dim>) => {
  const { random } = site
  const extents = spatial.map((dim) => (Dim.isStatic(dim) ? dim : 1))
  const kernel = each(spatial, () => random.integer(1, 3))
  const dilations = each(spatial, () => (random.chance(0.3) ? 2 : 1))
  const spans = kernel.map((size, axis) => (size - 1) * (dilations[axis] ?? 1) + 1)
  const padsBegin = spans.map((span) => random.integer(0, Math.min(2, span - 1)))
  const padsEnd = spans.map((span, axis) => {
    const short = span - (extents[axis] ?? 1) - (padsBegin[axis] ?? 0)
    return Math.max(short, random.integer(0, Math.min(2, span - 1)))
  })
  return { kernel, dilations, padsBegin, padsEnd, strides: each(spatial, () => random.integer(1, 3)) }
}

const convolution = make("convolution", (site) => {
  const { b, pick, random } = site
  const x = pick(isSpatial)
  const channels = x === undefined ? undefined : extent(x, 1)
  if (x === undefined || channels === undefined) return undefined
  const divisors = Array.from({ length: channels }, (_, i) => i + 1).filter((count) => channels % count === 0)
  const groups = random.pick(divisors) ?? 1
  const out = groups * random.integer(1, 5)
  const { kernel, ...window } = windowOf(site, x.type.shape.slice(2))
  const w = weights(site, x.type.dtype, [out, channels / groups, ...kernel])
  const bias = random.chance(0.5) ? weights(site, x.type.dtype, [out]) : undefined
  const result = b.one(Ops.conv, [x, w, bias], { ...window, groups })
  return random.chance(0.5) ? [result] : [result, b.one(Ops.relu, [result], {})]
})

const transposed = make("transposedConvolution", (site) => {
  const { b, pick, random } = site
  const x = pick(isSpatial)
  const channels = x === undefined ? undefined : extent(x, 1)
  if (x === undefined || channels === undefined) return undefined
  const groups = random.chance(0.3) ? channels : 1
  const spatial = x.type.shape.slice(2)
  const kernel = each(spatial, () => random.integer(1, 3))
  const strides = each(spatial, () => random.integer(1, 3))
  const dilations = each(spatial, () => (random.chance(0.2) ? 2 : 1))
  // Nothing is cut off that would leave an axis empty.
  const padsBegin = kernel.map((size) => (size > 1 ? random.integer(0, 1) : 0))
  const w = weights(site, x.type.dtype, [channels, random.integer(1, 3), ...kernel])
  const attributes = { strides, dilations, groups, padsBegin, padsEnd: each(spatial, () => 0) }
  const outputPadding = strides.map((stride) => random.integer(0, stride - 1))
  return [b.one(Ops.convTranspose, [x, w, undefined], { ...attributes, outputPadding })]
})

const pooling = make("pooling", (site) => {
  const { b, pick, random } = site
  const x = pick(isSpatial)
  if (x === undefined) return undefined
  const found = windowOf(site, x.type.shape.slice(2))
  const dilations = random.chance(0.6) ? each(found.kernel, () => 1) : found.dilations
  const window = { ...found, dilations, ceil: random.chance(0.3) }
  return random.chance(0.5)
    ? b.node(Ops.maxPool, [x], { ...window, indexOrder: anyOf(site, "rowMajor", "columnMajor") })
    : [b.one(Ops.averagePool, [x], { ...window, includePad: random.chance(0.5) })]
})

/** A product of two computed operands, with batches that broadcast, or of one with a constant on either side. */
const product = make("product", (site) => {
  const { b, pick, random } = site
  const x = pick(both((type) => isFloat(type) || isInteger(type), hasRank(1, 4)))
  const depth = x === undefined ? undefined : extent(x, -1)
  const rows = x === undefined ? undefined : extent(x, -2)
  if (x === undefined || depth === undefined) return undefined
  const { dtype, shape } = x.type
  const way = random.integer(0, 4)
  if (way === 0 && shape.length >= 2) {
    const permutation = shape.map((_, axis) => (axis < shape.length - 2 ? axis : 2 * shape.length - 3 - axis))
    return [b.one(Ops.matmul, [x, b.one(Ops.transpose, [x], { permutation })], {})]
  }
  if (way === 1 && rows !== undefined)
    return [b.one(Ops.matmul, [weights(site, dtype, [random.integer(1, 9), rows]), x], {})]
  const batch = random.chance(0.3) ? [random.integer(1, 2), 1] : []
  if (way === 2) return [b.one(Ops.matmul, [x, weights(site, dtype, [depth])], {})]
  const result = b.one(Ops.matmul, [x, weights(site, dtype, [...batch, depth, random.integer(1, 20)])], {})
  return isFloat(result.type) && random.chance(0.5) ? [b.one(Ops.sigmoid, [result], {})] : [result]
})

const norm = make("norm", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isFloat, isStatic, hasRank(1, 5)))
  if (x === undefined) return undefined
  const { dtype, shape } = x.type
  const axis = random.integer(0, shape.length - 1)
  const sizes = shape.slice(axis).map((_, i) => extent(x, axis + i) ?? 1)
  const scale = random.chance(0.7) ? weights(site, dtype, sizes) : undefined
  const way = random.integer(0, 3)
  if (way === 0) return [b.one(Ops.softmax, [x], { axis })]
  if (way === 1) return [b.one(Ops.logSoftmax, [x], { axis })]
  if (way === 2) return [b.one(Ops.rmsNorm, [x, scale], { axis, epsilon: 1e-3 })]
  return [b.one(Ops.layerNorm, [x, scale, scale && weights(site, dtype, sizes)], { axis, epsilon: 1e-3 })]
})

const reduction = make("reduction", ({ b, pick, random }) => {
  const x = pick(
    both(
      (type) => isFloat(type) || isInteger(type),
      hasRank(1),
      ({ shape }) => !shape.includes(0)
    )
  )
  const op = random.pick([Ops.reduceSum, Ops.reduceMean, Ops.reduceMax, Ops.reduceMin, Ops.reduceProd])
  if (x === undefined || op === undefined) return undefined
  if (!isFloat(x.type) && op === Ops.reduceMean) return undefined
  const axes = x.type.shape.flatMap((_, axis) => (random.chance(0.5) ? [axis] : []))
  return [b.one(op, [x], { axes, keepDims: random.chance(0.5) })]
})

const extreme = make("extreme", ({ b, pick, random }) => {
  const x = pick(
    both(
      (type) => isFloat(type) || isInteger(type),
      hasRank(1),
      ({ shape }) => !shape.includes(0)
    )
  )
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  const attributes = { axis, keepDims: random.chance(0.5), select: random.chance(0.5) ? "first" : "last" } as const
  const size = extent(x, axis)
  if (size !== undefined && random.chance(0.5)) {
    const k = random.integer(1, size)
    return b.node(Ops.topK, [x], { k, axis, largest: random.chance(0.5), sorted: true })
  }
  return [b.one(random.chance(0.5) ? Ops.argMax : Ops.argMin, [x], attributes)]
})

const cumulated = make("cumulated", ({ b, pick, random }) => {
  const x = pick(both((type) => isFloat(type) || isInteger(type), hasRank(1)))
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  const op = random.chance(0.7) ? Ops.cumulativeSum : Ops.cumulativeProduct
  return [b.one(op, [x], { axis, exclusive: random.chance(0.5), reverse: random.chance(0.5) })]
})

const activationOf = (name: Activation["name"]): Activation => ({ name, alpha: 0.25, beta: 0.5 })

const recurrent = make("recurrent", (site) => {
  const { b, pick, random } = site
  const x = pick(
    both(
      ({ dtype }) => dtype === "f32",
      hasRank(3, 3),
      isStatic,
      ({ shape }) => !shape.includes(0)
    )
  )
  const [length, batch, features] = x === undefined ? [] : [extent(x, 0), extent(x, 1), extent(x, 2)]
  if (x === undefined || length === undefined || batch === undefined || features === undefined) return undefined
  const hidden = random.integer(1, 6)
  const direction = anyOf(site, "forward" as const, "reverse" as const, "bidirectional" as const)
  const ways = direction === "bidirectional" ? 2 : 1
  const kind = random.integer(0, 2)
  const gates = [4, 3, 1][kind] ?? 1
  // Sometimes what the inputs give to the gates, and no weights for it.
  const columns = ways * gates * hidden
  const given = random.chance(0.25) ? b.one(Ops.matmul, [x, weights(site, "f32", [features, columns])], {}) : undefined
  const w = given === undefined ? weights(site, "f32", [ways, gates * hidden, features]) : undefined
  const r = weights(site, "f32", [ways, gates * hidden, hidden])
  const bias = random.chance(0.7) ? weights(site, "f32", [ways, 2 * gates * hidden]) : undefined
  const lengths = random.chance(0.5)
    ? b.tensor(
        Numbers.fromNumbers(
          "i32",
          [batch],
          Array.from({ length: batch }, () => random.integer(0, length))
        )
      )
    : undefined
  const state = () => (random.chance(0.5) ? weights(site, "f32", [ways, batch, hidden]) : undefined)
  const gate = activationOf(anyOf(site, "sigmoid" as const, "hardSigmoid" as const))
  const cell = activationOf(anyOf(site, "tanh" as const, "relu" as const, "softsign" as const, "elu" as const))
  const clip = random.chance(0.2) ? 1.5 : null
  const shared = { hidden, direction, clip }
  const operands = [given ?? x, w, r, bias, lengths, state()]
  const activations = (list: ReadonlyArray<Activation>) => Array.from({ length: ways }, () => list).flat()
  if (kind === 0) {
    const peepholes = random.chance(0.3) ? weights(site, "f32", [ways, 3 * hidden]) : undefined
    const attributes = { ...shared, activations: activations([gate, cell, cell]), inputForget: random.chance(0.2) }
    return [...b.node(Ops.lstm, [...operands, state(), peepholes], attributes)]
  }
  if (kind === 1) {
    const attributes = { ...shared, activations: activations([gate, cell]), linearBeforeReset: random.chance(0.5) }
    return [...b.node(Ops.gru, operands, attributes)]
  }
  return [...b.node(Ops.rnn, operands, { ...shared, activations: activations([cell]) })]
})

const resized = make("resized", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, isStatic, hasRank(2, 4), ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  const { shape } = x.type
  const to = shape.map((_, axis) => (axis < shape.length - 2 ? (extent(x, axis) ?? 1) : random.integer(1, 7)))
  return [
    b.one(Ops.resize, [x], {
      shape: to,
      scales: [],
      mode: anyOf(site, "nearest", "linear", "cubic"),
      coordinates: anyOf(site, "halfPixel", "pytorchHalfPixel", "alignCorners", "asymmetric"),
      nearest: anyOf(site, "roundPreferFloor", "floor", "ceil"),
      cubicCoefficient: -0.75,
      excludeOutside: false,
      antialias: false,
      extrapolation: 0,
      region: []
    })
  ]
})

// ---- integers between quantize and dequantize -----------------------------------------------------------------------

const positive = ({ b, random }: Site, count: number): Value =>
  b.tensor(
    Numbers.fromNumbers(
      "f32",
      [count],
      Array.from({ length: count }, () => 2 ** -random.integer(2, 6))
    )
  )

/** A tensor on a grid, as integers and as the floats they stand for. */
const onGrid = (site: Site, x: Value): readonly [grid: Value, floats: Value] => {
  const { b, random } = site
  const to = anyOf(site, "i8" as const, "u8" as const)
  const scale = scalar(site, "f32", anyOf(site, 1 / 8, 1 / 16, 0.03))
  const zero = random.chance(0.5) ? scalar(site, to, to === "u8" ? 128 : random.integer(-3, 3)) : undefined
  const grid = b.one(Ops.quantize, [x, scale, zero], { axis: 0, block: 0, to, saturate: true })
  return [grid, b.one(Ops.dequantize, [grid, scale, zero], { axis: 0, block: 0, to: "f32" })]
}

/** Constant weights on a grid of their own for each output channel. */
const gridWeights = (site: Site, shape: ReadonlyArray<number>, axis: number): Value => {
  const { b, random } = site
  const channels = shape[axis] ?? 1
  const scale = random.chance(0.6) ? positive(site, channels) : scalar(site, "f32", 1 / 16)
  const count = shape.reduce((a, c) => a * c, 1)
  const values = Array.from({ length: count }, () => random.integer(-127, 127))
  return b.one(Ops.dequantize, [b.tensor(Numbers.fromNumbers("i8", shape, values)), scale, undefined], {
    axis,
    block: 0,
    to: "f32"
  })
}

/** A layer on integers: quantised operand, quantised weights, bias, activation, quantised result. */
const integerLayer = make("integerLayer", (site) => {
  const { b, pick, random } = site
  const x = pick(both(({ dtype }) => dtype === "f32", hasRank(2, 5)))
  if (x === undefined) return undefined
  const [, floats] = onGrid(site, x)
  const channels = extent(x, 1)
  const depth = extent(x, -1)
  let result: Value
  if (isSpatial(x.type) && channels !== undefined) {
    const groups = random.chance(0.4) ? channels : 1
    const out = groups * random.integer(1, groups === 1 ? 6 : 2)
    const { kernel, ...window } = windowOf(site, x.type.shape.slice(2))
    const w = gridWeights(site, [out, channels / groups, ...kernel], 0)
    const bias = random.chance(0.5) ? weights(site, "f32", [out]) : undefined
    result = b.one(Ops.conv, [floats, w, bias], { ...window, groups })
  } else if (depth !== undefined && depth > 0) {
    const out = random.integer(1, 18)
    result = b.one(Ops.matmul, [floats, gridWeights(site, [depth, out], 1)], {})
    if (random.chance(0.5)) result = b.one(Ops.add, [result, weights(site, "f32", [out])], {})
  } else return [floats]
  if (random.chance(0.6)) result = b.one(Ops.relu, [result], {})
  return random.chance(0.8) ? onGrid(site, result).slice(1) : [result]
})

/** Integers that move, pool or are added while on a grid. */
const integerMoves = make("integerMoves", (site) => {
  const { b, pick, random } = site
  const x = pick(both(({ dtype }) => dtype === "f32", hasRank(2, 5)))
  if (x === undefined) return undefined
  const [grid, floats] = onGrid(site, x)
  const way = random.integer(0, 3)
  if (way === 0) {
    const permutation = random.shuffled(x.type.shape.map((_, axis) => axis))
    return [...onGrid(site, b.one(Ops.transpose, [floats], { permutation }))]
  }
  if (way === 1 && isSpatial(x.type)) {
    const window = { ...windowOf(site, x.type.shape.slice(2)), ceil: false }
    return [...onGrid(site, b.one(Ops.maxPool, [floats], { ...window, indexOrder: "rowMajor" }))]
  }
  if (way === 2) return [grid, ...onGrid(site, b.one(Ops.concat, [floats, floats], { axis: 1 }))]
  return [...onGrid(site, b.one(Ops.add, [floats, onGrid(site, x)[1]], {}))]
})

export const all: ReadonlyArray<Template> = [
  convolution,
  transposed,
  pooling,
  product,
  norm,
  reduction,
  extreme,
  cumulated,
  recurrent,
  resized,
  integerLayer,
  integerMoves,
  ...OperatorTemplates.all,
  ...PositionTemplates.all
]
