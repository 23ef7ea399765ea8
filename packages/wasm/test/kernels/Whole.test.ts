import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { Whole } from "@anneal/lower/Region"
import * as View from "@anneal/lower/View"
import * as WholeKernels from "@anneal/wasm/kernels/Whole"
import { describe, expect, it } from "vitest"
import * as Definition from "../Definition.ts"
import * as RandomRegion from "../RandomRegion.ts"
import { placeIn, plain, points, relaxed, run } from "../RunKernel.ts"

interface Given {
  readonly tensor: Tensor
  /** Order of its axes in memory, outermost first; row-major when left out. */
  readonly order?: ReadonlyArray<number>
}

/** The kernels of one node on these operands give what the oracle gives. */
const check = <A extends Attributes>(
  op: OpDefinition<A>,
  given: ReadonlyArray<Given>,
  attributes: A,
  options: { readonly tolerance?: number; readonly order?: ReadonlyArray<number> } = {}
): void => {
  const b = Builder.make("one")
  const inputs = given.map(({ tensor }, i) => b.input(`x${i}`, { dtype: tensor.dtype, shape: tensor.shape }))
  const outputs = b.node(op, inputs, attributes)
  const [node] = b.finish().nodes
  if (node === undefined) throw new Error("no node")
  const wanted = Definition.runOp(
    op,
    given.map(({ tensor }) => tensor),
    attributes
  )
  const place = (id: string, dtype: DType, shape: ReadonlyArray<number>, order?: ReadonlyArray<number>): View.View =>
    order === undefined ? View.contiguous(id, dtype, shape) : View.ordered(id, dtype, shape, order)
  const buffers = new Map<string, { readonly dtype: DType; readonly data: TypedArray }>()
  const operands = given.map(({ order, tensor }, i) => {
    const view = place(`x${i}`, tensor.dtype, tensor.shape, order)
    const data = DTypes.allocate(tensor.dtype, tensor.data.length)
    const at = placeIn(view, new Map())
    let from = 0
    for (const point of points(tensor.shape)) data[at(point)] = tensor.data[from++] ?? 0
    buffers.set(view.buffer, { dtype: tensor.dtype, data })
    return view
  })
  const results = outputs.map(({ type }, i) => {
    const shape = wanted[i]?.shape ?? []
    buffers.set(`y${i}`, { dtype: type.dtype, data: DTypes.allocate(type.dtype, Tensors.size(shape)) })
    return place(`y${i}`, type.dtype, shape, options.order)
  })
  const region: Whole = { kind: "whole", id: "y", members: [node], node, operands, results }
  const kernels = WholeKernels.candidates(region, new Map(), plain)
  expect(kernels.length, `${op.name} ${JSON.stringify(attributes)}`).toBeGreaterThan(0)
  for (const features of [plain, relaxed])
    for (const kernel of WholeKernels.candidates(region, new Map(), features))
      for (const piece of [undefined, 1]) {
        const after = run(region, kernel, buffers, { features, ...(piece === undefined ? {} : { piece }) })
        results.forEach((view, i) => {
          const expected = wanted[i]
          if (expected === undefined) return
          const at = placeIn(view, new Map())
          const found = DTypes.allocate(view.dtype, expected.data.length)
          let to = 0
          for (const point of points(expected.shape)) found[to++] = after.get(view.buffer)?.[at(point)] ?? 0
          const problem = Definition.difference(view.dtype, found, expected.data, options.tolerance)
          if (problem !== undefined)
            expect.fail(`${kernel.name} piece ${piece}: ${problem} of result ${i}, ${JSON.stringify(attributes)}`)
        })
      }
}

const tensor = (r: RandomRegion.Random, dtype: DType, shape: ReadonlyArray<number>, tame = true): Tensor => ({
  dtype,
  shape,
  data: RandomRegion.elements(r, dtype, Tensors.size(shape), tame)
})

const indices = (r: RandomRegion.Random, shape: ReadonlyArray<number>, extent: (flat: number) => number): Tensor => ({
  dtype: "i64",
  shape,
  data: BigInt64Array.from({ length: Tensors.size(shape) }, (_, i) => {
    const size = extent(i)
    return BigInt(r.below(size) - (r.next() < 0.3 ? size : 0))
  })
})

