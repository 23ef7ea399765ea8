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
import { sha256 } from "@anneal/ir/Digest"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Text from "@anneal/ir/Text"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import type { Program, Step } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as RegionKey from "@anneal/lower/RegionKey"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Key from "@anneal/pipeline/Key"
import * as Elements from "./Elements.ts"
import type { Features } from "./Emission.ts"
import { Emission } from "./Emission.ts"
import type * as Image from "./Image.ts"
import type { I32 } from "./Instruction.ts"
import { i32, select } from "./Instruction.ts"
import type { Kernel, Packed } from "./Kernel.ts"
import type { Func, FunctionBuilder, Global, Local } from "./ModuleBuilder.ts"
import { ModuleBuilder } from "./ModuleBuilder.ts"
import type { Walk } from "./Packing.ts"
import * as Packing from "./Packing.ts"
import * as Threading from "./Threading.ts"

/** Buffers, tables and scratch memory start at multiples of so many bytes. */
export const alignment = 64

/** Predicted nanoseconds from which a step is divided between threads: a few times what meeting costs. */
const worthDividing = 15_000

/**
 * Pieces of long steps in the first runs: a host that compiles well only what has run for a while (V8) changes to the
 * better code between two calls, not inside one.
 */
const warmingPieces = 32

/** A constant in the form that some kernel reads. */
export interface PackedConstant {
  /** SHA-256 of the bytes. */
  readonly digest: string
  readonly bytes: Uint8Array
  /** Digest of what it was made from. */
  readonly constant: string
  readonly layout: string
  /** How it is made from the constant while loading; undefined: its bytes have to be kept. */
  readonly walk?: Walk
}

/** Packed constants by what they are made of. Programs that share one pack each weight once. */
export type Packs = Map<string, PackedConstant>

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

/** A step as it stands in generated code. */
type Piece =
  /** `divided`: long enough for threads to share it. */
  | {
      readonly kind: "call"
      readonly step: number
      readonly func: Func
      readonly units: Dim.Dim
      readonly divided: boolean
    }
  | {
      readonly kind: "branch"
      readonly condition: View
      readonly whenTrue: ReadonlyArray<Piece>
      readonly whenFalse: ReadonlyArray<Piece>
    }
  | { readonly kind: "host"; readonly step: number }

type HostOperand = View | { readonly host: string } | null

const isView = (operand: HostOperand | undefined): operand is View =>
  operand !== null && operand !== undefined && "buffer" in operand

const holdsHost = (pieces: ReadonlyArray<Piece>): boolean =>
  pieces.some(
    (piece) =>
      piece.kind === "host" || (piece.kind === "branch" && (holdsHost(piece.whenTrue) || holdsHost(piece.whenFalse)))
  )

const isDivided = (pieces: ReadonlyArray<Piece>): boolean =>
  pieces.some(
    (piece) =>
      (piece.kind === "call" && piece.divided) ||
      (piece.kind === "branch" && (isDivided(piece.whenTrue) || isDivided(piece.whenFalse)))
  )

const nothing: Bindings = new Map()

/** The arena of a program whose sizes are known: inputs and outputs, and what is prepared, lie elsewhere. */
export const memoryPlan = (program: Program): MemoryPlan.MemoryPlan => {
  const elsewhere = new Set([...program.buffers.values()].flatMap(({ id, kind }) => (kind === "arena" ? [] : [id])))
  return MemoryPlan.plan(program, nothing, { alignment, elsewhere })
}

class Assembler {
  readonly #program: Program
  readonly #options: Options
  readonly #emission: Emission
  readonly #module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
  readonly #table: Global<"i32">
  readonly #arena: Global<"i32">
  readonly #scratch: Global<"i32">
  /** The step that runs now: names the region of a trap. */
  readonly #at: Global<"i32">
  readonly #symbols: ReadonlyMap<string, Global<"i32">>
  readonly #buffers: Array<Image.Buffer> = []
  readonly #numbers = new Map<string, number>()
  readonly #functions = new Map<string, Func>()
  readonly #packed = new Map<string, PackedConstant>()
  readonly #steps: Array<Image.Step> = []
  readonly #hosts: Array<Image.HostStep> = []
  #scratchBytes: Dim.Dim = 0
  #words: number
  #parts = 0

