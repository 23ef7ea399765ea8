/**
 * Assemble: a program and a kernel for each of its regions to one module and its image.
 *
 *   steps a, b, (host), c   ⇒   step_0, step_1, step_2, run_0 (a, b), run_1 (c)
 *
 * A whole inference is one call for each stretch between host steps; branches are inside. `run_N` takes the addresses of
 * the session's table, arena and scratch memory, so one instance serves all sessions of an engine. Regions of one
 * structure with one kernel share a function.
 */
import type { Bindings } from "@anneal/ir/Bind"
import type { Constant } from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import * as Text from "@anneal/ir/Text"
import type { TensorType } from "@anneal/ir/Type"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import type { Program, Step } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as RegionKey from "@anneal/lower/RegionKey"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Key from "@anneal/pipeline/Key"
import type { Piece } from "./Dispatch.ts"
import { Dispatch, isDivided, warmingPieces } from "./Dispatch.ts"
import type { Features } from "./Emission.ts"
import { Emission } from "./Emission.ts"
import * as HostGraph from "./HostGraph.ts"
import type * as Image from "./Image.ts"
import type { I32 } from "./Instruction.ts"
import { i32 } from "./Instruction.ts"
import type { Kernel, Packed } from "./Kernel.ts"
import type { Func, FunctionBuilder, Global } from "./ModuleBuilder.ts"
import { ModuleBuilder } from "./ModuleBuilder.ts"
import type { PackedConstant, Packs } from "./PackedConstants.ts"
import * as PackedConstants from "./PackedConstants.ts"

/** Buffers, tables and scratch memory start at multiples of so many bytes. */
export const alignment = 64

/** Predicted nanoseconds from which a step is divided between threads: a few times what meeting costs. */
const worthDividing = 5_000

export interface Options {
  readonly features: Features
  readonly kernel: (region: Region) => Kernel
  readonly packs: Packs
}

export interface Assembled {
  readonly image: Image.Image
  readonly module: Uint8Array<ArrayBuffer>
  /** Those that this program reads and that are not made while loading. */
  readonly packed: ReadonlyArray<PackedConstant>
}

const holdsHost = (pieces: ReadonlyArray<Piece>): boolean =>
  pieces.some(
    (piece) =>
      piece.kind === "host" || (piece.kind === "branch" && (holdsHost(piece.whenTrue) || holdsHost(piece.whenFalse)))
  )

const nothing: Bindings = new Map()

/**
 * The arena of a program whose sizes are known: its values, inputs and outputs while a run needs them, and the scratch memory
 * of each step. What is prepared lies elsewhere. Undefined: sizes depend on symbols.
 */
export const memoryPlan = (
  program: Program,
  kernel: (region: Region) => Pick<Kernel, "scratch">
): MemoryPlan.MemoryPlan | undefined => {
  if (program.symbols.length > 0) return undefined
  const prepared = MemoryPlan.flatten(program.prepare).flatMap(MemoryPlan.touches)
  const elsewhere = new Set(prepared.map(({ buffer }) => buffer))
  for (const { id, kind } of program.buffers.values()) if (kind === "prepared") elsewhere.add(id)
  const scratch = (step: Step): number => {
    if (step.kind !== "region") return 0
    const bytes = Dim.evaluate(kernel(step.region).scratch, nothing)
    if (bytes === undefined) throw new MemoryPlan.UnboundSize(step.region.id, kernel(step.region).scratch)
    return bytes
  }
  return MemoryPlan.plan(program, nothing, { alignment, elsewhere, scratch })
}

class Assembler {
  readonly #program: Program
  readonly #options: Options
  readonly #emission: Emission
  readonly #dispatch: Dispatch
  readonly #module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
  readonly #table: Global<"i32">
  readonly #arena: Global<"i32">
  readonly #scratch: Global<"i32">
  /** All bits: the scratch memory of a step lies where the plan has it, counted from `scratch`; none: there. */
  readonly #overlay: Global<"i32">
  /** The step that runs now: names the region of a trap. */
  readonly #at: Global<"i32">
  readonly #symbols: ReadonlyMap<string, Global<"i32">>
  readonly #buffers: Array<Image.Buffer> = []
  readonly #numbers = new Map<string, number>()
  /** Numbers of buffers that are read or written where they lie. */
  readonly #addressed = new Set<number>()
  readonly #known: ReadonlyMap<string, Constant>
  readonly #functions = new Map<string, Func>()
  readonly #packed = new Map<string, PackedConstant>()
  readonly #steps: Array<Image.Step> = []
  readonly #hosts: Array<Image.HostStep> = []
  /** Types of the values that the host holds, by name: some are of nodes that lowering made. */
  readonly #held = new Map<string, TensorType>()
  #scratchBytes: Dim.Dim = 0
  /** Where the scratch memory of a region's step lies in the arena; empty where sizes are not known. */
  #overlays: ReadonlyMap<Region, number> = new Map()
  #words: number
  #parts = 0

