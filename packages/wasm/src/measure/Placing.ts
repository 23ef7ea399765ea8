/**
 * Placing: where the buffers of a candidate lie in the memory that it runs in, with red zones between, and what that memory
 * holds before it runs.
 */
import type { TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Drawn } from "./Draw.ts"
import type { Call, Request } from "./Protocol.ts"
import type { Trial } from "./Trial.ts"

/** Bytes between two buffers that nobody may touch. */
export const zone = 256
/** What memory holds that nobody has written. */
export const fill = 0xa5

export interface Block {
  readonly address: number
  readonly bytes: number
}

/** Gives out addresses, with red zones between. */
class Layout {
  #top = 1024

  /** Not a multiple of more than the slot, so that nobody relies on one. */
  block(bytes: number, slot: number): Block {
    const address = Math.ceil(this.#top / 64) * 64 + slot
    this.#top = address + bytes + zone
    return { address, bytes }
  }

  get pages(): number {
    return Math.ceil((this.#top + 65_536) / 65_536)
  }
}

const bytesOf = (data: TypedArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

export interface Setup {
  readonly request: Extract<Request, { readonly kind: "load" }>
  readonly blocks: ReadonlyMap<string, Block>
  readonly scratch: Block
  /** The arguments, a list for each copy. */
  readonly calls: ReadonlyArray<Call>
}

/** Lays the buffers out, `copies` times; the packed constants and what was drawn are in each. */
export const setup = (trial: Trial, drawn: ReadonlyMap<string, Drawn>, copies: number): Setup => {
  const layout = new Layout()
  const scratch = layout.block(trial.scratchBytes, 0)
  const pieces: Array<{ readonly address: number; readonly bytes: Uint8Array }> = []
  const calls: Array<Call> = []
  let first: ReadonlyMap<string, Block> = new Map()
  for (let copy = 0; copy < copies; copy++) {
    const blocks = new Map<string, Block>()
    for (const id of trial.buffers) {
      const { bytes, dtype } = trial.bufferBytes(id)
      const block = layout.block(bytes, DTypes.slotBytes(dtype))
      blocks.set(id, block)
      const content = drawn.get(id)
      if (content !== undefined) pieces.push({ address: block.address, bytes: bytesOf(content.data) })
    }
    const packed = trial.packed.map((bytes) => {
      const block = layout.block(bytes.length, 0)
      pieces.push({ address: block.address, bytes })
      return block
    })
    calls.push(trial.arguments(blocks, packed, scratch))
    if (copy === 0) first = blocks
  }
  const { module, symbols } = trial
  // Shared, so that it is posted without a copy.
  const image = new Uint8Array(new SharedArrayBuffer(layout.pages * 65_536)).fill(fill)
  for (const { address, bytes } of pieces) image.set(bytes, address)
  return { request: { kind: "load", module, image, symbols }, blocks: first, scratch, calls }
}
