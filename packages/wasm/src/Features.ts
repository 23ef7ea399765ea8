/**
 * What this host's WebAssembly can do, found out by validating one tiny module for each feature.
 */
import { f32, f32x4, i32, i8x16, unsigned } from "./Instruction.ts"
import { ModuleBuilder } from "./ModuleBuilder.ts"
import { host } from "./WebAssembly.ts"

const probe = (shared: boolean, body: Parameters<ModuleBuilder["func"]>[3]): Uint8Array => {
  const module = new ModuleBuilder({ shared, maximumPages: 1 })
  module.func("probe", [], [], body)
  return module.toBytes()
}

const probes = {
  simd128: () => probe(false, (f) => f.drop(i8x16.popcnt(i8x16.splat(i32.const(0))))),
  "relaxed-simd": () =>
    probe(false, (f) => {
      const one = f32x4.splat(f32.const(1))
      f.drop(f32x4.relaxed_madd(one, one, one))
    }),
  threads: () =>
    probe(true, (f) =>
      // i32.atomic.load 0
      f.drop({ type: "i32", code: [i32.const(0).code, 0xfe, 0x10, 2, unsigned(0)] })
    )
} as const

export type FeatureName = keyof typeof probes

/** Names of what this host has, sorted. Without `simd128` nothing of ours runs. */
export const ofHost = (): ReadonlyArray<FeatureName> => {
  const names: ReadonlyArray<FeatureName> = ["relaxed-simd", "simd128", "threads"]
  return names.filter((name) => host.validate(probes[name]()))
}
