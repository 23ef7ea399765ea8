import * as Functions from "@anneal/ir/Math"
import * as Float from "@anneal/ir/Float"
import type { Elementary } from "@anneal/lower/ScalarOp"
import { Emission, type Features } from "@anneal/wasm/Emission"
import { i32, v128 } from "@anneal/wasm/Instruction"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import * as VectorMath from "@anneal/wasm/VectorMath"
import { host } from "@anneal/wasm/WebAssembly"
import { Writer } from "@anneal/wasm/Writer"
import { describe, expect, it } from "vitest"

const features = (relaxed: boolean): Features => ({ relaxed, wide: false, threads: false })

const half = 1 << 20

/** The functions over arrays of up to 2¹⁶ f32. */
const instantiate = (relaxed: boolean) => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 64 })
  const emission = new Emission(module, features(relaxed), new Map())
  for (const op of Object.keys(references))
    if (isUnary(op))
      module.func(
        op,
        ["i32"],
        [],
        (f) => {
          const w = new Writer(f, emission)
          f.range(0, f.get({ type: "i32", index: 0 }), 4, (i) => {
            const address = w.keep(i32.shl(f.get(i), i32.const(2)))
            const result = VectorMath.unary(w, op, v128.load(address))
            if (result === undefined) throw new Error(`${op} is missing`)
            f.do(v128.store(address, result, half))
          })
        },
        { export: true }
      )
  module.func(
    "pow",
    ["i32"],
    [],
    (f) => {
      const w = new Writer(f, emission)
      f.range(0, f.get({ type: "i32", index: 0 }), 4, (i) => {
        const address = w.keep(i32.shl(f.get(i), i32.const(2)))
        f.do(v128.store(address, VectorMath.pow(w, v128.load(address), v128.load(address, half)), half))
      })
    },
    { export: true }
  )
  const memory = new host.Memory({ initial: 64, maximum: 64 })
  const { exports } = new host.Instance(new host.Module(module.toBytes()), { env: { memory } })
  const call = (name: string, x: Float32Array, y: Float32Array = x): Float32Array => {
    new Float32Array(memory.buffer, 0, x.length).set(x)
    new Float32Array(memory.buffer, half, x.length).set(y)
    const func = exports[name]
    if (typeof func !== "function") throw new Error(`${name} is not exported`)
    func(x.length)
    return new Float32Array(memory.buffer, half, x.length).slice()
  }
  return { call }
}

const sigmoid = (x: number): number => {
  const power = Functions.exp(-Math.abs(x))
  return x < 0 ? power / (1 + power) : 1 / (1 + power)
}

const references: { readonly [O in Elementary]: (x: number) => number } = {
  exp: Functions.exp,
  log: Functions.log,
  log1p: Functions.log1p,
  expm1: Functions.expm1,
  sin: Functions.sin,
  cos: Functions.cos,
  tan: Functions.tan,
  asin: Functions.asin,
  acos: Functions.acos,
  atan: Functions.atan,
  sinh: Functions.sinh,
  cosh: Functions.cosh,
  tanh: Functions.tanh,
  asinh: Functions.asinh,
  acosh: Functions.acosh,
  atanh: Functions.atanh,
  erf: Functions.erf,
  sigmoid
}
const isUnary = (name: string): name is Elementary => name in references

/** Numbers of every exponent and both signs, special ones, and a dense run through [−12, 12]. */
const samples = (): Float32Array => {
  const bits = new Uint32Array(65536)
  const values = new Float32Array(bits.buffer)
  let state = 12345
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0)
  for (let i = 0; i < 40960; i++) bits[i] = (((i & 0x1ff) << 23) | (next() >>> 9)) >>> 0
  for (let i = 40960; i < values.length - 64; i++) values[i] = ((i - 40960) / 24512) * 24 - 12
  const special = [0, -0, Infinity, -Infinity, NaN, 1, -1, 2 ** -149, -(2 ** -149), 2 ** -126, 3.4028234663852886e38]
  values.set(
    [...special, 0.5, -0.5, 2, 88.72283, 88.72284, -103.97208, -103.98, -87.33, 1e6, -1e6, 16777216, 0.75],
    65472
  )
  return values
}

/** Error in units in the last place of f32; NaN, infinities and the sign of zeros must agree. */
const ulps = (actual: number, exact: number): number => {
  if (exact !== exact) return actual !== actual ? 0 : Infinity
  const rounded = Math.fround(exact)
  if (Object.is(actual, rounded)) return 0
  if (rounded === 0 && actual === 0) return Object.is(exact, -0) || Object.is(exact, 0) ? Infinity : 0
  // One step beyond the greatest number is infinity.
  const seen = Number.isFinite(actual) ? actual : Math.sign(actual) * 2 ** 128
  const wanted = Number.isFinite(rounded) ? exact : Math.sign(exact) * 2 ** 128
  return Math.abs(seen - wanted) / Float.ulp(Number.isFinite(rounded) ? rounded : 3e38, "f32")
}

describe.each([true, false])("VectorMath, relaxed %s", (relaxed) => {
  const { call } = instantiate(relaxed)
  const x = samples()

  it.each(Object.entries(references))("%s is within 2 ulp of float64 over all exponents", (name, reference) => {
    const results = call(name, x)
    let worst = { error: -1, x: 0, actual: 0, exact: 0 }
    results.forEach((actual, i) => {
      const exact = reference(x[i] ?? 0)
      const error = ulps(actual, exact)
      if (error > worst.error) worst = { error, x: x[i] ?? 0, actual, exact }
    })
    if (process.env["SHOW_ULPS"] !== undefined) console.log(relaxed, name, worst)
    expect(worst.error, JSON.stringify(worst)).toBeLessThan(limits[name] ?? 1)
  })

  it("pow has the values of C's pow, and is within 1 ulp", () => {
    const special = [0, -0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, Infinity, -Infinity, NaN, 2.5, -7, 1e20, 1e-40]
    const bases: Array<number> = []
    const exponents: Array<number> = []
    for (const a of special)
      for (const b of special) {
        bases.push(a)
        exponents.push(b)
      }
    for (let i = 0; i < 8000; i++) {
      bases.push(Math.fround(((i % 97) - 20) * 0.37))
      exponents.push(i % 3 === 0 ? (i % 41) - 20 : Math.fround(((i % 83) - 41) * 0.31))
    }
    while (bases.length % 4 !== 0) {
      bases.push(1)
      exponents.push(1)
    }
    const [a, b] = [Float32Array.from(bases), Float32Array.from(exponents)]
    call("pow", a, b).forEach((actual, i) => {
      const exact = Functions.pow(a[i] ?? 0, b[i] ?? 0)
      expect(ulps(actual, exact), `${a[i]} ** ${b[i]} is ${exact}, not ${actual}`).toBeLessThan(1)
    })
  })
})

/** Greatest error in ulp where it is not below 1. */
const limits: { readonly [name: string]: number } = { exp: 1.1, sigmoid: 2, tanh: 1.5, erf: 1.4 }
