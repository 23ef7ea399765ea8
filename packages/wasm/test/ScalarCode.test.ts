import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Loop } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import { Emission } from "@anneal/wasm/Emission"
import { f32, i32 } from "@anneal/wasm/Instruction"
import * as LoopKernels from "@anneal/wasm/kernels/Loop"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import * as ScalarCode from "@anneal/wasm/ScalarCode"
import { Writer } from "@anneal/wasm/Writer"
import { describe, expect, it } from "vitest"
import * as Definition from "./Definition.ts"
import * as RandomRegion from "./RandomRegion.ts"
import { type Buffers, plain, relaxed, run } from "./RunKernel.ts"

/** An expression over arrays, in vectors and, as the length is no multiple of four, one by one where rows are short. */
const check = (
  inputs: ReadonlyArray<{ readonly dtype: DType; readonly data: DTypes.TypedArray }>,
  value: Scalars.Scalar,
  tolerance = 0
): void => {
  const length = inputs[0]?.data.length ?? 0
  for (const domain of [[length], [length / 3, 3]]) {
    const view = (id: string, dtype: DType): View.View => View.contiguous(id, dtype, domain)
    // Rows of three must not become one long row: the result has gaps.
    const result: View.View = { ...view("y", value.dtype), strides: domain.length === 1 ? [1] : [5, 1] }
    const region: Loop = {
      kind: "loop",
      id: "y",
      members: [],
      domain,
      operands: inputs.map(({ dtype }, i) => view(`x${i}`, dtype)),
      results: [{ view: result, value }]
    }
    const buffers: Buffers = new Map([
      ...inputs.map((input, i) => [`x${i}`, input] as const),
      ["y", { dtype: value.dtype, data: DTypes.allocate(value.dtype, 2 * length) }]
    ])
    const expected = Definition.loop(region, buffers).get("y")
    for (const features of [plain, relaxed])
      for (const kernel of LoopKernels.candidates(region, new Map(), features).slice(0, 1)) {
        const found = run(region, kernel, buffers, { features }).get("y")
        if (found === undefined || expected === undefined) throw new Error("no result")
        expect(Definition.difference(value.dtype, found, expected, tolerance), JSON.stringify(domain)).toBeUndefined()
      }
  }
}

