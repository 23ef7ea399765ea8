// Bounds are promises: operands moved within their bounds, and computed in float64, never leave the results' bounds.
import { assert, describe, it } from "@effect/vitest"
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import * as Numbers from "@anneal/ir/Numbers"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { Cell } from "@anneal/reference/Kernel"
import { draws, f32, graphOf, runCells, tensor, values } from "./OneNode.ts"

interface Case {
  readonly name: string
  readonly op: OpDefinition
  readonly attributes: Attributes
  /** Shape of each float operand, or a fixed tensor that stays exact. */
  readonly inputs: ReadonlyArray<ReadonlyArray<number> | Tensor>
  /** From a draw in [−1, 1) to a value in the op's domain. */
  readonly scale?: (draw: number) => number
}

const define = <A extends Attributes>(
  op: OpDefinition<A>,
  attributes: A,
  inputs: Case["inputs"],
  scale?: Case["scale"]
): Case => ({ name: op.name, op, attributes, inputs, ...(scale === undefined ? {} : { scale }) })

const positive = (x: number): number => 1.5 + x
const inside = (x: number): number => x * 0.9
const activationOf = (name: "sigmoid" | "tanh") => ({ name, alpha: 0, beta: 0 })
const layer = { hidden: 3, direction: "bidirectional" as const, clip: null }
const sharp = { strides: [2, 1], padsBegin: [1, 0], padsEnd: [0, 1], dilations: [1, 1], groups: 2 }
const square = { kernel: [2, 2], strides: [1, 2], padsBegin: [1, 0], padsEnd: [0, 1], dilations: [1, 1], ceil: false }
const resize = {
  shape: [1, 2, 7],
  scales: [],
  nearest: "floor" as const,
  cubicCoefficient: -0.75,
  excludeOutside: false,
  antialias: false,
  extrapolation: 0,
  region: [],
  coordinates: "halfPixel" as const
}

