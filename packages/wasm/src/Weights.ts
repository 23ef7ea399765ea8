/**
 * Weights: constants of an engine in a heap, each once for each form in which code reads it.
 *
 * Room for all is made first. A constant that is read as it is goes from the file to its place; one that is packed goes to
 * the end of the memory, where values will lie later, and from there to its place in the packed order.
 */
import type { Engine } from "@anneal/engine/Engine"
import * as DTypes from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"
import type { Heap } from "./Heap.ts"
import type * as Image from "./Image.ts"
import * as Packing from "./Packing.ts"
import * as StridedCopy from "./StridedCopy.ts"

/** A place that is still to be filled. */
interface Open {
  readonly address: number
  readonly bytes: number
  readonly buffer: Image.Buffer
}

const bytesOf = ({ dtype, kind, size, walk }: Image.Buffer): number => {
  if (walk !== undefined) return Packing.lengthOf(walk) * DTypes.slotBytes(walk.dtype)
  return typeof size === "number" ? size * (kind === "packed" ? 1 : DTypes.slotBytes(dtype)) : 0
}

/** Bytes of the constant that a walk goes over. */
const sourceBytes = ({ count, dtype }: Packing.Walk): number => DTypes.byteLength(dtype, count)

export class Weights {
  readonly #engine: Engine
  readonly #heap: Heap
  /** Section names of constants by digest. */
  readonly #sections: ReadonlyMap<string, string>
  readonly #addresses = new Map<string, number>()
  #copy: StridedCopy.StridedCopy | undefined

  constructor(engine: Engine, heap: Heap) {
    this.#engine = engine
    this.#heap = heap
    this.#sections = new Map(
      engine.manifest.sections.flatMap(({ kind, name, sha256 }) => (kind === "constant" ? [[sha256, name]] : []))
    )
  }

  /** Addresses of the buffers that hold weights, 0 for the others; `allocate` makes room for good. Throws `HeapFull`, `EngineError`. */
  place(buffers: ReadonlyArray<Image.Buffer>, allocate: (bytes: number) => number): ReadonlyArray<number> {
    const open: Array<Open> = []
    const found = buffers.map((buffer) => {
      const { dtype, kind, source } = buffer
      // A constant without content is read in its packed forms alone.
      if (source === null || (kind !== "constant" && kind !== "packed")) return 0
      const key = `${kind} ${dtype} ${source}`
      const known = this.#addresses.get(key)
      if (known !== undefined) return known
      const bytes = bytesOf(buffer)
      const address = allocate(bytes)
      this.#addresses.set(key, address)
      open.push({ address, bytes, buffer })
      return address
    })
    const walks = open.flatMap(({ buffer: { walk } }) => (walk === undefined ? [] : [sourceBytes(walk)]))
    const room = walks.length === 0 ? undefined : this.#heap.allocate(Math.max(...walks))
    try {
      for (const one of open) this.#fill(one, room)
    } finally {
      if (room !== undefined) this.#heap.release(room)
    }
    return found
  }

  /** The section that holds a constant; what lowering computed is beside the packed weights. */
  #sectionOf(digest: string): string {
    return this.#sections.get(digest) ?? `anneal/packed/${digest}`
  }

  #fill({ address, buffer: { dtype, kind, size, source, walk }, bytes }: Open, room: number | undefined): void {
    const name = kind === "packed" ? `anneal/packed/${source ?? ""}` : this.#sectionOf(source ?? "")
    if (walk !== undefined && room !== undefined) return this.#pack(walk, address, room)
    const count = typeof size === "number" ? size : 0
    if (kind === "packed" || DTypes.byteLength(dtype, count) === bytes)
      return this.#engine.copySection(name, this.#view(address, bytes))
    // Two 4-bit integers share a byte in the file, none in the memory.
    const { data } = Tensor.fromBytes(dtype, [count], this.#engine.section(name))
    this.#view(address, bytes).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }

  /** Puts a constant into the order in which a kernel reads it. */
  #pack(walk: Packing.Walk, address: number, room: number): void {
    const { constant, count, dtype } = walk
    const from = this.#view(room, sourceBytes(walk))
    this.#engine.copySection(this.#sectionOf(constant), from)
    const width = DTypes.slotBytes(dtype)
    const length = Packing.lengthOf(walk)
    this.#view(address, length * width).fill(0)
    if (width === 4) {
      this.#copy ??= StridedCopy.make(this.#heap.memory, this.#heap.shared)
      const copy = this.#copy
      Packing.blocks(walk, (target, source, rows, rowStride, elements, stride, pitch) =>
        copy(address + 4 * target, room + 4 * source, rows, 4 * rowStride, elements, 4 * stride, 4 * pitch)
      )
      return
    }
    const to = DTypes.view(dtype, this.#heap.memory.buffer, address, length)
    Packing.pack(walk, Tensor.fromBytes(dtype, [count], from).data, to)
  }

  #view(address: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#heap.memory.buffer, address, bytes)
  }
}
