import { assert, describe, it } from "@effect/vitest"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import { OracleError } from "@anneal/pipeline/Oracle"
import { f32, run, runAll, tensor, values } from "../OneNode.ts"

const x = f32([2, 3], [1, 2, 3, 4, 5, 6])

const failure = (f: () => unknown): string => {
  try {
    f()
  } catch (error) {
    if (error instanceof OracleError) return error.message
    throw error
  }
  return "no failure"
}

describe("movement", () => {
  it("moves elements of every dtype bit by bit", () => {
    for (const dtype of DTypes.all) {
      const data = DTypes.allocate(dtype, 6)
      for (let i = 0; i < 6; i++) data[i] = DTypes.isBig(dtype) ? BigInt(i % 2) : i % 2
      const [moved] = runAll(Ops.transpose, [{ dtype, shape: [2, 3], data }], { permutation: [1, 0] })
      assert.deepStrictEqual([...(moved?.data ?? [])].map(Number), [0, 1, 1, 0, 0, 1], dtype)
    }
    const bits = { dtype: "i64" as const, shape: [2, 1], data: BigInt64Array.of(-1n, 0x7ff0000000000001n) }
    assert.deepStrictEqual(runAll(Ops.transpose, [bits], { permutation: [1, 0] })[0]?.data, bits.data)
  })
  it("transposes, expands, slices, reverses", () => {
    assert.deepStrictEqual(run(Ops.transpose, [x], { permutation: [1, 0] }), [1, 4, 2, 5, 3, 6])
    assert.deepStrictEqual(run(Ops.expand, [f32([2, 1], [1, 2])], { shape: [2, 2, 2] }), [1, 1, 2, 2, 1, 1, 2, 2])
    assert.deepStrictEqual(run(Ops.slice, [x], { starts: [1, 2], sizes: [1, 3], steps: [1, -1] }), [6, 5, 4])
    assert.deepStrictEqual(run(Ops.slice, [x], { starts: [0, 0], sizes: [2, 2], steps: [1, 2] }), [1, 3, 4, 6])
    assert.deepStrictEqual(run(Ops.slice, [x], { starts: [0, 3], sizes: [2, 0], steps: [1, 1] }), [])
    assert.deepStrictEqual(run(Ops.reverse, [x], { axes: [-1] }), [3, 2, 1, 6, 5, 4])
  })
  it("pads in every mode", () => {
    const row = f32([3], [1, 2, 3])
    const pad = (mode: "constant" | "reflect" | "edge" | "wrap") =>
      run(Ops.pad, [row], { before: [2], after: [1], mode })
    assert.deepStrictEqual(pad("constant"), [0, 0, 1, 2, 3, 0])
    assert.deepStrictEqual(pad("reflect"), [3, 2, 1, 2, 3, 2])
    assert.deepStrictEqual(pad("edge"), [1, 1, 1, 2, 3, 3])
    assert.deepStrictEqual(pad("wrap"), [2, 3, 1, 2, 3, 1])
    const filled = { before: [0, 1], after: [1, 0], mode: "constant" as const }
    assert.deepStrictEqual(run(Ops.pad, [f32([1, 1], [5]), f32([], [7])], filled), [7, 5, 7, 7])
  })
  it("concatenates along any axis", () => {
    assert.deepStrictEqual(run(Ops.concat, [x, f32([2, 1], [7, 8])], { axis: 1 }), [1, 2, 3, 7, 4, 5, 6, 8])
    assert.deepStrictEqual(run(Ops.concat, [x, x], { axis: -2 }), [...values(x), ...values(x)])
  })
  it("gathers slices, elements and tuples", () => {
    const indices = tensor("i64", [2], [-1, 0])
    assert.deepStrictEqual(run(Ops.gather, [x, indices], { axis: 1 }), [3, 1, 6, 4])
    assert.deepStrictEqual(run(Ops.gatherElements, [x, tensor("i64", [1, 3], [1, 0, -1])], { axis: 0 }), [4, 2, 6])
    assert.deepStrictEqual(run(Ops.gatherNd, [x, tensor("i64", [2, 2], [0, 1, 1, -1])], { batchDims: 0 }), [2, 6])
    assert.deepStrictEqual(run(Ops.gatherNd, [x, tensor("i64", [2, 1], [2, 0])], { batchDims: 1 }), [3, 4])
  })
  it("scatters in order, replacing or combining", () => {
    const row = f32([4], [1, 2, 3, 4])
    const at = tensor("i64", [3], [1, 1, -1])
    const updates = f32([3], [10, 20, 30])
    const elements = (reduction: "none" | "add" | "mul" | "max" | "min") =>
      run(Ops.scatterElements, [row, at, updates], { axis: 0, reduction })
    assert.deepStrictEqual(elements("none"), [1, 20, 3, 30])
    assert.deepStrictEqual(elements("add"), [1, 32, 3, 34])
    assert.deepStrictEqual(elements("mul"), [1, 400, 3, 120])
    assert.deepStrictEqual(elements("max"), [1, 20, 3, 30])
    assert.deepStrictEqual(elements("min"), [1, 2, 3, 4])
    const rows = run(Ops.scatterNd, [x, tensor("i64", [1, 1], [1]), f32([1, 3], [7, 8, 9])], { reduction: "none" })
    assert.deepStrictEqual(rows, [1, 2, 3, 7, 8, 9])
    assert.deepStrictEqual(values(row), [1, 2, 3, 4], "operands are not written to")
  })
  it("names the node and the index that is out of range", () => {
    const message = failure(() => run(Ops.gather, [x, tensor("i64", [1], [3])], { axis: 1 }))
    assert.match(message, /gather %gather.*index 3 is outside an extent of 3/)
    assert.match(
      failure(() =>
        run(Ops.scatterNd, [x, tensor("i64", [1, 1], [-3]), f32([1, 3], [7, 8, 9])], { reduction: "none" })
      ),
      /index -3 is outside an extent of 2/
    )
  })
})

