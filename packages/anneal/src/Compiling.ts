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
import * as Inference from "@anneal/pipeline/Inference"
import type { Ledger } from "@anneal/pipeline/Ledger"
import { Measurer } from "@anneal/pipeline/Measurer"
import type { Oracle } from "@anneal/pipeline/Oracle"
import * as Progress from "@anneal/pipeline/Progress"
import type { TargetService } from "@anneal/pipeline/Target"
import * as Key from "@anneal/pipeline/Key"
import * as Samples from "@anneal/pipeline/Samples"
import { Store } from "@anneal/pipeline/Store"
import type { Decision, LockMiss, TunerError } from "@anneal/pipeline/Tuner"
import * as Tuners from "@anneal/pipeline/Tuner"
import { Tuner } from "@anneal/pipeline/Tuner"
import * as Event from "@anneal/tune/Event"
import type { FileError } from "@anneal/tune/FileError"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Journal from "@anneal/tune/Journal"
import * as Lock from "@anneal/tune/Lock"
import * as LockDiff from "@anneal/tune/LockDiff"
import * as LockedTuner from "@anneal/tune/LockedTuner"
import * as LockFile from "@anneal/tune/LockFile"
import * as MachineTurn from "@anneal/tune/MachineTurn"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Compile from "@anneal/wasm/Compile"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Recorded from "@anneal/wasm/measure/Recorded"
import * as Runners from "@anneal/wasm/measure/Runners"
import * as Validation from "@anneal/wasm/measure/Validation"
import * as Payloads from "@anneal/wasm/Payloads"
import * as WasmTarget from "@anneal/wasm/Target"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { availableParallelism } from "node:os"
import type { Plugins } from "./Plugin.ts"
import { UsageError } from "./UsageError.ts"

/** A tuner of the user's or ours; it may measure, and keep what it measured. */
export type TunerLayer = Layer.Layer<Tuner, never, Measurer | Journal.Journal>

export interface Options {
  /** Decides what the lock leaves open. Default: what is predicted to be fastest. */
  readonly tuner?: TunerLayer
  /** The lock: read if it is there, written after the build. */
  readonly lock?: string
  /** Where measurements are kept; default: beside the lock, or nowhere. */
  readonly journal?: string
  /** Also code for hosts with V8's 256-bit vectors; such a host must ask for it. */
  readonly wide?: boolean
  /** Nothing is decided but by the lock, and nothing is written to it. */
  readonly frozen?: boolean
  /**
   * Whether kernels that nobody has checked are held against their regions' definitions: those that were predicted rather
   * than measured, and those that are the only ones. What a lock says was checked when it was locked. Default true.
   */
  readonly checkKernels?: boolean
  /** Ids of fusions that are not to be made, beside those that the lock switches off; `anneal inspect --fusions` lists them. */
  readonly fusionsOff?: ReadonlyArray<string>
  /** Plug-ins, whose kernels are candidates beside ours. */
  readonly plugins?: Pick<Plugins, "sources" | "claims">
}

/** What was decided for a build, and how. */
export interface Decided {
  readonly lock: Lock.Lock
  /** Decisions by why they were made: `fastest`, `predicted`, `locked`, … */
  readonly why: Readonly<Record<string, number>>
  /** Kernels that were held against their regions' definitions after they were decided. */
  readonly checked: number
  /** Candidates that were timed, and those found wrong, with why. */
  readonly timed: number
  readonly rejected: ReadonlyArray<{ readonly node: string; readonly candidate: string; readonly why: string }>
}

export interface Compiled {
  readonly payload: ReadonlyArray<Payload>
  /** Undefined for a target without code. */
  readonly decided: Decided | undefined
  /** Fusions that were not made, on request or by the lock; sorted. */
  readonly fusionsOff: ReadonlyArray<string>
}

/** The journal that belongs to a lock. */
export const journalOf = (lock: string): string => `${lock}.journal`

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

/** What keeps a lock's decisions from being used for what is built now; empty: nothing. */
const otherThings = (lock: Lock.Lock, here: Lock.Header): ReadonlyArray<string> =>
  LockDiff.diff(Lock.make(lock, []), Lock.make(here, [])).flatMap((difference) =>
    difference._tag === "Header" ? [`${difference.field} ${difference.before}, not ${difference.after}`] : []
  )

