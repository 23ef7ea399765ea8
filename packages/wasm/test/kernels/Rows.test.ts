import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Combine, Rows, Stage } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import * as RowsKernels from "@anneal/wasm/kernels/Rows"
import { describe, expect, it } from "vitest"
import * as Definition from "../Definition.ts"
import * as RandomRegion from "../RandomRegion.ts"
import { type Buffers, plain, relaxed, run, type Symbols } from "../RunKernel.ts"

const extents = [0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 21, 40]

/** All kernels of a region give what its definition says, whole and in pieces, with both feature sets. */
const check = (region: Rows, buffers: Buffers, tolerance: number, symbols: Symbols = new Map()): void => {
  const expected = Definition.rows(region, buffers, symbols)
  for (const features of [plain, relaxed]) {
    const kernels = RowsKernels.candidates(region, symbols, features)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels)
      for (const piece of [undefined, 1]) {
        const after = run(region, kernel, buffers, { features, symbols, ...(piece === undefined ? {} : { piece }) })
        for (const [id, data] of expected) {
          const dtype = buffers.get(id)?.dtype ?? "f32"
          const found = Definition.difference(dtype, after.get(id) ?? data.slice(0, 0), data, tolerance)
          if (found !== undefined)
            expect.fail(
              `${kernel.name} ${JSON.stringify(kernel.config)} piece ${piece} ${JSON.stringify(features)}: ${found} of ${id}\n${JSON.stringify(region, (_, x: unknown) => (typeof x === "bigint" ? `${x}n` : x))}`
            )
        }
      }
  }
}

const f32 = (operand: number): Scalar => Scalars.load(operand, "f32")
const row = (name: string, dtype: DType = "f32"): Scalar => Scalars.previous(name, dtype)

const rows = (
  outer: Rows["outer"],
  inner: Rows["inner"],
  operands: Rows["operands"],
  stages: Rows["stages"],
  results: Rows["results"]
): Rows => ({ kind: "rows", id: "y", members: [], outer, inner, operands, stages, results })

const softmax: ReadonlyArray<Stage> = [
  { kind: "reduce", name: "max", combine: "max", value: f32(0), dtype: "f32" },
  { kind: "element", name: "e", value: Scalars.unary("exp", Scalars.binary("sub", f32(0), row("max"))) },
  { kind: "reduce", name: "sum", combine: "sum", value: row("e"), dtype: "f32" },
  { kind: "row", name: "inverse", value: Scalars.unary("reciprocal", row("sum")) }
]
const softmaxValue = Scalars.binary("mul", row("e"), row("inverse"))

