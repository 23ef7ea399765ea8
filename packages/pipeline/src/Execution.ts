/**
 * How a stage is executed: key, look-up, single flight, retries, progress, ledger, span.
 *
 * The look-up has two steps. The key says what the stage was asked. For a pass it leaves the weights' bytes out; the
 * entry then lists *traces*, each a result with the digests of the weights that were read for it. A trace holds when
 * what it read is still the same, and weights that were only handed on are those of today's input. (Constructive traces
 * with early cut-off: Mokhov, Mitchell, Peyton Jones, "Build systems à la carte", 2018.)
 */
import * as IR from "@anneal/ir/Graph"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Artefact from "./Artefact.ts"
import * as Diagnostic from "./Diagnostic.ts"
import { Graph } from "./Graph.ts"
import type { Digest, Identified, Identity } from "./Key.ts"
import * as Key from "./Key.ts"
import * as Ledger from "./Ledger.ts"
import * as Progress from "./Progress.ts"
import { missing, type Outcome } from "./Step.ts"
import { Store, type StoreError } from "./Store.ts"
import * as Trace from "./Trace.ts"
import * as Verdicts from "./Verdicts.ts"

/** Measurements that belong to another graph than the one at hand. */
export class StaleArtefact extends Schema.TaggedError<StaleArtefact>()("StaleArtefact", {
  stage: Schema.String,
  artefact: Schema.String
}) {
  override get message(): string {
    return `${this.stage}: ${this.artefact} was measured on another graph than the one it would be used on: measure after the last rewrite, or let the passes between transport it`
  }
}

/** Explain, don't run: keys are looked up, and what a missing result leaves unknown is said so. */
export const Dry = Context.Reference<boolean>("@anneal/pipeline/Dry", { defaultValue: () => false })

/** The place in the pipeline's order, as text that sorts: `002.int8.000`. */
export const Position = Context.Reference<string>("@anneal/pipeline/Position", { defaultValue: () => "" })

/** What a dry run found out about a stage. */
export const Explanation = Schema.Struct({
  stage: Schema.String,
  status: Schema.Literals(["hit", "miss", "uncached", "waits"]),
  key: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String)
})
export type Explanation = typeof Explanation.Type

/** Where explanations go. */
export const Explainer = Context.Reference<(position: string, explanation: Explanation) => Effect.Effect<void>>(
  "@anneal/pipeline/Explainer",
  { defaultValue: () => () => Effect.void }
)

type Need = Artefact.Artefact<unknown, unknown> | Context.Key<unknown, Identified>

/** What a stage made. */
export interface Made<A> {
  readonly value: A
  readonly replaced?: ReadonlyMap<string, string>
  /** Digests of the weights that were read; for passes. */
  readonly reads?: ReadonlyArray<Digest>
  readonly validation?: Ledger.ValidationSummary
}

export interface Job<A, E, I> {
  readonly label: string
  readonly name: string
  readonly version: number
  readonly config: Schema.Json
  readonly needs: ReadonlyArray<Need>
  readonly output: Artefact.Artefact<unknown, A>
  readonly retry: Schedule.Schedule<unknown> | undefined
  readonly cache: boolean
  readonly claims?: "exact" | "reassociating" | "lossy"
  /** A pass: the key has the structure of the graph only, and `run` tells which weights it read. */
  readonly tracked?: boolean
  /** More that the result depends on, found in the environment. */
  readonly also?: Effect.Effect<ReadonlyArray<{ readonly need: string; readonly identity: Identity | undefined }>>
  readonly run: Effect.Effect<Made<A>, E, I>
}

interface Keyed {
  readonly key: Digest | undefined
  /** Why there is no key. */
  readonly uncached: string | undefined
  /** What has not been made yet (a dry run). */
  readonly waitsFor: ReadonlyArray<string>
  /** The input graph, encoded: where traces find what was handed on. */
  readonly input: Artefact.Encoded | undefined
}

const isArtefact = (need: Need): need is Artefact.Artefact<unknown, unknown> => "codec" in need

const keyOf = <A, E, I>(job: Job<A, E, I>, env: Context.Context<never>) =>
  Effect.gen(function* () {
    const needs: Array<{ readonly need: string; readonly identity: Identity | Digest }> = []
    const gaps: Array<string> = []
    const waitsFor: Array<string> = []
    let input: Artefact.Encoded | undefined
    for (const need of job.needs) {
      if (isArtefact(need)) {
        const value = Context.getOption(env, need)
        if (Option.isNone(value) || value.value === missing) {
          waitsFor.push(need.key)
          continue
        }
        const encoded = yield* Artefact.encode(need, value.value)
        const isInput = job.tracked === true && need.key === Graph.key
        if (isInput) input = encoded
        needs.push({ need: need.key, identity: (isInput ? Artefact.structureOf : Artefact.contentOf)(encoded) })
      } else {
        const service = Context.getOption(env, need)
        const identity = Option.isSome(service) ? service.value.identity : undefined
        if (Option.isNone(service)) waitsFor.push(need.key)
        else if (identity === undefined) gaps.push(`${need.key} has no identity`)
        else needs.push({ need: need.key, identity })
      }
    }
    for (const { need, identity } of yield* job.also ?? Effect.succeed([])) {
      if (identity === undefined) gaps.push(`${need} has no identity`)
      else needs.push({ need, identity })
    }
    if (!job.cache) gaps.push("the stage does not ask to be")
    const { name, version, config } = job
    const key = gaps.length + waitsFor.length > 0 ? undefined : yield* Key.stageKey({ name, version, config, needs })
    const keyed: Keyed = { key, uncached: gaps.length > 0 ? gaps.join(", ") : undefined, waitsFor, input }
    return keyed
  })

