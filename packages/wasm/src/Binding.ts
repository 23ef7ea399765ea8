/**
 * Binding: a program at given sizes in a session's memory: where its inputs, outputs and values lie, and the call that
 * runs it. Nothing here is an Effect, and a run allocates nothing.
 *
 * Where a run copies inputs in and outputs out they lie in the arena, no longer than they are needed: a page that is never
 * touched costs nothing. Whoever binds keeps views of them, and they have memory of their own.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { TypedArray } from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"
import type { Heap } from "./Heap.ts"
import { alignment } from "./Heap.ts"
import type * as Image from "./Image.ts"
import type { Program, Size } from "./Loaded.ts"
import * as Loaded from "./Loaded.ts"
import { ThreadChoice } from "./ThreadChoice.ts"
import type { Team } from "./Threads.ts"
import { place } from "./Placement.ts"
import type { Place } from "./Places.ts"

/** Runs in pieces, until the host has compiled well what matters. */
const warmingRuns = 4

/** What all bindings of one session use in turn: it only grows. */
export class Arena {
  readonly #heap: Heap
  #address = 0
  #bytes = 0
  #scratch = 0
  #scratchBytes = 0

  constructor(heap: Heap) {
    this.#heap = heap
  }

  get address(): number {
    return this.#address
  }

  get scratch(): number {
    return this.#scratch
  }

  get bytes(): number {
    return this.#bytes + this.#scratchBytes
  }