describe("Rows", () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))("softmax and norms over random views, seed %i", (seed) => {
    const r = RandomRegion.random(seed)
    const outer = Array.from({ length: r.below(3) }, () => r.pick(extents))
    const inner = Array.from({ length: 1 + r.below(2) }, () => Math.max(1, r.pick(extents)))
    const domain = [...outer, ...inner]
    const buffers = new Map<string, { readonly dtype: DType; readonly data: TypedArray }>()
    const make = (id: string, broadcast: boolean): View.View => {
      const { length, view } = RandomRegion.view(r, id, "f32", domain, { broadcast })
      buffers.set(id, { dtype: "f32", data: RandomRegion.elements(r, "f32", length, true) })
      return view
    }
    const [x, scale, bias, y] = [make("x", false), make("scale", true), make("bias", true), make("y", false)]
    if (r.next() < 0.5)
      return check(rows(outer, inner, [x], softmax, [{ view: y, value: softmaxValue, per: "element" }]), buffers, 2e-6)
    const count = Scalars.constant(
      "f32",
      inner.reduce((total, extent) => total * extent, 1)
    )
    const centred = Scalars.binary("sub", f32(0), row("mean"))
    const stages: ReadonlyArray<Stage> = [
      { kind: "reduce", name: "total", combine: "sum", value: f32(0), dtype: "f32" },
      { kind: "row", name: "mean", value: Scalars.binary("div", row("total"), count) },
      { kind: "element", name: "centred", value: centred },
      {
        kind: "reduce",
        name: "squares",
        combine: "sum",
        value: Scalars.binary("mul", row("centred"), row("centred")),
        dtype: "f32"
      },
      {
        kind: "row",
        name: "scale",
        value: Scalars.unary(
          "reciprocal",
          Scalars.unary(
            "sqrt",
            Scalars.binary("add", Scalars.binary("div", row("squares"), count), Scalars.constant("f32", 1e-2))
          )
        )
      }
    ]
    const value = Scalars.binary(
      "add",
      Scalars.binary("mul", Scalars.binary("mul", row("centred"), row("scale")), f32(1)),
      f32(2)
    )
    const mean: View.View = {
      buffer: "mean",
      dtype: "f32",
      shape: domain,
      offset: 1,
      strides: [...View.rowMajor(outer), ...inner.map(() => 0)]
    }
    buffers.set("mean", {
      dtype: "f32",
      data: new Float32Array(outer.reduce((total, extent) => total * extent, 1) + 2)
    })
    check(
      rows(outer, inner, [x, scale, bias], stages, [
        { view: mean, value: row("mean"), per: "row" },
        { view: y, value, per: "element" }
      ]),
      buffers,
      2e-5
    )
  })

  it.each(Array.from({ length: 60 }, (_, seed) => seed))("reductions of all dtypes, seed %i", (seed) => {
    const r = RandomRegion.random(seed + 1000)
    const dtype = r.pick(["f32", "f32", "i32", "i64", "u8", "f64", "u32", "u64", "i16"] as const)
    const combine: Combine = r.pick([
      ...(["sum", "max", "min", "prod"] as const),
      ...(["argMaxFirst", "argMaxLast", "argMinFirst", "argMinLast"] as const)
    ])
    const isPosition = combine.startsWith("arg")
    const outer = Array.from({ length: r.below(3) }, () => r.pick(extents))
    const inner = Array.from({ length: isPosition ? 1 : 1 + r.below(2) }, () =>
      Math.max(isPosition ? 1 : 0, r.pick(extents))
    )
    const domain = [...outer, ...inner]
    const { length, view: x } = RandomRegion.view(r, "x", dtype, domain)
    const tame = combine === "sum" || combine === "prod"
    const result: DType = isPosition ? "i64" : dtype
    const rowCount = outer.reduce((total, extent) => total * extent, 1)
    const y: View.View = {
      buffer: "y",
      dtype: result,
      shape: domain,
      offset: 0,
      strides: [...View.rowMajor(outer), ...inner.map(() => 0)]
    }
    const data = RandomRegion.elements(r, dtype, length, tame)
    // Products stay small; positions have ties.
    if (combine === "prod" && DTypes.isFloat(dtype)) for (let i = 0; i < data.length; i++) data[i] = 0.5 + r.next()
    if (isPosition && r.next() < 0.5 && !DTypes.isBig(dtype)) for (let i = 0; i < data.length; i++) data[i] = r.below(3)
    const buffers: Buffers = new Map([
      ["x", { dtype, data }],
      ["y", { dtype: result, data: DTypes.allocate(result, rowCount) }]
    ])
    const stages: ReadonlyArray<Stage> = [
      { kind: "reduce", name: "r", combine, value: Scalars.load(0, dtype), dtype: result }
    ]
    check(rows(outer, inner, [x], stages, [{ view: y, value: row("r", result), per: "row" }]), buffers, 3e-5)
  })

  it.each([4, 5, 9, 10, 11, 18, 33])("positions of equal extremes in rows of a symbolic length: %i", (m) => {
    const [outer, inner] = [[40], [Dim.symbol("m")]]
    const x = View.contiguous("x", "i32", [...outer, ...inner])
    const y: View.View = { buffer: "y", dtype: "i64", shape: [...outer, ...inner], offset: 0, strides: [1, 0] }
    const r = RandomRegion.random(m)
    const buffers: Buffers = new Map([
      ["x", { dtype: "i32", data: Int32Array.from({ length: 40 * m }, () => r.below(3)) }],
      ["y", { dtype: "i64", data: DTypes.allocate("i64", 40) }]
    ])
    for (const combine of ["argMaxFirst", "argMaxLast", "argMinFirst", "argMinLast"] as const) {
      const stage: Stage = { kind: "reduce", name: "r", combine, value: Scalars.load(0, "i32"), dtype: "i64" }
      const region = rows(outer, inner, [x], [stage], [{ view: y, value: row("r", "i64"), per: "row" }])
      check(region, buffers, 0, new Map([["m", m]]))
    }
  })

  it.each([1, 3, 4, 6, 17])("softmax in place, with symbolic sizes, n = %i", (n) => {
    const size = Dim.symbol("n")
    const symbols = new Map([["n", n]])
    const r = RandomRegion.random(n)
    for (const [outer, inner, strides] of [
      [[size], [5], [5, 1]],
      [[3], [size], [size, 1]],
      [[size], [7], [1, size]]
    ] as const) {
      const x: View.View = { buffer: "x", dtype: "f32", shape: [...outer, ...inner], offset: 0, strides }
      const buffers: Buffers = new Map([
        ["x", { dtype: "f32", data: RandomRegion.elements(r, "f32", n * 7 + 20, true) }]
      ])
      check(
        rows(outer, inner, [x], softmax, [{ view: x, value: softmaxValue, per: "element" }]),
        buffers,
        2e-6,
        symbols
      )
    }
  })

  it("adds f32 in f64 where the stage says so", () => {
    const n = 1001
    const x = View.contiguous("x", "f32", [n])
    const y: View.View = { buffer: "y", dtype: "f32", shape: [n], offset: 0, strides: [0] }
    const data = new Float32Array(n).fill(1)
    data[0] = 2 ** 26
    const buffers: Buffers = new Map([
      ["x", { dtype: "f32", data }],
      ["y", { dtype: "f32", data: new Float32Array(1) }]
    ])
    const stages: ReadonlyArray<Stage> = [
      { kind: "reduce", name: "r", combine: "sum", value: Scalars.cast(f32(0), "f64"), dtype: "f64" }
    ]
    const region = rows([], [n], [x], stages, [{ view: y, value: Scalars.cast(row("r", "f64"), "f32"), per: "row" }])
    for (const kernel of RowsKernels.candidates(region, new Map(), plain))
      expect(run(region, kernel, buffers, { features: plain }).get("y")?.[0]).toBe(Math.fround(2 ** 26 + 1000))
  })

  it("gives NaN for the extreme of a row with a NaN", () => {
    const x = View.contiguous("x", "f32", [4, 9])
    const y: View.View = { buffer: "y", dtype: "f32", shape: [4, 9], offset: 0, strides: [1, 0] }
    const data = new Float32Array(36).map((_, i) => i)
    data[8] = NaN
    data[9] = NaN
    data[22] = NaN
    const buffers: Buffers = new Map([
      ["x", { dtype: "f32", data }],
      ["y", { dtype: "f32", data: new Float32Array(4) }]
    ])
    const stages: ReadonlyArray<Stage> = [{ kind: "reduce", name: "r", combine: "max", value: f32(0), dtype: "f32" }]
    const region = rows([4], [9], [x], stages, [{ view: y, value: row("r"), per: "row" }])
    for (const kernel of RowsKernels.candidates(region, new Map(), plain))
      expect([...(run(region, kernel, buffers, { features: plain }).get("y") ?? [])]).toEqual([NaN, NaN, NaN, 35])
  })
})
