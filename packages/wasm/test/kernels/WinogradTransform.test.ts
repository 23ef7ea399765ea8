import { f32x4, i32, v128 } from "@anneal/wasm/Instruction"
import { amplification, filtering, transform } from "@anneal/wasm/kernels/WinogradTransform"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"
import { describe, expect, it } from "vitest"
import * as Random from "../Random.ts"
import { plain, relaxed } from "../RunKernel.ts"

const sizes = [1, 2, 3, 4, 6].flatMap((m) => [1, 2, 3, 4, 5].map((r) => ({ m, r }))).filter(({ m, r }) => m + r <= 9)
const apply = (matrix: ReadonlyArray<ReadonlyArray<number>>, x: ReadonlyArray<number>): ReadonlyArray<number> =>
  matrix.map((row) => row.reduce((sum, factor, j) => sum + factor * (x[j] ?? 0), 0))

describe("WinogradTransform", () => {
  it.each(sizes)("F($m, $r) filters", ({ m, r }) => {
    const { filter, input, output } = filtering(m, r)
    const next = Random.signed(m * 10 + r)
    const d = Array.from({ length: m + r - 1 }, next)
    const g = Array.from({ length: r }, next)
    const [transformed, taps] = [apply(input, d), apply(filter, g)]
    const y = apply(
      output,
      transformed.map((x, j) => x * (taps[j] ?? 0))
    )
    y.forEach((got, i) => {
      const want = g.reduce((sum, tap, k) => sum + tap * (d[i + k] ?? 0), 0)
      expect(Math.abs(got - want)).toBeLessThan(1e-11)
    })
  })

  it.each([
    { m: 1, r: 3, stride: 2 },
    { m: 2, r: 3, stride: 2 },
    { m: 4, r: 3, stride: 2 },
    { m: 4, r: 5, stride: 2 },
    { m: 3, r: 7, stride: 3 },
    { m: 3, r: 2, stride: 4 }
  ])("F($m, $r) in steps of $stride", ({ m, r, stride }) => {
    const { filter, input, output, reach, size, step } = filtering(m, r, stride)
    expect([reach, step]).toEqual([(m - 1) * stride + r, m * stride])
    const next = Random.signed(m * 10 + r)
    const d = Array.from({ length: reach }, next)
    const g = Array.from({ length: r }, next)
    const [transformed, taps] = [apply(input, d), apply(filter, g)]
    expect([transformed.length, taps.length]).toEqual([size, size])
    const y = apply(
      output,
      transformed.map((x, j) => x * (taps[j] ?? 0))
    )
    expect(y).toHaveLength(m)
    y.forEach((got, i) => {
      const want = g.reduce((sum, tap, k) => sum + tap * (d[i * stride + k] ?? 0), 0)
      expect(Math.abs(got - want)).toBeLessThan(1e-11)
    })
  })

  it("three taps in steps of two take nine products for four outputs, not twelve", () => {
    expect(filtering(4, 3, 2).size).toBe(9)
  })

  it("says how much errors grow: more for longer tiles", () => {
    expect(amplification(filtering(1, 3))).toBe(1)
    expect(amplification(filtering(2, 3))).toBeLessThan(amplification(filtering(4, 3)))
    expect(amplification(filtering(4, 3))).toBeLessThan(amplification(filtering(6, 3)))
  })

  it("has no points for tiles that would lose everything", () => {
    expect(() => filtering(12, 5)).toThrow("F(12, 5)")
  })

  it.each(sizes)("the code of F($m, $r)'s transforms is the matrices' product", ({ m, r }) => {
    for (const features of [plain, relaxed])
      for (const matrix of [filtering(m, r).input, filtering(m, r).output]) {
        const width = matrix[0]?.length ?? 0
        const module = new ModuleBuilder({ shared: false, maximumPages: 1 })
        module.func(
          "run",
          [],
          [],
          (f) => {
            const inputs = Array.from({ length: width }, (_, j) => f.get(f.let(v128.load(i32.const(j * 16)))))
            transform(f, features, matrix, inputs).forEach((sum, i) =>
              f.do(v128.store(i32.const(1024 + i * 16), f32x4.add(sum, sum)))
            )
          },
          { export: true }
        )
        const memory = new host.Memory({ initial: 1, maximum: 1 })
        const { run } = new host.Instance(new host.Module(module.toBytes()), { env: { memory } }).exports
        if (typeof run !== "function") throw new Error("not exported")
        const x = new Float32Array(memory.buffer, 0, width * 4)
        const next = Random.signed(3)
        for (let i = 0; i < x.length; i++) x[i] = next()
        run()
        for (let lane = 0; lane < 4; lane++) {
          const column = Array.from({ length: width }, (_, j) => x[j * 4 + lane] ?? 0)
          apply(matrix, column).forEach((want, i) => {
            const got = new Float32Array(memory.buffer)[256 + i * 4 + lane] ?? NaN
            expect(Math.abs(got - 2 * want)).toBeLessThan(1e-4)
          })
        }
      }
  })
})