  constructor(program: Program, options: Options) {
    this.#program = program
    this.#options = options
    this.#known = Graphs.allConstants(program.graph)
    const variable = (name: string, initial: number): Global<"i32"> =>
      this.#module.global(name, i32.const(initial), { export: true })
    this.#table = variable("table", 0)
    this.#arena = variable("arena", 0)
    this.#scratch = variable("scratch", 0)
    this.#overlay = variable("overlay", 0)
    this.#at = variable("at", -1)
    this.#symbols = new Map(program.symbols.map((name, place) => [name, variable(`symbol_${place}`, 0)]))
    this.#emission = new Emission(this.#module, options.features, this.#symbols)
    this.#words = program.symbols.length
    this.#dispatch = new Dispatch({
      module: this.#module,
      emission: this.#emission,
      registers: {
        table: this.#table,
        arena: this.#arena,
        scratch: this.#scratch,
        overlay: this.#overlay,
        symbols: this.#symbols
      },
      address: (f, view) => this.#address(f, view),
      word: () => this.#words++
    })
  }

  assemble(): Assembled {
    const { inputs, outputs, prepare, steps, symbols } = this.#program
    const arena = this.#place()
    // A step's function comes before what calls it.
    const preparing = this.#pieces(prepare)
    // What is prepared has no free sizes; what runs may have some that no number stands for.
    const prepares = Dim.isStatic(this.#scratchBytes) ? this.#scratchBytes : undefined
    if (prepares === undefined) throw new Error("what is prepared has a size that only a run knows")
    const running = this.#pieces(steps)
    if (holdsHost(preparing)) throw new Error("what is prepared cannot be left to the host")
    if (preparing.length > 0) this.#dispatch.part("prepare", preparing)
    // What threads write is in other cache lines than the addresses that they read.
    const meetings = Math.ceil((4 * this.#words) / alignment) * (alignment / 4)
    this.#words = meetings
    const actions = this.#actions(running)
    const image: Image.Image = {
      symbols,
      actions,
      meetings,
      words: this.#words,
      buffers: this.#listed(),
      arena,
      scratch: this.#scratchBytes,
      inputs: inputs.map((view) => this.#placeOf(view)),
      outputs: outputs.map((view) => this.#operandOf(view)),
      hosts: this.#hosts,
      steps: this.#steps,
      prepares: preparing.length > 0 ? prepares : null
    }
    return { image, module: this.#module.toBytes(), packed: [...this.#packed.values()] }
  }

  // ---- where things lie ---------------------------------------------------------------------------------------------

  /** Lists every buffer. The bytes of the arena, where they are known. */
  #place(): number | null {
    const { buffers, steps } = this.#program
    const lives = MemoryPlan.lives(this.#program)
    const plan = memoryPlan(this.#program, this.#options.kernel)
    this.#overlays = new Map(
      MemoryPlan.flatten(steps).flatMap((step, place) => {
        const own = plan?.scratch[place]
        return step.kind === "region" && own !== undefined ? [[step.region, own.offset]] : []
      })
    )
    for (const { constant, dtype, id, kind, size } of buffers.values()) {
      const life = lives.get(id) ?? { first: 0, last: -1 }
      const offset = plan?.placements.get(id)?.offset ?? null
      this.#numbers.set(id, this.#buffers.length)
      this.#buffers.push({
        id,
        kind,
        dtype,
        size,
        slot: offset === null || kind === "input" || kind === "output" ? this.#words++ : null,
        offset,
        ...life,
        source: constant?.digest ?? null
      })
    }
    return plan?.peak ?? null
  }

  #number(buffer: string): number {
    const found = this.#numbers.get(buffer)
    if (found === undefined) throw new Error(`the program uses the buffer %${buffer}, which it does not list`)
    return found
  }

  #placeOf({ buffer, dtype, offset, shape, strides }: View): Image.Place {
    return { buffer: this.#used(buffer), dtype, offset, shape, strides }
  }

  /** The number of a buffer that is read or written as it is. */
  #used(buffer: string): number {
    const number = this.#number(buffer)
    this.#addressed.add(number)
    const constant = this.#program.buffers.get(buffer)?.constant
    if (constant !== undefined) this.#keep(constant)
    return number
  }

  /** Constants that lowering computed are in no graph: the engine has them beside the packed ones. */
  #keep(constant: Constant): void {
    if (!this.#known.has(constant.digest)) this.#packed.set(constant.digest, PackedConstants.computed(constant))
  }

  /** The buffers, without the content of constants that kernels read in their packed forms alone. */
  #listed(): ReadonlyArray<Image.Buffer> {
    return this.#buffers.map((buffer, number) =>
      buffer.kind === "constant" && !this.#addressed.has(number) ? { ...buffer, source: null } : buffer
    )
  }

  #operandOf(operand: View | { readonly host: string }): Image.Operand {
    return HostGraph.isView(operand) ? this.#placeOf(operand) : { host: operand.host }
  }

  /** The address of element [0, …, 0]; 0 for null. */
  #address(f: FunctionBuilder, view: View | null): I32 {
    if (view === null) return i32.const(0)
    const { offset: place, slot } = this.#buffers[this.#used(view.buffer)] ?? { offset: 0, slot: null }
    const width = DTypes.slotBytes(view.dtype)
    const base = slot === null ? f.global(this.#arena) : i32.load(f.global(this.#table), 4 * slot)
    const bytes = Dim.add(Dim.mul(view.offset, width), slot === null ? (place ?? 0) : 0)
    return bytes === 0 ? base : i32.add(base, this.#emission.dim(bytes))
  }

  // ---- constants in the form of a kernel ------------------------------------------------------------------------------

  /** The table's word that will hold its address. */
  #pack(region: Region, packed: Packed): number {
    const view = Regions.reads(region)[packed.read] ?? undefined
    const buffer = view === undefined ? undefined : this.#program.buffers.get(view.buffer)
    const constant = buffer?.constant
    if (view === undefined || constant === undefined)
      throw new Error(`${region.id}: ${packed.layout} packs operand ${packed.read}, which is no constant`)
    const made = PackedConstants.of(this.#options.packs, packed, view, constant)
    if (made.walk === undefined) this.#packed.set(made.digest, made)
    else this.#keep(constant)
    const id = `packed/${made.digest}`
    const known = this.#numbers.get(id)
    if (known !== undefined) return this.#buffers[known]?.slot ?? 0
    const slot = this.#words++
    this.#numbers.set(id, this.#buffers.length)
    this.#buffers.push({
      id,
      kind: "packed",
      dtype: "u8",
      size: made.bytes.length,
      slot,
      offset: null,
      first: 0,
      last: -1,
      source: made.digest,
      ...(made.walk === undefined ? {} : { walk: made.walk })
    })
    return slot
  }

  // ---- steps ----------------------------------------------------------------------------------------------------------

  #pieces(steps: ReadonlyArray<Step>): ReadonlyArray<Piece> {
    return steps.map((step): Piece => {
      switch (step.kind) {
        case "region":
          return this.#regionPiece(step.region)
        case "branch":
          return {
            kind: "branch",
            condition: step.condition,
            whenTrue: this.#pieces(step.whenTrue),
            whenFalse: this.#pieces(step.whenFalse)
          }
        case "host":
          return { kind: "host", step: this.#host(step) }
      }
    })
  }

  #host({ node, operands, results, why }: Extract<Step, { readonly kind: "host" }>): number {
    const place = this.#hosts.length
    for (const [index, { type }] of node.outputs.entries()) {
      const result = results[index]
      if (result !== undefined && !HostGraph.isView(result)) this.#held.set(result.host, type)
    }
    this.#hosts.push({
      node: Graphs.nodeName(node),
      why,
      graph: Text.print(
        HostGraph.of(node, operands, (held) => this.#held.get(held) ?? Graphs.index(this.#program.graph).type(held)),
        { digests: true }
      ),
      operands: operands.map((operand) => (operand === null ? null : this.#operandOf(operand))),
      results: results.map((result) => this.#operandOf(result))
    })
    return place
  }

  #regionPiece(region: Region): Piece {
    const kernel = this.#options.kernel(region)
    const { config, cost, name, packed, scratch, units } = kernel
    const slots = packed.map((one) => this.#pack(region, one))
    const overlay = this.#overlays.get(region) ?? 0
    const key = `${name} ${Key.canonical(config)} ${packed.map(({ layout, read }) => `${read} ${layout}`).join()} ${RegionKey.text(region, this.#program.buffers)}`
    const func = this.#functions.get(key) ?? kernel.emit(this.#emission, `${name}_${this.#functions.size}`)
    this.#functions.set(key, func)
    this.#scratchBytes = Dim.max(this.#scratchBytes, scratch)
    const number = this.#steps.length
    const inPackedForm = new Set(packed.map(({ read }) => read))
    const reads = Regions.reads(region).map((view, place) => (inPackedForm.has(place) ? null : view))
    const views = [...reads, ...Regions.writes(region)]
    const step = this.#module.func(
      `step_${number}`,
      ["i32", "i32"],
      [],
      (f, [begin, end]) => {
        f.setGlobal(this.#at, i32.const(number))
        f.run(func, [
          ...views.map((view) => this.#address(f, view)),
          ...slots.map((slot) => i32.load(f.global(this.#table), 4 * slot)),
          overlay === 0
            ? f.global(this.#scratch)
            : i32.add(f.global(this.#scratch), i32.and(f.global(this.#overlay), i32.const(overlay))),
          ...[begin, end].flatMap((local) => (local === undefined ? [] : [f.get(local)]))
        ])
      },
      { export: true }
    )
    const member = region.members.at(-1)
    this.#steps.push({
      id: region.id,
      node: member === undefined ? `%${region.id}` : Graphs.nodeName(member),
      kernel: name,
      units,
      values: this.#valuesOf(region)
    })
    return { kind: "call", step: number, func: step, units, divided: units !== 1 && cost >= worthDividing }
  }

  /** Values that a region leaves in memory; regions of branches have values of graphs of their own. */
  #valuesOf({ id, members }: Region): Image.Step["values"] {
    const made = members.flatMap((node) => node.outputs.map((output) => output.id))
    if (!made.includes(id)) return []
    return made.flatMap((value) => {
      const view = this.#program.values?.get(value)
      return view === undefined ? [] : [{ id: value, place: this.#placeOf(view) }]
    })
  }

  // ---- what the executor calls ------------------------------------------------------------------------------------------

  /** Stretches of generated code become parts; host steps, and branches that hold some, are left to the executor. */
  #actions(pieces: ReadonlyArray<Piece>): ReadonlyArray<Image.Action> {
    const actions: Array<Image.Action> = []
    let stretch: Array<Piece> = []
    const finish = (): void => {
      if (stretch.length === 0) return
      const part = this.#parts++
      this.#dispatch.part(`run_${part}`, stretch)
      if (isDivided(stretch)) this.#dispatch.part(`warm_${part}`, stretch, warmingPieces)
      if (this.#options.features.threads && isDivided(stretch)) this.#dispatch.join(`join_${part}`, stretch)
      actions.push({ kind: "run", part, calls: this.#callsOf(stretch) })
      stretch = []
    }
    for (const piece of pieces) {
      if (piece.kind === "host") {
        finish()
        actions.push(piece)
      } else if (piece.kind === "branch" && holdsHost([piece])) {
        finish()
        const { condition, whenFalse, whenTrue } = piece
        actions.push({
          kind: "branch",
          condition: this.#placeOf(condition),
          whenTrue: this.#actions(whenTrue),
          whenFalse: this.#actions(whenFalse)
        })
      } else stretch.push(piece)
    }
    finish()
    return actions
  }

  /** What a stretch calls, for those who want to call it step by step. */
  #callsOf(pieces: ReadonlyArray<Piece>): ReadonlyArray<Image.Call> {
    return pieces.flatMap((piece): ReadonlyArray<Image.Call> => {
      if (piece.kind === "host") return []
      if (piece.kind === "call") return [piece.step]
      const { condition, whenFalse, whenTrue } = piece
      const sides = { whenTrue: this.#callsOf(whenTrue), whenFalse: this.#callsOf(whenFalse) }
      return [{ condition: this.#placeOf(condition), ...sides }]
    })
  }
}

/** Writes the code and says where everything lies. Throws for a program that contradicts itself. */
export const assemble = (program: Program, options: Options): Assembled => new Assembler(program, options).assemble()
