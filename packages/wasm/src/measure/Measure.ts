/**
 * Measure: checks candidates of wasm, then times them, for tuners.
 *
 *   region, kernel ── module ── worker: red zones, two draws, units in pieces ── RegionOracle ── timed, or Rejected
 *
 * A candidate runs in a worker of its own: an endless loop is ended, a trap stays there. Results are held against the
 * region's definition within its bound at the borders of every axis and at points between; that each element was written,
 * and nothing else, is looked at everywhere.
 */
import type { Bindings } from "@anneal/ir/Bind"
import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Tensor from "@anneal/ir/Tensor"
import type { Program } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { MeasurerService, Prepared } from "@anneal/pipeline/Measurer"
import * as Measurer from "@anneal/pipeline/Measurer"
import type { Rejected } from "@anneal/pipeline/Measurer"
import { MeasurerError } from "@anneal/pipeline/Measurer"
import { Oracle } from "@anneal/pipeline/Oracle"
import type { OracleService } from "@anneal/pipeline/Oracle"
import * as Tuners from "@anneal/pipeline/Tuner"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import * as Elements from "../Elements.ts"
import type { Features } from "../Emission.ts"
import { Emission } from "../Emission.ts"
import type { Kernel } from "../Kernel.ts"
import { ModuleBuilder } from "../ModuleBuilder.ts"
import * as Payloads from "../Payloads.ts"
import type { Drawn } from "./Draw.ts"
import * as Draw from "./Draw.ts"
import * as ErrorBound from "./ErrorBound.ts"
import type { Answer, Call, Request } from "./Protocol.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"

/** One thing to measure: a region of a program, at the sizes that it is tuned for. */
export interface Subject {
  readonly region: Region
  readonly program: Program
  /** Values of the symbols that the program leaves free. */
  readonly typical: Bindings
  readonly kernels: ReadonlyArray<Kernel>
}

export interface Options {
  readonly features: Features
  /** The region of a choice, by the choice's key. */
  readonly subject: (key: string) => Subject | undefined
  /** Checks side by side. Default 1. */
  readonly parallel?: number
  /** Milliseconds that a candidate may take for one check or one batch of runs beyond what it is expected to. Default 10,000. */
  readonly deadline?: number
  /** Multiplications or so that the definition may take for one draw of a region. Default 500,000. */
  readonly effort?: number
}

const file = new URL(import.meta.url.endsWith(".ts") ? "./CandidateWorker.ts" : "./CandidateWorker.js", import.meta.url)

const rejected = (reason: Rejected["reason"], detail: string, evidence: Schema.Json = null): Rejected =>
  new Measurer.Rejected({ reason, detail, evidence })

// ---- workers --------------------------------------------------------------------------------------------------------

/** A worker answers one request at a time. */
class CandidateWorker {
  readonly #worker = new Worker(file, { execArgv: [] })
  #ended = false

  constructor() {
    this.#worker.unref()
    this.#worker.on("exit", () => {
      this.#ended = true
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Undefined: it did not answer in time, and is ended. */
  ask(request: Request, deadline: number): Effect.Effect<Answer | undefined, MeasurerError> {
    return Effect.callback<Answer | undefined, MeasurerError>((resume) => {
      const worker = this.#worker
      const finish = (effect: Effect.Effect<Answer | undefined, MeasurerError>): void => {
        clearTimeout(timer)
        worker.off("message", onMessage)
        worker.off("error", onError)
        resume(effect)
      }
      const onMessage = (answer: Answer): void => finish(Effect.succeed(answer))
      const onError = (cause: Error): void => {
        this.#ended = true
        finish(
          Effect.fail(
            new MeasurerError({
              detail: `the worker ended: ${cause.message}`,
              action: "look at the memory of this machine"
            })
          )
        )
      }
      const timer = setTimeout(() => {
        this.end()
        finish(Effect.succeed(undefined))
      }, deadline)
      worker.on("message", onMessage)
      worker.on("error", onError)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker of Node, no window
      worker.postMessage(request)
      return Effect.sync(() => {
        // Interrupted: what it is doing is nobody's any more.
        clearTimeout(timer)
        this.end()
      })
    })
  }

  end(): void {
    this.#ended = true
    void this.#worker.terminate()
  }
}

// ---- memory ---------------------------------------------------------------------------------------------------------

const zone = 256
const fill = 0xa5
/** Copies for rotation take at most so many bytes. */
const rotationBytes = 24 * 2 ** 20
const mostCopies = 64

interface Block {
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

const isWhole = (region: Region): boolean => region.kind === "recurrent" || region.kind === "whole"

/** A candidate with everything that it needs known. */
class Trial {
  readonly #subject: Subject
  readonly #kernel: Kernel
  readonly #features: Features
  readonly #inPackedForm: ReadonlySet<number>
  readonly size: (dim: Dim) => number
  readonly module: Uint8Array
  readonly packed: ReadonlyArray<Uint8Array>
  readonly units: number

