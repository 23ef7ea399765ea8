/**
 * From a graph to what a target keeps in the engine: regions, decisions, code.
 *
 *   lock (if there) → tuner for what it leaves open → code; the lock is written again
 *
 * Frozen: the lock decides everything, or the build fails with all that it does not settle. The reference target has no
 * code: it runs the graph.
 */
import type { Payload } from "@anneal/engine/Engine"
import type { Profile } from "@anneal/engine/Manifest"
import type * as IR from "@anneal/ir/Graph"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Progress from "@anneal/pipeline/Progress"
import type { TargetService } from "@anneal/pipeline/Target"
import type * as Tuners from "@anneal/pipeline/Tuner"
import { Tuner } from "@anneal/pipeline/Tuner"
import type { FileError } from "@anneal/tune/FileError"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Lock from "@anneal/tune/Lock"
import * as LockedTuner from "@anneal/tune/LockedTuner"
import * as LockFile from "@anneal/tune/LockFile"
import * as Compile from "@anneal/wasm/Compile"
import * as Payloads from "@anneal/wasm/Payloads"
import * as WasmTarget from "@anneal/wasm/Target"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as LockFirstTuner from "./LockFirstTuner.ts"
import { UsageError } from "./UsageError.ts"

export interface Options {
  /** The lock: read if it is there, written after the build. */
  readonly lock?: string
  /** Nothing is decided but by the lock, and nothing is written to it. */
  readonly frozen?: boolean
  /** Ids of fusions that are not to be made; `inspect` lists them. */
  readonly fusionsOff?: ReadonlyArray<string>
}

export interface Compiled {
  readonly payload: ReadonlyArray<Payload>
  /** What was decided; none for a target without code. */
  readonly lock: Lock.Lock | undefined
}

/** Runs as a stage of its own for those who watch. */
const asStage = <A, E, R>(stage: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    const sink = yield* Diagnostic.Sink
    yield* Progress.tell((here) => ({ _tag: "Start", ...here }))
    return yield* effect.pipe(
      Effect.provideService(Diagnostic.Sink, (diagnostic) =>
        Effect.andThen(
          sink(diagnostic),
          Progress.tell((here) => ({ _tag: "Finding", ...here, diagnostic }))
        )
      ),
      Effect.onExit((exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Progress.tell((here) =>
            Exit.isSuccess(exit)
              ? { _tag: "End", ...here, took: now - began }
              : { _tag: "Failure", ...here, took: now - began, error: "" }
          )
        )
      )
    )
  }).pipe(Effect.provideService(Progress.Place, stage))

/** What the code is for: the first of the flavours is tuned. */
export const header = (): Lock.Header => {
  const [first = WasmTarget.plain] = Compile.defaultFlavours
  return {
    target: WasmTarget.name,
    features: [...Payloads.featureNames(first), ...(first.wide ? ["wide"] : [])].toSorted(),
    generator: `${WasmTarget.name}@${Payloads.generator}`
  }
}

const readLock = (path: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const there = yield* Effect.orElseSucceed(files.exists(path), () => false)
    return there ? yield* LockFile.read(path) : undefined
  })

/** The tuner that decides, in view of the lock. */
const tunerOf = (
  { frozen, lock: file }: Options,
  here: Lock.Header
): Effect.Effect<
  { readonly tuner: Tuners.TunerService; readonly before: Lock.Lock | undefined },
  UsageError | Lock.LockError | FileError,
  FileSystem.FileSystem | Tuner
> =>
  Effect.gen(function* () {
    if (file === undefined) {
      if (frozen === true)
        return yield* new UsageError({ detail: "--frozen builds what a lock says: give it with --lock FILE" })
      return { tuner: yield* Tuner, before: undefined }
    }
    const before = yield* readLock(file)
    if (frozen === true) {
      if (before === undefined)
        return yield* new UsageError({
          detail: `--frozen: there is no lock ${file}; build once without --frozen to make it`
        })
      const context = yield* Effect.scoped(Layer.build(LockedTuner.layer(before, here)))
      return { tuner: Context.get(context, Tuner), before }
    }
    const inner = yield* Tuner
    return { tuner: before === undefined ? inner : LockFirstTuner.make(before, file, here, inner), before }
  })

/** The lock after a build: what was decided now, and what the lock says of other models. */
const merged = (before: Lock.Lock | undefined, now: Lock.Lock): Lock.Lock =>
  before === undefined || LockFirstTuner.otherThings(before, now).length > 0
    ? now
    : Lock.make(now, [...before.decisions, ...now.decisions])

/** Plans, decides, writes code. Without a `Tuner` the predictions decide. */
export const compile = (
  target: TargetService,
  graph: IR.Graph,
  profiles: ReadonlyArray<Profile>,
  options: Options
): Effect.Effect<
  Compiled,
  UsageError | Lock.LockError | FileError | Tuners.TunerError | Tuners.LockMiss,
  FileSystem.FileSystem
> =>
  Effect.gen(function* () {
    const { fusionsOff = [], lock: file } = options
    if (target.name !== WasmTarget.name) {
      if (file !== undefined || options.frozen === true || fusionsOff.length > 0)
        return yield* new UsageError({
          detail: `--lock, --frozen and --fusion-off are for targets with code; ${target.name} runs the graph as it is`
        })
      return { payload: [], lock: undefined }
    }
    const here = header()
    const given = yield* Effect.serviceOption(Tuner)
    const fallback = Layer.succeed(Tuner, given._tag === "Some" ? given.value : yield* heuristic)
    const { before, tuner } = yield* Effect.provide(tunerOf(options, here), fallback)
    const compiled = yield* Compile.compile(graph, {
      profiles,
      variant: target.name,
      lowering: { fusionsOff, layouts: {} }
    }).pipe(Effect.provideService(Tuner, tuner))
    const choices = compiled.programs.flatMap((one) => one.choices)
    const decided = Lock.fromDecisions(here, choices, compiled.decisions)
    const lock = merged(before, decided)
    if (file !== undefined && options.frozen !== true) yield* LockFile.write(file, lock)
    return { payload: compiled.payload, lock }
  }).pipe((effect) => (target.name === WasmTarget.name ? asStage("compile", effect) : effect))

const heuristic = Effect.map(Effect.scoped(Layer.build(HeuristicTuner.layer)), (context) => Context.get(context, Tuner))