const cases: ReadonlyArray<Case> = [
  ...[Ops.neg, Ops.abs, Ops.exp, Ops.expm1, Ops.sin, Ops.cos, Ops.tan, Ops.atan, Ops.sinh, Ops.cosh].map((op) =>
    define(op, {}, [[9]])
  ),
  ...[Ops.tanh, Ops.asinh, Ops.erf, Ops.sigmoid].map((op) => define(op, {}, [[9]], (x) => 3 * x)),
  ...[Ops.asin, Ops.acos, Ops.atanh].map((op) => define(op, {}, [[9]], inside)),
  ...[Ops.log, Ops.log1p, Ops.sqrt, Ops.reciprocal].map((op) => define(op, {}, [[9]], positive)),
  define(Ops.acosh, {}, [[9]], (x) => 2.2 + x),
  ...[Ops.add, Ops.sub, Ops.mul, Ops.min, Ops.max].map((op) => define(op, {}, [[3, 4], [4]])),
  define(Ops.div, {}, [[3, 4], [4]], positive),
  define(Ops.pow, {}, [[3, 4], [4]], positive),
  define(Ops.select, {}, [tensor("bool", [3, 1], [1, 0, 1]), [3, 4], [4]]),
  define(Ops.cast, { to: "f16", saturate: true }, [[9]]),
  define(Ops.matmul, {}, [
    [2, 3, 5],
    [5, 4]
  ]),
  define(Ops.conv, sharp, [[1, 4, 5, 4], [4, 2, 3, 2], [4]]),
  define(Ops.convTranspose, { ...sharp, outputPadding: [0, 0] }, [[1, 4, 3, 3], [4, 2, 3, 2], [4]]),
  define(Ops.reduceSum, { axes: [0], keepDims: false }, [[7, 3]]),
  define(Ops.reduceMean, { axes: [1], keepDims: true }, [[3, 7]]),
  define(Ops.reduceProd, { axes: [1], keepDims: true }, [[3, 7]]),
  define(Ops.reduceMax, { axes: [1], keepDims: true }, [[3, 7]]),
  define(Ops.reduceMin, { axes: [1], keepDims: true }, [[3, 7]]),
  define(Ops.cumulativeSum, { axis: 1, exclusive: false, reverse: true }, [[3, 7]]),
  define(Ops.cumulativeProduct, { axis: 0, exclusive: true, reverse: false }, [[5, 2]]),
  define(Ops.averagePool, { ...square, includePad: false }, [[1, 2, 4, 4]]),
  define(Ops.maxPool, { ...square, indexOrder: "rowMajor" }, [[1, 2, 4, 4]]),
  define(Ops.topK, { k: 2, axis: 1, largest: true, sorted: true }, [[3, 6]]),
  define(Ops.transpose, { permutation: [1, 0] }, [[3, 4]]),
  define(Ops.pad, { before: [1], after: [2], mode: "reflect" }, [[4]]),
  define(Ops.concat, { axis: 0 }, [
    [2, 2],
    [3, 2]
  ]),
  define(Ops.gather, { axis: 1 }, [[2, 4], tensor("i64", [3], [3, 0, -2])]),
  define(Ops.scatterElements, { axis: 0, reduction: "none" }, [[4], tensor("i64", [2], [1, 1]), [2]]),
  define(Ops.scatterElements, { axis: 0, reduction: "add" }, [[4], tensor("i64", [3], [1, 1, 2]), [3]]),
  define(Ops.scatterElements, { axis: 0, reduction: "mul" }, [[4], tensor("i64", [3], [1, 1, 2]), [3]]),
  define(Ops.scatterElements, { axis: 0, reduction: "max" }, [[4], tensor("i64", [3], [1, 1, 2]), [3]]),
  define(Ops.softmax, { axis: 1 }, [[2, 5]]),
  define(Ops.layerNorm, { axis: 1, epsilon: 1e-5 }, [[2, 5], [5], [5]]),
  define(Ops.gelu, { approximate: "none" }, [[9]]),
  define(
    Ops.lstm,
    {
      ...layer,
      activations: [0, 1].flatMap(() => [activationOf("sigmoid"), activationOf("tanh"), activationOf("tanh")]),
      inputForget: false
    },
    [
      [4, 2, 3],
      [2, 12, 3],
      [2, 12, 3],
      [2, 24]
    ]
  ),
  define(
    Ops.gru,
    {
      ...layer,
      activations: [0, 1].flatMap(() => [activationOf("sigmoid"), activationOf("tanh")]),
      linearBeforeReset: true
    },
    [
      [4, 2, 3],
      [2, 9, 3],
      [2, 9, 3],
      [2, 18]
    ]
  ),
  define(
    Ops.gru,
    {
      ...layer,
      activations: [0, 1].flatMap(() => [activationOf("sigmoid"), activationOf("tanh")]),
      linearBeforeReset: false
    },
    [
      [4, 2, 3],
      [2, 9, 3],
      [2, 9, 3],
      [2, 18]
    ]
  ),
  define(Ops.rnn, { ...layer, activations: [activationOf("tanh"), activationOf("tanh")] }, [
    [4, 2, 3],
    [2, 3, 3],
    [2, 3, 3],
    [2, 6]
  ]),
  ...[Ops.sign, Ops.floor, Ops.ceil, Ops.round].map((op) => define(op, {}, [[40]], (x) => 3 * x)),
  ...[Ops.equal, Ops.less, Ops.lessOrEqual, Ops.greater, Ops.greaterOrEqual].map((op) => define(op, {}, [[9, 1], [9]])),
  define(Ops.mod, { rounding: "floor" }, [[9, 1], [9]], positive),
  define(Ops.mod, { rounding: "truncate" }, [[9, 1], [9]], positive),
  define(Ops.argMax, { axis: 1, keepDims: false, select: "first" }, [[6, 9]]),
  define(Ops.argMin, { axis: 0, keepDims: false, select: "last" }, [[9, 6]]),
  define(Ops.quantize, { axis: 1, block: 0, to: "i8", saturate: true }, [[9, 2], [2]], (x) => 0.6 + 0.5 * x),
  define(Ops.quantize, { axis: 0, block: 0, to: "f8e4m3", saturate: true }, [[9], f32([], [0.125])]),
  define(Ops.dequantize, { axis: 1, block: 2, to: "f32" }, [
    tensor("i8", [2, 4], [1, -2, 3, -4, 5, 127, -128, 0]),
    [2, 2]
  ]),
  define(Ops.cast, { to: "i32", saturate: true }, [[40]], (x) => 5 * x),
  define(Ops.resize, { ...resize, mode: "linear" }, [[1, 2, 4]]),
  define(Ops.resize, { ...resize, mode: "cubic" }, [[1, 2, 4]]),
  define(Ops.gridSample, { mode: "linear", padding: "zeros", alignCorners: false }, [
    [1, 2, 4, 4],
    [1, 3, 3, 2]
  ]),
  define(Ops.gridSample, { mode: "cubic", padding: "border", alignCorners: true }, [
    [1, 2, 4, 4],
    [1, 3, 3, 2]
  ])
]

