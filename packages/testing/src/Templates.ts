// The built-in templates: what generated graphs are made of. Every family of ops that passes and targets meet, with the
// no-ops and repeats that rewrites look for.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Site, Template } from "./Template.ts"
import {
  all as both,
  extent,
  hasRank,
  inDomain,
  isFloat,
  isInteger,
  isStatic,
  isWide,
  make,
  scalar,
  weights
} from "./Template.ts"

const clip = (site: Site, x: Value, low: number, high: number): Value =>
  site.b.one(Ops.clip, [x, scalar(site, x.type.dtype, low), scalar(site, x.type.dtype, high)], {})

// ---- elementwise ----------------------------------------------------------------------------------------------------

const unaries: ReadonlyArray<OpDefinition<{}>> = [
  Ops.neg,
  Ops.abs,
  Ops.sqrt,
  Ops.exp,
  Ops.log,
  Ops.log1p,
  Ops.expm1,
  Ops.sin,
  Ops.cos,
  Ops.atan,
  Ops.sinh,
  Ops.tanh,
  Ops.erf,
  Ops.sigmoid,
  Ops.floor,
  Ops.round,
  Ops.sign,
  Ops.relu,
  Ops.silu,
  Ops.softplus
]

const unary = make("unary", (site) => {
  const [x, op] = [site.pick(isWide), site.random.pick(unaries)]
  if (x === undefined || op === undefined) return undefined
  const inside = inDomain(op, {}, x, (value, low, high) => clip(site, value, low, Math.min(high, low + 20)))
  return inside === undefined ? undefined : [site.b.one(op, [inside], {})]
})

const activation = make("activation", ({ b, pick, random }) => {
  const x = pick(isWide)
  if (x === undefined) return undefined
  return random.chance(0.5)
    ? [b.one(Ops.gelu, [x], { approximate: random.chance(0.5) ? "none" : "tanh" })]
    : [b.one(Ops.leakyRelu, [x], { alpha: 0.25 })]
})

/** A second operand for x: a value of its type, x itself, a scalar, or a vector along the last axis. */
const partner = (site: Site, x: Value): Value => {
  const { pick, random } = site
  const way = random.integer(0, 3)
  const last = extent(x, -1)
  if (way === 0) return pick((type) => Type.equal(type, x.type) === true) ?? x
  if (way === 1 && last !== undefined) return weights(site, x.type.dtype, [last])
  return way === 2 ? x : weights(site, x.type.dtype, [])
}

const binary = make("binary", (site) => {
  const x = site.pick((type) => isWide(type) || isInteger(type))
  const op = site.random.pick([Ops.add, Ops.sub, Ops.mul, Ops.min, Ops.max])
  if (x === undefined || op === undefined) return undefined
  const y = partner(site, x)
  return [site.b.one(op, site.random.chance(0.5) ? [x, y] : [y, x], {})]
})

const divide = make("divide", (site) => {
  const x = site.pick(isWide)
  if (x === undefined) return undefined
  return [site.b.one(Ops.div, [x, scalar(site, x.type.dtype, site.random.pick([-4, -0.5, 0.75, 3]) ?? 1)], {})]
})

const compare = make("select", (site) => {
  const x = site.pick(isWide)
  const op = site.random.pick([Ops.less, Ops.greaterOrEqual, Ops.equal])
  if (x === undefined || op === undefined) return undefined
  const [condition, y] = [site.b.one(op, [x, partner(site, x)], {}), partner(site, x)]
  return [condition, site.b.one(Ops.select, [condition, x, y], {})]
})

const cast = make("cast", (site) => {
  const { b, pick, random } = site
  const x = pick(isWide)
  const to = random.pick(["f16", "bf16", "f64", "f32", "i32", "i64"] as const)
  if (x === undefined || to === undefined) return undefined
  const limited = to === "i32" || to === "i64" ? clip(site, x, -100, 100) : x
  const narrow = b.one(Ops.cast, [limited], { to, saturate: false })
  return [narrow, b.one(Ops.cast, [narrow], { to: x.type.dtype, saturate: false })]
})