/** The build goes on without the store. */
const withoutStore = (error: StoreError) =>
  Diagnostic.report({
    severity: "warning",
    code: `store-${error.reason.toLowerCase()}`,
    message: error.message,
    action: "the build goes on without caching this result"
  })

/** Measurements must be of the graph at hand. In a pipeline the types see to it; between plain layers only this does. */
const checkFresh = <A, E, I>(job: Job<A, E, I>, env: Context.Context<never>) =>
  Effect.gen(function* () {
    const graph = Context.getOption(env, Graph)
    if (Option.isNone(graph)) return
    for (const need of job.needs) {
      if (!isArtefact(need)) continue
      const value = Option.getOrUndefined(Context.getOption(env, need))
      if (!Artefact.isMeasured(value)) continue
      if (value.measuredOn === (yield* Artefact.digestOf(Graph, graph.value))) continue
      return yield* new StaleArtefact({ stage: job.label, artefact: need.key })
    }
  })

const isRetryable = Schema.is(Schema.Struct({ retryable: Schema.Literal(true) }))
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

const retrying = <A, E, I>(job: Job<A, E, I>): Effect.Effect<Made<A>, E, I> => {
  if (job.retry === undefined) return job.run
  const { retry } = job
  return Effect.suspend(() => {
    let attempt = 0
    const told = Effect.tapError(job.run, (error) => {
      attempt++
      return isRetryable(error)
        ? Progress.tell((here) => ({ _tag: "Retry", ...here, attempt, error: messageOf(error) }))
        : Effect.void
    })
    return Effect.retry(told, { schedule: retry, while: (error) => isRetryable(error) })
  })
}

const idsOf = (graph: IR.Graph): ReadonlySet<string> => {
  const ids = new Set<string>(graph.constants.keys())
  for (const { id } of graph.inputs) ids.add(id)
  for (const node of graph.nodes) for (const { id } of node.outputs) ids.add(id)
  return ids
}

const outcomeOf = <A, E, I>(job: Job<A, E, I>, { value, replaced }: Pick<Made<A>, "value" | "replaced">) =>
  Effect.gen(function* () {
    const digest = yield* Artefact.digestOf(job.output, value)
    // A graph is what its tag says: asking the tag for it narrows the type.
    const graph = Context.getOption(Context.make(job.output, value), Graph)
    const ids = () => (Option.isSome(graph) ? idsOf(graph.value) : new Set<string>())
    const outcome: Outcome<A> = { value, digest, ids, replaced: replaced ?? new Map() }
    return outcome
  })

/** Where everything that a pass changed was found right, and there was nothing to say. */
const verdictOf = <A>({ input, key }: Keyed, { diagnostics, made }: Result<A>, after: Digest): Digest | undefined => {
  const { validation } = made
  if (key === undefined || input === undefined || validation === undefined || diagnostics.length > 0) return undefined
  if (validation.regions === 0 || validation.failed > 0 || validation.notValidated > 0) return undefined
  return Verdicts.digest(key, Artefact.contentOf(input), after)
}

interface Result<A> {
  readonly made: Made<A>
  readonly diagnostics: ReadonlyArray<Diagnostic.Diagnostic>
  readonly changed: boolean
}

const lookUp = <A, E, I>(job: Job<A, E, I>, keyed: Keyed, store: Store, env: Context.Context<never>) =>
  keyed.key === undefined
    ? Effect.succeed(undefined)
    : Trace.find({ store, key: keyed.key, output: job.output, input: keyed.input, given: given(job, env) }).pipe(
        Effect.catchTag("StoreError", (error) => Effect.as(withoutStore(error), undefined))
      )

/** The value that a pass may hand on as it is. */
const given = <A, E, I>(job: Job<A, E, I>, env: Context.Context<never>): A | undefined =>
  job.tracked === true ? Option.getOrUndefined(Context.getOption(env, job.output)) : undefined

