/**
 * Progress: what a build is doing, as a stream of typed events.
 *
 * ```ts
 * const progress = yield* Progress.make
 * yield* progress.events.pipe(Stream.runForEach(draw), Effect.forkScoped)
 * yield* Effect.provideService(build, Progress.Progress, progress.emit)
 * ```
 * Times come from `Clock`, milliseconds. Nobody watching costs nothing.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Diagnostic } from "./Diagnostic.ts"

const common = {
  /** The stage's place in the build: branch names and the stage, `int8/calibrate@1`. */
  stage: Schema.String,
  /** Milliseconds since 1970. */
  at: Schema.Finite
}
const keyed = { ...common, key: Schema.String }

/** All that can happen in a build. */
export const Event = Schema.TaggedUnion({
  /** The result was in the store; `waited`: another fiber or process was just making it. */
  Hit: { ...keyed, waited: Schema.Boolean },
  /** It was not in the store: the stage will run. */
  Miss: keyed,
  /** It cannot be cached, and why: the stage will run. */
  Uncached: { ...common, reason: Schema.String },
  Start: common,
  /** A failure that may pass. `attempt` counts from 1. */
  Retry: { ...common, attempt: Schema.Int, error: Schema.String },
  /** `done` of `total` (samples, candidates, regions); `total` is absent when it is not known. */
  Step: { ...common, what: Schema.String, done: Schema.Finite, total: Schema.optionalKey(Schema.Finite) },
  Finding: { ...common, diagnostic: Diagnostic },
  /** How a pass's rewrites fared against the oracle; `inferences`: the work, in whole-model inferences. */
  Validated: {
    ...common,
    regions: Schema.Int,
    memoised: Schema.Int,
    failed: Schema.Int,
    notValidated: Schema.Int,
    inferences: Schema.Finite
  },
  /** Milliseconds that the stage took. */
  End: { ...common, took: Schema.Finite },
  Failure: { ...common, took: Schema.Finite, error: Schema.String },
  Interrupted: { ...common, took: Schema.Finite }
})
export type Event = typeof Event.Type

/** Where events go. */
export const Progress = Context.Reference<(event: Event) => Effect.Effect<void>>("@anneal/pipeline/Progress", {
  defaultValue: () => () => Effect.void
})

/** The place of the stage that is running: branch names and the stage, joined by `/`. */
export const Place = Context.Reference<string>("@anneal/pipeline/Progress/Place", { defaultValue: () => "" })

/** Makes an event of what happened, at this place and time, and sends it. */
export const tell = (make: (here: { readonly stage: string; readonly at: number }) => Event): Effect.Effect<void> =>
  Effect.gen(function* () {
    const emit = yield* Progress
    yield* emit(make({ stage: yield* Place, at: yield* Clock.currentTimeMillis }))
  })

/** `done` of `total` things done in the stage that is running. */
export const step = (what: string, done: number, total?: number): Effect.Effect<void> =>
  tell((here) => Event.make({ _tag: "Step", ...here, what, done, ...(total === undefined ? {} : { total }) }))

/**
 * A hub for one build. Each run of `events` sees what is sent after it started, and ends when the scope closes.
 * A watcher that falls behind by more than `capacity` events loses the oldest: a build never waits for its audience.
 */
export const make = (options?: {
  readonly capacity?: number
}): Effect.Effect<
  { readonly emit: (event: Event) => Effect.Effect<void>; readonly events: Stream.Stream<Event> },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const hub = yield* Effect.acquireRelease(
      PubSub.sliding<Event>({ capacity: options?.capacity ?? 4096, replay: 0 }),
      PubSub.shutdown
    )
    return { emit: (event) => Effect.asVoid(PubSub.publish(hub, event)), events: Stream.fromPubSub(hub) }
  })

/** What `effect` does, and every event of it. */
export const collect = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Array<Event>], E, R> =>
  Effect.suspend(() => {
    const events: Array<Event> = []
    const emit = (event: Event) => Effect.sync(() => void events.push(event))
    return Effect.map(Effect.provideService(effect, Progress, emit), (result) => [result, events] as const)
  })

/** One line for a log: `int8/calibrate@1 samples 12/500`. */
export const format = (event: Event): string =>
  Event.match(event, {
    Hit: ({ stage, waited }) => `${stage} ${waited ? "waited for another build's result" : "from the cache"}`,
    Miss: ({ stage }) => `${stage} not in the cache`,
    Uncached: ({ stage, reason }) => `${stage} not cached: ${reason}`,
    Start: ({ stage }) => `${stage} starts`,
    Retry: ({ stage, attempt, error }) => `${stage} tries again (${attempt}): ${error}`,
    Step: ({ stage, what, done, total }) => `${stage} ${what} ${done}${total === undefined ? "" : `/${total}`}`,
    Finding: ({ stage, diagnostic }) => `${stage} ${diagnostic.severity}: ${diagnostic.message}`,
    Validated: ({ stage, regions, failed, notValidated, inferences }) =>
      `${stage} ${regions} rewrites checked, ${failed} wrong, ${notValidated} not validated, ${inferences.toFixed(2)} inferences`,
    End: ({ stage, took }) => `${stage} done in ${took} ms`,
    Failure: ({ stage, took, error }) => `${stage} failed after ${took} ms: ${error}`,
    Interrupted: ({ stage, took }) => `${stage} interrupted after ${took} ms`
  })