const integers = make("integers", (site) => {
  const x = site.pick(isInteger)
  if (x === undefined) return undefined
  const op = site.random.pick([Ops.bitwiseAnd, Ops.bitwiseOr, Ops.bitwiseXor])
  const result = op === undefined ? x : site.b.one(op, [x, scalar(site, x.type.dtype, 13)], {})
  return [result, site.b.one(Ops.cast, [result], { to: "f32", saturate: false })]
})

// ---- reductions, contractions ---------------------------------------------------------------------------------------

const reduce = make("reduce", ({ b, pick, random }) => {
  const x = pick(both(isWide, hasRank(1)))
  const op = random.pick([Ops.reduceSum, Ops.reduceMean, Ops.reduceMax, Ops.reduceMin])
  if (x === undefined || op === undefined) return undefined
  const axes = x.type.shape.flatMap((_, axis) => (random.chance(0.5) ? [axis] : []))
  return [b.one(op, [x], { axes, keepDims: random.chance(0.5) })]
})

const argReduce = make("argReduce", ({ b, pick, random }) => {
  const x = pick(both(isWide, hasRank(1), ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  return [b.one(Ops.argMax, [x], { axis: random.integer(0, x.type.shape.length - 1), keepDims: true, select: "first" })]
})

const cumulative = make("cumulative", ({ b, pick, random }) => {
  const x = pick(both(isWide, hasRank(1)))
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  return [b.one(Ops.cumulativeSum, [x], { axis, exclusive: random.chance(0.5), reverse: random.chance(0.5) })]
})

const normalize = make("normalize", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, hasRank(1)))
  const last = x === undefined ? undefined : extent(x, -1)
  if (x === undefined || last === undefined) return undefined
  const axis = x.type.shape.length - 1
  const scale = weights(site, x.type.dtype, [last])
  const way = random.integer(0, 3)
  if (way === 0) return [b.one(Ops.softmax, [x], { axis })]
  if (way === 1) return [b.one(Ops.logSoftmax, [x], { axis })]
  if (way === 2) return [b.one(Ops.rmsNorm, [x, scale], { axis, epsilon: 1e-3 })]
  return [b.one(Ops.layerNorm, [x, scale, weights(site, x.type.dtype, [last])], { axis, epsilon: 1e-3 })]
})

const matmul = make("matmul", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, hasRank(1, 4)))
  const depth = x === undefined ? undefined : extent(x, -1)
  if (x === undefined || depth === undefined) return undefined
  const columns = random.integer(1, 4)
  const w = weights(site, x.type.dtype, [depth, columns])
  if (random.chance(0.4)) return [b.one(Ops.linear, [x, w, weights(site, x.type.dtype, [columns])], {})]
  const product = b.one(Ops.matmul, [x, w], {})
  return random.chance(0.5) ? [product] : [b.one(Ops.add, [product, weights(site, x.type.dtype, [columns])], {})]
})

const gram = make("gram", ({ b, pick }) => {
  const x = pick(both(isWide, hasRank(2, 2)))
  if (x === undefined) return undefined
  return [b.one(Ops.matmul, [x, b.one(Ops.transpose, [x], { permutation: [1, 0] })], {})]
})

/** At least 2 × 2 pixels and known channels. */
const isImage = (type: Type.TensorType): boolean =>
  type.dtype === "f32" &&
  type.shape.length === 4 &&
  type.shape.slice(1).every((dim) => Dim.isStatic(dim) && dim >= 1) &&
  type.shape.slice(2).every((dim) => Dim.isStatic(dim) && dim >= 2)

