import * as Float from "@anneal/ir/Float"
import { Emission } from "@anneal/wasm/Emission"
import { i32, i64, v128 } from "@anneal/wasm/Instruction"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import * as NarrowFloat from "@anneal/wasm/NarrowFloat"
import * as ScalarLibrary from "@anneal/wasm/ScalarLibrary"
import * as SingleOps from "@anneal/wasm/SingleOps"
import { host } from "@anneal/wasm/WebAssembly"
import { Writer } from "@anneal/wasm/Writer"
import { describe, expect, it } from "vitest"
import { plain } from "./RunKernel.ts"

const formats = ["f16", "bf16", "f8e4m3", "f8e5m2"] as const
const second = 1 << 20

/** decode and encode over arrays of words, and casts from f64 and i64. */
const instantiate = (format: Float.NarrowFloat, saturate: boolean) => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 64 })
  const emission = new Emission(module, plain, new Map())
  const overArray = (
    name: string,
    change: (w: Writer, x: ReturnType<typeof v128.load>) => ReturnType<typeof v128.load>
  ) =>
    module.func(
      name,
      ["i32"],
      [],
      (f) => {
        const w = new Writer(f, emission)
        f.range(0, f.get({ type: "i32", index: 0 }), 4, (i) => {
          const address = w.keep(i32.shl(f.get(i), i32.const(2)))
          f.do(v128.store(address, change(w, v128.load(address)), second))
        })
      },
      { export: true }
    )
  overArray("decode", (w, x) => NarrowFloat.decode(w, format, x))
  overArray("encode", (w, x) => NarrowFloat.encode(w, format, x, saturate))
  module.func(
    "fromDouble",
    ["f64"],
    ["f32"],
    (f) => {
      const x = f.get({ type: "f64", index: 0 })
      const made = SingleOps.cast(new Writer(f, emission), "f64", format, x, saturate)
      f.return({ type: "f32", code: made.code })
    },
    { export: true }
  )
  module.func(
    "fromInteger",
    ["i32", "i32"],
    ["f32"],
    (f) => {
      const [high, low] = [f.get({ type: "i32", index: 0 }), f.get({ type: "i32", index: 1 })]
      const x = i64.or(i64.shl(i64.extend_i32_s(high), i64.const(32n)), i64.extend_i32_u(low))
      const made = SingleOps.cast(new Writer(f, emission), "i64", format, x, saturate)
      f.return({ type: "f32", code: made.code })
    },
    { export: true }
  )
  module.func(
    "power",
    ["i32", "i32"],
    ["i32"],
    (f) => {
      const [a, b] = [f.get({ type: "i32", index: 0 }), f.get({ type: "i32", index: 1 })]
      const power = ScalarLibrary.integerPower(emission, true, true)
      f.return(i32.wrap_i64(f.call("i64", power, [i64.extend_i32_s(a), i64.extend_i32_s(b)])))
    },
    { export: true }
  )
  const memory = new host.Memory({ initial: 64, maximum: 64 })
  const { exports } = new host.Instance(new host.Module(module.toBytes()), { env: { memory } })
  const call = (name: string, ...args: ReadonlyArray<number>): number => {
    const func = exports[name]
    if (typeof func !== "function") throw new Error(`${name} is not exported`)
    return func(...args) ?? 0
  }
  return { memory, call }
}

describe.each(formats)("NarrowFloat, %s", (format) => {
  const { call, memory } = instantiate(format, true)
  const count = 2 ** Float.formats[format].width

  it("decodes all bits", () => {
    const bits = Int32Array.from({ length: count }, (_, i) => i)
    for (let from = 0; from < count; from += 65536) {
      const part = bits.subarray(from, from + 65536)
      new Int32Array(memory.buffer, 0, part.length).set(part)
      call("decode", part.length)
      const found = new Float32Array(memory.buffer, second, part.length)
      part.forEach((one, i) => {
        const [actual, expected] = [found[i] ?? 0, Float.decode(format, one)]
        if (!Object.is(actual, expected)) expect.fail(`${one} is ${actual}, expected ${expected}`)
      })
    }
  })

  it.each([true, false])("encodes every number, what lies half way, and its neighbours; saturating: %s", (saturate) => {
    const own = instantiate(format, saturate)
    const values: Array<number> = [0, -0, NaN, Infinity, -Infinity, 3e38, -3e38, 1e-45, -1e-45, 1e-30]
    const step = format === "f16" || format === "bf16" ? 3 : 1
    for (let bits = 0; bits < count; bits += step) {
      const value = Float.decode(format, bits)
      if (!Number.isFinite(value)) continue
      const half = (value + Float.nextUp(value, format)) / 2
      values.push(value)
      if (Number.isFinite(half)) values.push(half, Float.nextUp(half, "f32"), Float.nextDown(half, "f32"))
    }
    while (values.length % 4 !== 0) values.push(1)
    for (let from = 0; from < values.length; from += 65536) {
      const part = Float32Array.from(values.slice(from, from + 65536))
      new Float32Array(own.memory.buffer, 0, part.length).set(part)
      own.call("encode", part.length)
      const found = new Int32Array(own.memory.buffer, second, part.length)
      part.forEach((value, i) => {
        const expected = Float.encode(format, value, saturate)
        // NaN has many bits, of which one sign is made.
        const same = value !== value ? Number.isNaN(Float.decode(format, found[i] ?? 0)) : found[i] === expected
        if (!same) expect.fail(`${value} gives ${found[i]}, expected ${expected}`)
      })
    }
  })

  it("rounds float64 and 64-bit integers once", () => {
    const { fractionBits } = Float.formats[format]
    // Just above and below half way, by less than f32 can tell.
    for (const value of [1, 1.5, 1024, 3 * 2 ** -10, -7])
      for (const sign of [-1, 0, 1]) {
        const near = value * (1 + 2 ** -(fractionBits + 1)) + sign * Math.abs(value) * 2 ** -40
        expect(call("fromDouble", near)).toBe(Float.round(format, near))
      }
    for (const size of [
      5n,
      257n,
      2n ** 40n + 2n ** 32n,
      2n ** 62n + 2n ** 54n + 1n,
      2n ** 62n + 2n ** 54n,
      2n ** 63n - 1n
    ])
      for (const value of [size, -size]) {
        const expected = exactlyRounded(format, value)
        expect(call("fromInteger", Number(value >> 32n), Number(BigInt.asIntN(32, value)))).toBe(expected)
      }
  })
})

/** The nearest number, ties to even, by exact arithmetic. */
const exactlyRounded = (format: Float.NarrowFloat, value: bigint): number => {
  const size = value < 0n ? -value : value
  const rough = Float.round(format, Number(size))
  const near = [Float.nextDown(rough, format), rough, Float.nextUp(rough, format)].filter((one) => Number.isFinite(one))
  if (!Number.isFinite(rough) || rough >= Float.formats[format].max) return value < 0n ? -rough : rough
  // In units of 2⁻¹², in which also the small neighbours are whole.
  const distance = (one: number): bigint => {
    const away = BigInt(one * 4096) - size * 4096n
    return away < 0n ? -away : away
  }
  const least = near.reduce((best, one) => (distance(one) < distance(best) ? one : best))
  const ties = near.filter((one) => distance(one) === distance(least))
  const chosen = ties.find((one) => Float.encode(format, one) % 2 === 0) ?? least
  return value < 0n ? -chosen : chosen
}