const runJob = <A, E, I>(job: Job<A, E, I>, keyed: Keyed, store: Store | undefined, env: Context.Context<never>) =>
  Effect.gen(function* () {
    yield* checkFresh(job, env)
    const began = yield* Clock.currentTimeMillis
    yield* Progress.tell((here) => ({ _tag: "Start", ...here }))
    const subject =
      keyed.key === undefined || keyed.input === undefined
        ? undefined
        : { stage: keyed.key, before: Artefact.contentOf(keyed.input) }
    const told = Effect.provideService(Diagnostic.collect(retrying(job)), Verdicts.Subject, subject)
    const run = Effect.onExit(told, (exit) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Progress.tell((here) => {
          const took = now - began
          if (Exit.isSuccess(exit)) return { _tag: "End", ...here, took }
          if (Cause.hasInterruptsOnly(exit.cause)) return { _tag: "Interrupted", ...here, took }
          return { _tag: "Failure", ...here, took, error: messageOf(Cause.squash(exit.cause)) }
        })
      )
    )
    const [made, diagnostics] = yield* run
    const result: Result<A> = { made, diagnostics, changed: made.value !== given(job, env) }
    if (store !== undefined && keyed.key !== undefined) {
      const { key, input } = keyed
      const keep = Trace.keep({ store, key, output: job.output, input, same: !result.changed, made, diagnostics })
      yield* Effect.catchTag(keep, "StoreError", withoutStore)
    }
    return result
  })

/** Executes a stage in its environment. Undefined: a dry run, and the result is not in the store. */
export const execute = <A, E, I>(
  job: Job<A, E, I>
): Effect.Effect<Outcome<A> | undefined, E | StaleArtefact | Artefact.ArtefactError | Key.KeyError, I> =>
  Effect.gen(function* () {
    const env = yield* Effect.context<I>()
    const place = yield* Progress.Place
    const stage = place === "" ? job.label : `${place}/${job.label}`
    const inStage = Effect.gen(function* () {
      const keyed = yield* keyOf(job, env)
      const store = yield* Store
      if (yield* Dry) return yield* explain(job, stage, keyed, store, env)
      const result = yield* cached(job, keyed, store, env)
      const outcome = yield* outcomeOf(job, result.made)
      const record = yield* Ledger.Recorder
      const verdict = verdictOf(keyed, result, outcome.digest)
      yield* record(yield* Position, {
        stage,
        ...(keyed.key === undefined ? {} : { key: keyed.key }),
        ...(keyed.uncached === undefined ? {} : { uncached: keyed.uncached }),
        output: outcome.digest,
        ...(job.claims === undefined ? {} : { claims: job.claims, changed: result.changed }),
        ...(result.made.validation === undefined ? {} : { validation: result.made.validation }),
        ...(verdict === undefined ? {} : { verdict }),
        diagnostics: result.diagnostics
      })
      yield* Effect.annotateCurrentSpan({ "anneal.key": keyed.key ?? "", "anneal.output": outcome.digest })
      return outcome
    })
    return yield* inStage.pipe(
      Effect.provideService(Progress.Place, stage),
      Effect.provideService(Diagnostic.Sink, (diagnostic) =>
        Effect.provideService(
          Progress.tell((here) => ({ _tag: "Finding", ...here, diagnostic })),
          Progress.Place,
          stage
        )
      ),
      Effect.withSpan(
        `anneal.stage.${job.name}`,
        { attributes: { "anneal.stage": stage, "anneal.version": job.version, "anneal.claims": job.claims ?? "" } },
        // A stage is declared elsewhere: the stack here says nothing about it.
        { captureStackTrace: false }
      )
    )
  })

const cached = <A, E, I>(job: Job<A, E, I>, keyed: Keyed, store: Store | undefined, env: Context.Context<I>) =>
  Effect.gen(function* () {
    const { key } = keyed
    if (store === undefined || key === undefined) {
      const reason = keyed.uncached ?? "there is no store"
      yield* Progress.tell((here) => ({ _tag: "Uncached", ...here, reason }))
      return yield* runJob(job, keyed, store, env)
    }
    const hit = (result: Result<A>, waited: boolean) =>
      Effect.gen(function* () {
        yield* Progress.tell((here) => ({ _tag: "Hit", ...here, key, waited }))
        yield* Effect.forEach(result.diagnostics, Diagnostic.report, { discard: true })
        return result
      })
    const found = yield* lookUp(job, keyed, store, env)
    if (found !== undefined) return yield* hit(found, false)
    return yield* store.exclusive(key, (waited) =>
      Effect.gen(function* () {
        // Whoever held the key since the first look may have made it.
        const foundNow = yield* lookUp(job, keyed, store, env)
        if (foundNow !== undefined) return yield* hit(foundNow, waited)
        yield* Progress.tell((here) => ({ _tag: "Miss", ...here, key }))
        return yield* runJob(job, keyed, store, env)
      })
    )
  })

const explain = <A, E, I>(
  job: Job<A, E, I>,
  stage: string,
  keyed: Keyed,
  store: Store | undefined,
  env: Context.Context<I>
) =>
  Effect.gen(function* () {
    const say = yield* Explainer
    const position = yield* Position
    if (keyed.waitsFor.length > 0) {
      yield* say(position, { stage, status: "waits", reason: `waits for ${keyed.waitsFor.join(", ")}` })
      return undefined
    }
    if (store === undefined || keyed.key === undefined) {
      yield* say(position, { stage, status: "uncached", reason: keyed.uncached ?? "there is no store" })
      return undefined
    }
    const found = yield* lookUp(job, keyed, store, env)
    yield* say(position, { stage, status: found === undefined ? "miss" : "hit", key: keyed.key })
    return found === undefined ? undefined : yield* outcomeOf(job, found.made)
  })
