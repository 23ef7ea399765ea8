/**
 * Loaded: one variant of one engine in memory, shared by all its sessions: the weights, copied once, and the programs,
 * compiled and instantiated when first needed.
 */
import type { Engine } from "@anneal/engine/Engine"
import type { Variant } from "@anneal/engine/Manifest"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Heap } from "./Heap.ts"
import * as Image from "./Image.ts"
import { withSharedMemory } from "./SharedImport.ts"
import type { Global, Instance, Module } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"
import { Weights } from "./Weights.ts"

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

/** Prepared, and read by nothing but what is prepared: no step of a run has it in use. */
const isPassing = ({ first, kind, last }: Image.Buffer): boolean => kind === "prepared" && last < first

export class Loaded {
  readonly engine: Engine
  readonly heap: Heap
  readonly units: ReadonlyArray<Image.Unit>
  readonly #programs = new Map<Image.Unit, Program>()
  readonly #weights: Weights
  #bytes = 0

  constructor(engine: Engine, variant: Variant, heap: Heap) {
    this.engine = engine
    this.heap = heap
    const [index] = variant.payload
    if (index === undefined) throw new Error(`variant ${variant.name} holds no program`)
    this.units = Image.decodeIndex(engine.section(index)).units
    this.#weights = new Weights(engine, heap)
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
    const weights = this.#weights.place(image.buffers, (room) => this.#allocate(room))
    const addresses = image.buffers.map((buffer, place) => {
      if (buffer.kind !== "prepared" || isPassing(buffer)) return weights[place] ?? 0
      return this.#allocate(sizes[place]?.([]) ?? 0)
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
    if (image.prepares !== null) this.#prepare(program, image.prepares)
    return program
  }

  #allocate(bytes: number): number {
    this.#bytes += bytes
    return this.heap.allocate(bytes)
  }

  /** Computes what depends on constants alone. What only this needs lies where values will lie later. */
  #prepare({ addresses, bytes, image, instance }: Program, scratch: number): void {
    const prepare = instance.exports["prepare"]
    if (typeof prepare !== "function") throw new Error("there is nothing to prepare with")
    const passing: Array<number> = []
    const borrow = (size: number): number => {
      const address = this.heap.allocate(size)
      passing.push(address)
      return address
    }
    const table = borrow(4 * image.words)
    const own = borrow(scratch)
    const places = image.buffers.map((buffer, place) =>
      isPassing(buffer) ? borrow(bytes[place]?.([]) ?? 0) : (addresses[place] ?? 0)
    )
    const words = new Int32Array(this.heap.memory.buffer, table, image.words)
    for (const [place, { slot }] of image.buffers.entries()) if (slot !== null) words[slot] = places[place] ?? 0
    prepare(table, 0, own)
    for (const address of passing) this.heap.release(address)
  }

  /** Bytes of weights in memory, in the forms that the programs used until now read them in. */
  get weightBytes(): number {
    return this.#bytes
  }
}