const isTensor = (input: ReadonlyArray<number> | Tensor): input is Tensor => "dtype" in input

/** Operands in a dtype; errors are of this size relative to 1. */
const cellsOf = ({ inputs, scale }: Case, dtype: DType, size: number, seed: number): ReadonlyArray<Cell> =>
  inputs.map((input, position) => {
    if (isTensor(input)) return { tensor: input, bound: undefined }
    const count = Tensors.size(input)
    const drawn = draws(count, seed * 31 + position)
    const bound = Float64Array.from(draws(count, seed * 37 + position), (x) =>
      x > 0.5 ? 0 : size * Math.max(0.1, Math.abs(x))
    )
    return { tensor: tensor(dtype, input, scale === undefined ? drawn : drawn.map(scale)), bound }
  })

/** As far as an operand is moved, of its bound: not the whole, for the sum itself is rounded. */
const edge = 1 - 1e-6

/** The cells moved to the edge of their bounds, or inside it, as f64. */
const moved = (cells: ReadonlyArray<Cell>, seed: number): ReadonlyArray<Cell> =>
  cells.map(({ bound, tensor: given }, position) => {
    if (!DTypes.isFloat(given.dtype)) return { tensor: given, bound: undefined }
    const numbers = Numbers.toNumbers(given)
    const steps = draws(numbers.length, seed * 41 + position)
    const data = numbers.map((x, i) => {
      const step = steps[i] ?? 0
      return x + (bound?.[i] ?? 0) * (step > 0.3 ? edge : step < -0.3 ? -edge : step)
    })
    return { tensor: { dtype: "f64", shape: given.shape, data }, bound: undefined }
  })

/** Casts and dequantisations to a float: their exact result is not rounded to it. */
const isRounding = ({ to }: Attributes): boolean => to === "f16" || to === "f32"

const exactGraph = ({ attributes, op }: Case, cells: ReadonlyArray<Cell>) =>
  graphOf(
    op,
    cells.map((cell) => cell.tensor),
    isRounding(attributes) ? { ...attributes, to: "f64" } : attributes
  )