const conv = make("conv", (site) => {
  const { b, pick, random } = site
  const x = pick(isImage)
  const channels = x === undefined ? undefined : extent(x, 1)
  if (x === undefined || channels === undefined) return undefined
  const groups = random.chance(0.25) ? channels : 1
  const out = groups * random.integer(1, 2)
  const kernel = random.integer(1, 2)
  const w = weights(site, "f32", [out, channels / groups, kernel, kernel])
  const pads = [random.integer(0, 1), random.integer(0, 1)]
  const result = b.one(Ops.conv, [x, w, random.chance(0.5) ? weights(site, "f32", [out]) : undefined], {
    strides: [1, 1],
    padsBegin: pads,
    padsEnd: pads,
    dilations: [1, 1],
    groups
  })
  if (random.chance(0.6)) return [result]
  const positive = (): Value =>
    b.tensor(
      Numbers.fromNumbers(
        "f32",
        [out],
        Array.from({ length: out }, () => random.integer(1, 4) / 2)
      )
    )
  const norm = [weights(site, "f32", [out]), weights(site, "f32", [out]), weights(site, "f32", [out]), positive()]
  return [result, b.one(Ops.batchNorm, [result, ...norm], { epsilon: 1e-3 })]
})

const pool = make("pool", ({ b, pick, random }) => {
  const x = pick(isImage)
  if (x === undefined) return undefined
  const window = { kernel: [2, 2], strides: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0], dilations: [1, 1], ceil: false }
  return random.chance(0.5)
    ? [b.one(Ops.maxPool, [x], { ...window, indexOrder: "rowMajor" })]
    : [b.one(Ops.averagePool, [x], { ...window, includePad: random.chance(0.5) })]
})

// ---- data movement --------------------------------------------------------------------------------------------------

const transpose = make("transpose", ({ b, pick, random }) => {
  const x = pick(hasRank(2))
  if (x === undefined) return undefined
  return [b.one(Ops.transpose, [x], { permutation: random.shuffled(x.type.shape.map((_, axis) => axis)) })]
})

const reshape = make("reshape", ({ b, pick, random }) => {
  const x = pick(hasRank(1, 5))
  if (x === undefined) return undefined
  const { shape } = x.type
  const flat = [Dim.product(shape)]
  return [b.one(Ops.reshape, [x], { shape: random.pick([flat, [...shape, 1], [1, ...shape]]) ?? flat })]
})

const slice = make("slice", ({ b, pick, random }) => {
  const x = pick(both(isStatic, hasRank(1), ({ shape }) => shape.every((dim) => dim !== 0)))
  if (x === undefined) return undefined
  const extents = x.type.shape.map((_, axis) => extent(x, axis) ?? 1)
  const sizes = extents.map((size) => random.integer(1, size))
  const starts = extents.map((size, axis) => random.integer(0, size - (sizes[axis] ?? size)))
  return [b.one(Ops.slice, [x], { starts, sizes, steps: extents.map(() => 1) })]
})

const pad = make("pad", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, hasRank(1)))
  if (x === undefined) return undefined
  const amounts = () => x.type.shape.map(() => random.integer(0, 1))
  const value = random.chance(0.5) ? scalar(site, x.type.dtype, 0.5) : undefined
  return [b.one(Ops.pad, [x, value], { before: amounts(), after: amounts(), mode: "constant" })]
})

const concat = make("concat", (site) => {
  const x = site.pick(hasRank(1))
  if (x === undefined) return undefined
  const other = site.pick((type) => Type.equal(type, x.type) === true) ?? x
  return [site.b.one(Ops.concat, [x, other], { axis: site.random.integer(0, x.type.shape.length - 1) })]
})

const expand = make("expand", ({ b, pick }) => {
  const x = pick(hasRank(0, 4))
  return x === undefined ? undefined : [b.one(Ops.expand, [x], { shape: [2, ...x.type.shape] })]
})

const gather = make("gather", ({ b, pick, random }) => {
  const x = pick(hasRank(1, 5))
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  const size = extent(x, axis)
  if (size === undefined || size === 0) return undefined
  const indices = Array.from({ length: random.integer(1, 3) }, () => random.integer(-size, size - 1))
  return [b.one(Ops.gather, [x, b.tensor(Numbers.integers(indices))], { axis })]
})

