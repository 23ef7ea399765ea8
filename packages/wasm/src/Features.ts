/**
 * What this host's WebAssembly can do, found out by validating one tiny module for each feature. The modules are kept as they
 * are written: a host asks before anything else, and should not have to load what writes modules.
 */
import { host } from "./WebAssembly.ts"

/** A function without a result, behind an imported memory. Each is written by `ModuleBuilder` in the test. */
export const probes = {
  // i8x16.popcnt(i8x16.splat(0))
  simd128: "0061736d0100000001040160000002100103656e76066d656d6f727902010001030201000a0b0109004100fd0ffd621a0b",
  // f32x4.relaxed_madd(1, 1, 1)
  "relaxed-simd":
    "0061736d0100000001040160000002100103656e76066d656d6f727902010001030201000a1d011b00430000803ffd13430000803ffd13430000803ffd13fd85021a0b",
  // i32.atomic.load(0) of a shared memory
  threads: "0061736d0100000001040160000002100103656e76066d656d6f727902030001030201000a0b0109004100fe1002001a0b"
} as const

export type FeatureName = keyof typeof probes

const names: ReadonlyArray<FeatureName> = ["relaxed-simd", "simd128", "threads"]

/** The bytes that are written in hexadecimal. */
export const bytesOf = (text: string): Uint8Array => {
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** Names of what this host has, sorted. Without `simd128` nothing of ours runs. */
export const ofHost = (): ReadonlyArray<FeatureName> => names.filter((name) => host.validate(bytesOf(probes[name])))