// ---- rewrites that were checked -----------------------------------------------------------------------------------------

/** Names an entry of the lock for a rewrite that was found right; the verdict's digest follows. */
const rewritePrefix = "rewrite "
const Regions = Schema.Struct({ regions: Schema.Int })
const isRegions = Schema.is(Regions)

/** Rewrites that a lock says were checked when it was made, with how many regions each had. */
export const verdictsIn = ({
  lock: file
}: Pick<Options, "lock">): Effect.Effect<
  ReadonlyMap<Key.Digest, number>,
  Lock.LockError | FileError,
  FileSystem.FileSystem
> =>
  Effect.map(file === undefined ? Effect.succeed(undefined) : readLock(file), (lock) => {
    const found = new Map<Key.Digest, number>()
    for (const { candidate, config, key } of lock?.decisions ?? [])
      if (key.startsWith(rewritePrefix) && candidate === "right" && isRegions(config))
        found.set(key.slice(rewritePrefix.length), config.regions)
    return found
  })

const verdictEntries = (ledger: Ledger): ReadonlyArray<Lock.LockEntry> =>
  ledger.flatMap(({ stage, validation, verdict }) =>
    verdict === undefined || validation === undefined
      ? []
      : [
          {
            key: `${rewritePrefix}${verdict}`,
            nodes: [stage],
            candidate: "right",
            config: { regions: validation.regions }
          }
        ]
  )

/** The tuner that decides, in view of the lock. */
const tunerOf = (
  { frozen, lock: file, tuner: rest = HeuristicTuner.layer }: Options,
  before: Lock.Lock | undefined,
  here: Lock.Header
): Effect.Effect<TunerLayer, UsageError> =>
  Effect.gen(function* () {
    if (frozen === true) {
      if (file === undefined)
        return yield* new UsageError({ detail: "--frozen builds what a lock says: give it with --lock FILE" })
      if (before === undefined)
        return yield* new UsageError({
          detail: `--frozen: there is no lock ${file}; build once without --frozen to make it`
        })
      return LockedTuner.layer(before, here)
    }
    if (before === undefined) return rest
    const others = otherThings(before, here)
    if (others.length > 0)
      yield* Diagnostic.report({
        severity: "warning",
        code: "lock-of-other-target",
        message: `${file ?? "the lock"} is for ${others.join("; ")}: none of its decisions is used`,
        action: "the new lock takes its place; keep a copy of the old one if you need it"
      })
    return Layer.provide(LockedTuner.layerFirst(before, here), rest)
  })

/**
 * What the graph's values hold on the first of the samples for calibration, where there are any: known once it is asked for.
 * `identity`: of the samples.
 */
const recordedOf = (graph: IR.Graph) =>
  Effect.gen(function* () {
    const given = yield* Effect.serviceOption(Samples.Samples)
    if (Option.isNone(given)) return { identity: null, recorded: Effect.succeed(Recorded.none) }
    const inference = yield* Inference.current
    const recorded = Effect.gen(function* () {
      const [sample] = yield* Effect.provideService(Samples.take(1), Samples.Samples, given.value)
      return sample === undefined ? Recorded.none : yield* Recorded.record(graph, sample, inference)
    }).pipe(
      Effect.catch((error) =>
        Effect.as(
          Diagnostic.report({
            severity: "warning",
            code: "kernels-not-calibrated",
            message: `kernels were not checked on the samples: ${error.message}`,
            action: "they were checked on random and edge values; look at the first sample"
          }),
          Recorded.none
        )
      )
    )
    return { identity: given.value.identity ?? null, recorded: yield* Effect.cached(recorded) }
  })

type RecordedData = Effect.Success<ReturnType<typeof recordedOf>>

