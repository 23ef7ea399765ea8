import * as Functions from "@anneal/ir/Math"
import * as Float from "@anneal/ir/Float"
import { Emission } from "@anneal/wasm/Emission"
import { i32, v128 } from "@anneal/wasm/Instruction"
import * as Gate from "@anneal/wasm/kernels/RecurrentGate"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"
import { Writer } from "@anneal/wasm/Writer"
import { describe, expect, it } from "vitest"

/** sigmoid, tanh, and their product σ(x) · tanh(y), over arrays of up to 2¹⁶ f32. */
const instantiate = (relaxed: boolean) => {
  const at = { x: 0, y: 1 << 18, to: 1 << 19 }
  const module = new ModuleBuilder({ shared: false, maximumPages: 64 })
  const emission = new Emission(module, { relaxed, wide: false, threads: false }, new Map())
  for (const name of ["sigmoid", "tanh", "product"] as const)
    module.func(
      name,
      ["i32"],
      [],
      (f) => {
        const w = new Writer(f, emission)
        f.range(0, f.get({ type: "i32", index: 0 }), 4, (i) => {
          const address = w.keep(i32.shl(f.get(i), i32.const(2)))
          const [x, y] = [v128.load(address, at.x), v128.load(address, at.y)]
          const made =
            name === "product"
              ? Gate.times(Gate.sigmoid(w, x), Gate.tanh(w, y))
              : name === "tanh"
                ? Gate.tanh(w, x)
                : Gate.sigmoid(w, x)
          f.do(v128.store(address, Gate.value(w, made), at.to))
        })
      },
      { export: true }
    )
  const memory = new host.Memory({ initial: 64, maximum: 64 })
  const { exports } = new host.Instance(new host.Module(module.toBytes()), { env: { memory } })
  return (name: "sigmoid" | "tanh" | "product", x: Float32Array, y: Float32Array = x): Float32Array => {
    new Float32Array(memory.buffer, at.x, x.length).set(x)
    new Float32Array(memory.buffer, at.y, y.length).set(y)
    const func = exports[name]
    if (typeof func !== "function") throw new Error(`${name} is not exported`)
    func(x.length)
    return new Float32Array(memory.buffer, at.to, x.length).slice()
  }
}

const sigmoid = (x: number): number => {
  const power = Functions.exp(-Math.abs(x))
  return x < 0 ? power / (1 + power) : 1 / (1 + power)
}

/** A dense run through [−limit, limit], and the same from 2⁻⁶⁰ on, both signs. */
const samples = (limit: number): Float32Array =>
  Float32Array.from({ length: 65536 }, (_, i) =>
    i < 32768
      ? (i / 16384 - 1) * limit
      : (i % 2 === 0 ? 1 : -1) * limit * 2 ** -(((i - 32768) / 32768) * 60) * (1 + ((i * 7919) % 1024) / 2048)
  )

const worst = (
  actual: Float32Array,
  x: Float32Array,
  exact: (x: number, i: number) => number,
  unit: (exact: number) => number
): number =>
  actual.reduce((most, value, i) => {
    const wanted = exact(x[i] ?? 0, i)
    const error = Math.abs(value - wanted) / unit(wanted)
    return error <= most ? most : Number.isNaN(error) ? Infinity : error
  }, 0)

const ulp = (exact: number): number => Float.ulp(exact, "f32")
const special = Float32Array.of(Infinity, -Infinity, NaN, 0, -0, 3.4e38, -3.4e38, 2 ** -149)

for (const relaxed of [true, false])
  describe(relaxed ? "gates, fused" : "gates, rounded twice", () => {
    const call = instantiate(relaxed)

    it("sigmoid within a few units in the last place", () => {
      const x = samples(20)
      const made = call("sigmoid", x)
      expect(worst(made, x, sigmoid, ulp)).toBeLessThan(relaxed ? 8 : 32)
      expect(worst(made, x, sigmoid, () => 2 ** -24)).toBeLessThan(2)
      expect(made.every((value) => value > 0 && value <= 1)).toBe(true)
    })

    it("tanh within a few units in the last place, down to the least inputs", () => {
      const x = samples(12)
      const made = call("tanh", x)
      expect(worst(made, x, Functions.tanh, ulp)).toBeLessThan(relaxed ? 3.2 : 6)
      expect(made.every((value) => Math.abs(value) <= 1)).toBe(true)
    })

    it("a product is divided once", () => {
      const x = samples(30)
      const y = samples(12).reverse()
      const made = call("product", x, y)
      const exact = (value: number, i: number): number => sigmoid(value) * Functions.tanh(y[i] ?? 0)
      expect(worst(made, x, exact, (value) => Math.max(2 ** -24 * 2 ** -20, ulp(value)))).toBeLessThan(
        relaxed ? 16 : 40
      )
    })

    it("limits, and NaN where NaN comes in", () => {
      expect([...call("tanh", special)]).toEqual([1, -1, NaN, 0, expect.closeTo(0, 9), 1, -1, expect.closeTo(0, 9)])
      const made = [...call("sigmoid", special)]
      expect(made.map((value) => (value < 1e-30 ? 0 : value))).toEqual([1, 0, NaN, 0.5, 0.5, 1, 0, 0.5])
      expect([...call("product", special, Float32Array.of(NaN, 1, 1, 0, 1, 1e30, 1e30, -Infinity))]).toEqual([
        NaN,
        expect.closeTo(0, 30),
        NaN,
        0,
        expect.closeTo(0.5 * Math.tanh(1), 6),
        1,
        expect.closeTo(0, 30),
        -0.5
      ])
    })
  })