  constructor(subject: Subject, kernel: Kernel, features: Features) {
    this.#subject = subject
    this.#kernel = kernel
    this.#features = features
    this.#inPackedForm = new Set(kernel.packed.map(({ read }) => read))
    this.size = (dim) => {
      const value = Dims.evaluate(dim, subject.typical)
      if (value === undefined) throw new RangeError(`the size ${Dims.format(dim)} is not known`)
      return value
    }
    this.module = this.#write()
    this.packed = kernel.packed.map((one) => {
      const view = Regions.reads(subject.region)[one.read]
      const constant =
        view === undefined || view === null ? undefined : subject.program.buffers.get(view.buffer)?.constant
      if (view === undefined || view === null || constant === undefined)
        throw new RangeError(`${one.layout} packs operand ${one.read}, which is no constant`)
      const bytes = one.pack(Elements.read(view, constant))
      if (bytes.length !== one.bytes)
        throw new RangeError(`${one.layout} announced ${one.bytes} bytes and packed ${bytes.length}`)
      return bytes
    })
    this.units = this.size(kernel.units)
  }

  #write(): Uint8Array {
    const module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
    const symbols = new Map(
      this.#subject.program.symbols.map((name) => [name, module.importGlobal(`symbol ${name}`, "i32")])
    )
    const func = this.#kernel.emit(new Emission(module, this.#features, symbols), "candidate")
    module.func(
      "kernel",
      func.params,
      [],
      (f, params) =>
        f.run(
          func,
          params.map((local) => f.get(local))
        ),
      { export: true }
    )
    return module.toBytes()
  }

  get symbols(): Readonly<Record<string, number>> {
    const { program, typical } = this.#subject
    return Object.fromEntries(program.symbols.map((name) => [`symbol ${name}`, typical.get(name) ?? 0]))
  }

  get buffers(): ReadonlySet<string> {
    const { region } = this.#subject
    return new Set(
      [...Regions.reads(region), ...Regions.writes(region)].flatMap((view) => (view === null ? [] : [view.buffer]))
    )
  }

  bufferBytes(id: string): { readonly bytes: number; readonly dtype: DType } {
    const buffer = this.#subject.program.buffers.get(id)
    if (buffer === undefined) throw new RangeError(`there is no buffer %${id}`)
    return { bytes: this.size(buffer.size) * DTypes.slotBytes(buffer.dtype), dtype: buffer.dtype }
  }

