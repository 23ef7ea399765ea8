import * as Dim from "@anneal/ir/Dim"
import type { Contraction } from "@anneal/lower/Region"
import * as Scalar from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import * as Gemm from "@anneal/wasm/kernels/Gemm"
import { describe, expect, it } from "vitest"
import { errorShare, expected, fill, plain, prepare, random, relaxed, type Symbols, wide } from "./ProductHarness.ts"

const accumulator = Scalar.previous("accumulator", "f32")
const bias = Scalar.binary("add", accumulator, Scalar.load(0, "f32"))
const relu = (x: Scalar.Scalar): Scalar.Scalar => Scalar.binary("max", x, Scalar.constant("f32", 0))

interface Shape {
  readonly batch?: ReadonlyArray<Dim.Dim>
  readonly m: Dim.Dim
  readonly n: Dim.Dim
  readonly k: Dim.Dim
}

const layouts = ["[m, k]", "[k, m]"] as const
type Layout = (typeof layouts)[number]

/** A view over [batch…, rows, columns] whose memory has the last two in either order. */
const matrix = (
  buffer: string,
  batch: ReadonlyArray<Dim.Dim>,
  rows: Dim.Dim,
  columns: Dim.Dim,
  layout: Layout
): View.View => {
  const axes = batch.map((_, axis) => axis)
  const last = layout === "[m, k]" ? [axes.length, axes.length + 1] : [axes.length + 1, axes.length]
  return View.ordered(buffer, "f32", [...batch, rows, columns], [...axes, ...last])
}

const contraction = (
  { batch = [], k, m, n }: Shape,
  options: {
    readonly a?: Layout
    readonly b?: Layout
    readonly out?: Layout
    readonly sharedB?: boolean
    readonly epilogue?: (domain: ReadonlyArray<Dim.Dim>, out: View.View) => Contraction["epilogue"]
  } = {}
): Contraction => {
  const domain = [...batch, m, n]
  const out = matrix("out", batch, m, n, options.out ?? "[m, k]")
  const b = matrix("b", options.sharedB === true ? batch.map(() => 1) : batch, n, k, options.b ?? "[m, k]")
  return {
    kind: "contraction",
    id: "x",
    members: [],
    batch,
    m,
    n,
    k,
    a: matrix("a", batch, m, k, options.a ?? "[m, k]"),
    b:
      options.sharedB === true
        ? { ...b, shape: [...batch, n, k], strides: [...batch.map(() => 0), ...b.strides.slice(-2)] }
        : b,
    zero: { a: 0, b: 0 },
    accumulate: "f32",
    epilogue: options.epilogue?.(domain, out) ?? {
      operands: [View.expand(View.contiguous("bias", "f32", [n]), domain)],
      results: [{ view: out, value: relu(bias) }]
    }
  }
}

/** Every candidate against float64; units one by one, last first, give the same bits and nothing else is written. */
const check = (region: Contraction, symbols: Symbols = new Map(), typical: Symbols = symbols): number => {
  const buffers = fill(region, symbols, random(7))
  const want = expected(region, symbols, buffers)
  const modes: ReadonlyArray<Features> = [plain, relaxed, wide]
  let count = 0
  for (const features of modes)
    for (const kernel of Gemm.candidates(region, typical, features)) {
      const label = `${kernel.name} ${JSON.stringify(kernel.config)} ${JSON.stringify(features)}`
      const running = prepare(region, kernel, features, symbols, buffers)
      running.run(0, running.units)
      running.check()
      const whole = running.results()
      expect(errorShare(whole, want, Dim.evaluate(region.k, symbols) ?? 0), label).toBeLessThanOrEqual(1)
      running.reset()
      for (let unit = running.units - 1; unit >= 0; unit--) running.run(unit, unit + 1)
      running.check()
      expect(running.results(), label).toEqual(whole)
      count++
    }
  return count
}