  /** Makes room. Throws `HeapFull`. */
  reach(bytes: number, scratch: number): void {
    if (bytes > this.#bytes) {
      if (this.#bytes > 0) this.#heap.release(this.#address)
      this.#bytes = 0
      this.#address = this.#heap.allocate(bytes)
      this.#bytes = bytes
    }
    if (scratch > this.#scratchBytes) {
      if (this.#scratchBytes > 0) this.#heap.release(this.#scratch)
      this.#scratchBytes = 0
      this.#scratch = this.#heap.allocate(scratch)
      this.#scratchBytes = scratch
    }
  }

  release(): void {
    if (this.#bytes > 0) this.#heap.release(this.#address)
    if (this.#scratchBytes > 0) this.#heap.release(this.#scratch)
    this.#bytes = 0
    this.#scratchBytes = 0
  }
}

/** `arena`: where values lie, as long as a run needs them; `own`: in memory of their own, which stays as it is. */
export type PortPlace = "arena" | "own"

/** An input or output in memory. */
export class Port {
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly length: number
  readonly bytes: number
  /** The table's word that holds its address. */
  readonly slot: number
  readonly #heap: Heap
  /** Where the arena has it now; undefined: it has memory of its own. */
  readonly #inArena: (() => number) | undefined
  #homes: Array<number> = []
  #address: number
  #view: TypedArray

  constructor(
    heap: Heap,
    { dtype, inArena, shape, slot }: Pick<Port, "dtype" | "shape" | "slot"> & { readonly inArena?: () => number }
  ) {
    this.#heap = heap
    this.dtype = dtype
    this.shape = shape
    this.length = Tensor.size(shape)
    this.bytes = this.length * DTypes.slotBytes(dtype)
    this.slot = slot
    this.#inArena = inArena
    this.#address = inArena === undefined ? this.#allocate() : inArena()
    this.#view = this.#fresh()
  }

  #allocate(): number {
    const made = this.#heap.allocate(this.bytes)
    this.#homes.push(made)
    return made
  }

  get isInArena(): boolean {
    return this.#inArena !== undefined
  }

  /** Bytes of memory of its own. */
  get owned(): number {
    return this.#homes.length * this.bytes
  }

  #fresh(): TypedArray {
    return DTypes.view(this.dtype, this.#heap.memory.buffer, this.#address, this.length)
  }

  get address(): number {
    return this.#address
  }

  /** Its elements in the memory; hold it no longer than until the next allocation. */
  get data(): TypedArray {
    if (this.#view.buffer !== this.#heap.memory.buffer) this.#view = this.#fresh()
    return this.#view
  }

  /** Lets it lie somewhere else: where a tensor is already. */
  lie(address: number): void {
    if (address === this.#address) return
    this.#address = address
    this.#view = this.#fresh()
  }

  /** Back to where it was made. */
  home(): void {
    const first = this.#inArena === undefined ? this.#homes[0] : this.#inArena()
    if (first !== undefined) this.lie(first)
  }

  /** Makes it lie in memory of its own that does not begin in [from, to): an output that is an input now. */
  avoid(from: number, to: number): void {
    if (this.#address >= to || this.#address + this.bytes <= from) return
    const other = this.#homes.find((home) => home >= to || home + this.bytes <= from)
    this.lie(other ?? this.#allocate())
  }

  release(): void {
    for (const home of this.#homes) this.#heap.release(home)
    this.#homes = []
  }
}

const isPlace = (operand: Image.Operand): operand is Image.Place => "buffer" in operand

/** A program with its sizes known. */
export class Binding {
  readonly program: Program
  readonly inputs: ReadonlyArray<Port>
  /** Undefined for an output that the host holds. */
  readonly outputs: ReadonlyArray<Port | undefined>
  readonly symbols: ReadonlyArray<number>
  readonly arenaBytes: number
  readonly scratchBytes: number
  readonly #heap: Heap
  readonly #arena: Arena
  readonly #table: number
  readonly #offsets: ReadonlyArray<number>
  readonly #team: Team | undefined
  /** Bytes of scratch memory for one thread. */
  readonly #stride: number
  /** Whether the scratch memory of each step has its place in the arena. */
  readonly #overlaid: boolean
  /** By part, where there are threads. */
  readonly #choices: Array<ThreadChoice | undefined> = []
  #words: Int32Array
  #arenaAt = -1

  /**
   * `symbols`: values of the program's free symbols, in the image's order. `ports`: where inputs and outputs lie. Throws
   * `HeapFull`.
   */
  constructor(
    { arena, heap, team }: { readonly heap: Heap; readonly arena: Arena; readonly team?: Team | undefined },
    program: Program,
    symbols: ReadonlyArray<number>,
    ports: PortPlace
  ) {
    const { image } = program
    this.program = program
    this.symbols = symbols
    this.#heap = heap
    this.#arena = arena
    const plan = planOf(program, symbols, ports)
    this.#offsets = plan.offsets
    this.arenaBytes = plan.peak
    this.#team = team
    this.#stride = Math.ceil(program.scratch(symbols) / alignment) * alignment
    // One thread has the scratch memory of each step in the arena, where sizes are known.
    this.#overlaid = image.arena !== null
    this.scratchBytes = this.#overlaid && team === undefined ? 0 : (team?.threads ?? 1) * this.#stride
    this.#table = heap.allocate(4 * image.words)
    this.#words = this.#view()
    this.#fill()
    // Two outputs may be one buffer.
    const known = new Map<number, Port>()
    const port = ({ buffer, dtype, shape }: Image.Place): Port => {
      const slot = image.buffers[buffer]?.slot
      if (slot === null || slot === undefined) throw new Error("a buffer of the caller has no address in the table")
      const extents = shape.map((dim) => Loaded.size(dim, image.symbols)(symbols))
      const found = known.get(slot)
      if (found !== undefined) return found
      const inArena = ports === "arena" ? () => arena.address + (this.#offsets[buffer] ?? 0) : undefined
      const made = new Port(heap, { dtype, shape: extents, slot, ...(inArena === undefined ? {} : { inArena }) })
      known.set(slot, made)
      return made
    }
    this.inputs = image.inputs.map(port)
    this.outputs = image.outputs.map((operand) => (isPlace(operand) ? port(operand) : undefined))
  }

  get table(): number {
    return this.#table
  }

  get arena(): number {
    return this.#arena.address
  }

  /** Of one thread alone. */
  get scratch(): number {
    return this.#overlaid ? this.#arena.address : this.#arena.scratch
  }

  /** Everything in the table but the addresses of inputs and outputs, which each run sets. */
  #fill(): void {
    this.#arena.reach(this.arenaBytes, this.scratchBytes)
    const { addresses, image } = this.program
    const words = this.#wordsNow()
    for (const [place, value] of this.symbols.entries()) words[place] = value
    for (const [place, { kind, slot }] of image.buffers.entries())
      if (slot !== null)
        words[slot] = kind === "arena" ? this.#arena.address + (this.#offsets[place] ?? 0) : (addresses[place] ?? 0)
    this.#arenaAt = this.#arena.address
  }

  #view(): Int32Array {
    return new Int32Array(this.#heap.memory.buffer, this.#table, this.program.image.words)
  }

  /** The table's words; a memory that has grown has another buffer. */
  #wordsNow(): Int32Array {
    if (this.#words.buffer !== this.#heap.memory.buffer) this.#words = this.#view()
    return this.#words
  }

  /** Before inputs are written: follows the arena where it has moved. Throws `HeapFull`. */
  settle(): void {
    if (this.#arenaAt === this.#arena.address) return
    this.#fill()
    for (const output of this.outputs) if (output?.isInArena === true) output.home()
  }

  /** Puts the addresses of inputs and outputs into the table, and everything else where it has moved. */
  enter(): void {
    this.settle()
    const words = this.#wordsNow()
    for (const { address, slot } of this.inputs) words[slot] = address
    for (const output of this.outputs) if (output !== undefined) words[output.slot] = output.address
  }

  /** A run comes, as soon as its inputs lie where they are read: threads that it wants and that sleep wake meanwhile. */
  announce(): void {
    const team = this.#team
    if (team === undefined || !this.program.joins.some((join) => join !== undefined) || !team.isReady) return
    if ((this.#choices.find((choice) => choice !== undefined)?.next() ?? "shared") === "shared") team.wake()
  }

  /** One stretch of generated code, on all threads where there is something to share and that is faster. */
  part(number: number): void {
    const team = this.#team
    const join = this.program.joins[number]
    if (team === undefined || join === undefined || !team.isReady) return this.#alone(number)
    const choice = (this.#choices[number] ??= new ThreadChoice())
    const way = choice.next()
    const begin = performance.now()
    if (way === "alone") this.#alone(number)
    else {
      this.#wordsNow().fill(0, this.program.image.meetings)
      const { address: arena, scratch } = this.#arena
      team.run(this.program, number, join, { table: this.#table, arena, scratch, stride: this.#stride })
    }
    choice.took(way, performance.now() - begin)
  }

  #alone(number: number): void {
    const { parts, warms, warmth } = this.program
    const warm = warmth.runs < warmingRuns ? warms[number] : undefined
    if (warmth.runs < warmingRuns) warmth.runs++
    const run = warm ?? parts[number]
    run?.(this.#table, this.#arena.address, this.scratch)
  }

  /** Where a view lies, for the host; `sizes`: values of symbols. */
  locate({ buffer, dtype, offset, shape, strides }: Image.Place): Place {
    const { addresses, image } = this.program
    const value = (dim: Image.Place["offset"]): number => sizeOf(dim, image.symbols)(this.symbols)
    const entry = image.buffers[buffer]
    if (entry === undefined) throw new Error(`there is no buffer ${buffer}`)
    const base =
      entry.slot !== null
        ? (this.#wordsNow()[entry.slot] ?? 0)
        : entry.kind === "arena"
          ? this.#arena.address + (entry.offset ?? 0)
          : (addresses[buffer] ?? 0)
    return {
      address: base + value(offset) * DTypes.slotBytes(dtype),
      dtype,
      shape: shape.map(value),
      strides: strides.map(value)
    }
  }

  release(): void {
    for (const port of new Set([...this.inputs, ...this.outputs])) port?.release()
    this.#heap.release(this.#table)
  }
}

const sizeOf = (dim: Image.Place["offset"], names: ReadonlyArray<string>): Size => Loaded.size(dim, names)

/** Where the values lie in the arena. */
const planOf = ({ bytes, image }: Program, symbols: ReadonlyArray<number>, ports: PortPlace) => {
  if (image.arena !== null) return { offsets: image.buffers.map(({ offset }) => offset ?? 0), peak: image.arena }
  const isPlaced = (kind: Image.Buffer["kind"]): boolean =>
    kind === "arena" || (ports === "arena" && (kind === "input" || kind === "output"))
  return place(
    image.buffers.map(({ first, kind, last }, index) =>
      isPlaced(kind) ? { bytes: bytes[index]?.(symbols) ?? 0, first, last } : { bytes: 0, first: 0, last: -1 }
    ),
    alignment
  )
}
