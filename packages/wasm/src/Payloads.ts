/**
 * Payloads: assembled programs as sections of an engine. Equal code, equal images and equal packed weights are kept once.
 */
import type { Payload } from "@anneal/engine/Engine"
import * as Engine from "@anneal/engine/Engine"
import type { Assembled } from "./Assemble.ts"
import type { Features } from "./Emission.ts"
import type { FeatureName } from "./Features.ts"
import * as Image from "./Image.ts"
import type { PackedConstant } from "./PackedConstants.ts"

export const generator = Image.generator

export interface Compiled {
  readonly fixed: ReadonlyMap<string, number>
  readonly features: Features
  readonly assembled: Assembled
}

/** What a host must have to run code of these features; sorted. */
export const featureNames = ({ relaxed, threads }: Features): ReadonlyArray<FeatureName> => [
  ...(relaxed ? (["relaxed-simd"] as const) : []),
  "simd128",
  ...(threads ? (["threads"] as const) : [])
]

const packedSection = ({ bytes, constant, digest, layout }: PackedConstant): Payload => ({
  name: `anneal/packed/${digest}`,
  kind: "packed",
  sha256: digest,
  byteLength: bytes.length,
  bytes: () => bytes,
  origin: { constant, layout }
})

/** The sections of a variant; the index is the first. Programs are tried in this order. */
export const of = (variant: string, programs: ReadonlyArray<Compiled>): ReadonlyArray<Payload> => {
  const made = new Map<string, Payload>()
  const add = (payload: Payload): string => {
    if (!made.has(payload.name)) made.set(payload.name, payload)
    return payload.name
  }
  const content = (kind: "program" | "module", bytes: Uint8Array): string => {
    const payload = Engine.payload("", kind, bytes)
    return add({ ...payload, name: `anneal/${kind}/${payload.sha256.slice(0, 32)}` })
  }
  const units = programs.map(({ assembled, features, fixed }): Image.Unit => {
    for (const packed of assembled.packed) add(packedSection(packed))
    return {
      fixed: Object.fromEntries(fixed),
      features: featureNames(features),
      wide: features.wide,
      image: content("program", Image.encode(assembled.image)),
      module: content("module", assembled.module)
    }
  })
  const index = Engine.payload(`anneal/index/${variant}`, "program", Image.encodeIndex({ generator, units }))
  return [index, ...made.values()]
}