const check = (given: Case, dtype: DType, size: number, accumulator: "oracle" | "contract"): number => {
  let largest = 0
  for (let seed = 1; seed <= 4; seed++) {
    const cells = cellsOf(given, dtype, size, seed)
    const graph = graphOf(
      given.op,
      cells.map((cell) => cell.tensor),
      given.attributes
    )
    const results = runCells(graph, cells, accumulator)
    for (let draw = 1; draw <= 4; draw++) {
      const near = moved(cells, seed * 10 + draw)
      for (const [position, result] of runCells(exactGraph(given, near), near, undefined).entries()) {
        const [found, bound] = [values(results[position]?.tensor), results[position]?.bound]
        for (const [i, exact] of values(result.tensor).entries()) {
          const error = Math.abs(exact - (found[i] ?? NaN))
          assert.isAtMost(error, bound?.[i] ?? 0, `${given.name}, seed ${seed}, result ${position}, element ${i}`)
          if (error > 0) largest = Math.max(largest, (bound?.[i] ?? 0) / error)
        }
      }
    }
  }
  return largest
}

describe("Bounds hold", () => {
  for (const [index, given] of cases.entries())
    it(`${given.name} (case ${index})`, () => {
      check(given, "f32", 1e-3, "oracle")
      check(given, "f32", 0, "oracle")
      check(given, "f64", 1e-6, "contract")
      check(given, "f16", 1e-2, "contract")
    })
})

const bounded = <A extends Attributes>(
  op: OpDefinition<A>,
  cells: ReadonlyArray<Cell>,
  attributes: A,
  accumulator: "oracle" | "contract" = "oracle"
) =>
  runCells(
    graphOf(
      op,
      cells.map((cell) => cell.tensor),
      attributes
    ),
    cells,
    accumulator
  ).map(({ bound }) => (bound === undefined ? undefined : Array.from(bound)))

const cell = (given: Tensor, bound?: ReadonlyArray<number>): Cell => ({
  tensor: given,
  bound: bound === undefined ? undefined : Float64Array.from(bound)
})

describe("Bounds are no larger than they need be", () => {
  it("keeps exact results exact", () => {
    assert.deepStrictEqual(bounded(Ops.neg, [cell(f32([2], [1, 2]))], {}), [undefined])
    assert.deepStrictEqual(bounded(Ops.transpose, [cell(f32([2, 1], [1, 2]))], { permutation: [1, 0] }), [undefined])
    assert.deepStrictEqual(bounded(Ops.less, [cell(f32([1], [1])), cell(f32([1], [1]))], {}), [undefined])
    assert.deepStrictEqual(bounded(Ops.add, [cell(tensor("i32", [1], [1])), cell(tensor("i32", [1], [2]))], {}), [
      undefined
    ])
  })
  it("gives an exact sum half a unit in the last place", () => {
    const [found] = bounded(Ops.add, [cell(f32([1], [1])), cell(f32([1], [2 ** -30]))], {})
    const half = Float.ulp(1, "f32") / 2
    assert.isAtLeast(found?.[0] ?? 0, half)
    assert.isAtMost(found?.[0] ?? 0, half * (1 + 1e-6))
  })
  it("gives a contraction γ(k)·Σ|a||b| of the accumulator", () => {
    const k = 64
    const ones = Array.from({ length: k }, () => 1)
    const operands = [cell(f32([1, k], ones)), cell(f32([k, 1], ones))]
    const [oracle] = bounded(Ops.matmul, operands, {})
    const [contract] = bounded(Ops.matmul, operands, {}, "contract")
    const [half, unit] = [Float.ulp(k, "f32") / 2, 2 ** -24]
    assert.closeTo(oracle?.[0] ?? 0, half, half * 1e-6)
    assert.closeTo(contract?.[0] ?? 0, half + ((k * unit) / (1 - k * unit)) * k, half * 1e-6)
  })
  it("knows that a product leaves the range of its numbers in some orders only", () => {
    const shape = { axes: [0], keepDims: false }
    const productOf = (factors: ReadonlyArray<number>): number =>
      bounded(Ops.reduceProd, [cell(f32([factors.length], factors))], shape, "contract")[0]?.[0] ?? 0
    assert.isBelow(productOf([0.5, 3, -2, 7]), 1e-4)
    // (1e-30 · 1e35) · 1e-15 is 1e-10; with the small ones first it is off by up to 1e-45 · 1e35.
    assert.isAbove(productOf([1e-30, 1e35, 1e-15]), 1e-10)
    assert.isBelow(productOf([1e-30, 1e35, 1e-15]), 1e-9)
    assert.strictEqual(productOf([1e30, 1e-30, 1e30]), Infinity)
    assert.isBelow(productOf([1e30, 0, 1e30]), 1e-40)
  })
  it("leaves a masked −Infinity of attention without error", () => {
    const [found] = bounded(Ops.add, [cell(f32([2], [1, 2]), [0.1, 0.1]), cell(f32([2], [-Infinity, 0]))], {})
    assert.strictEqual(found?.[0], 0)
    assert.isAbove(found?.[1] ?? 0, 0.1)
    const [powers] = bounded(Ops.exp, [cell(f32([1], [-Infinity]))], {})
    assert.isAtMost(powers?.[0] ?? 1, Float.formats.f32.minSubnormal)
  })
})

