/**
 * A session: an engine that is loaded, checked and ready to run.
 *
 * ```ts
 * const session = yield* Session.load("model.engine")
 * const { y } = yield* session.run({ x })
 * ```
 * Sessions over one `Engine` share its weights.
 */
import type { Engine } from "@anneal/engine/Engine"
import { asEngineError, boundaryOf } from "@anneal/engine/Engine"
import type { EngineError } from "@anneal/engine/EngineError"
import * as EngineFile from "@anneal/engine/EngineFile"
import type { Port, Profile } from "@anneal/engine/Manifest"
import type { Bindings } from "@anneal/ir/Bind"
import * as Bind from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Graph, Input } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Bound, ExecuteOptions, Executable, ExecutorService, MemoryUse, StepProfile } from "./Executor.ts"
import { Executors } from "./Executor.ts"
import type { MemoryPlan } from "./MemoryPlan.ts"
import * as MemoryPlans from "./MemoryPlan.ts"
import * as Profiles from "./Profiles.ts"
import type { InputProblem } from "./RuntimeError.ts"
import { ExecutionError, InputError, MemoryError, TargetError } from "./RuntimeError.ts"

export type Tensors = Readonly<Record<string, Tensor.Tensor>>

export interface LoadOptions {
  /** Bytes for weights and values together. Above it the session is refused: at once when a profile says so, or run by run. */
  readonly memoryLimit?: number
  /** Name of the variant; by default the first that a target at hand runs. */
  readonly variant?: string
  /** Ops beyond the built-in ones. */
  readonly ops?: ReadonlyMap<string, OpDefinition>
  /** `all`: check every byte of the file before anything is used; by default what is used is checked when it is read. */
  readonly verify?: EngineFile.ReadOptions["verify"]
}

export interface RunOptions extends ExecuteOptions {
  /** State to take the aliased inputs from, and to put the aliased outputs into. */
  readonly state?: State
}

/** What a session carries from run to run: the values of the aliased inputs. Runs with one state wait for each other. */
export interface State {
  /** By the names of the aliased inputs; what is absent starts as zeros. */
  readonly values: () => Tensors
  readonly reset: (values?: Tensors) => void
  readonly exclusive: Semaphore.Semaphore
}

export interface Session {
  readonly engine: Engine
  readonly target: string
  readonly variant: string
  readonly inputs: ReadonlyArray<Port>
  readonly outputs: ReadonlyArray<Port>
  readonly profiles: ReadonlyArray<Profile>
  /** Memory at the largest shapes of each profile, in the order of the profiles. */
  readonly memory: ReadonlyArray<MemoryPlan>
  /** Runs the model. Inputs and outputs by the user's names. */
  readonly run: (
    inputs: Tensors,
    options?: RunOptions
  ) => Effect.Effect<Tensors, InputError | MemoryError | ExecutionError>
  /**
   * The model at fixed shapes, one for each input by name: inputs are written where the target reads them, a run is one
   * plain call. For the lowest latency; not every target, and not every model on it, can be bound.
   */
  readonly bind: (
    shapes: Readonly<Record<string, ReadonlyArray<number>>>
  ) => Effect.Effect<Bound, InputError | MemoryError | ExecutionError>
  /** A tensor that runs of this session read without a copy, where the target has memory of its own. */
  readonly allocate: (dtype: DType, shape: ReadonlyArray<number>) => Effect.Effect<Tensor.Tensor, ExecutionError>
  /** Bytes in use now; undefined where the target does not say. */
  readonly memoryUse: () => MemoryUse | undefined
  /** Runs the model and shows its values between the target's steps, by id; false where the target cannot. */
  readonly observe: (
    inputs: Tensors,
    onValue: (id: string, tensor: Tensor.Tensor, kernel: string) => void,
    options?: ExecuteOptions
  ) => Effect.Effect<boolean, InputError | ExecutionError>
  /** Where the time of a run goes, measured for so many milliseconds; undefined where the target has no steps. */
  readonly profile: (
    inputs: Tensors,
    options: { readonly milliseconds: number; readonly seed?: number }
  ) => Effect.Effect<StepProfile | undefined, InputError | ExecutionError>
}

/** A state that starts from these values; aliased inputs that are absent start as zeros. */
export const makeState = (initial: Tensors = {}): State => {
  let values = initial
  return {
    values: () => values,
    reset: (next = initial) => {
      values = next
    },
    exclusive: Semaphore.makeUnsafe(1)
  }
}

/**
 * Loads an engine from a file. What a target's code reads goes from the file to where it stays, and is checked on the way;
 * `verify: "all"` reads and checks every byte first. A target that runs the graph keeps the file in memory.
 */
