import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Window } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import * as WindowKernels from "@anneal/wasm/kernels/Window"
import { describe, expect, it } from "vitest"
import * as Definition from "../Definition.ts"
import * as RandomRegion from "../RandomRegion.ts"
import { type Buffers, plain, relaxed, run, sizeOf, type Symbols } from "../RunKernel.ts"

/** All kernels of a region give what its definition says, whole and in pieces, with both feature sets. */
const check = (region: Window, accumulator: DType, buffers: Buffers, symbols: Symbols = new Map()): void => {
  const expected = Definition.window(region, accumulator, buffers, symbols)
  for (const features of [plain, relaxed]) {
    const kernels = WindowKernels.candidates(region, symbols, features)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels)
      for (const piece of [undefined, 1]) {
        const after = run(region, kernel, buffers, { features, symbols, ...(piece === undefined ? {} : { piece }) })
        for (const [id, data] of expected) {
          const dtype = buffers.get(id)?.dtype ?? "f32"
          const found = Definition.difference(dtype, after.get(id) ?? data.slice(0, 0), data, 1e-6)
          if (found !== undefined)
            expect.fail(
              `${kernel.name} ${JSON.stringify(kernel.config)} piece ${piece} ${JSON.stringify(features)}: ${found} of ${id}\n${JSON.stringify(region)}`
            )
        }
      }
  }
}

interface Case {
  readonly combine: Window["combine"]
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly pads: readonly [begin: ReadonlyArray<number>, end: ReadonlyArray<number>]
  readonly ceil: boolean
  readonly includePad: boolean
  readonly channelsLast: boolean
}

const extentOf = (c: Case, axis: number): number => {
  const [extent, kernel, stride, dilation] = [
    c.shape[axis + 2] ?? 1,
    c.kernel[axis] ?? 1,
    c.strides[axis] ?? 1,
    c.dilations[axis] ?? 1
  ]
  const [before, after] = [c.pads[0][axis] ?? 0, c.pads[1][axis] ?? 0]
  const room = extent + before + after - (dilation * (kernel - 1) + 1)
  const result = (c.ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1
  return c.ceil ? Math.min(result, Math.ceil((extent + before) / stride)) : result
}

describe("Window", () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))("random windows, seed %i", (seed) => {
    const r = RandomRegion.random(seed)
    const rank = 1 + r.below(3)
    const axes = Array.from({ length: rank }, () => 0)
    const kernel = axes.map(() => 1 + r.below(4))
    const dilations = axes.map(() => 1 + (r.next() < 0.2 ? 1 : 0))
    const isPadded = r.next() < 0.6
    const pads = (): ReadonlyArray<number> =>
      axes.map((_, axis) => (isPadded ? r.below((kernel[axis] ?? 1) * (dilations[axis] ?? 1)) : 0))
    const c: Case = {
      combine: r.pick(["max", "average"] as const),
      dtype: r.pick(["f32", "f32", "f32", "f16", "i8", "u8", "f64", "i32"] as const),
      shape: [1 + r.below(2), r.pick([1, 3, 4, 7, 18]), ...axes.map(() => 7 + r.below(8))],
      kernel,
      strides: axes.map(() => 1 + r.below(3)),
      dilations,
      pads: [pads(), pads()],
      ceil: r.next() < 0.3,
      includePad: r.next() < 0.5,
      channelsLast: r.next() < 0.5
    }
    const out = axes.map((_, axis) => extentOf(c, axis))
    const domain = [...c.shape.slice(0, 2), ...out]
    const order = [0, ...axes.map((_, axis) => axis + 2), 1]
    const place = (id: string, dtype: DType, shape: ReadonlyArray<number>): View.View =>
      c.channelsLast ? View.ordered(id, dtype, shape, order) : View.contiguous(id, dtype, shape)
    const accumulator: DType = c.combine === "max" ? c.dtype : c.dtype === "f16" ? "f32" : c.dtype
    const sizeOfShape = (shape: ReadonlyArray<number>): number => shape.reduce((total, extent) => total * extent, 1)
    const input = place("x", c.dtype, c.shape)
    const result = place("y", "f32", domain)
    const bias = View.expand(View.contiguous("b", "f32", [domain[1] ?? 1, ...axes.map(() => 1)]), domain)
    const buffers: Buffers = new Map([
      ["x", { dtype: c.dtype, data: RandomRegion.elements(r, c.dtype, sizeOfShape(c.shape), c.combine === "average") }],
      ["b", { dtype: "f32", data: RandomRegion.elements(r, "f32", domain[1] ?? 1, true) }],
      ["y", { dtype: "f32", data: DTypes.allocate("f32", sizeOfShape(domain)) }]
    ])
    const value = Scalars.binary(
      "add",
      Scalars.cast(Scalars.previous("accumulator", accumulator), "f32"),
      Scalars.load(0, "f32")
    )
    check(
      {
        kind: "window",
        id: "y",
        members: [],
        combine: c.combine,
        includePad: c.includePad,
        input,
        out,
        kernel: c.kernel,
        strides: c.strides,
        dilations: c.dilations,
        padsBegin: c.pads[0],
        padsEnd: c.pads[1],
        epilogue: { operands: [bias], results: [{ view: result, value }] }
      },
      accumulator,
      buffers
    )
  })

  it.each([3, 8, 13])("takes symbolic sizes, n = %i", (n) => {
    const size = Dim.symbol("n")
    const symbols = new Map([["n", n]])
    const out = Dim.add(Dim.floorDiv(Dim.sub(size, 1), 2), 1)
    const r = RandomRegion.random(n)
    const outSize = sizeOf(out, symbols)
    const buffers: Buffers = new Map([
      ["x", { dtype: "f32", data: RandomRegion.elements(r, "f32", 5 * n * n) }],
      ["y", { dtype: "f32", data: new Float32Array(5 * outSize * outSize) }]
    ])
    for (const order of [
      [0, 1, 2, 3],
      [0, 2, 3, 1]
    ])
      check(
        {
          kind: "window",
          id: "y",
          members: [],
          combine: "max",
          includePad: false,
          input: View.ordered("x", "f32", [1, 5, size, size], order),
          out: [out, out],
          kernel: [3, 3],
          strides: [2, 2],
          dilations: [1, 1],
          padsBegin: [1, 1],
          padsEnd: [1, 1],
          epilogue: {
            operands: [],
            results: [
              {
                view: View.ordered("y", "f32", [1, 5, out, out], order),
                value: Scalars.previous("accumulator", "f32")
              }
            ]
          }
        },
        "f32",
        buffers,
        symbols
      )
  })
})