const reverse = make("reverse", ({ b, pick, random }) => {
  const x = pick(hasRank(1))
  return x === undefined ? undefined : [b.one(Ops.reverse, [x], { axes: [random.integer(0, x.type.shape.length - 1)] })]
})

// ---- quantisation, control flow -------------------------------------------------------------------------------------

const quantize = make("quantize", (site) => {
  const { b, pick, random } = site
  const x = pick(({ dtype }) => dtype === "f32")
  if (x === undefined) return undefined
  const [scale, zero] = [scalar(site, "f32", 1 / 16), random.chance(0.5) ? scalar(site, "i8", 3) : undefined]
  const q = b.one(Ops.quantize, [x, scale, zero], { axis: 0, block: 0, to: "i8", saturate: true })
  return [b.one(Ops.dequantize, [q, scale, zero], { axis: 0, block: 0, to: "f32" })]
})

const body = (name: string, type: Type.TensorType, op: OpDefinition<{}>): Graph => {
  const b = Builder.make(name)
  b.output("y", b.one(op, [b.input("x", type)], {}))
  return b.finish()
}

const condition = make("if", (site) => {
  const { b, pick, random } = site
  const x = pick(({ dtype }) => dtype === "f32")
  if (x === undefined) return undefined
  const axes = x.type.shape.map((_, axis) => axis)
  const total = b.one(Ops.reduceSum, [x], { axes, keepDims: false })
  const decided = random.chance(0.3)
    ? b.tensor(Numbers.scalar("bool", random.integer(0, 1)))
    : b.one(Ops.greater, [total, scalar(site, "f32", 0)], {})
  const graphs = Object.fromEntries(
    [body("then", x.type, Ops.relu), body("else", x.type, Ops.neg)].map((graph) => [graph.name, graph])
  )
  return [b.one(Ops.branch, [decided, x], {}, { graphs })]
})

// ---- what rewrites look for -----------------------------------------------------------------------------------------

const nothing = make("nothing", (site) => {
  const { b, pick, random } = site
  const x = pick(isWide)
  if (x === undefined) return undefined
  const { dtype, shape } = x.type
  const way = random.integer(0, 4)
  if (way === 0) return [b.one(Ops.mul, [x, scalar(site, dtype, 1)], {})]
  if (way === 1) return [b.one(Ops.add, [scalar(site, dtype, 0), x], {})]
  if (way === 2) return [b.one(Ops.reshape, [x], { shape })]
  if (way === 3) return [b.one(Ops.cast, [x], { to: dtype, saturate: false })]
  return [b.one(Ops.transpose, [x], { permutation: shape.map((_, axis) => axis) })]
})

const thereAndBack = make("thereAndBack", ({ b, pick, random }) => {
  const x = pick(both(isFloat, hasRank(2)))
  if (x === undefined) return undefined
  const permutation = random.shuffled(x.type.shape.map((_, axis) => axis))
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis))
  const there = b.one(Ops.transpose, [x], { permutation })
  return [there, b.one(Ops.transpose, [there], { permutation: inverse })]
})

const twice = make("twice", ({ b, pick }) => {
  const x = pick(isWide)
  if (x === undefined) return undefined
  return [
    b.one(Ops.sub, [b.one(Ops.tanh, [x], {}), b.one(Ops.tanh, [x], {})], {}),
    b.one(Ops.relu, [b.one(Ops.relu, [x], {})], {})
  ]
})

/** A composite in its pieces, as an importer meets it. */
const pieces = make("pieces", (site) => {
  const { b, pick, random } = site
  const x = pick(both(({ dtype }) => dtype === "f32", hasRank(2, 4)))
  const last = x === undefined ? undefined : extent(x, -1)
  if (x === undefined || last === undefined) return undefined
  const axis = x.type.shape.length - 1
  const [scale, bias] = [weights(site, "f32", [last]), weights(site, "f32", [last])]
  const ways = [
    () => Ops.relu.expand?.(b, [x], {}),
    () => Ops.silu.expand?.(b, [x], {}),
    () => Ops.gelu.expand?.(b, [x], { approximate: random.chance(0.5) ? "none" : "tanh" }),
    () => Ops.softmax.expand?.(b, [x], { axis }),
    () => Ops.layerNorm.expand?.(b, [x, scale, bias], { axis, epsilon: 1e-3 }),
    () => Ops.rmsNorm.expand?.(b, [x, scale], { axis, epsilon: 1e-3 })
  ]
  return random.pick(ways)?.()
})

