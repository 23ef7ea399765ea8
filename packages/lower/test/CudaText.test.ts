import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as CudaText from "@anneal/lower/CudaText"
import type { Loop, Rows } from "@anneal/lower/Region"
import * as Scalar from "@anneal/lower/Scalar"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import * as View from "@anneal/lower/View"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"

const n = Dim.symbol("n")
const f32 = (buffer: string, ...shape: ReadonlyArray<Dim.Dim>) => View.contiguous(buffer, "f32", shape)

const reluOfSum: Loop = {
  kind: "loop",
  id: "y",
  members: [],
  domain: [n, 8],
  operands: [f32("x", n, 8), View.expand(f32("bias", 8), [n, 8])],
  results: [
    {
      view: View.transpose(View.ordered("y", "f32", [8, n], [0, 1]), [1, 0]),
      value: Scalar.binary(
        "max",
        Scalar.binary("add", Scalar.load(0, "f32"), Scalar.load(1, "f32")),
        Scalar.constant("f32", 0)
      )
    }
  ]
}

const softmax: Rows = {
  kind: "rows",
  id: "y",
  members: [],
  outer: [n],
  inner: [1000],
  operands: [f32("x", n, 1000)],
  stages: [
    { kind: "reduce", name: "max", combine: "max", dtype: "f32", value: Scalar.load(0, "f32") },
    {
      kind: "element",
      name: "power",
      value: Scalar.unary("exp", Scalar.binary("sub", Scalar.load(0, "f32"), Scalar.previous("max", "f32")))
    },
    { kind: "reduce", name: "sum", combine: "sum", dtype: "f32", value: Scalar.previous("power", "f32") },
    { kind: "row", name: "scale", value: Scalar.unary("reciprocal", Scalar.previous("sum", "f32")) }
  ],
  results: [
    {
      view: f32("y", n, 1000),
      per: "element",
      value: Scalar.binary("mul", Scalar.previous("power", "f32"), Scalar.previous("scale", "f32"))
    },
    {
      view: View.expand(View.contiguous("total", "f32", [n, 1]), [n, 1000]),
      per: "row",
      value: Scalar.previous("sum", "f32")
    }
  ]
}

const floats = DTypes.all.filter(DTypes.isFloat)
const integers = DTypes.all.filter(DTypes.isInteger)

const operandOf = (dtype: DType): ScalarOp.Operand =>
  dtype === "bool" ? "bool" : DTypes.isFloat(dtype) ? "float" : "integer"

/** A loop that stores one value of each expression on elements of `dtype`. */
const each = (dtype: DType, values: ReadonlyArray<Scalar.Scalar>): Loop => ({
  kind: "loop",
  id: "y",
  members: [],
  domain: [n, 16],
  operands: [View.contiguous("a", dtype, [n, 16]), View.contiguous("b", dtype, [n, 16])],
  results: values.map((value, place) => ({ view: View.contiguous(`y${place}`, value.dtype, [n, 16]), value }))
})

/** Every op on every dtype that it takes. */
const everything = (): ReadonlyArray<Loop> =>
  DTypes.all.map((dtype) => {
    const [a, b] = [Scalar.load(0, dtype), Scalar.load(1, dtype)]
    const float = DTypes.isFloat(dtype)
    const operand = operandOf(dtype)
    const unary = ScalarOp.allUnary
      .filter((op) => ScalarOp.isUnaryOn(op, operand))
      .map((op) => Scalar.unary(op, a, op === "isNaN" || op === "isInf" ? "bool" : dtype))
    const binary = ScalarOp.allBinary
      .filter((op) => ScalarOp.isBinaryOn(op, operand))
      .map((op) => Scalar.binary(op, a, b, ScalarOp.isComparison(op) ? "bool" : dtype))
    const sameBits = DTypes.all
      .filter((to) => DTypes.bits(to) === DTypes.bits(dtype))
      .map((to) => Scalar.unary("bitcast", a, to))
    const casts = [...floats, ...integers, "bool" as const].map((to) => Scalar.cast(a, to))
    const chosen: Scalar.Scalar = {
      kind: "select",
      dtype,
      condition: Scalar.binary("equal", a, b, "bool"),
      a,
      b: Scalar.constant(dtype, float ? -0.5 : dtype === "bool" ? 1 : 3)
    }
    const fused: ReadonlyArray<Scalar.Scalar> = float ? [{ kind: "fma", dtype, a, b, c: a }] : []
    const gathered: Scalar.Scalar = {
      kind: "load",
      dtype,
      operand: 0,
      indirect: [{ index: { kind: "index", dtype: "i64", axis: 1 }, extent: 16, stride: n }]
    }
    return each(dtype, [...unary, ...binary, ...sameBits, ...casts, chosen, ...fused, gathered])
  })

