/**
 * Weights: constants of an engine in a heap, each once for each form in which code reads it.
 *
 * Room for all is made first, the largest packed ones first, those that are read as they are last. A constant that is packed
 * goes to a place that is filled later, and from there to its own in the packed order: a page of memory costs more when it is
 * touched for the first time than the bytes on it, so that as few as can be are touched.
 */
import type { Engine } from "@anneal/engine/Engine"
import * as DTypes from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"
import type { Heap } from "./Heap.ts"
import { alignment } from "./Heap.ts"
import type * as Image from "./Image.ts"
import * as Packing from "./Packing.ts"
import * as Walker from "./Walker.ts"

/** A place that is still to be filled. */
interface Open {
  readonly key: string
  readonly bytes: number
  readonly buffer: Image.Buffer
}

const bytesOf = ({ dtype, kind, size, walk }: Image.Buffer): number => {
  if (walk !== undefined) return Packing.lengthOf(walk) * DTypes.slotBytes(walk.dtype)
  return typeof size === "number" ? size * (kind === "packed" ? 1 : DTypes.slotBytes(dtype)) : 0
}

/** Bytes of the constant that a walk goes over. */
const sourceBytes = ({ count, dtype }: Packing.Walk): number => DTypes.byteLength(dtype, count)

/** Whether the packed form has elements that nothing goes to: some axis is left. */
const isPadded = ({ digits, extents }: Packing.Walk): boolean =>
  extents.some(
    (extent, axis) =>
      digits.reduce((last, one) => last + (one.axis === axis ? (one.size - 1) * one.step : 0), 0) >= extent
  )

const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

export class Weights {
  readonly #engine: Engine
  readonly #heap: Heap
  /** Section names of constants by digest. */
  readonly #sections: ReadonlyMap<string, string>
  readonly #addresses = new Map<string, number>()

  constructor(engine: Engine, heap: Heap) {
    this.#engine = engine
    this.#heap = heap
    this.#sections = new Map(
      engine.manifest.sections.flatMap(({ kind, name, sha256 }) => (kind === "constant" ? [[sha256, name]] : []))
    )
  }

  /** Addresses of the buffers that hold weights, 0 for the others; `allocate` makes room for good. Throws `HeapFull`, `EngineError`. */
  place(buffers: ReadonlyArray<Image.Buffer>, allocate: (bytes: number) => number): ReadonlyArray<number> {
    const open = new Map<string, Open>()
    const keys = buffers.map((buffer) => {
      const { dtype, kind, source } = buffer
      // A constant without content is read in its packed forms alone.
      if (source === null || (kind !== "constant" && kind !== "packed")) return undefined
      const key = `${kind} ${dtype} ${source}`
      if (!this.#addresses.has(key)) open.set(key, { key, bytes: bytesOf(buffer), buffer })
      return key
    })
    if (open.size > 0) this.#fillAll([...open.values()], allocate)
    return keys.map((key) => (key === undefined ? 0 : (this.#addresses.get(key) ?? 0)))
  }

  #fillAll(open: ReadonlyArray<Open>, allocate: (bytes: number) => number): void {
    const walks: Array<Open & { readonly walk: Packing.Walk }> = []
    const plain: Array<Open> = []
    for (const one of open) {
      const { walk } = one.buffer
      if (walk === undefined) plain.push(one)
      else walks.push({ ...one, walk })
    }
    walks.sort((a, b) => b.bytes - a.bytes)
    const order: ReadonlyArray<Open> = [...walks, ...plain]
    const total = order.reduce((sum, { bytes }) => sum + rounded(bytes), 0)
    const begin = allocate(total)
    const places: Array<number> = []
    let end = begin
    for (const { bytes } of order) {
      places.push(end)
      end += rounded(bytes)
    }
    // What does not fit between a place and the end of all goes to room of its own, where values will lie later.
    const outside = Math.max(
      0,
      ...walks.map(({ walk }, place) => {
        const bytes = sourceBytes(walk)
        return (places[place + 1] ?? end) + bytes > end ? bytes : 0
      })
    )
    const borrowed: Array<number> = []
    const borrow = (bytes: number): number => {
      const address = this.#heap.allocate(bytes)
      borrowed.push(address)
      return address
    }
    try {
      const room = outside === 0 ? 0 : borrow(outside)
      const table = walks.length === 0 ? 0 : borrow(Math.max(...walks.map(({ walk }) => Walker.tableBytes(walk))))
      let walker: Walker.Walker | undefined
      for (const [place, { walk }] of walks.entries()) {
        const next = places[place + 1] ?? end
        const from = next + sourceBytes(walk) > end ? room : next
        walker ??= Walker.make(this.#heap.memory, this.#heap.shared, table)
        this.#pack(walk, walker, places[place] ?? 0, from)
      }
      for (const [place, one] of plain.entries()) this.#fill(one, places[walks.length + place] ?? 0)
    } finally {
      for (const address of borrowed) this.#heap.release(address)
    }
    for (const [place, { key }] of order.entries()) this.#addresses.set(key, places[place] ?? 0)
  }

  /** The section that holds a constant; what lowering computed is beside the packed weights. */
  #sectionOf(digest: string): string {
    return this.#sections.get(digest) ?? `anneal/packed/${digest}`
  }

  /** A constant that is read as it is, or whose packed form is in the engine. */
  #fill({ buffer: { dtype, kind, size, source }, bytes }: Open, address: number): void {
    const name = kind === "packed" ? `anneal/packed/${source ?? ""}` : this.#sectionOf(source ?? "")
    const count = typeof size === "number" ? size : 0
    if (kind === "packed" || DTypes.byteLength(dtype, count) === bytes)
      return this.#engine.copySection(name, this.#view(address, bytes))
    // Two 4-bit integers share a byte in the file, none in the memory.
    const { data } = Tensor.fromBytes(dtype, [count], this.#engine.section(name))
    this.#view(address, bytes).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }

  /** Puts a constant into the order in which a kernel reads it; it goes to `from` first. */
  #pack(walk: Packing.Walk, walker: Walker.Walker, address: number, from: number): void {
    const { constant, count, dtype } = walk
    const source = this.#view(from, sourceBytes(walk))
    this.#engine.copySection(this.#sectionOf(constant), source)
    const width = DTypes.slotBytes(dtype)
    const length = Packing.lengthOf(walk)
    if (isPadded(walk)) this.#view(address, length * width).fill(0)
    if (width === Walker.width) return walker(walk, address, from)
    const to = DTypes.view(dtype, this.#heap.memory.buffer, address, length)
    Packing.pack(walk, Tensor.fromBytes(dtype, [count], source).data, to)
  }

  #view(address: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#heap.memory.buffer, address, bytes)
  }
}