export const load = (
  path: string,
  options: LoadOptions = {}
): Effect.Effect<
  Session,
  EngineError | TargetError | MemoryError | ExecutionError,
  Executors | FileSystem.FileSystem | Scope.Scope
> =>
  Effect.gen(function* () {
    if (options.verify === "all") return yield* open(yield* EngineFile.read(path), options)
    const engine = yield* EngineFile.open(path)
    const runsGraph = engine.manifest.variants.every(({ payload }) => payload.length === 0)
    return yield* open(runsGraph ? yield* EngineFile.read(path, { verify: "lazily" }) : engine, options)
  })

/** Makes an engine in memory ready to run. */
export const open = (
  engine: Engine,
  options: LoadOptions = {}
): Effect.Effect<Session, EngineError | TargetError | MemoryError | ExecutionError, Executors | Scope.Scope> =>
  Effect.gen(function* () {
    const { executor, variant } = yield* pick(engine, yield* Executors, options.variant)
    const { profiles } = variant
    // A target that runs code needs the boundary; reading all nodes would take longer than all the rest.
    let parsed: Graph | undefined
    const whole = (): Graph => (parsed ??= engine.graph(variant.name, options.ops))
    const graph = yield* Effect.try({
      try: () => (variant.payload.length > 0 ? boundaryOf(engine, variant) : whole()),
      catch: (cause) => asEngineError(cause, engine.file)
    })
    yield* refuseStripped(engine)
    const limit = options.memoryLimit
    const planned = (bindings: Bindings): Effect.Effect<MemoryPlan, EngineError> =>
      Effect.try({
        try: () => MemoryPlans.plan(whole(), bindings),
        catch: (cause) => asEngineError(cause, engine.file)
      })
    if (limit !== undefined)
      for (const profile of profiles) {
        const plan = yield* planned(MemoryPlans.largest(profile))
        yield* within(engine, limit, plan, `profile ${Profiles.list([profile])}`)
      }
    const executable = yield* executor.prepare({
      engine,
      variant: variant.name,
      boundary: graph,
      get graph() {
        return whole()
      },
      ...(options.ops === undefined ? {} : { ops: options.ops })
    })
    // With a limit the graph was read above, so that this cannot fail.
    const plan = (bindings: Bindings): MemoryPlan => MemoryPlans.plan(whole(), bindings)
    let memory: ReadonlyArray<MemoryPlan> | undefined
    const { inputs, outputs } = engine.manifest
    return {
      engine,
      target: executor.target,
      variant: variant.name,
      inputs,
      outputs,
      profiles,
      get memory() {
        return (memory ??= profiles.map((profile) => plan(MemoryPlans.largest(profile))))
      },
      run: makeRun(engine, graph, profiles, executable, limit, plan),
      bind: makeBind(engine, graph, profiles, executable, limit, plan),
      allocate: executable.allocate ?? ((dtype, shape) => Effect.sync((): Tensor.Tensor => Tensor.zeros(dtype, shape))),
      memoryUse: () => executable.memory?.(),
      observe: (given, onValue, runOptions) =>
        Effect.flatMap(
          Effect.try({ try: () => check(engine, graph, profiles, given, undefined), catch: asInputError }),
          ({ tensors }) =>
            executable.observe === undefined
              ? Effect.succeed(false)
              : Effect.as(executable.observe(tensors, onValue, runOptions), true)
        ),
      profile: (given, profileOptions) =>
        Effect.flatMap(
          Effect.try({ try: () => check(engine, graph, profiles, given, undefined), catch: asInputError }),
          ({ tensors }) => executable.profile?.(tensors, profileOptions) ?? Effect.succeed(undefined)
        )
    }
  })

const pick = (engine: Engine, executors: ReadonlyArray<ExecutorService>, wanted: string | undefined) => {
  const variants = engine.manifest.variants.filter(({ name }) => wanted === undefined || name === wanted)
  for (const executor of executors)
    for (const variant of variants)
      if (variant.target === executor.target && variant.features.every((one) => executor.features.includes(one)))
        return Effect.succeed({ executor, variant })
  const name = (target: string, features: ReadonlyArray<string>): string => [target, ...features].join("+")
  return Effect.fail(
    new TargetError({
      engine: engine.file,
      has: engine.manifest.variants.map((one) => `${one.name} (${name(one.target, one.features)})`),
      offers: executors.map(({ features, target }) => name(target, features))
    })
  )
}

/** All weights must be there before the first run, not during it. */
const refuseStripped = (engine: Engine): Effect.Effect<void, EngineError> => {
  const gone = engine.manifest.sections.find(({ stripped }) => stripped === true)
  return gone === undefined
    ? Effect.void
    : Effect.asVoid(
        Effect.try({
          try: () => engine.section(gone.name),
          catch: (cause) => asEngineError(cause, engine.file)
        })
      )
}

