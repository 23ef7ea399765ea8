import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Loop } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import * as LoopKernels from "@anneal/wasm/kernels/Loop"
import { describe, expect, it } from "vitest"
import * as Definition from "../Definition.ts"
import * as RandomRegion from "../RandomRegion.ts"
import { type Buffers, plain, relaxed, run, sizeOf, type Symbols } from "../RunKernel.ts"

const extents = [0, 1, 1, 2, 3, 4, 5, 7, 8, 12, 17, 33]
const common = ["f32", "f32", "f32", "i32", "i64", "bool", "f16", "u8", "i8"] as const
const rare = ["bf16", "u32", "f64", "i16", "u16", "u64", "f8e4m3", "f8e5m2", "i4", "u4"] as const
const dtypes: ReadonlyArray<DType> = [...common, ...rare]

const loop = (domain: Loop["domain"], operands: Loop["operands"], results: Loop["results"]): Loop => ({
  kind: "loop",
  id: "y",
  members: [],
  domain,
  operands,
  results
})

/** All kernels of a region give what its definition says, whole and in pieces, with both feature sets. */
const check = (region: Loop, buffers: Buffers, symbols: Symbols = new Map(), tolerance = 0): void => {
  const expected = Definition.loop(region, buffers, symbols)
  for (const features of [plain, relaxed]) {
    const kernels = LoopKernels.candidates(region, symbols, features)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels)
      for (const piece of [undefined, 1, 3]) {
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

describe("Loop", () => {
  it.each(Array.from({ length: 100 }, (_, seed) => seed))("random expressions and views, seed %i", (seed) => {
    const r = RandomRegion.random(seed)
    const rank = r.below(4)
    const domain = Array.from({ length: rank }, () => r.pick(extents))
    const buffers = new Map<string, { readonly dtype: DType; readonly data: DTypes.TypedArray }>()
    const operands: Array<View.View> = []
    const leaf = (dtype: DType): Scalar => {
      const choice = r.next()
      if (choice < 0.15)
        return Scalars.constant(dtype, DTypes.isBig(dtype) ? BigInt(r.below(5)) : r.below(dtype === "bool" ? 2 : 5))
      if (choice < 0.4 && rank > 0 && (dtype === "i32" || dtype === "i64"))
        return { kind: "index", dtype, axis: r.below(rank) }
      const known = operands.findIndex((view) => view.dtype === dtype)
      if (known >= 0 && r.next() < 0.4) return Scalars.load(known, dtype)
      const id = `x${operands.length}`
      const { length, view } = RandomRegion.view(r, id, dtype, domain, { broadcast: true })
      operands.push(view)
      buffers.set(id, { dtype, data: RandomRegion.elements(r, dtype, length) })
      return Scalars.load(operands.length - 1, dtype)
    }
    const results = Array.from({ length: 1 + r.below(2) }, (_, i) => {
      const dtype = r.pick(dtypes)
      const value = RandomRegion.expression(r, dtype, 1 + r.below(3), leaf, dtypes)
      const { length, view } = RandomRegion.view(r, `y${i}`, dtype, domain)
      buffers.set(`y${i}`, { dtype, data: DTypes.allocate(dtype, length) })
      return { view, value }
    })
    check(loop(domain, operands, results), buffers)
  })

  it("computes transcendental functions alike in vectors and tails", () => {
    const ops = ["exp", "tanh", "sigmoid", "erf", "log", "sin", "atan", "expm1"] as const
    const r = RandomRegion.random(1)
    for (const op of ops) {
      const buffers: Buffers = new Map([
        ["x", { dtype: "f32", data: RandomRegion.elements(r, "f32", 23) }],
        ["y", { dtype: "f32", data: new Float32Array(23) }]
      ])
      const x = View.contiguous("x", "f32", [23])
      const y = View.contiguous("y", "f32", [23])
      check(loop([23], [x], [{ view: y, value: Scalars.unary(op, Scalars.load(0, "f32")) }]), buffers, new Map(), 3e-7)
    }
  })

  it.each([5, 1, 4, 3, 0, 9000])("works in place and with symbolic sizes, n = %i", (n) => {
    const r = RandomRegion.random(n)
    const size = Dim.symbol("n")
    const symbols = new Map([["n", n]])
    const x = View.contiguous("x", "f32", [size, 3])
    const row = View.expand(View.contiguous("b", "f32", [3]), [size, 3])
    const buffers: Buffers = new Map([
      ["x", { dtype: "f32", data: RandomRegion.elements(r, "f32", n * 3) }],
      ["b", { dtype: "f32", data: RandomRegion.elements(r, "f32", 3) }],
      ["t", { dtype: "f32", data: new Float32Array(n * 3) }]
    ])
    const sum = Scalars.binary("add", Scalars.load(0, "f32"), Scalars.load(1, "f32"))
    check(loop([size, 3], [x, row], [{ view: x, value: sum }]), buffers, symbols)
    const square = Scalars.binary("mul", Scalars.load(0, "f32"), Scalars.load(0, "f32"))
    check(loop([size, 3], [x], [{ view: x, value: square }]), buffers, symbols)
    const transposed = View.transpose(View.contiguous("t", "f32", [3, size]), [1, 0])
    check(loop([size, 3], [x], [{ view: transposed, value: Scalars.load(0, "f32") }]), buffers, symbols)
  })

  it.each([1, 3, 4, 6, 33])("goes along an image's columns where its colours are neighbours, %i of them", (width) => {
    const r = RandomRegion.random(width)
    const domain = [2, 5, width, 3]
    const count = 2 * 5 * width * 3
    const planes = View.transpose(View.contiguous("x", "f32", [2, 3, 5, width]), [0, 2, 3, 1])
    const colours = View.contiguous("y", "u8", domain)
    const buffers: Buffers = new Map([
      ["x", { dtype: "f32", data: RandomRegion.elements(r, "f32", count) }],
      ["y", { dtype: "u8", data: new Uint8Array(count) }],
      ["z", { dtype: "f32", data: RandomRegion.elements(r, "f32", count) }]
    ])
    const limit = (op: "min" | "max", x: Scalar, to: number): Scalar =>
      Scalars.binary(op, x, Scalars.constant("f32", to))
    const steps = Scalars.unary("round", Scalars.binary("div", Scalars.load(0, "f32"), Scalars.constant("f32", 0.0625)))
    const bytes = Scalars.cast(limit("min", limit("max", steps, 0), 255), "u8")
    check(loop(domain, [planes], [{ view: colours, value: bytes }]), buffers)
    // In the place of an operand that lies as the result does.
    const own = View.contiguous("z", "f32", domain)
    const sum = Scalars.binary("add", Scalars.load(0, "f32"), Scalars.load(1, "f32"))
    check(loop(domain, [planes, own], [{ view: own, value: sum }]), buffers)
  })

  it.each(["i64", "i32"] as const)("gathers rows and elements by %s indices", (dtype) => {
    const r = RandomRegion.random(7)
    const [rows, width, count] = [10, 9, 6]
    const indices = [0, 9, -1, -10, 3, 3]
    const data = dtype === "i64" ? BigInt64Array.from(indices, BigInt) : Int32Array.from(indices)
    const buffers: Buffers = new Map([
      ["table", { dtype: "f32", data: RandomRegion.elements(r, "f32", rows * width) }],
      ["at", { dtype, data }],
      ["y", { dtype: "f32", data: new Float32Array(count * width) }]
    ])
    const index = Scalars.load(1, dtype)
    const gather = (stride: number): Scalar => ({
      kind: "load",
      dtype: "f32",
      operand: 0,
      indirect: [{ index, extent: rows, stride }]
    })
    // Rows: the index does not change inside.
    const inRows: View.View = { buffer: "table", dtype: "f32", shape: [count, width], offset: 0, strides: [0, 1] }
    const at: View.View = { buffer: "at", dtype, shape: [count, width], offset: 0, strides: [1, 0] }
    const y = View.contiguous("y", "f32", [count, width])
    check(loop([count, width], [inRows, at], [{ view: y, value: gather(width) }]), buffers)
    // Elements: the index changes along the vector axis.
    const across: View.View = { buffer: "table", dtype: "f32", shape: [width, count], offset: 0, strides: [1, 0] }
    const along: View.View = { buffer: "at", dtype, shape: [width, count], offset: 0, strides: [0, 1] }
    const out = View.contiguous("y", "f32", [width, count])
    check(loop([width, count], [across, along], [{ view: out, value: gather(width) }]), buffers)
  })

  it.each([
    [33, 18],
    [4, 4],
    [7, 64],
    [16, 5]
  ])("turns %i x %i blocks, with what is done to elements", (rows, columns) => {
    const r = RandomRegion.random(rows)
    for (const dtype of ["f32", "i32"] as const) {
      const buffers: Buffers = new Map([
        ["x", { dtype, data: RandomRegion.elements(r, dtype, 3 * rows * columns) }],
        ["b", { dtype, data: RandomRegion.elements(r, dtype, columns) }],
        ["z", { dtype, data: RandomRegion.elements(r, dtype, 3 * rows * columns) }],
        ["y", { dtype, data: DTypes.allocate(dtype, 3 * rows * columns) }]
      ])
      const domain = [3, rows, columns]
      const x = View.transpose(View.contiguous("x", dtype, [3, columns, rows]), [0, 2, 1])
      const b = View.expand(View.contiguous("b", dtype, [columns]), domain)
      const z = View.contiguous("z", dtype, domain)
      const y = View.contiguous("y", dtype, domain)
      const load = (operand: number): Scalar => Scalars.load(operand, dtype)
      const value = Scalars.binary("add", Scalars.binary("mul", load(0), load(1)), load(2))
      check(loop(domain, [x], [{ view: y, value: load(0) }]), buffers)
      check(loop(domain, [x, b, z], [{ view: y, value }]), buffers)
      // In the place of an operand that lies as the result does.
      check(loop(domain, [x, b, z], [{ view: z, value }]), buffers)
      const names = LoopKernels.candidates(loop(domain, [x], [{ view: y, value: load(0) }]), new Map(), plain)
      expect(names.some(({ name }) => name === "loop-transpose")).toBe(rows >= 4 && columns >= 4)
      const row: Scalar = { kind: "index", dtype: "i32", axis: 1 }
      const column: Scalar = { kind: "index", dtype: "i32", axis: 2 }
      const place = Scalars.cast(Scalars.binary("sub", row, column), dtype)
      check(loop(domain, [x], [{ view: y, value: Scalars.binary("add", load(0), place) }]), buffers)
    }
  })

  it.each(["f32", "i64", "f16", "bool"] as const)("copies and fills runs of %s", (dtype) => {
    const r = RandomRegion.random(3)
    const domain = [3, 5, 70]
    const { length, view } = RandomRegion.view(r, "x", dtype, domain, { shuffled: false })
    const x: View.View = { ...view, strides: [400, 80, 1], offset: 5 }
    const y = View.contiguous("y", dtype, domain)
    const buffers: Buffers = new Map([
      ["x", { dtype, data: RandomRegion.elements(r, dtype, Math.max(length, 1300)) }],
      ["y", { dtype, data: DTypes.allocate(dtype, 3 * 5 * 70) }]
    ])
    const copy = loop(domain, [x], [{ view: y, value: Scalars.load(0, dtype) }])
    check(copy, buffers)
    if (DTypes.slotBytes(dtype) > 2) expect(LoopKernels.candidates(copy, new Map(), plain)[0]?.name).toBe("loop-copy")
    const filled = new Map([...buffers, ["y", { dtype, data: RandomRegion.elements(r, dtype, 3 * 5 * 70) }] as const])
    const fill = loop(domain, [], [{ view: y, value: Scalars.constant(dtype, DTypes.isBig(dtype) ? 0n : 0) }])
    check(fill, filled)
    expect(LoopKernels.candidates(fill, new Map(), plain)[0]?.name).toBe("loop-fill")
  })

  it.each(["i8", "f16", "bool", "f32", "i64", "bf16"] as const)("copies short runs of %s", (dtype) => {
    const r = RandomRegion.random(9)
    for (const [rows, run, from, to] of [
      [3, 8, 8, 24],
      [5, 12, 36, 12],
      [4, 6, 10, 14],
      [3, 7, 9, 8],
      [6, 16, 0, 16]
    ] as const) {
      const view = (id: string, stride: number): View.View => ({
        buffer: id,
        dtype,
        shape: [rows, run],
        offset: 3,
        strides: [stride, 1]
      })
      const buffers: Buffers = new Map([
        ["x", { dtype, data: RandomRegion.elements(r, dtype, 3 + Math.max(run, rows * from)) }],
        ["y", { dtype, data: RandomRegion.elements(r, dtype, 3 + rows * to + run) }]
      ])
      check(loop([rows, run], [view("x", from)], [{ view: view("y", to), value: Scalars.load(0, dtype) }]), buffers)
    }
  })

  it("stops at an index that is out of range, and counts negative ones from the end", () => {
    const table: View.View = { buffer: "table", dtype: "f32", shape: [5], offset: 0, strides: [0] }
    const of = (dtype: "i32" | "i64") =>
      loop(
        [5],
        [table, View.contiguous("at", dtype, [5])],
        [
          {
            view: View.contiguous("y", "f32", [5]),
            value: {
              kind: "load",
              dtype: "f32",
              operand: 0,
              indirect: [{ index: Scalars.load(1, dtype), extent: 3, stride: 1 }]
            }
          }
        ]
      )
    const results = (dtype: "i32" | "i64", at: ReadonlyArray<bigint>) => {
      const data = dtype === "i64" ? BigInt64Array.from(at) : Int32Array.from(at, Number)
      const buffers: Buffers = new Map([
        ["table", { dtype: "f32", data: Float32Array.from([1, 2, 3]) }],
        ["at", { dtype, data }],
        ["y", { dtype: "f32", data: new Float32Array(5) }]
      ])
      const region = of(dtype)
      const kernels = LoopKernels.candidates(region, new Map(), plain)
      expect(kernels.length).toBeGreaterThan(0)
      return kernels.map((kernel) => () => [...(run(region, kernel, buffers, { features: plain }).get("y") ?? [])])
    }
    for (const dtype of ["i32", "i64"] as const) {
      for (const result of results(dtype, [0n, -1n, -3n, 2n, 1n])) expect(result()).toEqual([1, 3, 1, 3, 2])
      const wrong = dtype === "i64" ? [3n, -4n, 1n << 40n, -(1n << 62n)] : [3n, -4n, 1n << 30n, -(1n << 31n)]
      for (const bad of wrong)
        for (const place of [0, 4])
          for (const result of results(
            dtype,
            [0n, 1n, 2n, 0n, 1n].map((good, index) => (index === place ? bad : good))
          ))
            expect(result, `${dtype} ${bad} at ${place}`).toThrow(/unreachable/)
    }
  })

  it("has one unit for each run, so that threads can share long rows", () => {
    const view = View.contiguous("x", "f32", [10_000])
    const region = loop([10_000], [view], [{ view, value: Scalars.unary("neg", Scalars.load(0, "f32")) }])
    const [kernel] = LoopKernels.candidates(region, new Map(), plain)
    expect(sizeOf(kernel?.units ?? 0, new Map())).toBe(5)
  })
})