/** What measures candidates of these programs. */
const measurerOf = (
  { offers, planned }: Compile.Made,
  { flavours }: Compile.Options,
  { recorded }: RecordedData,
  runners: Runners.Runners
) => {
  const [features = WasmTarget.plain] = flavours ?? Compile.defaultFlavours
  let subjects: ReadonlyMap<string, Measure.Subject> | undefined
  const subject = (key: string): Measure.Subject | undefined => {
    subjects ??= Compile.subjects(planned, offers, features)
    return subjects.get(key)
  }
  return Measure.make({ features, subject, recorded, parallel: availableParallelism(), runners })
}

/** A fusion that is off is decided too: an entry of the lock beside the kernels'. */
const fusionOff = (id: string): Lock.LockEntry => ({ key: `fusion ${id}`, nodes: [], candidate: "off", config: null })

/** Fusions that the lock switches off. */
const offIn = (lock: Lock.Lock | undefined, here: Lock.Header): ReadonlyArray<string> =>
  lock === undefined || otherThings(lock, here).length > 0
    ? []
    : lock.decisions.flatMap(({ candidate, key }) =>
        key.startsWith("fusion ") && candidate === "off" ? [key.slice("fusion ".length)] : []
      )

/** A kernel that was right for a region is right for every region of that key: by the same generator, on the same data. */
const rightKey = ({ candidate, key }: Decision, by: Schema.Json): string =>
  Key.digest({ kernel: Tuners.identify(candidate), region: key, by, right: 2 })

const known = (decision: Decision, by: Schema.Json) =>
  Effect.flatMap(Store, (store) =>
    store === undefined
      ? Effect.succeed(false)
      : Effect.map(Effect.option(store.entry(rightKey(decision, by))), (found) => Option.isSome(Option.flatten(found)))
  )

/** A store that cannot be written costs the next build time, and says so by the stages that it does not keep. */
const remember = (decision: Decision, by: Schema.Json) =>
  Effect.flatMap(Store, (store) =>
    store === undefined ? Effect.void : Effect.ignore(store.setEntry(rightKey(decision, by), true))
  )

/**
 * Holds the decisions against the regions' definitions that no measurement has: a wrong kernel gives way to a right one.
 * `count` is told how many; those that the store knows to be right are not looked at again.
 */
const checking = (
  events: ReadonlyArray<Event.Event>,
  generator: string,
  { identity, recorded }: RecordedData,
  runners: Runners.Runners,
  count: (checked: number) => void
) => {
  const by = { generator, data: identity === null ? null : { ...identity } }
  return Effect.map(
    Validation.make({ parallel: availableParallelism(), recorded, runners }),
    (validate): Validation.Validate =>
      (decided) =>
        Effect.gen(function* () {
          const unmeasured = new Set(
            events.flatMap((event) =>
              event._tag === "Decided" && (event.why === "predicted" || event.why === "only") ? [event.key] : []
            )
          )
          const checkedBefore = new Set(
            events.flatMap((event) => (event._tag === "Checked" ? [`${event.key} ${event.candidate}`] : []))
          )
          const open: Array<Decision> = []
          for (const decision of decided.decisions) {
            const { candidate, key } = decision
            if (!unmeasured.has(key) || checkedBefore.has(`${key} ${Tuners.identify(candidate)}`)) continue
            if (!(yield* known(decision, by))) open.push(decision)
          }
          count(open.length)
          const settled = yield* validate({ ...decided, decisions: open })
          yield* Effect.forEach(settled, (decision) => remember(decision, by), { discard: true })
          const right = new Map(settled.map((decision) => [decision.key, decision]))
          return decided.decisions.map((decision) => right.get(decision.key) ?? decision)
        })
  )
}

/** The lock after a build: what was decided now, and what the lock says of other models. */
const merged = (before: Lock.Lock | undefined, now: Lock.Lock): Lock.Lock =>
  before === undefined || otherThings(before, now).length > 0
    ? now
    : Lock.make(now, [...before.decisions, ...now.decisions])

/**
 * Plans, decides, writes code. A `Measurer` that is provided measures in place of the target's own. `ledger`: what was done to
 * the graph before; the lock says which rewrites were found right.
 */
export const compile = (
  target: TargetService,
  graph: IR.Graph,
  profiles: ReadonlyArray<Profile>,
  options: Options,
  ledger: Ledger = []
): Effect.Effect<
  Compiled,
  UsageError | Lock.LockError | FileError | TunerError | LockMiss,
  FileSystem.FileSystem | Oracle
