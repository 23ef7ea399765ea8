/**
 * What this machine's WebAssembly can do, found out by validating one tiny module for each feature.
 * Encoding: https://webassembly.github.io/spec/core/binary/
 */

/** The part of the global that is used here; the compiler's library declares it for browsers only. */
declare const WebAssembly: { readonly validate: (bytes: Uint8Array) => boolean }

export interface Feature {
  readonly name: string
  readonly supported: boolean
}

/** `() -> ()`, `() -> v128`. */
const types = { nothing: [0x60, 0, 0], vector: [0x60, 0, 1, 0x7b] } as const

/** `\0asm`, version 1. */
const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

const section = (id: number, content: ReadonlyArray<number>): ReadonlyArray<number> => [id, content.length, ...content]

/** A module with one function of this type and body, and the memory given. */
const moduleOf = (
  type: ReadonlyArray<number>,
  body: ReadonlyArray<number>,
  memory: ReadonlyArray<number> = []
): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([
    ...header,
    ...section(1, [1, ...type]),
    ...section(3, [1, 0]),
    ...(memory.length === 0 ? [] : section(5, [1, ...memory])),
    ...section(10, [1, body.length + 2, 0, ...body, 0x0b])
  ])

const splat = [0x41, 0x00, 0xfd, 0x0f]

/** Features by name, with the module that needs each and nothing else. */
const probes: ReadonlyArray<readonly [name: string, module: Uint8Array<ArrayBuffer>]> = [
  // i8x16.popcnt(i8x16.splat(0))
  ["simd128", moduleOf(types.vector, [...splat, 0xfd, 0x62])],
  // i8x16.relaxed_swizzle
  ["relaxed-simd", moduleOf(types.vector, [...splat, ...splat, 0xfd, 0x80, 0x02])],
  // drop(i32.atomic.load(0)) on a shared memory
  ["threads", moduleOf(types.nothing, [0x41, 0x00, 0xfe, 0x10, 0x02, 0x00, 0x1a], [0x03, 0x01, 0x01])],
  // memory.fill(0, 0, 0)
  ["bulk-memory", moduleOf(types.nothing, [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0x00], [0x00, 0x01])],
  // a memory with 64-bit addresses
  ["memory64", moduleOf(types.nothing, [], [0x04, 0x01])]
]

export const features = (): ReadonlyArray<Feature> =>
  probes.map(([name, module]) => ({ name, supported: WebAssembly.validate(module) }))