/** Queries, keys and values of one input; with heads, attention over them in its pieces. */
const attention = make("attention", (site) => {
  const { b, pick, random } = site
  const x = pick(both(({ dtype }) => dtype === "f32", hasRank(2, 2), isStatic))
  const [rows, depth] = x === undefined ? [] : [extent(x, 0), extent(x, 1)]
  if (x === undefined || rows === undefined || depth === undefined) return undefined
  const project = (): Value => b.one(Ops.matmul, [x, weights(site, "f32", [depth, 4])], {})
  const projected = [project(), project(), project()]
  if (random.chance(0.5)) return projected
  const heads = projected.map((value) => b.one(Ops.reshape, [value], { shape: [1, 1, rows, 4] }))
  const attributes = { scale: 0.5, causal: random.chance(0.5) }
  return random.chance(0.3) ? [b.one(Ops.attention, heads, attributes)] : Ops.attention.expand?.(b, heads, attributes)
})

/** Padding before a convolution, and a bias added after it. */
const padded = make("padded", (site) => {
  const { b, pick, random } = site
  const x = pick(isImage)
  const channels = x === undefined ? undefined : extent(x, 1)
  if (x === undefined || channels === undefined) return undefined
  const around = [0, 0, random.integer(0, 1), random.integer(0, 1)]
  const wide = b.one(Ops.pad, [x, undefined], { before: around, after: around, mode: "constant" })
  const window = { strides: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0], dilations: [1, 1], groups: 1 }
  const result = b.one(Ops.conv, [wide, weights(site, "f32", [2, channels, 2, 2]), undefined], window)
  return [b.one(Ops.add, [result, weights(site, "f32", [2, 1, 1])], {})]
})

/** Sizes as data, as exporters write them. */
const sizes = make("sizes", ({ b, pick }) => {
  const x = pick(hasRank(1))
  if (x === undefined) return undefined
  const shape = b.one(Ops.sizes, [], { values: x.type.shape, scalar: false })
  return [b.one(Ops.cast, [shape], { to: "f32", saturate: false })]
})

/** A loop of a known number of trips, with a constant for its body to read. */
const loop = make("loop", (site) => {
  const { b, pick, random } = site
  const x = pick(({ dtype }) => dtype === "f32")
  if (x === undefined) return undefined
  const inner = Builder.make("body")
  inner.input("trip", Type.scalar("i64"))
  const going = inner.input("going", Type.scalar("bool"))
  const [carried, half] = [inner.input("carried", x.type), inner.input("half", Type.scalar("f32"))]
  inner.output("going", going)
  inner.output("carried", inner.one(Ops.mul, [carried, half], {}))
  const operands = [b.tensor(Numbers.scalar("i64", random.integer(0, 3))), undefined, x, scalar(site, "f32", 0.5)]
  return [b.one(Ops.loop, operands, { carried: 1 }, { graphs: { body: inner.finish() } })]
})

const constants = make("constants", (site) => {
  const x = weights(site, "f32", [2, 3])
  return [site.b.one(Ops.add, [site.b.one(Ops.neg, [x], {}), weights(site, "f32", [3])], {})]
})

export const all: ReadonlyArray<Template> = [
  unary,
  activation,
  binary,
  divide,
  compare,
  cast,
  integers,
  reduce,
  argReduce,
  cumulative,
  normalize,
  matmul,
  gram,
  conv,
  pool,
  transpose,
  reshape,
  slice,
  pad,
  concat,
  expand,
  gather,
  reverse,
  quantize,
  condition,
  nothing,
  thereAndBack,
  twice,
  pieces,
  attention,
  padded,
  sizes,
  loop,
  constants
]