  constructor(program: Program, options: Options) {
    this.#program = program
    this.#options = options
    const variable = (name: string, initial: number): Global<"i32"> =>
      this.#module.global(name, i32.const(initial), { export: true })
    this.#table = variable("table", 0)
    this.#arena = variable("arena", 0)
    this.#scratch = variable("scratch", 0)
    this.#at = variable("at", -1)
    this.#symbols = new Map(program.symbols.map((name, place) => [name, variable(`symbol_${place}`, 0)]))
    this.#emission = new Emission(this.#module, options.features, this.#symbols)
    this.#words = program.symbols.length
  }

  assemble(): Assembled {
    const { inputs, outputs, prepare, steps, symbols } = this.#program
    const arena = this.#place()
    // A step's function comes before what calls it.
    const preparing = this.#pieces(prepare)
    const running = this.#pieces(steps)
    if (holdsHost(preparing)) throw new Error("what is prepared cannot be left to the host")
    if (preparing.length > 0) this.#part("prepare", preparing)
    const meetings = this.#words
    const actions = this.#actions(running)
    const image: Image.Image = {
      symbols,
      actions,
      meetings,
      words: this.#words,
      buffers: this.#buffers,
      arena,
      scratch: this.#scratchBytes,
      inputs: inputs.map((view) => this.#placeOf(view)),
      outputs: outputs.map((view) => this.#operandOf(view)),
      hosts: this.#hosts,
      steps: this.#steps,
      prepares: preparing.length > 0
    }
    return { image, module: this.#module.toBytes(), packed: [...this.#packed.values()] }
  }

  // ---- where things lie ---------------------------------------------------------------------------------------------

  /** Lists every buffer. The bytes of the arena, where they are known. */
  #place(): number | null {
    const { buffers, prepare, symbols } = this.#program
    const lives = MemoryPlan.lives(this.#program)
    const prepared = new Set(
      MemoryPlan.flatten(prepare)
        .flatMap(MemoryPlan.touches)
        .map(({ buffer }) => buffer)
    )
    const elsewhere = new Set(
      [...buffers.values()].flatMap(({ id, kind }) => (kind !== "arena" || prepared.has(id) ? [id] : []))
    )
    const fixed = symbols.length === 0
    const plan = fixed ? MemoryPlan.plan(this.#program, nothing, { alignment, elsewhere }) : undefined
    const known = Graphs.allConstants(this.#program.graph)
    for (const { constant, dtype, id, kind, size } of buffers.values()) {
      // Constants that lowering computed are in no graph.
      if (constant !== undefined && !known.has(constant.digest)) this.#packed.set(constant.digest, computed(constant))
      const life = lives.get(id) ?? { first: 0, last: -1 }
      const offset = plan?.placements.get(id)?.offset ?? null
      this.#numbers.set(id, this.#buffers.length)
      this.#buffers.push({
        id,
        kind,
        dtype,
        size,
        slot: offset === null ? this.#words++ : null,
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
    return { buffer: this.#number(buffer), dtype, offset, shape, strides }
  }

  #operandOf(operand: View | { readonly host: string }): Image.Operand {
    return isView(operand) ? this.#placeOf(operand) : { host: operand.host }
  }

  /** The address of element [0, …, 0]; 0 for null. */
  #address(f: FunctionBuilder, view: View | null): I32 {
    if (view === null) return i32.const(0)
    const { offset: place, slot } = this.#buffers[this.#number(view.buffer)] ?? { offset: 0, slot: null }
    const width = DTypes.slotBytes(view.dtype)
    const base = slot === null ? f.global(this.#arena) : i32.load(f.global(this.#table), 4 * slot)
    const bytes = Dim.add(Dim.mul(view.offset, width), place ?? 0)
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
    const key = `${constant.digest} ${Dim.format(view.offset)} ${viewText(view)} ${packed.layout}`
    const made = this.#options.packs.get(key) ?? packedConstant(packed, view, constant)
    this.#options.packs.set(key, made)
    if (made.walk === undefined) this.#packed.set(made.digest, made)
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
    this.#hosts.push({
      node: Graphs.nodeName(node),
      why,
      graph: Text.print(hostGraph(this.#program.graph, node, operands), { digests: true }),
      operands: operands.map((operand) => (operand === null ? null : this.#operandOf(operand))),
      results: results.map((result) => this.#operandOf(result))
    })
    return place
  }

  #regionPiece(region: Region): Piece {
    const kernel = this.#options.kernel(region)
    const { config, cost, name, packed, scratch, units } = kernel
    const slots = packed.map((one) => this.#pack(region, one))
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
          f.global(this.#scratch),
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
      this.#part(`run_${part}`, stretch)
      if (isDivided(stretch)) this.#part(`warm_${part}`, stretch, warmingPieces)
      if (this.#options.features.threads && isDivided(stretch)) this.#join(`join_${part}`, stretch)
      actions.push({ kind: "run", part, calls: this.#listed(stretch) })
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
  #listed(pieces: ReadonlyArray<Piece>): ReadonlyArray<Image.Call> {
    return pieces.flatMap((piece): ReadonlyArray<Image.Call> => {
      if (piece.kind === "host") return []
      if (piece.kind === "call") return [piece.step]
      const { condition, whenFalse, whenTrue } = piece
      const sides = { whenTrue: this.#listed(whenTrue), whenFalse: this.#listed(whenFalse) }
      return [{ condition: this.#placeOf(condition), ...sides }]
    })
  }

  /** `divisions`: steps that are long are called so many times, for a part of their units each. */
  #part(name: string, pieces: ReadonlyArray<Piece>, divisions = 1): void {
    this.#module.func(
      name,
      ["i32", "i32", "i32"],
      [],
      (f, params) => {
        this.#enter(f, params)
        this.#calls(f, pieces, divisions)
      },
      { export: true }
    )
  }

  /**
   * The same for several threads at once, each with scratch memory and a number of its own. What is not divided is done by
   * thread 0.
   */
  #join(name: string, pieces: ReadonlyArray<Piece>): void {
    const barrier = Threading.barrier(this.#emission)
    this.#module.func(
      name,
      ["i32", "i32", "i32", "i32", "i32", "i32", "i32"],
      [],
      (f, params) => {
        this.#enter(f, params)
        const value = (place: number): I32 => f.get({ type: "i32", index: params[place]?.index ?? 0 })
        const [thread, threads, failed, patience] = [value(3), value(4), value(5), value(6)]
        const word = (): I32 => i32.add(f.global(this.#table), i32.const(4 * this.#words++))
        const meet = (): void => f.run(barrier, [word(), threads, failed, patience])
        // What the last step was, and so who must wait for whom before the next.
        let last: "met" | "alone" | "divided" = "met"
        const visit = (list: ReadonlyArray<Piece>): void => {
          for (const piece of list)
            if (piece.kind === "call" && piece.divided) {
              if (last !== "met") meet()
              const units = this.#emission.dim(piece.units)
              const step = (begin: I32, end: I32): void => f.run(piece.func, [begin, end])
              Threading.shareUnits(f, { word: word(), units, threads, failed, step })
              last = "divided"
            } else if (piece.kind === "call") {
              if (last === "divided") meet()
              const units = this.#emission.dim(piece.units)
              f.if(i32.eqz(thread), () => f.run(piece.func, [i32.const(0), units]))
              last = "alone"
            } else if (piece.kind === "branch") {
              if (last !== "met") meet()
              const side = (steps: ReadonlyArray<Piece>) => () => {
                last = "met"
                visit(steps)
                if (last !== "met") meet()
              }
              f.if(i32.load8_u(this.#address(f, piece.condition)), side(piece.whenTrue), side(piece.whenFalse))
              last = "met"
            }
        }
        visit(pieces)
      },
      { export: true }
    )
  }

  /** Takes the session's addresses, and the symbols' values from its table. */
  #enter(f: FunctionBuilder, params: ReadonlyArray<Local>): void {
    const globals = [this.#table, this.#arena, this.#scratch]
    for (const [place, global] of globals.entries()) {
      const param = params[place]
      if (param !== undefined) f.setGlobal(global, f.get({ type: "i32", index: param.index }))
    }
    for (const [place, global] of [...this.#symbols.values()].entries())
      f.setGlobal(global, i32.load(f.global(this.#table), 4 * place))
  }

  #calls(f: FunctionBuilder, pieces: ReadonlyArray<Piece>, divisions: number): void {
    for (const piece of pieces)
      if (piece.kind === "branch")
        f.if(
          i32.load8_u(this.#address(f, piece.condition)),
          () => this.#calls(f, piece.whenTrue, divisions),
          () => this.#calls(f, piece.whenFalse, divisions)
        )
      else if (piece.kind === "call" && piece.divided && divisions > 1) this.#dividedCall(f, piece, divisions)
      else if (piece.kind === "call") f.run(piece.func, [i32.const(0), this.#emission.dim(piece.units)])
  }

  /** for (begin = 0; begin < units; begin += piece) step(begin, min(begin + piece, units)) */
  #dividedCall(f: FunctionBuilder, piece: Extract<Piece, { readonly kind: "call" }>, divisions: number): void {
    const units = f.let(this.#emission.dim(piece.units))
    const size = f.let(i32.div_u(i32.add(f.get(units), i32.const(divisions - 1)), i32.const(divisions)))
    const begin = f.let(i32.const(0))
    const end = f.local("i32")
    f.block((done) =>
      f.loop((again) => {
        f.brIf(done, i32.ge_s(f.get(begin), f.get(units)))
        f.set(end, i32.add(f.get(begin), f.get(size)))
        f.set(end, select(i32.lt_s(f.get(end), f.get(units)), f.get(end), f.get(units)))
        f.run(piece.func, [f.get(begin), f.get(end)])
        f.set(begin, f.get(end))
        f.br(again)
      })
    )
  }
}

const computed = (constant: Constant): PackedConstant => ({
  digest: constant.digest,
  bytes: constant.bytes(),
  constant: constant.digest,
  layout: "computed"
})

const viewText = ({ dtype, shape, strides }: View): string =>
  `${dtype}[${shape.map(Dim.format).join()}](${strides.map(Dim.format).join()})`

const packedConstant = (packed: Packed, view: View, constant: Constant): PackedConstant => {
  const elements = Elements.read(view, constant)
  const bytes = packed.pack(elements)
  if (bytes.length !== packed.bytes)
    throw new Error(`${packed.layout} announced ${packed.bytes} bytes and packed ${bytes.length}`)
  const walk = Packing.find(packed, view, constant, elements, bytes)
  const { digest } = constant
  return {
    digest: sha256(bytes),
    bytes,
    constant: digest,
    layout: packed.layout,
    ...(walk === undefined ? {} : { walk })
  }
}

/** One node as a graph of its own: its operands are the inputs, by their place. */
const hostGraph = (graph: Graph, node: Node, operands: ReadonlyArray<HostOperand>): Graph => {
  const name = (place: number): string => `operand${place}`
  const { type } = Graphs.index(graph)
  return {
    name: "host",
    inputs: node.inputs.flatMap((id, place) => {
      if (id === null) return []
      const operand = operands[place]
      const given = isView(operand) ? { dtype: operand.dtype, shape: operand.shape } : type(id)
      return [{ id: name(place), name: name(place), type: given }]
    }),
    outputs: node.outputs.map(({ id }, place) => ({ name: `result${place}`, id })),
    constants: new Map(),
    nodes: [{ ...node, inputs: node.inputs.map((id, place) => (id === null ? null : name(place))) }],
    constraints: [],
    aliases: []
  }
}

/** Writes the code and says where everything lies. Throws for a program that contradicts itself. */
export const assemble = (program: Program, options: Options): Assembled => new Assembler(program, options).assemble()