  get scratchBytes(): number {
    return this.size(this.#kernel.scratch)
  }

  /** The arguments before `begin` and `end`. */
  arguments(blocks: ReadonlyMap<string, Block>, packed: ReadonlyArray<Block>, scratch: Block): Call {
    const { region } = this.#subject
    const address = (view: View | null): number =>
      view === null
        ? 0
        : (blocks.get(view.buffer)?.address ?? 0) + this.size(view.offset) * DTypes.slotBytes(view.dtype)
    return [
      ...Regions.reads(region).map((view, read) => (this.#inPackedForm.has(read) ? 0 : address(view))),
      ...Regions.writes(region).map(address),
      ...packed.map((block) => block.address),
      scratch.address
    ]
  }
}

interface Setup {
  readonly request: Extract<Request, { readonly kind: "load" }>
  readonly blocks: ReadonlyMap<string, Block>
  readonly scratch: Block
  /** The arguments, a list for each copy. */
  readonly calls: ReadonlyArray<Call>
}

/** Lays the buffers out, `copies` times; the packed constants and what was drawn are in each. */
const setup = (trial: Trial, drawn: ReadonlyMap<string, Drawn>, copies: number): Setup => {
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
  return {
    request: { kind: "load", module, pages: layout.pages, fill, pieces, symbols },
    blocks: first,
    scratch,
    calls
  }
}

// ---- checking -------------------------------------------------------------------------------------------------------

/** Units in three uneven pieces, the last first: what another thread may do. */
const inPieces = (call: Call, units: number): ReadonlyArray<Call> => {
  const [a, b] = [Math.floor(units / 3), Math.floor((3 * units) / 4)]
  return [
    [...call, b, units],
    [...call, 0, a],
    [...call, a, b]
  ]
}

/** Runs of elements that lie one after another in a view. */
const eachRun = (view: View, size: Trial["size"], visit: (at: number, count: number) => void): void => {
  const shape = view.shape.map(size)
  const strides = view.strides.map(size)
  let count = 1
  let axes = shape.length
  while (axes > 0 && (shape[axes - 1] === 1 || strides[axes - 1] === count)) count *= shape[--axes] ?? 1
  RegionOracle.eachAddress(
    { ...view, shape: view.shape.slice(0, axes), strides: view.strides.slice(0, axes) },
    size,
    (at) => visit(at, count)
  )
}

/** `memory` with everything as it was in `start` but the results and scratch: what a right kernel leaves. */
const expectedMemory = (trial: Trial, region: Region, made: Setup, memory: Uint8Array): Uint8Array => {
  const expected = before(made)
  const take = (from: number, bytes: number): void => expected.set(memory.subarray(from, from + bytes), from)
  for (const view of Regions.writes(region)) {
    const block = view === null ? undefined : made.blocks.get(view.buffer)
    if (view === null || block === undefined) continue
    const width = DTypes.slotBytes(view.dtype)
    eachRun(view, trial.size, (at, count) => take(block.address + at * width, count * width))
  }
  take(made.scratch.address, made.scratch.bytes)
  return expected
}

/** The first byte that differs; undefined: none. */
const firstDifference = (a: Uint8Array, b: Uint8Array): number | undefined => {
  if (Buffer.compare(a, b) === 0) return undefined
  const at = a.findIndex((byte, place) => byte !== b[place])
  return at < 0 ? undefined : at
}

const before = ({ request }: Setup): Uint8Array => {
  const bytes = new Uint8Array(request.pages * 65_536).fill(request.fill)
  for (const { address, bytes: piece } of request.pieces) bytes.set(piece, address)
  return bytes
}

const describeNumber = (value: number | bigint): Schema.Json =>
  typeof value === "bigint" || !Number.isFinite(value) ? String(value) : value

/** The first thing that is wrong with what a candidate wrote. */
const wrong = (
  subject: Subject,
  trial: Trial,
  made: Setup,
  memory: Uint8Array,
  expected: ReadonlyArray<Expected>,
  kind: Draw.Kind
): Rejected | undefined => {
  const { program, region } = subject
  const stray = firstDifference(expectedMemory(trial, region, made, memory), memory)
  if (stray !== undefined) {
    const inside = [...made.blocks].find(
      ([, { address, bytes }]) => stray >= address - zone && stray < address + bytes + zone
    )
    const where =
      inside === undefined ? "outside of all buffers" : `${stray - inside[1].address} bytes into %${inside[0]}`
    return rejected("StrayWrite", `it wrote ${where}, which it has no business with`, { address: stray, draw: kind })
  }
  const views = new Map<string, TypedArray>()
  const numbers = new Map<string, Float64Array>()
  const foundAt = (buffer: string, at: number): number | bigint => {
    const block = made.blocks.get(buffer)
    const dtype = program.buffers.get(buffer)?.dtype
    if (block === undefined || dtype === undefined) return NaN
    const slot = DTypes.slotBytes(dtype)
    const view =
      views.get(buffer) ??
      DTypes.view(dtype, memory.slice(block.address, block.address + block.bytes).buffer, 0, block.bytes / slot)
    views.set(buffer, view)
    if (view instanceof BigInt64Array || view instanceof BigUint64Array) return view[at] ?? 0n
    const values = numbers.get(buffer) ?? Numbers.toNumbers({ dtype, shape: [view.length], data: view })
    numbers.set(buffer, values)
    return values[at] ?? NaN
  }
  for (const { at, bound, buffer, value } of expected) {
    const found = foundAt(buffer, at)
    if (found === value || (found !== found && value !== value)) continue
    const evidence: Schema.Json = {
      buffer,
      element: at,
      expected: describeNumber(value),
      found: describeNumber(found),
      bound: describeNumber(bound),
      draw: kind
    }
    const [a, b] = [Number(found), Number(value)]
    if (!Number.isFinite(a) && Number.isFinite(b) && Number.isFinite(bound))
      return rejected("NotFinite", `element ${at} of %${buffer} is ${a}, it should be ${b}`, evidence)
    if (bound === Infinity || Math.abs(a - b) <= bound) continue
    return rejected("Wrong", `element ${at} of %${buffer} is ${a}, it should be ${b} within ${bound}`, evidence)
  }
  return undefined
}

/** The first element that both runs left as it was: nobody wrote it. */
const unwritten = (region: Region, trial: Trial, made: Setup, memory: Uint8Array): Rejected | undefined => {
  const read = new Set(Regions.reads(region).flatMap((view) => (view === null ? [] : [view.buffer])))
  let found: Rejected | undefined
  for (const view of Regions.writes(region)) {
    const block = view === null ? undefined : made.blocks.get(view.buffer)
    if (view === null || block === undefined || read.has(view.buffer)) continue
    const width = DTypes.slotBytes(view.dtype)
    // One byte of the pattern may be a right result; four in a row are not, often enough to matter.
    if (width < 4) continue
    eachRun(view, trial.size, (at, count) => {
      if (found !== undefined) return
      const begin = block.address + at * width
      // Most runs hold no byte of the pattern at their elements' begin.
      for (let element = 0; element < count; element++) {
        const byte = begin + element * width
        if (memory[byte] !== fill || memory[byte + 1] !== fill || memory[byte + 2] !== fill) continue
        let whole = true
        for (let rest = 3; whole && rest < width; rest++) whole = memory[byte + rest] === fill
        if (!whole) continue
        const evidence = { buffer: view.buffer, element: at + element }
        found = rejected("Wrong", `element ${at + element} of %${view.buffer} was not written`, evidence)
        return
      }
    })
  }
  return found
}

const greatestOf = (values: Float64Array | BigInt64Array | BigUint64Array): number => {
  let greatest = 1
  for (const value of values) if (Number.isFinite(Number(value))) greatest = Math.max(greatest, Math.abs(Number(value)))
  return greatest
}

/**
 * What the oracle's bound does not know of: it is for the oracle's own float64. A kernel sums in f32: for recurrent layers
 * a step's products (what is carried on fades, since states are bounded), for other nodes a few operations.
 */
const roundings = (region: Region, size: Trial["size"]): number => {
  const [x, , r] = region.kind === "recurrent" ? region.operands : []
  const terms = [x, r].reduce(
    (sum, view) => sum + (view === null || view === undefined ? 0 : size(view.shape.at(-1) ?? 0)),
    0
  )
  return 4 * (terms + 16) * ErrorBound.unitRoundoff("f32")
}

/** Regions that are one node: the oracle of graphs, with its bounds. */
const oracleExpectations = (
  { program, region }: Subject,
  trial: Trial,
  drawn: ReadonlyMap<string, Drawn>,
  oracle: OracleService
): Effect.Effect<ReadonlyArray<Expected>, MeasurerError> =>
  Effect.gen(function* () {
    if (region.kind !== "recurrent" && region.kind !== "whole") return []
    const node = region.kind === "whole" ? region.node : region.members[0]
    if (node === undefined) return []
    const inputs: Array<Tensor.Tensor> = []
    const graph: Graphs.Graph = {
      name: "region",
      inputs: region.operands.flatMap((view, place) => {
        if (view === null) return []
        const shape = view.shape.map(trial.size)
        const tensor = Tensor.zeros(view.dtype, shape)
        const source = drawn.get(view.buffer)?.data
        let next = 0
        RegionOracle.eachAddress(view, trial.size, (at) => {
          tensor.data[next++] = source?.[at] ?? 0
        })
        inputs.push(tensor)
        return [{ id: `x${place}`, name: `x${place}`, type: { dtype: view.dtype, shape } }]
      }),
      outputs: node.outputs.map(({ id }, place) => ({ name: `y${place}`, id })),
      constants: new Map(),
      nodes: [
        {
          ...node,
          inputs: region.operands.map((view, place) => (view === null ? null : `x${place}`)),
          attributes: Op.mapDims(node.attributes, trial.size),
          outputs: node.outputs.map(({ id, type }) => ({
            id,
            type: { dtype: type.dtype, shape: type.shape.map(trial.size) }
          }))
        }
      ],
      constraints: [],
      aliases: []
    }
    const { bounds, outputs } = yield* Effect.mapError(
      oracle.runWithBounds(graph, inputs),
      ({ message }) => new MeasurerError({ detail: message, action: "report this: the oracle should run it" })
    )
    const expected: Array<Expected> = []
    for (const [place, view] of region.results.entries()) {
      const output = outputs[place]
      const bound = bounds[place]
      if (view === null || output === undefined) continue
      const values =
        output.data instanceof BigInt64Array || output.data instanceof BigUint64Array
          ? output.data
          : Numbers.toNumbers(output)
      const slack = DTypes.isFloat(output.dtype) ? roundings(region, trial.size) * greatestOf(values) : 0
      let next = 0
      RegionOracle.eachAddress(view, trial.size, (at) => {
        expected.push({ buffer: view.buffer, at, value: values[next] ?? 0, bound: 2 * (bound?.[next] ?? 0) + slack })
        next++
      })
    }
    return program.buffers.size > 0 ? expected : []
  })

/** What a region is examined with. */
interface Exam {
  readonly drawn: ReadonlyMap<string, Drawn>
  readonly expected: ReadonlyArray<Expected>
}

/** Exams kept; candidates of one region are checked one after another, or side by side. */
const keptExams = 16

/** What a kernel says of itself in its configuration; 0: it adds up the products and nothing else. */
const amplificationOf = ({ config }: Kernel): number => {
  const said = Predicate.hasProperty(config, "amplification") ? config.amplification : 0
  return typeof said === "number" ? said : 0
}

/** Milliseconds for a worker to start and to compile: nothing of a candidate runs yet. */
const startLimit = 60_000
const tooBusy = (): MeasurerError =>
  new MeasurerError({
    detail: `a worker did not start in ${startLimit / 1000} s`,
    action: "leave this machine some time for it, or build without tuning"
  })

const late = (deadline: number): Rejected => rejected("Hang", `it did not end in ${deadline / 1000} s`, { deadline })

/** A measurer for the regions of a build. Workers are kept and used again; all end with the scope. */
export const make = (options: Options): Effect.Effect<MeasurerService, never, Oracle | Scope.Scope> =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    const { deadline = 10_000, effort = 500_000, features, parallel = 1 } = options
    const idle: Array<CandidateWorker> = []
    const exams = new Map<string, Exam>()
    const all = new Set<CandidateWorker>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const worker of all) worker.end()
      })
    )
    const acquire = Effect.sync(() => {
      for (let worker = idle.pop(); worker !== undefined; worker = idle.pop()) if (!worker.ended) return worker
      const made = new CandidateWorker()
      all.add(made)
      return made
    })
    const release = (worker: CandidateWorker): Effect.Effect<void> =>
      Effect.sync(() => {
        if (worker.ended) all.delete(worker)
        else idle.push(worker)
      })
    const prepare = (
      choice: Choice,
      candidate: Candidate
    ): Effect.Effect<Prepared, Rejected | MeasurerError, Scope.Scope> =>
      Effect.gen(function* () {
        const subject = options.subject(choice.key)
        const wanted = Tuners.identify(candidate)
        const kernel = subject?.kernels.find((one) => Tuners.identify(one) === wanted)
        if (subject === undefined || kernel === undefined)
          return yield* rejected("Refused", `there is no ${wanted} for ${choice.node}`)
        const trial = yield* Effect.try({
          try: () => new Trial(subject, kernel, features),
          catch: (cause) =>
            rejected("Refused", `no code can be made: ${cause instanceof Error ? cause.message : String(cause)}`)
        })
        const worker = yield* Effect.acquireRelease(acquire, release)
        const ask = (request: Request, limit = deadline): Effect.Effect<Answer, Rejected | MeasurerError> =>
          Effect.flatMap(worker.ask(request, request.kind === "load" ? startLimit : limit), (answer) => {
            if (answer === undefined) return Effect.fail(request.kind === "load" ? tooBusy() : late(limit))
            if (answer.kind === "trap") return Effect.fail(rejected("Trap", answer.detail, { kernel: wanted }))
            if (answer.kind === "refused") return Effect.fail(rejected("Refused", answer.detail, { kernel: wanted }))
            return Effect.succeed(answer)
          })
        // What is right does not depend on the candidate: known once for all of a region.
        const exam = (kind: Draw.Kind, seed: number): Effect.Effect<Exam, MeasurerError> =>
          Effect.gen(function* () {
            const amplification = amplificationOf(kernel)
            const key = `${choice.key} ${kind} ${amplification}`
            const known = exams.get(key)
            if (known !== undefined) return known
            const { program, region } = subject
            const random = Draw.generator(seed)
            const drawn = Draw.buffers(region, program, trial.size, kind, random)
            const elements = new Map([...drawn].map(([id, one]) => [id, one.elements]))
            const expected =
              RegionOracle.expectations(region, {
                buffers: elements,
                size: trial.size,
                effort,
                random,
                amplification
              }) ?? (yield* oracleExpectations(subject, trial, drawn, oracle))
            const made: Exam = { drawn, expected }
            exams.set(key, made)
            const [oldest] = exams.keys()
            if (exams.size > keptExams && oldest !== undefined) exams.delete(oldest)
            return made
          })
        const examine = (kind: Draw.Kind, seed: number): Effect.Effect<void, Rejected | MeasurerError> =>
          Effect.gen(function* () {
            const { region } = subject
            const { drawn, expected } = yield* exam(kind, seed)
            const made = setup(trial, drawn, 1)
            const [call = []] = made.calls
            yield* ask(made.request)
            const whole = yield* ask({ kind: "check", calls: [[...call, 0, trial.units]] })
            if (whole.kind !== "checked") return
            const problem =
              wrong(subject, trial, made, whole.memory, expected, kind) ?? unwritten(region, trial, made, whole.memory)
            if (problem !== undefined) return yield* problem
            if (trial.units < 2) return
            yield* ask(made.request)
            const pieces = yield* ask({ kind: "check", calls: inPieces(call, trial.units) })
            if (pieces.kind !== "checked") return
            const { address, bytes } = made.scratch
            for (const { memory } of [whole, pieces]) memory.fill(0, address, address + bytes)
            const at = firstDifference(whole.memory, pieces.memory)
            if (at !== undefined)
              return yield* rejected("Wrong", "computed in pieces, its results are others", { address: at, draw: kind })
          })
        let timing: Setup | undefined
        const check = Effect.gen(function* () {
          yield* examine("random", 1)
          if (!isWhole(subject.region)) yield* examine("edges", 2)
        })
        // Copies for rotation are made when something is timed.
        const ready = Effect.gen(function* () {
          if (timing !== undefined) return timing
          const random = Draw.generator(3)
          const drawn = Draw.buffers(subject.region, subject.program, trial.size, "random", random)
          let bytes = trial.packed.reduce((sum, one) => sum + one.length, 0)
          for (const id of trial.buffers) bytes += trial.bufferBytes(id).bytes
          const copies = Math.max(1, Math.min(mostCopies, Math.floor(rotationBytes / Math.max(1, bytes))))
          const made = setup(trial, drawn, copies)
          yield* ask(made.request)
          timing = made
          return made
        })
        const prepared: Prepared = {
          check,
          run: ({ inputs, iterations }) =>
            Effect.gen(function* () {
              const { calls: places } = yield* ready
              const calls = places.map((call): Call => call.concat(0, trial.units))
              const limit = deadline + (iterations * (candidate.cost ?? 0) * 20) / 1e6
              const chosen = inputs === "warm" ? calls.slice(0, 1) : calls
              const answer = yield* ask({ kind: "time", calls: chosen, iterations }, limit)
              return answer.kind === "timed" ? answer.nanoseconds : 1
            })
        }
        return prepared
      })
    return yield* Measurer.make({
      name: "wasm",
      identity: {
        name: "wasm",
        version: Payloads.generator,
        config: { features: [...Payloads.featureNames(features)] }
      },
      generator: `wasm@${Payloads.generator}`,
      features: [...Payloads.featureNames(features), ...(features.wide ? ["revectorize"] : [])],
      parallel,
      prepare
    })
  })