describe("ScalarCode", () => {
  it.each(DTypes.all)("casts %s to every dtype", (from) => {
    const r = RandomRegion.random(1)
    const data = RandomRegion.elements(r, from, 45)
    const extremes = DTypes.isFloat(from)
      ? [2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 33 + 2 ** 10, 3e9, -5e9, 1e20, 2 ** 63, -(2 ** 63), 0.999, -0.999, 255.9]
      : []
    if (from === "f32" || from === "f64") extremes.forEach((value, i) => (data[i] = value))
    else if (DTypes.isBig(from)) {
      const { max, min } = DTypes.integerRange(from)
      const wide = [max, min, max - 1n, 2n ** 53n + 1n, 2n ** 40n + 1n, 2n ** 32n, 4294967295n]
      wide.forEach((value, i) => (data[i] = value))
    } else if (DTypes.isInteger(from)) {
      const { max, min } = DTypes.integerRange(from)
      const wide = [max, min, max - 1n]
      wide.forEach((value, i) => (data[i] = Number(value)))
    }
    for (const to of DTypes.all)
      for (const saturate of DTypes.isFloat(to) && DTypes.bits(to) === 8 ? [true, false] : [true])
        check([{ dtype: from, data }], Scalars.cast(Scalars.load(0, from), to, saturate))
  })

  it.each([2, 0.5, 1, -1, 3, -2, 0])("takes powers to the constant %d as pow does", (exponent) => {
    const special = [0, -0, 1, -1, Infinity, -Infinity, NaN]
    const x = Float32Array.of(...special, 2, -2, 0.1, 1e-30, 1e20, 3.3, -7.7, 5)
    const value = Scalars.binary("pow", Scalars.load(0, "f32"), Scalars.constant("f32", exponent))
    check([{ dtype: "f32", data: x }], value, 1e-7)
  })

  it.each([
    { zero: 0, to: "u8" },
    { zero: 7, to: "u8" },
    { zero: 0, to: "i8" },
    { zero: -3, to: "i8" },
    { zero: 0, to: "i16" }
  ] as const)("quantises $to with zero point $zero, NaN and infinities too", ({ to, zero }) => {
    const x = Float32Array.of(0, -0, NaN, 1, -1, Infinity, -Infinity, 0.25, 0.75, -0.25, 1e9, -1e9, 3e38, -3e38, 63.75)
    const { max, min } = DTypes.integerRange(to)
    const constant = (value: number): Scalars.Scalar => Scalars.constant("f32", value)
    for (const isRelu of [true, false]) {
      const value = isRelu ? Scalars.binary("max", Scalars.load(0, "f32"), constant(0)) : Scalars.load(0, "f32")
      const steps = Scalars.unary("round", Scalars.binary("div", value, constant(0.5)))
      const shifted = Scalars.binary("add", steps, Scalars.cast(Scalars.constant(to, zero), "f32"))
      const low = Scalars.binary("max", shifted, constant(Number(min)))
      const q = Scalars.cast(Scalars.binary("min", low, constant(Number(max))), to)
      const back = Scalars.binary("sub", Scalars.cast(q, "f32"), Scalars.cast(Scalars.constant(to, zero), "f32"))
      for (const result of [q, Scalars.binary("mul", back, constant(0.5))]) check([{ dtype: "f32", data: x }], result)
    }
  })

  it("keeps the order of zeros and NaN in minima and maxima with constants", () => {
    const x = Float32Array.from([0, -0, NaN, 1, -1, Infinity, -Infinity, 5, -5])
    for (const op of ["min", "max"] as const)
      for (const c of [0, -0, 3, NaN]) {
        const value = Scalars.constant("f32", c)
        check([{ dtype: "f32", data: x }], Scalars.binary(op, Scalars.load(0, "f32"), value))
        check([{ dtype: "f32", data: x }], Scalars.binary(op, value, Scalars.load(0, "f32")))
      }
  })

  it("sees infinities of the wanted signs", () => {
    const x = Float32Array.from([Infinity, -Infinity, NaN, 0, 1, 2])
    for (const positive of [true, false])
      for (const negative of [true, false])
        check([{ dtype: "f32", data: x }], {
          kind: "unary",
          dtype: "bool",
          op: "isInf",
          x: Scalars.load(0, "f32"),
          attributes: { positive, negative }
        })
  })

  it("looks at the same bits as another dtype", () => {
    const r = RandomRegion.random(2)
    const pairs = [
      ["f32", "i32"],
      ["i32", "f32"],
      ["f32", "u32"],
      ["f16", "i16"],
      ["u16", "f16"],
      ["u16", "bf16"],
      ["i8", "u8"],
      ["u8", "bool"],
      ["f64", "i64"],
      ["i64", "f64"],
      ["i64", "u64"]
    ] as const
    for (const [from, to] of pairs)
      check(
        [{ dtype: from, data: RandomRegion.elements(r, from, 33, true) }],
        Scalars.unary("bitcast", Scalars.load(0, from), to)
      )
  })

  it("computes what is shared once, by reference or by structure", () => {
    const length = (scalar: Scalars.Scalar): number => {
      const module = new ModuleBuilder({ shared: false, maximumPages: 1 })
      const emission = new Emission(module, plain, new Map())
      module.func("f", [], [], (f) => {
        const w = new Writer(f, emission)
        ScalarCode.single(w, [scalar], {
          load: () => f32.load(i32.const(0)),
          previous: () => f32.const(0),
          index: () => i32.const(0)
        })
      })
      return module.toBytes().length
    }
    const exp = (): Scalars.Scalar => Scalars.unary("exp", Scalars.load(0, "f32"))
    const one = exp()
    const alone = length(one)
    expect(length(Scalars.binary("mul", one, one))).toBeLessThan(alone + 20)
    expect(length(Scalars.binary("mul", exp(), exp()))).toBeLessThan(alone + 20)
    // Twenty levels of sharing are twenty products, not a million.
    let deep = one
    for (let level = 0; level < 20; level++) deep = Scalars.binary("mul", deep, deep)
    expect(length(deep)).toBeLessThan(alone + 400)
  })

  it("says what has no code", () => {
    const x = Scalars.load(0, "f64")
    expect(ScalarCode.refusal(Scalars.binary("add", x, x))).toBeUndefined()
    expect(ScalarCode.refusal(Scalars.binary("add", x, Scalars.unary("exp", x)))).toBe("exp in f64 has no code")
    const power = Scalars.binary("pow", Scalars.load(0, "i32"), Scalars.load(1, "f32"))
    expect(ScalarCode.refusal(power)).toBe("pow of an integer to a float has no code")
  })
})
