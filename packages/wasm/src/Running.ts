/**
 * Running: a session of an engine: its bindings for the shapes that come, the inputs put where the code reads them, one call
 * for a run; step by step where values are watched or timed.
 */
import type { Engine } from "@anneal/engine/Engine"
import { EngineError } from "@anneal/engine/EngineError"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Bindings } from "@anneal/ir/Bind"
import * as Bind from "@anneal/ir/Bind"
import type { Graph } from "@anneal/ir/Graph"
import * as Tensor from "@anneal/ir/Tensor"
import type { OracleService } from "@anneal/pipeline/Oracle"
import type { Bound, BoundPort, Executable, Prepared, StepProfile } from "@anneal/runtime/Executor"
import { ExecutionError } from "@anneal/runtime/RuntimeError"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { PortPlace } from "./Binding.ts"
import { Binding } from "./Binding.ts"
import { BindingCache } from "./BindingCache.ts"
import { HeapFull } from "./Heap.ts"
import * as Host from "./Host.ts"
import type * as Image from "./Image.ts"
import { UnreadableImage } from "./ImageReader.ts"
import type { Program } from "./Loaded.ts"
import { Loaded } from "./Loaded.ts"
import * as Places from "./Places.ts"
import { Meter } from "./Profile.ts"
import * as Results from "./Results.ts"
import type { Team } from "./Threads.ts"
import { ThreadFailure } from "./Threads.ts"
import { host } from "./WebAssembly.ts"

export const target = "wasm"

/** What sessions of one engine share, and how many there are. */
export interface Shared {
  readonly loaded: Loaded
  readonly team: Team | undefined
  sessions: number
}

export const failure = (engine: Engine, detail: string, node?: string): ExecutionError =>
  new ExecutionError({ engine: engine.file, target, detail, ...(node === undefined ? {} : { node }) })

/** Regions say `unreachable` where an index of the data is outside of what it indexes (`kernels/CheckedIndex`). */
const stopped = (trap: string): string =>
  /unreachable/i.test(trap)
    ? "an index in the data lies outside of what it indexes,"
    : `the generated code stopped (${trap})`

/** What a run may throw, as a typed error; anything unexpected is thrown on. */
export const explain = (engine: Engine, cause: unknown, binding?: Binding): ExecutionError => {
  if (cause instanceof ExecutionError) return cause
  if (cause instanceof HeapFull) return failure(engine, `${cause.message}. Give it more memory, or run smaller shapes`)
  if (cause instanceof UnreadableImage) return failure(engine, cause.message)
  // A section is read, and checked, when code needs it.
  if (cause instanceof EngineError) return failure(engine, `${cause.place}: ${cause.detail}. ${cause.action}`)
  if (cause instanceof ThreadFailure) {
    const step = cause.step === undefined ? undefined : binding?.program.image.steps[cause.step]
    const where = step === undefined ? "" : ` in region %${step.id}, kernel ${step.kernel}`
    return failure(engine, `${cause.message}${where}`, step?.node)
  }
  if (cause instanceof host.RuntimeError && binding !== undefined) {
    const { at, image } = binding.program
    const step = image.steps[at.value]
    return failure(
      engine,
      `${stopped(cause.message)} in ${step === undefined ? "an unknown region" : `region %${step.id}, kernel ${step.kernel}`}`,
      step?.node
    )
  }
  throw cause
}

/** Runs of one engine in memory of their own. */
export class Running {
  readonly #what: Prepared
  readonly #boundary: Graph
  readonly #loaded: Loaded
  readonly #team: Team | undefined
  readonly #oracle: OracleService
  readonly #units: ReadonlyArray<Image.Unit>
  /** For runs in one go, which nothing can come between. */
  readonly #whole: BindingCache
  /** For runs that others may come between: where the host does a step, or each is looked at. */
  readonly #stepwise: BindingCache
  readonly #allocated: Array<number> = []
  /** Stepwise runs follow each other. */
  readonly #exclusive = Semaphore.makeUnsafe(1)

  constructor(what: Prepared, { loaded, team }: Shared, oracle: OracleService, units: ReadonlyArray<Image.Unit>) {
    this.#what = what
    this.#boundary = what.boundary ?? what.graph
    this.#loaded = loaded
    this.#team = team
    this.#oracle = oracle
    this.#units = units
    this.#whole = new BindingCache(loaded.heap)
    this.#stepwise = new BindingCache(loaded.heap)
  }

