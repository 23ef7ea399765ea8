import { describe, expect, it } from "@effect/vitest"
import * as Features from "@anneal/wasm/Features"
import { f32, f32x4, i32, i8x16, unsigned } from "@anneal/wasm/Instruction"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const written = (shared: boolean, body: Parameters<ModuleBuilder["func"]>[3]): string => {
  const module = new ModuleBuilder({ shared, maximumPages: 1 })
  module.func("probe", [], [], body)
  return hex(module.toBytes())
}

describe("features of the host", () => {
  it("asks by modules that hold one instruction each", () => {
    const one = f32x4.splat(f32.const(1))
    expect(Features.probes).toEqual({
      simd128: written(false, (f) => f.drop(i8x16.popcnt(i8x16.splat(i32.const(0))))),
      "relaxed-simd": written(false, (f) => f.drop(f32x4.relaxed_madd(one, one, one))),
      threads: written(true, (f) => f.drop({ type: "i32", code: [i32.const(0).code, 0xfe, 0x10, 2, unsigned(0)] }))
    })
  })

  it("has what every host of these tests has, and says no to what is no module", () => {
    expect(Features.ofHost()).toEqual(["relaxed-simd", "simd128", "threads"])
    const broken = Features.bytesOf(Features.probes.simd128)
    broken[0] = 1
    expect(host.validate(broken)).toBe(false)
  })
})