const within = (
  engine: Engine,
  limit: number | undefined,
  { at, peak, weights }: MemoryPlan,
  shapes: string
): Effect.Effect<void, MemoryError> =>
  limit === undefined || weights + peak <= limit
    ? Effect.void
    : Effect.fail(new MemoryError({ engine: engine.file, limit, weights, peak, at, shapes }))

const makeRun = (
  engine: Engine,
  graph: Graph,
  profiles: ReadonlyArray<Profile>,
  executable: Executable,
  memoryLimit: number | undefined,
  plan: (bindings: Bindings) => MemoryPlan
): Session["run"] => {
  // Inputs of the shapes that were checked last need no check again.
  let last: ReadonlyArray<Known> | undefined
  const outputsOf = (results: ReadonlyArray<Tensor.Tensor>, state: State | undefined): Tensors => {
    const outputs: Record<string, Tensor.Tensor> = {}
    for (let index = 0; index < graph.outputs.length; index++) {
      const result = results[index]
      const name = graph.outputs[index]?.name
      if (result !== undefined && name !== undefined) outputs[name] = result
    }
    if (state !== undefined) state.reset(carried(graph, outputs))
    return outputs
  }
  const once = (given: Tensors, options: RunOptions) =>
    Effect.suspend((): Effect.Effect<Tensors, InputError | MemoryError | ExecutionError> => {
      let tensors = last === undefined || options.state !== undefined ? undefined : alike(graph, last, given)
      let limited: Effect.Effect<void, MemoryError> = Effect.void
      if (tensors === undefined) {
        try {
          const checked = check(engine, graph, profiles, given, options.state?.values())
          tensors = checked.tensors
          if (memoryLimit !== undefined) limited = within(engine, memoryLimit, plan(checked.bindings), describe(given))
          // Above a limit the shapes are refused each time.
          if (memoryLimit === undefined && options.state === undefined)
            last = tensors.map(({ data, dtype, shape }) => ({ dtype, shape: [...shape], length: data.length }))
        } catch (cause) {
          return Effect.fail(asInputError(cause))
        }
      }
      const run = Effect.map(
        executable.run(tensors, options.seed === undefined ? {} : { seed: options.seed }),
        (results) => outputsOf(results, options.state)
      )
      return memoryLimit === undefined ? run : Effect.andThen(limited, run)
    })
  return (given, options = {}) => {
    const run = once(given, options)
    return options.state === undefined ? run : options.state.exclusive.withPermits(1)(run)
  }
}

interface Known {
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly length: number
}

/** The tensors in the graph's order, when they are of the types and shapes that were checked; undefined otherwise. */
const alike = (graph: Graph, last: ReadonlyArray<Known>, given: Tensors): ReadonlyArray<Tensor.Tensor> | undefined => {
  const { inputs } = graph
  const found = new Array<Tensor.Tensor>(inputs.length)
  for (let place = 0; place < inputs.length; place++) {
    const input = inputs[place]
    const tensor = input === undefined ? undefined : given[input.name]
    const known = last[place]
    if (tensor === undefined || known === undefined) return undefined
    const { data, dtype, shape } = tensor
    if (dtype !== known.dtype || data.length !== known.length || shape.length !== known.shape.length) return undefined
    for (let axis = 0; axis < shape.length; axis++) if (shape[axis] !== known.shape[axis]) return undefined
    found[place] = tensor
  }
  let count = 0
  for (const _ in given) count++
  return count === inputs.length ? found : undefined
}

const makeBind =
  (
    engine: Engine,
    graph: Graph,
    profiles: ReadonlyArray<Profile>,
    executable: Executable,
    memoryLimit: number | undefined,
    plan: (bindings: Bindings) => MemoryPlan
  ): Session["bind"] =>
  (shapes) =>
    Effect.gen(function* () {
      const { bind } = executable
      if (bind === undefined)
        return yield* new ExecutionError({
          engine: engine.file,
          target: executable.target,
          detail: "this target has no bound form; use run"
        })
      const blank = (input: Input): ReadonlyArray<readonly [string, Tensor.Tensor]> => {
        const shape = shapes[input.name]
        return shape === undefined ? [] : [[input.name, Tensor.zeros(input.type.dtype, shape)]]
      }
      const given: Tensors = {
        ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, Tensor.zeros("bool", shape)])),
        ...Object.fromEntries(graph.inputs.flatMap(blank))
      }
      const { bindings, tensors } = yield* Effect.try({
        try: () => check(engine, graph, profiles, given, undefined),
        catch: asInputError
      })
      if (memoryLimit !== undefined) yield* within(engine, memoryLimit, plan(bindings), describe(given))
      return yield* bind(tensors.map(({ shape }) => shape))
    })

