/**
 * Placing: where the buffers of a candidate lie in the memory that it runs in, with red zones between, and what that memory
 * holds before it runs.
 */
import * as DTypes from "@anneal/ir/DType"
import * as Tensors from "@anneal/ir/Tensor"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type * as Draw from "./Draw.ts"
import type { Block, Call, Footprint, Piece, Written } from "./Protocol.ts"
import * as RegionOracle from "./RegionOracle.ts"
import type { Trial } from "./Trial.ts"

/** Bytes between two buffers that nobody may touch. */
export const zone = 256

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

/** Bytes in shared memory: posted to any number of workers without a copy. */
export const shared = (bytes: Uint8Array): Uint8Array => {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

/** Constants of the model become shared memory where a kernel reads them as they are: most read a packed form. */
const sharing = () => {
  const copies = new Map<Uint8Array, Uint8Array>()
  return (bytes: Uint8Array): Uint8Array => {
    if (bytes.buffer instanceof SharedArrayBuffer) return bytes
    const copy = copies.get(bytes) ?? shared(bytes)
    copies.set(bytes, copy)
    return copy
  }
}

/** A buffer that a region writes results to. */
export type Output = Omit<Written, "address" | "bytes"> & { readonly buffer: string }

/** The buffers that a region writes, and which of their elements. */
export const outputsOf = ({ program, region, size }: Draw.Subject): ReadonlyArray<Output> => {
  const read = new Set(Regions.reads(region).flatMap((view) => (view === null ? [] : [view.buffer])))
  const views = Regions.writes(region).flatMap((view) => (view === null ? [] : [view]))
  return [...new Set(views.map(({ buffer }) => buffer))].flatMap((id): ReadonlyArray<Output> => {
    const buffer = program.buffers.get(id)
    if (buffer === undefined) return []
    const own = views.filter((view) => view.buffer === id)
    const [all, slot] = [size(buffer.size), DTypes.slotBytes(buffer.dtype)]
    // No element is written twice: as many as there are is all of them.
    const whole = own.reduce((sum, { shape }) => sum + Tensors.size(shape.map(size)), 0) === all
    return [{ buffer: id, slot, results: whole ? undefined : placesOf(own, all, size), read: read.has(id) }]
  })
}

/** 1 for each element that one of the views shows. */
const placesOf = (views: ReadonlyArray<View>, all: number, size: Draw.Subject["size"]): Uint8Array => {
  const found = new Uint8Array(new SharedArrayBuffer(all))
  for (const view of views)
    RegionOracle.eachAddress(view, size, (at) => {
      found[at] = 1
    })
  return found
}

export interface Setup {
  readonly pages: number
  /** The buffers of the first copy. */
  readonly blocks: ReadonlyMap<string, Block>
  readonly scratch: Block
  /** What the memory holds, by what the buffers hold. */
  readonly pieces: (contents: ReadonlyMap<string, Uint8Array>) => ReadonlyArray<Piece>
  /** The arguments before `begin` and `end`, a list for each copy. */
  readonly calls: ReadonlyArray<Call>
}

/** Lays the buffers out, `copies` times; the packed constants are in each. */
export const setup = (trial: Trial, copies: number): Setup => {
  const layout = new Layout()
  const scratch = layout.block(trial.scratchBytes, 0)
  const packed: Array<Piece> = []
  const placed: Array<ReadonlyMap<string, Block>> = []
  const calls: Array<Call> = []
  for (let copy = 0; copy < copies; copy++) {
    const blocks = new Map<string, Block>()
    for (const id of trial.buffers) {
      const { bytes, dtype } = trial.bufferBytes(id)
      blocks.set(id, layout.block(bytes, DTypes.slotBytes(dtype)))
    }
    const panels = trial.packed.map((bytes) => {
      const block = layout.block(bytes.length, 0)
      packed.push({ address: block.address, bytes })
      return block
    })
    placed.push(blocks)
    calls.push(trial.arguments(blocks, panels, scratch))
  }
  const [blocks = new Map<string, Block>()] = placed
  const share = sharing()
  return {
    pages: layout.pages,
    blocks,
    scratch,
    pieces: (contents) => [
      ...packed,
      ...placed.flatMap((copy) =>
        [...copy].flatMap(([id, { address }]) => {
          const bytes = contents.get(id)
          return bytes === undefined ? [] : [{ address, bytes: share(bytes) }]
        })
      )
    ],
    calls
  }
}

/** Where the calls of the first copy may leave what. */
export const footprint = ({ blocks, scratch }: Setup, outputs: ReadonlyArray<Output>): Footprint => ({
  written: outputs.flatMap(({ buffer, ...rest }) => {
    const block = blocks.get(buffer)
    return block === undefined ? [] : [{ ...block, ...rest }]
  }),
  scratch
})
