/**
 * Loaded: one variant of one engine in memory, shared by all its sessions: the weights, copied once, and the programs,
 * compiled and instantiated when first needed.
 */
import type { Engine } from "@anneal/engine/Engine"
import type { Variant } from "@anneal/engine/Manifest"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"
import type { Heap } from "./Heap.ts"
import * as Image from "./Image.ts"
import * as Packing from "./Packing.ts"
import { withSharedMemory } from "./SharedImport.ts"
import type { Global, Instance, Module } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** The value of a dim, from the values of the free symbols in the image's order. */
export type Size = (symbols: ReadonlyArray<number>) => number

const floorMod = (a: number, b: number): number => a - b * Math.floor(a / b)

/** A dim as a function. */
export const size = (dim: Dim.Dim, names: ReadonlyArray<string>): Size => {
  if (typeof dim === "number") return () => dim
  return Dim.fold<Size>(dim, {
    integer: (value) => () => value,
    symbol: (name) => {
      const place = names.indexOf(name)
      if (place < 0) throw new Error(`the size ${Dim.format(dim)} depends on ${name}, which has no value before a run`)
      return (symbols) => symbols[place] ?? 0
    },
    add: (a, b) => (symbols) => a(symbols) + b(symbols),
    mul: (a, b) => (symbols) => a(symbols) * b(symbols),
    floorDiv: (a, b) => (symbols) => Math.floor(a(symbols) / b(symbols)),
    mod: (a, b) => (symbols) => floorMod(a(symbols), b(symbols)),
    min: (a, b) => (symbols) => Math.min(a(symbols), b(symbols)),
    max: (a, b) => (symbols) => Math.max(a(symbols), b(symbols))
  })
}

type Join = (...args: ReadonlyArray<number>) => unknown
type Run = (table: number, arena: number, scratch: number) => void

/** A program ready to be called. */
export interface Program {
  readonly unit: Image.Unit
  readonly image: Image.Image
  readonly module: Module
  readonly instance: Instance
  /** `run_N` by number. */
  readonly parts: ReadonlyArray<Run>
  /** `warm_N`: the same in pieces, for the first runs, where there is a long step. */
  readonly warms: ReadonlyArray<Run | undefined>
  /** Runs until now, up to those that are made in pieces. */
  readonly warmth: { runs: number }
  /** `join_N`: the same for several threads, where there is something to share. */
  readonly joins: ReadonlyArray<Join | undefined>
  /** The number of the step that ran last. */
  readonly at: Global
  /** Bytes of each buffer. */
  readonly bytes: ReadonlyArray<Size>
  readonly scratch: Size
  /** Addresses of constants, packed and prepared buffers; 0 for the others. */
  readonly addresses: ReadonlyArray<number>
}

const isGlobal = (exported: Instance["exports"][string] | undefined): exported is Global =>
  typeof exported === "object" && "value" in exported

export class Loaded {
  readonly engine: Engine
  readonly heap: Heap
  readonly units: ReadonlyArray<Image.Unit>
  readonly #programs = new Map<Image.Unit, Program>()
  readonly #weights = new Map<string, number>()
  readonly #constants: ReadonlyMap<string, string>
  #bytes = 0