const nvcc = (() => {
  try {
    execFileSync("nvcc", ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

describe("CudaText", () => {
  it("prints a loop: sizes and strides in the address, symbols as arguments", () => {
    const text = CudaText.loop(reluOfSum, "relu_of_sum")
    expect(text).toContain(
      'extern "C" __global__ void relu_of_sum(const float* __restrict__ r0, const float* __restrict__ r1, float* __restrict__ w0, long long s_n) {'
    )
    expect(text).toContain("maximum<float>(__fadd_rn(r0[0LL + i0 * 8LL + i1 * 1LL], r1[0LL + i1 * 1LL]), 0.0f)")
    expect(text).toContain("w0[0LL + i0 * 1LL + i1 * s_n] = v0;")
  })

  it("prints rows: stages in order, element stages where they are used", () => {
    const text = CudaText.rows(softmax, "softmax")
    expect(text.match(/expf\(/g)).toHaveLength(2)
    expect(text.indexOf("t_s_max =")).toBeLessThan(text.indexOf("t_s_sum ="))
    expect(text).toContain("if (threadIdx.x == 0) {")
  })

  it("keeps products together where they are divided by", () => {
    const flat = Dim.mul(n, Dim.symbol("m"))
    const region = { ...reluOfSum, domain: [flat, 8] }
    expect(CudaText.loop(region, "k")).toMatch(/irest % \((s_m \* s_n|s_n \* s_m)\)/)
  })

  it("spells names that C++ does not take", () => {
    const odd = { ...reluOfSum, domain: [Dim.symbol("batch size"), 8] }
    expect(CudaText.loop(odd, "k")).toContain("long long s_batch_32_size")
  })

  it("refuses what it cannot print", () => {
    const arg: Rows = {
      ...softmax,
      stages: [{ kind: "reduce", name: "max", combine: "argMaxFirst", dtype: "i64", value: Scalar.load(0, "f32") }],
      results: [{ view: View.contiguous("y", "i64", [n, 1000]), per: "row", value: Scalar.previous("max", "i64") }]
    }
    expect(() => CudaText.rows(arg, "k")).toThrow(CudaText.NotPrintable)
  })

  for (const arch of ["sm_80", "sm_90"])
    it.skipIf(!nvcc)(
      `compiles every op on every dtype for ${arch}${nvcc ? "" : " (skipped: there is no nvcc)"}`,
      { timeout: 120_000 },
      () => {
        const folder = mkdtempSync(join(tmpdir(), "anneal-cuda-text-"))
        try {
          const source = join(folder, "regions.cu")
          const loops = everything().map((region, place) => CudaText.loop(region, `loop_${place}`))
          const texts = [
            CudaText.preamble,
            CudaText.loop(reluOfSum, "relu_of_sum"),
            CudaText.rows(softmax, "softmax"),
            ...loops
          ]
          writeFileSync(source, texts.join("\n"))
          execFileSync("nvcc", [`-arch=${arch}`, "-std=c++17", "-ptx", "-o", join(folder, "regions.ptx"), source], {
            stdio: "pipe"
          })
        } finally {
          rmSync(folder, { recursive: true, force: true })
        }
      }
    )
})