describe("shape, order and quantisation", () => {
  it("finds non-zero elements and distinct ones", () => {
    assert.deepStrictEqual(run(Ops.nonZero, [f32([2, 2], [0, 1, 2, 0])], {}), [0, 1, 1, 0])
    const [found, first, inverse, counts] = runAll(Ops.unique, [f32([5], [2, 1, 1, 3, 2])], {
      axis: null,
      sorted: true
    })
    assert.deepStrictEqual(values(found), [1, 2, 3])
    assert.deepStrictEqual(values(first), [1, 0, 3])
    assert.deepStrictEqual(values(inverse), [1, 0, 0, 2, 1])
    assert.deepStrictEqual(values(counts), [2, 2, 1])
    const rows = f32([3, 2], [1, 0, 1, 0, 0, 2])
    assert.deepStrictEqual(run(Ops.unique, [rows], { axis: 0, sorted: false }), [1, 0, 0, 2])
  })
  it("counts", () => {
    assert.deepStrictEqual(run(Ops.iota, [], { size: 4, dtype: "f16" }), [0, 1, 2, 3])
    assert.deepStrictEqual(run(Ops.sizes, [], { values: [3, 5], scalar: false }), [3, 5])
  })
  it("orders, the earlier of equals first and NaN as the greatest", () => {
    const row = f32([5], [1, 3, NaN, 3, -1])
    const top = (largest: boolean) => runAll(Ops.topK, [row], { k: 3, axis: 0, largest, sorted: true }).map(values)
    assert.deepStrictEqual(top(true), [
      [NaN, 3, 3],
      [2, 1, 3]
    ])
    assert.deepStrictEqual(top(false), [
      [-1, 1, 3],
      [4, 0, 1]
    ])
  })
  it("suppresses overlapping boxes", () => {
    const boxes = f32([1, 3, 4], [0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 10, 1, 11])
    const scores = f32([1, 1, 3], [0.9, 0.75, 0.6])
    const limit = tensor("i64", [1], [3])
    const result = run(Ops.nonMaxSuppression, [boxes, scores, limit, f32([1], [0.5])], { format: "corner" })
    assert.deepStrictEqual(result, [0, 0, 0, 0, 0, 2])
  })
  it("quantises to the nearest, ties to even, saturated, and back", () => {
    const row = f32([5], [0.5, 1.5, -300, 300, 2.4])
    const one = { axis: 0, block: 0, to: "i8" as const, saturate: true }
    assert.deepStrictEqual(run(Ops.quantize, [row, f32([], [1])], one), [0, 2, -128, 127, 2])
    const perAxis = { ...one, axis: 1, to: "u8" as const }
    const zero = tensor("u8", [2], [10, 0])
    assert.deepStrictEqual(run(Ops.quantize, [f32([1, 2], [4, 4]), f32([2], [2, 0.5]), zero], perAxis), [12, 8])
    assert.deepStrictEqual(
      run(Ops.dequantize, [tensor("u8", [1, 2], [12, 8]), f32([2], [2, 0.5]), zero], { axis: 1, block: 0, to: "f32" }),
      [4, 4]
    )
    const blocks = { axis: 1, block: 2, to: "f32" as const }
    assert.deepStrictEqual(
      run(Ops.dequantize, [tensor("i4", [1, 4], [1, 2, 3, -8]), f32([1, 2], [1, 10])], blocks),
      [1, 2, 30, -80]
    )
    assert.deepStrictEqual(
      run(Ops.quantize, [f32([2], [1000, 0.3]), f32([], [1])], { ...one, to: "f8e4m3" }),
      [448, 0.3125]
    )
  })
})