  constructor(engine: Engine, variant: Variant, heap: Heap) {
    this.engine = engine
    this.heap = heap
    const [index] = variant.payload
    if (index === undefined) throw new Error(`variant ${variant.name} holds no program`)
    this.units = Image.decodeIndex(engine.section(index)).units
    this.#constants = new Map(
      engine.manifest.sections.flatMap(({ kind, name, sha256 }) => (kind === "constant" ? [[sha256, name]] : []))
    )
  }

  /** The program of a unit; compiled at the first call. */
  program(unit: Image.Unit): Program {
    const found = this.#programs.get(unit) ?? this.#load(unit)
    this.#programs.set(unit, found)
    return found
  }

  #load(unit: Image.Unit): Program {
    const image = Image.decode(this.engine.section(unit.image))
    const bytes = this.engine.section(unit.module)
    const module = new host.Module(this.heap.shared ? withSharedMemory(bytes) : bytes)
    const instance = new host.Instance(module, { env: { memory: this.heap.memory } })
    const names = image.symbols
    const sizes = image.buffers.map(({ dtype, kind, size: dim }): Size => {
      // Constants have their own sizes; a value that lives for a part of a run may depend on what only data decides.
      const count = kind === "constant" || kind === "packed" ? () => 0 : size(dim, names)
      const width = DTypes.slotBytes(dtype)
      return (symbols) => count(symbols) * width
    })
    const addresses = image.buffers.map((buffer, place) => {
      // A constant without content is read in its packed forms alone.
      if (buffer.source === null && buffer.kind === "constant") return 0
      if (buffer.kind === "constant" || buffer.kind === "packed") return this.#weight(buffer)
      if (buffer.kind === "prepared") return this.#allocate(sizes[place]?.([]) ?? 0)
      return 0
    })
    const at = instance.exports["at"]
    if (!isGlobal(at)) throw new Error(`${unit.module} does not export what this version calls`)
    const parts: Array<Run> = []
    const joins: Array<Join | undefined> = []
    const warms: Array<Run | undefined> = []
    for (let part = 0; ; part++) {
      const exported = instance.exports[`run_${part}`]
      if (typeof exported !== "function") break
      parts.push(exported)
      const warm = instance.exports[`warm_${part}`]
      warms.push(typeof warm === "function" ? warm : undefined)
      const join = instance.exports[`join_${part}`]
      joins.push(typeof join === "function" ? join : undefined)
    }
    const program: Program = {
      unit,
      image,
      module,
      instance,
      parts,
      joins,
      warms,
      warmth: { runs: 0 },
      at,
      bytes: sizes,
      scratch: size(image.scratch, names),
      addresses
    }
    if (image.prepares) this.#prepare(program)
    return program
  }

  #allocate(bytes: number): number {
    this.#bytes += bytes
    return this.heap.allocate(bytes)
  }

  /** Copies a constant into the memory, once. */
  #weight({ dtype, kind, size: dim, source, walk }: Image.Buffer): number {
    const key = `${kind} ${dtype} ${source ?? ""}`
    const known = this.#weights.get(key)
    if (known !== undefined) return known
    if (walk !== undefined) {
      const made = this.#packed(walk)
      this.#weights.set(key, made)
      return made
    }
    const own = `anneal/packed/${source ?? ""}`
    // What lowering computed is beside the packed weights.
    const bytes = this.engine.section(kind === "packed" ? own : (this.#constants.get(source ?? "") ?? own))
    const count = typeof dim === "number" ? dim : 0
    // Two 4-bit integers share a byte in the file, none in the memory.
    const { data } = kind === "packed" ? { data: bytes } : Tensor.fromBytes(dtype, [count], bytes)
    const address = this.#allocate(data.byteLength)
    this.heap.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), address)
    this.#weights.set(key, address)
    return address
  }

  /** Puts a constant into the order in which a kernel reads it. */
  #packed(walk: Packing.Walk): number {
    const { constant, count, dtype } = walk
    const bytes = this.engine.section(this.#constants.get(constant) ?? `anneal/packed/${constant}`)
    const length = Packing.lengthOf(walk)
    const address = this.#allocate(length * DTypes.slotBytes(dtype))
    const to = DTypes.view(dtype, this.heap.memory.buffer, address, length)
    new Uint8Array(to.buffer, to.byteOffset, to.byteLength).fill(0)
    Packing.pack(walk, Tensor.fromBytes(dtype, [count], bytes).data, to)
    return address
  }

  /** Computes what depends on constants alone. */
  #prepare({ addresses, image, instance, scratch }: Program): void {
    const prepare = instance.exports["prepare"]
    if (typeof prepare !== "function") throw new Error("there is nothing to prepare with")
    const table = this.heap.allocate(4 * image.words)
    // What is prepared has no free sizes.
    const own = this.heap.allocate(scratch(image.symbols.map(() => 0)))
    const words = new Int32Array(this.heap.memory.buffer, table, image.words)
    for (const [place, { slot }] of image.buffers.entries()) if (slot !== null) words[slot] = addresses[place] ?? 0
    prepare(table, 0, own)
    this.heap.release(own)
    this.heap.release(table)
  }

  /** Bytes of weights in memory, in the forms that the programs used until now read them in. */
  get weightBytes(): number {
    return this.#bytes
  }
}