> =>
  target.name === WasmTarget.name
    ? asStage("compile", Effect.scoped(compileWasm(graph, profiles, options, ledger)))
    : withoutCode(target, options)

const withoutCode = (target: TargetService, { frozen, fusionsOff = [], lock, tuner }: Options) => {
  const nothing: Compiled = { payload: [], decided: undefined, fusionsOff: [] }
  return lock === undefined && frozen !== true && fusionsOff.length === 0 && tuner === undefined
    ? Effect.succeed(nothing)
    : Effect.fail(
        new UsageError({
          detail: `target ${target.name} runs the graph as it is: it has nothing to tune, to lock or to fuse`
        })
      )
}

const compileWasm = (graph: IR.Graph, profiles: ReadonlyArray<Profile>, options: Options, ledger: Ledger) =>
  Effect.gen(function* () {
    const { lock: file, journal = file === undefined ? undefined : journalOf(file) } = options
    const here = header()
    const before = file === undefined ? undefined : yield* readLock(file)
    const fusionsOff = [...new Set([...(options.fusionsOff ?? []), ...offIn(before, here)])].toSorted()
    const wanted = {
      profiles,
      variant: WasmTarget.name,
      flavours: [...Compile.defaultFlavours, ...(options.wide === true ? [WasmTarget.wide] : [])],
      lowering: { fusionsOff, layouts: {} },
      ...(options.plugins === undefined
        ? {}
        : { sources: [...Candidates.sources, ...options.plugins.sources], claims: options.plugins.claims })
    }
    const runners = yield* Runners.make
    // Where nothing is locked kernels will be run: workers start while programs are planned.
    if (before === undefined && options.checkKernels !== false) yield* runners.start(availableParallelism())
    const compiling = { ...wanted, made: Compile.plan(graph, wanted) }
    const data = yield* recordedOf(graph)
    const given = yield* Effect.serviceOption(Measurer)
    const measurer = Option.isSome(given) ? given.value : yield* measurerOf(compiling.made, wanted, data, runners)
    const tuner = (yield* tunerOf(options, before, here)).pipe(
      Layer.provide(Layer.succeed(Measurer, measurer)),
      Layer.provide(journal === undefined ? Journal.layerMemory : Journal.layerFile(journal))
    )
    const events: Array<Event.Event> = []
    const listener = yield* Event.Listener
    let checked = 0
    const validate =
      options.checkKernels === false || options.frozen === true
        ? {}
        : { validate: yield* checking(events, here.generator, data, runners, (count) => void (checked = count)) }
    const compiled = yield* Compile.compile(graph, { ...compiling, ...validate }).pipe(
      Effect.provide(tuner),
      Effect.provideService(MachineTurn.MachineTurn, yield* MachineTurn.byFile()),
      Effect.provideService(Event.Listener, (event) =>
        Effect.suspend(() => {
          events.push(event)
          return listener(event)
        })
      )
    )
    const choices = compiled.programs.flatMap((one) => one.choices)
    const kernels = Lock.fromDecisions(here, choices, compiled.decisions)
    const lock = Lock.make(here, [...kernels.decisions, ...fusionsOff.map(fusionOff)])
    if (file !== undefined && options.frozen !== true) {
      const whole = Lock.make(here, [...lock.decisions, ...verdictEntries(ledger)])
      yield* LockFile.write(file, merged(before, whole))
    }
    return { payload: compiled.payload, decided: summarize(lock, events, checked), fusionsOff }
  })

const summarize = (lock: Lock.Lock, events: ReadonlyArray<Event.Event>, checked: number): Decided => {
  const why: Record<string, number> = {}
  const rejected: Array<Decided["rejected"][number]> = []
  let timed = 0
  for (const event of events) {
    if (event._tag === "Timed") timed++
    if (event._tag === "Decided") why[event.why] = (why[event.why] ?? 0) + 1
    if (event._tag === "Rejected")
      rejected.push({ node: event.node, candidate: event.candidate, why: `${event.reason}: ${event.detail}` })
  }
  return { lock, why, checked, timed, rejected }
}