  /** The program for these shapes and the values of its symbols. */
  #programFor(shapes: ReadonlyArray<ReadonlyArray<number>>): {
    readonly program: Program
    readonly symbols: ReadonlyArray<number>
  } {
    const bindings = Bind.bind(this.#boundary, shapes)
    const unit = this.#units.find(({ fixed }) =>
      Object.entries(fixed).every(([symbol, value]) => bindings.get(symbol) === value)
    )
    if (unit === undefined)
      throw failure(
        this.#what.engine,
        `it has no code for ${describe(bindings)}; it has code for ${this.#units.map(({ fixed }) => describe(new Map(Object.entries(fixed)))).join("; ")}`
      )
    const program = this.#loaded.program(unit)
    return { program, symbols: program.image.symbols.map((name) => bindings.get(name) ?? 0) }
  }

  /** A binding of one's own. */
  bound(
    shapes: ReadonlyArray<ReadonlyArray<number>>,
    ports: PortPlace,
    { arena }: BindingCache = this.#whole
  ): Binding {
    const { program, symbols } = this.#programFor(shapes)
    return new Binding({ heap: this.#loaded.heap, arena, team: this.#team }, program, symbols, ports)
  }

  /** The binding for these shapes. */
  #binding(cache: BindingCache, shapes: ReadonlyArray<ReadonlyArray<number>>): Binding {
    const known = cache.find(shapes)
    if (known !== undefined) return known
    const isFirst = cache.all.length === 0
    const binding = this.bound(shapes, "arena", cache)
    if (isFirst) Results.announce(Math.max(0, ...binding.outputs.map((output) => output?.bytes ?? 0)))
    cache.keep(shapes, binding)
    return binding
  }

  /** Whether a run is one call: the host does nothing in between. */
  #isWhole(shapes: ReadonlyArray<ReadonlyArray<number>>): boolean {
    return this.#whole.find(shapes) !== undefined || this.#programFor(shapes).program.image.hosts.length === 0
  }

  /** Puts the inputs where the code reads them. */
  #give(binding: Binding, inputs: ReadonlyArray<Tensor.Tensor>): void {
    const { memory } = this.#loaded.heap
    binding.settle()
    for (let place = 0; place < inputs.length; place++) {
      const tensor = inputs[place]
      const port = binding.inputs[place]
      if (tensor === undefined || port === undefined) continue
      const { data } = tensor
      if (data.buffer === memory.buffer) {
        port.lie(data.byteOffset)
        for (const output of binding.outputs) output?.avoid(data.byteOffset, data.byteOffset + port.bytes)
        continue
      }
      port.home()
      copy(data, port.data)
    }
  }

  /** Everything in one go: no node is left to the oracle. */
  runNow(inputs: ReadonlyArray<Tensor.Tensor>): ReadonlyArray<Tensor.Tensor> {
    let binding: Binding | undefined
    try {
      binding = this.#binding(
        this.#whole,
        inputs.map(({ shape }) => shape)
      )
      binding.announce()
      this.#give(binding, inputs)
      binding.enter()
      for (let part = 0; part < binding.program.parts.length; part++) binding.part(part)
      return binding.outputs.map((port) => {
        if (port === undefined) throw new Error("an output is left to the host")
        return Results.tensor(port)
      })
    } catch (cause) {
      throw explain(this.#what.engine, cause, binding)
    }
  }

  run(
    inputs: ReadonlyArray<Tensor.Tensor>,
    seed: number | undefined
  ): Effect.Effect<ReadonlyArray<Tensor.Tensor>, ExecutionError> {
    const attempt = <A>(f: () => A, binding?: Binding): Effect.Effect<A, ExecutionError> =>
      Effect.try({ try: f, catch: (cause) => explain(this.#what.engine, cause, binding) })
    const stepwise = Effect.gen({ self: this }, function* () {
      const binding = yield* attempt(() => this.#stepwiseFor(inputs))
      return yield* Host.run(this.#what, this.#loaded.heap, this.#oracle, binding, attempt, seed)
    })
    return Effect.suspend(() => {
      try {
        if (this.#isWhole(inputs.map(({ shape }) => shape))) return attempt(() => this.runNow(inputs))
      } catch (cause) {
        return Effect.fail(explain(this.#what.engine, cause))
      }
      return this.#exclusive.withPermits(1)(stepwise)
    })
  }

  /** The binding for a stepwise run of these inputs, which lie where the code reads them. */
  #stepwiseFor(inputs: ReadonlyArray<Tensor.Tensor>): Binding {
    const binding = this.#binding(
      this.#stepwise,
      inputs.map(({ shape }) => shape)
    )
    this.#give(binding, inputs)
    binding.enter()
    return binding
  }

  /** Runs step by step, showing what is in memory between the steps. */
  observe(
    inputs: ReadonlyArray<Tensor.Tensor>,
    onValue: Parameters<NonNullable<Executable["observe"]>>[1],
    seed: number | undefined
  ): Effect.Effect<ReadonlyArray<Tensor.Tensor>, ExecutionError> {
    const { heap } = this.#loaded
    const work = Effect.gen({ self: this }, function* () {
      const attempt = <A>(f: () => A, at?: Binding): Effect.Effect<A, ExecutionError> =>
        Effect.try({ try: f, catch: (cause) => explain(this.#what.engine, cause, at) })
      const binding = yield* attempt(() => this.#stepwiseFor(inputs))
      const meter = yield* attempt(
        () =>
          new Meter(binding, heap, ({ kernel, values }) => {
            for (const { id, place } of values)
              onValue(id, Places.read(binding.locate(place), heap.memory.buffer), kernel)
          })
      )
      return yield* Host.run(this.#what, heap, this.#oracle, binding, attempt, seed, meter)
    })
    return this.#exclusive.withPermits(1)(work)
  }

  /** Where the time of runs goes. */
  profile(
    inputs: ReadonlyArray<Tensor.Tensor>,
    { milliseconds, seed }: { readonly milliseconds: number; readonly seed?: number }
  ): Effect.Effect<StepProfile, ExecutionError> {
    const { heap } = this.#loaded
    const work = Effect.gen({ self: this }, function* () {
      const attempt = <A>(f: () => A, at?: Binding): Effect.Effect<A, ExecutionError> =>
        Effect.try({ try: f, catch: (cause) => explain(this.#what.engine, cause, at) })
      const binding = yield* attempt(() => this.#stepwiseFor(inputs))
      const meter = yield* attempt(() => new Meter(binding, heap))
      const once = Effect.gen({ self: this }, function* () {
        yield* attempt(() => this.#stepwiseFor(inputs))
        yield* Host.run(this.#what, heap, this.#oracle, binding, attempt, seed, meter)
      })
      // What runs first runs while V8 is still compiling.
      const begin = performance.now()
      for (let runs = 0; runs < 1 || performance.now() - begin < milliseconds / 4; runs++) yield* once
      meter.reset()
      for (let runs = 0; runs < 2 || performance.now() - begin < milliseconds; runs++) yield* once
      return { steps: meter.times(), fixed: binding.program.unit.fixed }
    })
    return this.#exclusive.withPermits(1)(work)
  }

  bind(shapes: ReadonlyArray<ReadonlyArray<number>>): Bound {
    const { engine } = this.#what
    const graph = this.#boundary
    const binding = this.bound(shapes, "own")
    const { hosts } = binding.program.image
    if (hosts.length > 0) {
      binding.release()
      const nodes = hosts.map(({ node, why }) => `${node} (${why})`)
      throw failure(engine, `it cannot be bound: the oracle runs ${nodes.join(", ")}, which needs an Effect`)
    }
    this.#own.push(binding)
    const port = (name: string, one: Binding["inputs"][number] | undefined): ReadonlyArray<BoundPort> =>
      one === undefined
        ? []
        : [
            {
              name,
              dtype: one.dtype,
              shape: one.shape,
              get data() {
                return one.data
              }
            }
          ]
    const parts = binding.program.parts.length
    const state = graph.aliases.flatMap(({ input, output }) => {
      const to = binding.inputs[graph.inputs.findIndex(({ name }) => name === input)]
      const from = binding.outputs[graph.outputs.findIndex(({ name }) => name === output)]
      return to === undefined || from === undefined || to.shape.join() !== from.shape.join() ? [] : [{ from, to }]
    })
    return {
      carry: () => {
        for (const { from, to } of state) {
          to.lie(from.address)
          from.avoid(to.address, to.address + to.bytes)
        }
      },
      inputs: graph.inputs.flatMap(({ name }, place) => port(name, binding.inputs[place])),
      outputs: graph.outputs.flatMap(({ name }, place) => port(name, binding.outputs[place])),
      run: () => {
        try {
          binding.enter()
          for (let part = 0; part < parts; part++) binding.part(part)
        } catch (cause) {
          throw explain(engine, cause, binding)
        }
      }
    }
  }

  readonly #own: Array<Binding> = []

  allocate(dtype: DType, shape: ReadonlyArray<number>): Tensor.Tensor {
    const length = Tensor.size(shape)
    const address = this.#loaded.heap.allocate(length * DTypes.slotBytes(dtype))
    this.#allocated.push(address)
    const { memory } = this.#loaded.heap
    let data = DTypes.view(dtype, memory.buffer, address, length)
    return {
      dtype,
      shape,
      // A memory that grows has another buffer.
      get data() {
        if (data.buffer !== memory.buffer) data = DTypes.view(dtype, memory.buffer, address, length)
        return data
      }
    }
  }

  valueBytes(): number {
    let total = this.#whole.arena.bytes + this.#stepwise.arena.bytes
    for (const { inputs, outputs } of [...this.#whole.all, ...this.#stepwise.all, ...this.#own]) {
      for (const port of new Set([...inputs, ...outputs])) total += port?.owned ?? 0
    }
    return total
  }

  release(): void {
    for (const binding of this.#own) binding.release()
    for (const address of this.#allocated) this.#loaded.heap.release(address)
    this.#whole.release()
    this.#stepwise.release()
  }
}

const describe = (bindings: Bindings): string =>
  bindings.size === 0 ? "any shape" : [...bindings].map(([symbol, extent]) => `${symbol} = ${extent}`).join(", ")

/** Copies elements between arrays of one kind. */
const copy = (from: DTypes.TypedArray, to: DTypes.TypedArray): void => {
  if (from instanceof BigInt64Array || from instanceof BigUint64Array) {
    if (to instanceof BigInt64Array || to instanceof BigUint64Array) to.set(from)
  } else if (!(to instanceof BigInt64Array || to instanceof BigUint64Array)) to.set(from)
}
