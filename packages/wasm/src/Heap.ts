/**
 * Heap: one WebAssembly memory given out in blocks. It grows as needed and never shrinks; blocks that are given back are
 * used again, neighbours joined.
 */
import type { Memory } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** Every block starts at a multiple of so many bytes. */
export const alignment = 64
const pageBytes = 65_536
/** 4 GiB: what 32-bit addresses reach. */
export const maximumPages = 65_536
/** Bytes behind the last block: vectors may be loaded past its end. */
const slack = 256
/** The first addresses are nobody's: 0 stands for nothing. */
const begin = 1024

/** The memory cannot grow any further. Bytes. */
export class HeapFull extends Error {
  override readonly name = "HeapFull"
  readonly asked: number
  readonly used: number
  readonly limit: number
  constructor(asked: number, used: number, limit: number) {
    super(`${asked} bytes were asked for, ${used} are in use, and the memory holds at most ${limit}`)
    this.asked = asked
    this.used = used
    this.limit = limit
  }
}

interface Block {
  readonly address: number
  readonly bytes: number
}

const rounded = (bytes: number): number => Math.max(alignment, Math.ceil(bytes / alignment) * alignment)

export class Heap {
  readonly memory: Memory
  readonly shared: boolean
  readonly #limit: number
  #top = begin
  #free: Array<Block> = []
  readonly #used = new Map<number, number>()
  #view: Uint8Array = new Uint8Array()

  /** `limit`: bytes that it may hold at most. */
  constructor(options: { readonly shared: boolean; readonly limit?: number }) {
    this.shared = options.shared
    this.#limit = Math.min(options.limit ?? Infinity, maximumPages * pageBytes - pageBytes)
    this.memory = new host.Memory({ initial: 1, maximum: maximumPages, shared: options.shared })
  }

  /** Bytes given out. */
  get used(): number {
    let total = 0
    for (const bytes of this.#used.values()) total += bytes
    return total
  }

  /** All bytes. The view holds until the next allocation. */
  get bytes(): Uint8Array {
    if (this.#view.buffer !== this.memory.buffer) this.#view = new Uint8Array(this.memory.buffer)
    return this.#view
  }

  /** The address of so many bytes; they may hold anything. Throws `HeapFull`. */
  allocate(bytes: number): number {
    const wanted = rounded(bytes)
    const place = this.#free.findIndex((block) => block.bytes >= wanted)
    const found = this.#free[place]
    if (found !== undefined) {
      const rest = found.bytes - wanted
      this.#free.splice(place, 1, ...(rest > 0 ? [{ address: found.address + wanted, bytes: rest }] : []))
      this.#used.set(found.address, wanted)
      return found.address
    }
    const address = this.#top
    this.#reach(address + wanted + slack, wanted)
    this.#top = address + wanted
    this.#used.set(address, wanted)
    return address
  }

  release(address: number): void {
    const bytes = this.#used.get(address)
    if (bytes === undefined) throw new Error(`no block begins at ${address}`)
    this.#used.delete(address)
    const blocks = [...this.#free, { address, bytes }].sort((a, b) => a.address - b.address)
    const joined: Array<Block> = []
    for (const block of blocks) {
      const last = joined.at(-1)
      if (last !== undefined && last.address + last.bytes === block.address)
        joined[joined.length - 1] = { address: last.address, bytes: last.bytes + block.bytes }
      else joined.push(block)
    }
    const last = joined.at(-1)
    if (last !== undefined && last.address + last.bytes === this.#top) {
      this.#top = last.address
      joined.pop()
    }
    this.#free = joined
  }

  #reach(end: number, asked: number): void {
    const have = this.memory.buffer.byteLength
    if (end <= have) return
    if (end > this.#limit) throw new HeapFull(asked, this.used, this.#limit)
    try {
      this.memory.grow(Math.ceil((end - have) / pageBytes))
    } catch {
      throw new HeapFull(asked, this.used, have)
    }
  }
}
