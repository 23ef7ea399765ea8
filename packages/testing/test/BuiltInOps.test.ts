/** Every built-in op keeps the laws of ops, the error rule of each among them. */
import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import type * as DType from "@anneal/ir/DType"
import type * as Graph from "@anneal/ir/Graph"
import type * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as OpLaws from "@anneal/testing/OpLaws"
import * as Effect from "effect/Effect"

type Operands = ReadonlyArray<Type.TensorType | undefined>
interface Subject {
  readonly op: Op.OpDefinition
  readonly cases: ReadonlyArray<OpLaws.Case<Op.Attributes>>
}

const of = (dtype: DType.DType, ...shape: ReadonlyArray<number>) => Type.make(dtype, shape)
const f32 = (...shape: ReadonlyArray<number>) => of("f32", ...shape)
const i64 = (...shape: ReadonlyArray<number>) => of("i64", ...shape)
const subject = (op: Op.OpDefinition, operands: Operands, attributes: Op.Attributes = {}): Subject => ({
  op,
  cases: [{ operands, attributes }]
})

const floats: ReadonlyArray<Op.OpDefinition> = [
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
  Ops.relu,
  Ops.silu,
  Ops.softplus
]
const pairs: ReadonlyArray<Op.OpDefinition> = [
  Ops.add,
  Ops.sub,
  Ops.mul,
  Ops.div,
  Ops.pow,
  Ops.min,
  Ops.max,
  Ops.equal,
  Ops.less,
  Ops.lessOrEqual,
  Ops.greater,
  Ops.greaterOrEqual
]
const integers: ReadonlyArray<Op.OpDefinition> = [Ops.bitwiseAnd, Ops.bitwiseOr, Ops.bitwiseXor]
const truths: ReadonlyArray<Op.OpDefinition> = [Ops.and, Ops.or, Ops.xor]
const reductions: ReadonlyArray<Op.OpDefinition> = [
  Ops.reduceSum,
  Ops.reduceMean,
  Ops.reduceProd,
  Ops.reduceMax,
  Ops.reduceMin
]

const window = { strides: [1, 1], padsBegin: [0, 1], padsEnd: [1, 0], dilations: [1, 1] }
const pool = { ...window, kernel: [2, 2], ceil: false }
const grid = { axis: 0, block: 0 }

const body = (): Graph.Graph => {
  const b = Builder.make("body")
  b.output("y", b.one(Ops.tanh, [b.input("x", f32(2, 3))], {}))
  return b.finish()
}

