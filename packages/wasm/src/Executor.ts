/**
 * Executor: runs engines for the target `wasm` in this host's sandbox.
 *
 * ```ts
 * const session = yield* Session.load("model.engine").pipe(Effect.provide(Executor.layer()))
 * ```
 * Sessions over one engine share its weights and code; each has an arena of its own. A run is one call of generated code,
 * unless a node is left to the oracle. Nothing of Node is used here.
 */
import type { Engine } from "@anneal/engine/Engine"
import type { Variant } from "@anneal/engine/Manifest"
import { Oracle } from "@anneal/pipeline/Oracle"
import type { Executable, ExecutorService, Prepared } from "@anneal/runtime/Executor"
import * as Runtime from "@anneal/runtime/Executor"
import type { ExecutionError } from "@anneal/runtime/RuntimeError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Features from "./Features.ts"
import { Heap } from "./Heap.ts"
import type * as Image from "./Image.ts"
import { Loaded } from "./Loaded.ts"
import type { Shared } from "./Running.ts"
import { explain, failure, Running, target } from "./Running.ts"
import type { PoolOptions } from "./Threads.ts"
import { ThreadPool } from "./Threads.ts"

export { target }

export interface Options {
  /** Bytes of memory for one engine: weights and the values of all its sessions. Default: what 32-bit addresses reach. */
  readonly memoryLimit?: number
  /** Take code for hosts that pair vectors (V8's `--experimental-wasm-revectorize`), where the engine has some. */
  readonly wide?: boolean
  /**
   * Threads that compute a run together, and how the host starts a worker. Default: one, which is faster for what takes less
   * than a millisecond or so.
   */
  readonly threads?: PoolOptions
  /** Features to do without; for tests. */
  readonly without?: ReadonlyArray<Features.FeatureName>
}

const variantOf = (engine: Engine, name: string): Variant => {
  const found = engine.manifest.variants.find((variant) => variant.name === name)
  if (found === undefined) throw failure(engine, `it has no variant ${name}`)
  return found
}

/** The units that this host runs, those that use most of it first. */
const runnable = (
  units: ReadonlyArray<Image.Unit>,
  features: ReadonlyArray<string>,
  wide: boolean
): ReadonlyArray<Image.Unit> => {
  const here = units.filter((unit) => unit.features.every((one) => features.includes(one)) && (wide || !unit.wide))
  const rank = (unit: Image.Unit): number => (unit.wide ? 100 : 0) + unit.features.length
  const best = Math.max(...here.map(rank))
  return here.filter((unit) => rank(unit) === best)
}

/** The executor of this host, on one thread. What sessions share lives as long as one of them does. */
export const make = (options: Omit<Options, "threads"> = {}): Effect.Effect<ExecutorService, never, Oracle> =>
  over(options, undefined)

/** The same on as many threads as `options` say; they end with the scope and the last of the sessions. */
export const scoped = (options: Options = {}): Effect.Effect<ExecutorService, never, Oracle | Scope.Scope> => {
  const { threads } = options
  if (threads === undefined || threads.threads <= 1) return make(options)
  return Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => new ThreadPool(threads)),
      (pool) => Effect.promise(() => pool.release())
    ),
    (pool) => over(options, pool)
  )
}

const over = (
  options: Omit<Options, "threads">,
  pool: ThreadPool | undefined
): Effect.Effect<ExecutorService, never, Oracle> =>
  Effect.map(Oracle, (oracle) => {
    const features = Features.ofHost().filter((name) => options.without?.includes(name) !== true)
    const shared = new Map<Engine, Map<string, Shared>>()
    const share = (engine: Engine, variant: string): Shared => {
      const { memoryLimit: limit } = options
      const heap = new Heap({ shared: pool !== undefined, ...(limit === undefined ? {} : { limit }) })
      const found = variantOf(engine, variant)
      if (found.payload.length === 0) throw failure(engine, `variant ${variant} holds no code; build it again`)
      const loaded = new Loaded(engine, found, heap)
      return { loaded, team: pool?.team(heap), sessions: 0 }
    }
    const acquire = (what: Prepared): { readonly session: Running; readonly entry: Shared } => {
      const { engine, variant } = what
      const byVariant = shared.get(engine) ?? new Map<string, Shared>()
      shared.set(engine, byVariant)
      const entry = byVariant.get(variant) ?? share(engine, variant)
      byVariant.set(variant, entry)
      entry.sessions++
      const units = runnable(entry.loaded.units, features, options.wide ?? false)
      const session = new Running(what, entry, oracle, units)
      try {
        // The first is for the sizes that the engine is wanted for: its weights are read, and checked, now.
        const [first] = units
        if (first !== undefined) entry.loaded.program(first)
      } catch (cause) {
        release(what, session, entry)
        throw cause
      }
      return { session, entry }
    }
    const release = ({ engine, variant }: Prepared, session: Running, entry: Shared): void => {
      session.release()
      if (--entry.sessions > 0) return
      entry.team?.release()
      shared.get(engine)?.delete(variant)
      if (shared.get(engine)?.size === 0) shared.delete(engine)
    }
    /** A session may outlive the layer that made it: it keeps the workers. */
    const held = (engine: Engine): Effect.Effect<void, ExecutionError, Scope.Scope> =>
      pool === undefined
        ? Effect.void
        : Effect.acquireRelease(Effect.try({ try: () => pool.hold(), catch: (cause) => explain(engine, cause) }), () =>
            Effect.promise(() => pool.release())
          )
    /** Workers start while the engine is read; a session is there when they are. */
    const started = (engine: Engine): Effect.Effect<void, ExecutionError> =>
      pool === undefined
        ? Effect.void
        : Effect.tryPromise({ try: () => pool.start(), catch: (cause) => explain(engine, cause) })
    const prepare = (what: Prepared): Effect.Effect<Executable, ExecutionError, Scope.Scope> =>
      held(what.engine).pipe(
        Effect.andThen(prepared(what)),
        Effect.tap(() => started(what.engine))
      )
    const prepared = (what: Prepared): Effect.Effect<Executable, ExecutionError, Scope.Scope> =>
      Effect.map(
        Effect.acquireRelease(
          Effect.try({ try: () => acquire(what), catch: (cause) => explain(what.engine, cause) }),
          ({ entry, session }) => Effect.sync(() => release(what, session, entry))
        ),
        ({ entry, session }): Executable => ({
          target,
          run: (inputs, runOptions) => session.run(inputs, runOptions?.seed),
          bind: (shapes) =>
            Effect.try({ try: () => session.bind(shapes), catch: (cause) => explain(what.engine, cause) }),
          allocate: (dtype, shape) =>
            Effect.try({ try: () => session.allocate(dtype, shape), catch: (cause) => explain(what.engine, cause) }),
          observe: (inputs, onValue, runOptions) => session.observe(inputs, onValue, runOptions?.seed),
          profile: (inputs, profileOptions) => session.profile(inputs, profileOptions),
          memory: () => ({
            weights: entry.loaded.weightBytes,
            values: session.valueBytes(),
            memory: entry.loaded.heap.memory.buffer.byteLength
          })
        })
      )
    return { target, features, prepare }
  })

/** The target alone. */
export const layer = (options: Options = {}): Layer.Layer<Runtime.Executors, never, Oracle> =>
  Layer.effect(
    Runtime.Executors,
    Effect.map(scoped(options), (one) => [one])
  )