describe("discontinuous ops", () => {
  it("are undecided only within reach of a tie", () => {
    const a = cell(f32([3], [1, 2, 3]), [0.1, 0.1, 0])
    assert.deepStrictEqual(bounded(Ops.less, [a, cell(f32([], [2.05]))], {}), [[0, 1, 0]])
    const [jumps] = bounded(Ops.floor, [cell(f32([3], [0.95, 1.5, 2]), [0.1, 0.1, 0])], {})
    assert.closeTo(jumps?.[0] ?? 0, 1, 1e-6)
    assert.deepStrictEqual(jumps?.slice(1), [0, 0])
    const arg = { axis: 0, keepDims: false, select: "first" as const }
    assert.deepStrictEqual(bounded(Ops.argMax, [cell(f32([3], [1, 2, 1.95]), [0, 0.1, 0])], arg), [[Infinity]])
    assert.deepStrictEqual(bounded(Ops.argMax, [cell(f32([3], [1, 2, 1.5]), [0, 0.1, 0])], arg), [undefined])
  })
  it("say nothing, rather than no number, of nothing known times 0", () => {
    const [a, b] = [cell(tensor("i32", [1, 2], [1, 1]), [Infinity, 0]), cell(tensor("i32", [2, 1], [0, 1]))]
    assert.deepStrictEqual(bounded(Ops.matmul, [a, b], {}), [[Infinity]])
  })
  it("carry an undecided bool on: not, and, select, cast", () => {
    const open = cell(tensor("bool", [2], [1, 0]), [1, 0])
    assert.deepStrictEqual(bounded(Ops.not, [open], {}), [[1, 0]])
    const [chosen] = bounded(Ops.select, [open, cell(f32([], [5])), cell(f32([], [2]))], {})
    assert.closeTo(chosen?.[0] ?? 0, 3, 1e-6)
    assert.strictEqual(chosen?.[1], 0)
    const [number] = bounded(Ops.cast, [open], { to: "f32", saturate: true })
    assert.closeTo(number?.[0] ?? 0, 1, 1e-6)
  })
  it("let a quantised value move by one step at a tie", () => {
    const to = { axis: 0, block: 0, to: "i8" as const, saturate: true }
    const [found] = bounded(Ops.quantize, [cell(f32([3], [2.49, 2.2, 500]), [0.02, 0.02, 0.5]), cell(f32([], [1]))], to)
    assert.closeTo(found?.[0] ?? 0, 1, 1e-6)
    assert.deepStrictEqual(found?.slice(1), [0, 0])
  })
  it("say where topK's positions are contested", () => {
    const row = cell(f32([3], [3, 2.95, 1]), [0.1, 0, 0])
    const [, positions] = bounded(Ops.topK, [row], { k: 3, axis: 0, largest: true, sorted: true })
    assert.deepStrictEqual(positions, [Infinity, Infinity, 0])
  })
})