const others: ReadonlyArray<Subject> = [
  subject(Ops.isInf, [f32(2, 3)], { positive: true, negative: false }),
  subject(Ops.not, [of("bool", 3)]),
  subject(Ops.bitwiseNot, [of("u8", 3)]),
  subject(Ops.mod, [of("i32", 4), of("i32", 4)], { rounding: "floor" }),
  subject(Ops.select, [of("bool", 2, 1), f32(2, 3), f32(3)]),
  subject(Ops.cast, [f32(4)], { to: "f16", saturate: false }),
  subject(Ops.cast, [f32(4)], { to: "f8e4m3", saturate: true }),
  subject(Ops.bitcast, [of("i32", 3)], { to: "u32" }),
  subject(Ops.argMax, [f32(2, 3)], { axis: 1, keepDims: true, select: "last" }),
  subject(Ops.argMin, [f32(2, 3)], { axis: 0, keepDims: false, select: "first" }),
  subject(Ops.cumulativeSum, [f32(2, 5)], { axis: 1, exclusive: true, reverse: true }),
  subject(Ops.cumulativeProduct, [f32(2, 4)], { axis: 1, exclusive: false, reverse: false }),
  subject(Ops.matmul, [f32(2, 3, 4), f32(4, 5)]),
  subject(Ops.matmul, [f32(4), f32(4)]),
  subject(Ops.conv, [f32(1, 4, 4, 5), f32(4, 2, 2, 2), f32(4)], { ...window, groups: 2 }),
  subject(Ops.convTranspose, [f32(1, 4, 3, 3), f32(4, 2, 2, 2), f32(2)], {
    ...window,
    strides: [2, 1],
    groups: 1,
    outputPadding: [1, 0]
  }),
  subject(Ops.maxPool, [f32(1, 2, 4, 4)], { ...pool, indexOrder: "rowMajor" }),
  subject(Ops.averagePool, [f32(1, 2, 4, 4)], { ...pool, includePad: true }),
  subject(Ops.reshape, [f32(2, 3)], { shape: [3, 2] }),
  subject(Ops.transpose, [f32(2, 3, 4)], { permutation: [2, 0, 1] }),
  subject(Ops.expand, [f32(3, 1)], { shape: [2, 3, 4] }),
  subject(Ops.slice, [f32(4, 5)], { starts: [3, 0], sizes: [2, 3], steps: [-2, 2] }),
  subject(Ops.pad, [f32(2, 3), f32()], { before: [1, 0], after: [0, 2], mode: "constant" }),
  subject(Ops.pad, [f32(3, 4)], { before: [1, 2], after: [2, 0], mode: "reflect" }),
  subject(Ops.concat, [f32(2, 3), f32(2, 1), f32(2, 2)], { axis: 1 }),
  subject(Ops.reverse, [f32(2, 3)], { axes: [0, 1] }),
  subject(Ops.gather, [f32(4, 3), i64(2, 2)], { axis: 0 }),
  subject(Ops.gatherElements, [f32(4, 3), i64(2, 3)], { axis: 0 }),
  subject(Ops.gatherNd, [f32(4, 4, 3), i64(2, 2)], { batchDims: 0 }),
  subject(Ops.scatterElements, [f32(4, 3), i64(2, 3), f32(2, 3)], { axis: 0, reduction: "add" }),
  subject(Ops.scatterNd, [f32(4, 3), i64(2, 1), f32(2, 3)], { reduction: "none" }),
  subject(Ops.sizes, [], { values: [2, 3], scalar: false }),
  subject(Ops.iota, [], { size: 4, dtype: "f32" }),
  subject(Ops.nonZero, [f32(2, 3)]),
  subject(Ops.unique, [i64(6)], { axis: null, sorted: true }),
  subject(Ops.nonMaxSuppression, [f32(1, 4, 4), f32(1, 2, 4), i64(), f32(), f32()], { format: "corner" }),
  subject(Ops.topK, [f32(2, 5)], { k: 2, axis: 1, largest: true, sorted: true }),
  subject(Ops.randomUniform, [], { dtype: "f32", shape: [5], seed: 3 }),
  subject(Ops.randomNormal, [], { dtype: "f32", shape: [5], seed: 4 }),
  subject(Ops.quantize, [f32(2, 3), f32(3), of("i8", 3)], { ...grid, axis: 1, to: "i8", saturate: true }),
  subject(Ops.dequantize, [of("u8", 2, 3), f32(2), of("u8", 2)], { ...grid, to: "f32" }),
  subject(Ops.resize, [f32(1, 1, 3, 4)], {
    shape: [1, 1, 5, 7],
    scales: [],
    mode: "linear",
    coordinates: "halfPixel",
    nearest: "floor",
    cubicCoefficient: -0.75,
    excludeOutside: false,
    antialias: false,
    extrapolation: 0,
    region: []
  }),
  subject(Ops.gridSample, [f32(1, 2, 4, 4), f32(1, 2, 3, 2)], {
    mode: "linear",
    padding: "zeros",
    alignCorners: false
  }),
  subject(Ops.roiAlign, [f32(1, 2, 8, 8), f32(3, 4), i64(3)], {
    height: 2,
    width: 2,
    spatialScale: 0.5,
    mode: "average",
    samples: 2,
    halfPixel: true
  }),
  subject(Ops.gelu, [f32(2, 3)], { approximate: "none" }),
  subject(Ops.gelu, [f32(2, 3)], { approximate: "tanh" }),
  subject(Ops.leakyRelu, [f32(2, 3)], { alpha: 0.1 }),
  subject(Ops.clip, [f32(2, 3), undefined, f32()]),
  subject(Ops.softmax, [f32(2, 5)], { axis: -1 }),
  subject(Ops.logSoftmax, [f32(2, 5)], { axis: 0 }),
  subject(Ops.layerNorm, [f32(2, 4), f32(4), f32(4)], { axis: 1, epsilon: 1e-2 }),
  subject(Ops.rmsNorm, [f32(2, 4), f32(4)], { axis: 1, epsilon: 1e-2 }),
  subject(Ops.batchNorm, [f32(2, 3, 4), f32(3), f32(3), f32(3), f32(3)], { epsilon: 1e-3 }),
  subject(Ops.linear, [f32(2, 3), f32(3, 4), f32(4)]),
  subject(Ops.attention, [f32(1, 4, 3, 4), f32(1, 2, 5, 4), f32(1, 2, 5, 4), f32(3, 5)], { scale: 0.5, causal: true }),
  subject(Ops.rotaryEmbedding, [f32(1, 2, 3, 4), f32(3, 2), f32(3, 2)], { interleaved: true }),
  {
    op: Ops.branch,
    cases: [
      {
        operands: [of("bool"), f32(2, 3)],
        attributes: {},
        graphs: Object.fromEntries(["then", "else"].map((name) => [name, body()]))
      }
    ]
  }
]

const subjects: ReadonlyArray<Subject> = [
  ...floats.map((op) => subject(op, [f32(2, 5)])),
  ...pairs.map((op) => subject(op, [f32(2, 3), f32(3)])),
  ...integers.map((op) => subject(op, [of("i32", 4), of("i32", 4)])),
  ...truths.map((op) => subject(op, [of("bool", 4), of("bool", 4)])),
  ...reductions.map((op) => subject(op, [f32(2, 3, 2)], { axes: [0, 2], keepDims: false })),
  ...others
]

/** Loops, recurrence and region pooling are checked by their own kernels' tests; the rest is here. */
const elsewhere = [
  "loop",
  "scan",
  "readDims",
  "lstm",
  "gru",
  "rnn",
  "shiftLeft",
  "shiftRight",
  "roiAlign",
  "maxRoiPool"
]

describe("built-in ops", () => {
  for (const { cases, op } of subjects)
    it.live(`${op.name} ${JSON.stringify(cases[0]?.attributes)}`, () =>
      Effect.gen(function* () {
        const report = yield* OpLaws.check(op, { cases, draws: 6 })
        assert.strictEqual(report.cases, cases.length)
      })
    )

  it("are all here", () => {
    const here = new Set([...subjects.map(({ op }) => op.name), ...elsewhere])
    assert.deepStrictEqual(
      Ops.all.map(({ name }) => name).filter((name) => !here.has(name)),
      []
    )
  })
})