const asInputError = (cause: unknown): InputError => {
  if (cause instanceof InputError) return cause
  throw cause
}

const describe = (given: Tensors): string =>
  Object.entries(given)
    .map(([name, { shape }]) => `${name}:${shape.join("x")}`)
    .join(", ")

/** Outputs under the names of the inputs that they become. */
const carried = (graph: Graph, outputs: Tensors): Tensors => {
  const next: Record<string, Tensor.Tensor> = {}
  for (const { input, output } of graph.aliases) {
    const value = outputs[output]
    if (value !== undefined) next[input] = value
  }
  return next
}

interface Checked {
  readonly bindings: Bindings
  /** In the graph's order. */
  readonly tensors: ReadonlyArray<Tensor.Tensor>
}

/** Everything that can be wrong with the inputs of a run. Throws `InputError`. */
const check = (
  engine: Engine,
  graph: Graph,
  profiles: ReadonlyArray<Profile>,
  given: Tensors,
  state: Tensors | undefined
): Checked => {
  const problems: Array<InputProblem> = []
  const note = (reason: InputProblem["reason"], input: string, detail: string): void =>
    void problems.push({ reason, input, detail })
  const stop = (): never => {
    throw new InputError({ engine: engine.file, problems })
  }
  const carriedNames = new Set(state === undefined ? [] : graph.aliases.map(({ input }) => input))
  const found = new Map<string, Tensor.Tensor>()
  for (const input of graph.inputs) {
    const tensor = given[input.name] ?? state?.[input.name]
    if (tensor !== undefined) {
      found.set(input.name, tensor)
      noteType(input, tensor, note)
    } else if (!carriedNames.has(input.name))
      note("Missing", input.name, `input ${input.name} (${Type.format(input.type)}) is missing`)
  }
  const names = new Set(graph.inputs.map(({ name }) => name))
  for (const name of Object.keys(given))
    if (!names.has(name)) note("Unknown", name, `there is no input ${name}; the inputs are ${[...names].join(", ")}`)
  if (problems.length > 0) return stop()
  const bindings = new Map(bindGiven(graph, found, note))
  if (problems.length > 0) return stop()
  if (profiles.length > 0 && Profiles.choose(profiles, bindings) === undefined)
    note(
      "OutsideProfiles",
      graph.inputs.map(({ name }) => name).join(", "),
      `${[...bindings].map(([symbol, extent]) => `${symbol} = ${extent}`).join(", ")} is in no profile: ${Profiles.list(profiles)}`
    )
  if (problems.length > 0) return stop()
  const tensors = graph.inputs.map((input) => found.get(input.name) ?? zeroState(input, bindings))
  return { bindings, tensors }
}

const noteType = (
  { name, type }: Input,
  tensor: Tensor.Tensor,
  note: (reason: InputProblem["reason"], input: string, detail: string) => void
): void => {
  const expected = Type.format(type)
  if (tensor.dtype !== type.dtype)
    note("DType", name, `input ${name} has dtype ${tensor.dtype}, the engine takes ${expected}`)
  else if (tensor.shape.length !== type.shape.length)
    note(
      "Rank",
      name,
      `input ${name} has rank ${tensor.shape.length} ([${tensor.shape.join()}]), the engine takes ${expected}`
    )
  else if (tensor.data.length !== Tensor.size(tensor.shape))
    note(
      "Shape",
      name,
      `input ${name} has ${tensor.data.length} elements, its shape [${tensor.shape.join()}] has another count`
    )
}

const bindGiven = (
  graph: Graph,
  found: ReadonlyMap<string, Tensor.Tensor>,
  note: (reason: InputProblem["reason"], input: string, detail: string) => void
): Bindings => {
  try {
    return Profiles.bindShapes(graph, new Map([...found].map(([name, { shape }]) => [name, shape])))
  } catch (cause) {
    if (!(cause instanceof Bind.BindError)) throw cause
    for (const problem of cause.problems)
      note("Shape", graph.inputs.find(({ name }) => problem.includes(`input ${name}:`))?.name ?? "", problem)
    return new Map()
  }
}

/** The first value of a state: zeros; a size that no input decides (the length of a cache) is 0. */
const zeroState = ({ type }: Input, bindings: Map<string, number>): Tensor.Tensor => {
  for (const symbol of Type.symbols(type)) if (!bindings.has(symbol)) bindings.set(symbol, 0)
  return Tensor.zeros(
    type.dtype,
    type.shape.map((dim) => Dim.evaluate(dim, bindings) ?? 0)
  )
}
