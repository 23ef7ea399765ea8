/**
 * Footprint: what is wrong with the memory that a kernel leaves, without knowing what its results must be: something
 * written that is not a result, an element that was not written, results that are others when units come in pieces. Looked
 * at everywhere, in the worker that ran the kernel.
 */
import type { Block, Footprint, Piece, Written } from "./Protocol.ts"

/**
 * What every byte of memory is that nobody has written. As numbers of any type: large ones of either sign, so that what adds
 * to, or takes the least or the greatest of, what it finds there is wrong in one of the two; for timing, a tiny one.
 */
export const fills = { large: 0x7f, negative: 0xfe, tiny: 0xa5 } as const

/** Memory with the pieces in it, all other bytes `fill`. */
export interface Placed {
  readonly pieces: ReadonlyArray<Piece>
  readonly fill: number
}

/** Fills memory, and lays the pieces into it. */
export const place = (memory: Uint8Array, { fill, pieces }: Placed): void => {
  memory.fill(fill)
  for (const { address, bytes } of pieces) memory.set(bytes, address)
}

/** Written blocks as they were placed. */
export const restore = (memory: Uint8Array, { fill, pieces }: Placed, { written }: Footprint): void => {
  for (const { address, bytes } of written) memory.fill(fill, address, address + bytes)
  const blocks = new Set(written.map(({ address }) => address))
  for (const { address, bytes } of pieces) if (blocks.has(address)) memory.set(bytes, address)
}

/** Scratch memory as it was placed: what a thread finds that computes nothing else. */
export const clearScratch = (memory: Uint8Array, { fill }: Placed, { scratch }: Footprint): void => {
  memory.fill(fill, scratch.address, scratch.address + scratch.bytes)
}

/** The first byte that differs; undefined: none. */
export const firstDifference = (a: Uint8Array, b: Uint8Array): number | undefined => {
  if (Buffer.compare(a, b) === 0) return undefined
  const at = a.findIndex((byte, place) => byte !== b[place])
  return at < 0 ? undefined : at
}

/** The first address from `from` to `until` at which memory is not the pattern. */
const notFilled = (memory: Uint8Array, pattern: Uint8Array, from: number, until: number): number | undefined => {
  for (let at = from; at < until; at += pattern.length) {
    const count = Math.min(pattern.length, until - at)
    const found = firstDifference(memory.subarray(at, at + count), pattern.subarray(0, count))
    if (found !== undefined) return at + found
  }
  return undefined
}

/** The first byte of a written block that belongs to no result, and is another than before. */
const strayIn = (
  memory: Uint8Array,
  { address, bytes, results, slot }: Written,
  before: Uint8Array | undefined,
  fill: number
): number | undefined => {
  if (results === undefined) return undefined
  for (let at = 0; at < bytes; at++)
    if (results[Math.floor(at / slot)] !== 1 && memory[address + at] !== (before?.[at] ?? fill)) return address + at
  return undefined
}

/** The first byte that is another than before, and neither of a result nor of scratch memory. */
export const stray = (
  memory: Uint8Array,
  { fill, pieces }: Placed,
  { scratch, written }: Footprint
): number | undefined => {
  const pattern = new Uint8Array(65_536).fill(fill)
  const before = new Map(pieces.map(({ address, bytes }) => [address, bytes]))
  const own = new Map(written.map((one) => [one.address, one]))
  const read = pieces.map(({ address, bytes }): Block => ({ address, bytes: bytes.length }))
  const blocks = [scratch, ...written, ...read.filter(({ address }) => !own.has(address))]
  let from = 0
  for (const { address, bytes } of blocks.toSorted((a, b) => a.address - b.address)) {
    const outside = notFilled(memory, pattern, from, address)
    if (outside !== undefined) return outside
    from = address + bytes
    const [block, content] = [own.get(address), before.get(address)]
    if (block !== undefined) {
      const inside = strayIn(memory, block, content, fill)
      if (inside !== undefined) return inside
    } else if (content !== undefined) {
      const inside = firstDifference(memory.subarray(address, from), content)
      if (inside !== undefined) return address + inside
    }
  }
  return notFilled(memory, pattern, from, memory.length)
}

/**
 * The first element of a result that is as it was: nobody wrote it. One byte of the pattern may be a right result; four in
 * a row are not, often enough to matter.
 */
export const unwritten = (
  memory: Uint8Array,
  { fill }: Placed,
  { written }: Footprint
): { readonly block: number; readonly element: number } | undefined => {
  const filled = (fill * 0x01010101) >>> 0
  for (const [block, { address, bytes, read, results, slot }] of written.entries()) {
    if (read || slot < 4) continue
    const words = new Uint32Array(memory.buffer, memory.byteOffset + address, bytes >> 2)
    const step = slot >> 2
    for (let element = 0; element * step < words.length; element++) {
      if (words[element * step] !== filled || (results !== undefined && results[element] !== 1)) continue
      if (step === 1 || words[element * step + 1] === filled) return { block, element }
    }
  }
  return undefined
}

/** The written blocks, copied. */
export const results = (memory: Uint8Array, { written }: Footprint): ReadonlyArray<Uint8Array<ArrayBuffer>> =>
  written.map(({ address, bytes }) => Uint8Array.from(memory.subarray(address, address + bytes)))

/** The first byte of the written blocks that is another than in the copies. */
export const different = (
  memory: Uint8Array,
  copies: ReadonlyArray<Uint8Array>,
  { written }: Footprint
): number | undefined => {
  for (const [block, { address, bytes }] of written.entries()) {
    const at = firstDifference(memory.subarray(address, address + bytes), copies[block] ?? new Uint8Array())
    if (at !== undefined) return address + at
  }
  return undefined
}
