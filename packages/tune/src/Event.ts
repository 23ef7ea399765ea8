/**
 * Event: what a tuner is doing, typed: for a terminal, for `inspect`, for attestations beside an engine. Nothing in it
 * goes into an engine or a lock.
 */
import { RejectionReason } from "@anneal/pipeline/Measurer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Timing } from "./Timing.ts"

const place = { key: Schema.String, node: Schema.String }
const of = { ...place, candidate: Schema.String }

export const Event = Schema.TaggedUnion({
  /** `recorded`: candidates whose timing or rejection the journal has. */
  Started: { choices: Schema.Int, candidates: Schema.Int, recorded: Schema.Int },
  Checked: of,
  Rejected: { ...of, reason: RejectionReason, detail: Schema.String },
  Timed: { ...of, timing: Timing },
  /** The budget ended before all that was to be measured was. */
  OutOfBudget: { unmeasured: Schema.Int },
  Decided: {
    ...of,
    /**
     * `only`: nothing to choose; `fastest`: measured; `equal`: measured as fast as the fastest, and predicted cheaper;
     * `predicted`: not measured; `locked`: taken from a lock.
     */
    why: Schema.Literals(["only", "fastest", "equal", "predicted", "locked"]),
    /** Median nanoseconds of one run, where it was measured. */
    median: Schema.optionalKey(Schema.Finite),
    /** How many times slower the next one was. */
    margin: Schema.optionalKey(Schema.Finite)
  }
})
export type Event = typeof Event.Type

/** Where a tuner's events go. */
export const Listener = Context.Reference<(event: Event) => Effect.Effect<void>>("@anneal/tune/Event/Listener", {
  defaultValue: () => () => Effect.void
})

export const tell = (event: Event): Effect.Effect<void> => Effect.flatMap(Listener, (listener) => listener(event))

/** What `effect` does, and all its events. */
export const collect = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Array<Event>], E, R> =>
  Effect.suspend(() => {
    const events: Array<Event> = []
    const listener = (event: Event) => Effect.sync(() => void events.push(event))
    return Effect.map(Effect.provideService(effect, Listener, listener), (result) => [result, events] as const)
  })

const microseconds = (ns: number) => `${(ns / 1000).toPrecision(3)} µs`

/** One line for a terminal. */
export const format = (event: Event): string =>
  Event.match(event, {
    Started: ({ choices, candidates, recorded }) =>
      `${choices} choices, ${candidates} candidates, ${recorded} of them in the journal`,
    Checked: ({ node, candidate }) => `${node}: ${candidate} is right`,
    Rejected: ({ node, candidate, reason, detail }) => `${node}: ${candidate} rejected: ${reason}: ${detail}`,
    Timed: ({ node, candidate, timing }) =>
      `${node}: ${candidate} ${microseconds(timing.median)} ± ${microseconds(timing.mad)} (${timing.end})`,
    OutOfBudget: ({ unmeasured }) => `out of budget: ${unmeasured} candidates are not measured`,
    Decided: ({ node, candidate, why, median }) =>
      `${node}: ${candidate} (${why}${median === undefined ? "" : `, ${microseconds(median)}`})`
  })