describe("Gemm", () => {
  const next = random(11)
  const pick = (limit: number): number => 1 + Math.floor(((next() + 1) / 2) * limit)
  const sizes = Array.from({ length: 24 }, () => ({ m: pick(23), n: pick(40), k: pick(50) }))
  it.each([
    ...sizes,
    { m: 1, n: 64, k: 64 },
    { m: 1, n: 172, k: 64 },
    { m: 2, n: 1, k: 9 },
    { m: 3, n: 33, k: 1 },
    { m: 13, n: 10, k: 256 },
    { m: 97, n: 19, k: 31 }
  ])("takes $m × $n × $k with every tail", (shape) => {
    expect(check(contraction(shape))).toBeGreaterThan(6)
  })

  it.each(layouts.flatMap((a) => layouts.flatMap((b) => layouts.map((out) => ({ a, b, out })))))(
    "reads and writes any layout: $a $b $out",
    (options) => {
      check(contraction({ m: 11, n: 14, k: 21 }, options))
    }
  )

  it("has units that threads can share", () => {
    const region = contraction({ m: 150, n: 70, k: 260 })
    for (const kernel of Gemm.candidates(region, new Map(), relaxed).filter(({ name }) => name === "gemm-packed"))
      expect(kernel.units).toBeGreaterThan(1)
    check(region)
    check(contraction({ m: 1, n: 2050, k: 700 }))
  })

  it("takes a symbolic number of rows, whatever it is", () => {
    const m = Dim.symbol("m")
    for (const rows of [1, 2, 3, 5, 6, 7, 13, 200])
      check(contraction({ m, n: 19, k: 16 }), new Map([["m", rows]]), new Map([["m", 12]]))
    check(contraction({ m, n: 32, k: 8 }), new Map([["m", 5]]), new Map([["m", 1]]))
    check(contraction({ m, n: 19, k: 16 }, { a: "[k, m]", out: "[k, m]" }), new Map([["m", 9]]), new Map([["m", 12]]))
  })

  it("takes symbolic columns and a symbolic k", () => {
    const [n, k] = [Dim.symbol("n"), Dim.symbol("k")]
    for (const b of layouts)
      for (const columns of [1, 3, 8, 21])
        check(contraction({ m: 7, n, k: 12 }, { b }), new Map([["n", columns]]), new Map([["n", 32]]))
    for (const b of layouts)
      for (const steps of [1, 4, 7, 33]) check(contraction({ m: 7, n: 10, k }, { b }), new Map([["k", steps]]))
  })

  it("takes batches, with b of their own or shared", () => {
    for (const sharedB of [false, true])
      for (const batch of [[3], [2, 3], [1, 4]])
        for (const out of layouts) check(contraction({ batch, m: 5, n: 9, k: 12 }, { sharedB, out }))
    const size = Dim.symbol("batch")
    for (const sharedB of [false, true])
      check(contraction({ batch: [size], m: 5, n: 9, k: 12 }, { sharedB }), new Map([["batch", 3]]))
  })

  it("computes epilogues with residuals in place, several results, long ones and indices", () => {
    const shape = { batch: [2], m: 9, n: 21, k: 17 }
    const residual = Scalar.binary("add", accumulator, Scalar.load(0, "f32"))
    check(
      contraction(shape, {
        epilogue: (_, out) => ({ operands: [out], results: [{ view: out, value: residual }] })
      })
    )
    const long = Scalar.unary("tanh", Scalar.unary("tanh", Scalar.binary("mul", residual, Scalar.load(1, "f32"))))
    check(
      contraction(shape, {
        epilogue: (domain, out) => ({
          operands: [
            View.expand(View.contiguous("rows", "f32", [9, 1]), domain),
            View.expand(View.contiguous("one", "f32", []), domain)
          ],
          results: [
            { view: out, value: long },
            { view: View.contiguous("other", "f32", domain), value: relu(residual) }
          ]
        })
      })
    )
    const index = (axis: number): Scalar.Scalar => Scalar.cast({ kind: "index", dtype: "i32", axis }, "f32")
    const indexed = Scalar.binary(
      "add",
      Scalar.binary("mul", index(0), Scalar.constant("f32", 100)),
      Scalar.binary("add", Scalar.binary("mul", index(1), Scalar.constant("f32", 10)), index(2))
    )
    check(
      contraction(shape, {
        sharedB: true,
        epilogue: (_, out) => ({
          operands: [],
          results: [{ view: out, value: Scalar.binary("add", accumulator, indexed) }]
        })
      })
    )
  })

  it("leaves to others what is no product of f32", () => {
    const region = contraction({ m: 4, n: 4, k: 4 })
    expect(Gemm.candidates({ ...region, accumulate: "i32" }, new Map(), relaxed)).toEqual([])
    expect(Gemm.candidates({ ...region, zero: { a: 3, b: 0 } }, new Map(), relaxed)).toEqual([])
  })
})