describe("Whole", () => {
  it.each(["f32", "f64", "f16", "i32", "i64", "u8"] as const)("running sums and products of %s", (dtype) => {
    const r = RandomRegion.random(1)
    for (const axis of [0, 1, 2, -1])
      for (const [exclusive, reverse] of [
        [false, false],
        [true, false],
        [false, true],
        [true, true]
      ] as const) {
        const x = tensor(r, dtype, [3, 5, 4])
        check(Ops.cumulativeSum, [{ tensor: x }], { axis, exclusive, reverse })
        check(Ops.cumulativeProduct, [{ tensor: x, order: [2, 0, 1] }], { axis, exclusive, reverse })
      }
  })

  it.each(["none", "add", "mul", "max", "min"] as const)("scatters single elements, %s", (reduction) => {
    const r = RandomRegion.random(2)
    for (const dtype of ["f32", "i32", "i64", "u8"] as const)
      for (const axis of [0, 1, -1]) {
        const shape = [4, 6, 5]
        const at = axis < 0 ? axis + 3 : axis
        const size = shape.with(at, 7)
        check(
          Ops.scatterElements,
          [
            { tensor: tensor(r, dtype, shape), order: [1, 0, 2] },
            { tensor: indices(r, size, () => shape[at] ?? 1) },
            { tensor: tensor(r, dtype, size) }
          ],
          { axis, reduction },
          { tolerance: 1e-4 }
        )
      }
  })

  it.each([1, 2, 3])("scatters slices at tuples of %i", (width) => {
    const r = RandomRegion.random(width)
    const shape = [4, 3, 9]
    for (const reduction of ["none", "add", "max"] as const)
      check(
        Ops.scatterNd,
        [
          { tensor: tensor(r, "f32", shape) },
          { tensor: indices(r, [2, 5, width], (flat) => shape[flat % width] ?? 1) },
          { tensor: tensor(r, "f32", [2, 5, ...shape.slice(width)]) }
        ],
        { reduction },
        { tolerance: 1e-5 }
      )
  })

  it.each(["f32", "f16", "i32", "i64", "u8", "u32"] as const)("finds the k best of %s", (dtype) => {
    const r = RandomRegion.random(4)
    for (const axis of [0, 1, -1])
      for (const largest of [true, false])
        for (const k of [1, 3]) {
          const x = tensor(r, dtype, [4, 5, 17], false)
          // Ties.
          for (let i = 0; i + 1 < x.data.length; i += 3) x.data[i] = x.data[i + 1] ?? 0
          check(Ops.topK, [{ tensor: x }], { k, axis, largest, sorted: true })
        }
  })

  it("does not sort long lists by insertion", () => {
    const b = Builder.make("one")
    const x = b.input("x", { dtype: "f32", shape: [1000] })
    b.node(Ops.topK, [x], { k: 500, axis: 0, largest: true, sorted: true })
    const [node] = b.finish().nodes
    if (node === undefined) throw new Error("no node")
    const types = [x.type, ...node.outputs.map(({ type }) => type)]
    expect(WholeKernels.claims(node, types)).toBe(false)
  })

  const coordinates = ["halfPixel", "halfPixelSymmetric", "pytorchHalfPixel", "alignCorners", "asymmetric"] as const
  it.each(coordinates)("resizes with coordinates %s", (coordinate) => {
    const r = RandomRegion.random(5)
    const x = tensor(r, "f32", [2, 3, 7, 9])
    const channelsLast = [0, 2, 3, 1]
    for (const mode of ["nearest", "linear", "cubic"] as const)
      for (const size of [
        [14, 18],
        [7, 20],
        [3, 4],
        [15, 9],
        [1, 1]
      ])
        for (const order of [undefined, channelsLast]) {
          const place = order === undefined ? {} : { order }
          check(
            Ops.resize,
            [{ tensor: x, ...place }],
            {
              shape: [2, 3, ...size],
              scales: [],
              mode,
              coordinates: coordinate,
              nearest: r.pick(["roundPreferFloor", "roundPreferCeil", "floor", "ceil"] as const),
              cubicCoefficient: -0.75,
              excludeOutside: false,
              antialias: false,
              extrapolation: 0,
              region: []
            },
            { tolerance: 2e-6, ...place }
          )
        }
  })

  it.each(["reflect", "edge", "wrap"] as const)("pads by %s, further than the axis is long", (mode) => {
    const r = RandomRegion.random(7)
    for (const [shape, before, after] of [
      [
        [2, 3, 5],
        [0, 0, 12],
        [0, 0, 3]
      ],
      [
        [2, 3, 5],
        [0, 4, 2],
        [0, 7, 6]
      ],
      [
        [1, 4],
        [3, 0],
        [5, 2]
      ]
    ] as const)
      if (mode !== "edge") check(Ops.pad, [{ tensor: tensor(r, "f32", shape) }], { before, after, mode })
    const b = Builder.make("one")
    const size = Dim.symbol("n")
    const x = b.input("x", { dtype: "f32", shape: [1, size] })
    const [y] = b.node(Ops.pad, [x], { before: [0, 0], after: [0, 64], mode })
    const [node] = b.finish().nodes
    if (node === undefined || y === undefined) throw new Error("no node")
    // Whether 64 is shorter than n nobody knows; at an edge it does not matter.
    expect(WholeKernels.claims(node, [x.type, y.type])).toBe(mode !== "edge")
  })

  it("repeats elements of other dtypes", () => {
    const r = RandomRegion.random(6)
    for (const dtype of ["u8", "i64", "f16"] as const)
      check(Ops.resize, [{ tensor: tensor(r, dtype, [1, 2, 5, 6]) }], {
        shape: [1, 2, 10, 12],
        scales: [1, 1, 2, 2],
        mode: "nearest",
        coordinates: "asymmetric",
        nearest: "floor",
        cubicCoefficient: -0.75,
        excludeOutside: false,
        antialias: false,
        extrapolation: 0,
        region: []
      })
  })
})
