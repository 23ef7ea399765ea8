/**
 * ContractionCases: contractions of every kind for the tests of their kernels, and the check that each candidate passes.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Contraction } from "@anneal/lower/Region"
import * as Scalar from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import type { Kernel, TypicalSizes } from "@anneal/wasm/Kernel"
import { expect } from "vitest"
import * as Random from "../Random.ts"
import { plain, prepare, relaxed, type Symbols, wide } from "../RunKernel.ts"
import { errorShare, expected, fill } from "./ProductDefinition.ts"

const accumulator = Scalar.previous("accumulator", "f32")
const bias = Scalar.binary("add", accumulator, Scalar.load(0, "f32"))
const relu = (x: Scalar.Scalar): Scalar.Scalar => Scalar.binary("max", x, Scalar.constant("f32", 0))

export interface Shape {
  readonly batch?: ReadonlyArray<Dim.Dim>
  readonly m: Dim.Dim
  readonly n: Dim.Dim
  readonly k: Dim.Dim
}

export const layouts = ["[m, k]", "[k, m]"] as const
export type Layout = (typeof layouts)[number]

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

/** Epilogues beside a bias and a rectifier; domains of three axes. */
export type EpilogueName = "residual" | "long" | "indices"

const epilogues: {
  readonly [name in EpilogueName]: (domain: ReadonlyArray<Dim.Dim>, out: View.View) => Contraction["epilogue"]
} = {
  /** Adds what the result's buffer held. */
  residual: (_, out) => ({
    operands: [out],
    results: [{ view: out, value: Scalar.binary("add", accumulator, Scalar.load(0, "f32")) }]
  }),
  long: (domain, out) => {
    const sum = Scalar.binary("add", accumulator, Scalar.load(0, "f32"))
    const scaled = Scalar.binary("mul", sum, Scalar.load(1, "f32"))
    return {
      operands: [
        View.expand(View.contiguous("rows", "f32", [...domain.slice(1, 2), 1]), domain),
        View.expand(View.contiguous("one", "f32", []), domain)
      ],
      results: [
        { view: out, value: Scalar.unary("tanh", Scalar.unary("tanh", scaled)) },
        { view: View.contiguous("other", "f32", domain), value: relu(sum) }
      ]
    }
  },
  indices: (_, out) => {
    const index = (axis: number, factor: number): Scalar.Scalar =>
      Scalar.binary("mul", Scalar.cast({ kind: "index", dtype: "i32", axis }, "f32"), Scalar.constant("f32", factor))
    const place = Scalar.binary("add", index(0, 100), Scalar.binary("add", index(1, 10), index(2, 1)))
    return { operands: [], results: [{ view: out, value: Scalar.binary("add", accumulator, place) }] }
  }
}

export const contraction = (
  { batch = [], k, m, n }: Shape,
  options: {
    readonly a?: Layout
    readonly b?: Layout
    readonly out?: Layout
    readonly sharedB?: boolean
    readonly epilogue?: EpilogueName
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
    epilogue:
      options.epilogue === undefined
        ? {
            operands: [View.expand(View.contiguous("bias", "f32", [n]), domain)],
            results: [{ view: out, value: relu(bias) }]
          }
        : epilogues[options.epilogue](domain, out)
  }
}

export type Candidates = (region: Contraction, typical: TypicalSizes, features: Features) => ReadonlyArray<Kernel>

/** Every candidate against float64; units one by one, last first, give the same bits and nothing else is written. */
export const check = (
  candidates: Candidates,
  region: Contraction,
  symbols: Symbols = new Map(),
  typical: Symbols = symbols
): number => {
  const buffers = fill(region, symbols, Random.signed(7))
  const want = expected(region, symbols, buffers)
  const modes: ReadonlyArray<Features> = [plain, relaxed, wide]
  let count = 0
  for (const features of modes)
    for (const kernel of candidates(region, typical, features)) {
      const label = `${kernel.name} ${JSON.stringify(kernel.config)} ${JSON.stringify(features)}`
      const running = prepare(region, kernel, features, buffers, symbols)
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
