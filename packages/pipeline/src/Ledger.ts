/**
 * The ledger: what a build did, stage by stage, with what was found. It goes into the engine, so it has no times, and
 * says nothing that depends on what happened to be cached.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Diagnostic } from "./Diagnostic.ts"

/** How a pass's rewrites fared against the oracle. */
export const ValidationSummary = Schema.Struct({
  /** Regions that the pass changed. */
  regions: Schema.Int,
  /** Of them, those whose result was known from before. */
  memoised: Schema.Int,
  failed: Schema.Int,
  /** Fewer than 90 % of the results were finite, or the oracle could not run the region. */
  notValidated: Schema.Int,
  /** Oracle work, in inferences of the whole model, by element operations. */
  inferences: Schema.Finite
})
export type ValidationSummary = typeof ValidationSummary.Type

export const Entry = Schema.Struct({
  /** Branch names and the stage: `int8/calibrate@1`. */
  stage: Schema.String,
  key: Schema.optionalKey(Schema.String),
  /** Why it has no key. */
  uncached: Schema.optionalKey(Schema.String),
  /** Digest of what it made. */
  output: Schema.String,
  claims: Schema.optionalKey(Schema.Literals(["exact", "reassociating", "lossy"])),
  /** Whether what it made differs from what it was given (passes). */
  changed: Schema.optionalKey(Schema.Boolean),
  validation: Schema.optionalKey(ValidationSummary),
  /** Of a pass all of whose rewrites were found right: see `Verdicts`. */
  verdict: Schema.optionalKey(Schema.String),
  diagnostics: Schema.Array(Diagnostic)
})
export type Entry = typeof Entry.Type

export type Ledger = ReadonlyArray<Entry>

/** Where entries go, with their place in the pipeline's order. */
export const Recorder = Context.Reference<(position: string, entry: Entry) => Effect.Effect<void>>(
  "@anneal/pipeline/Ledger/Recorder",
  { defaultValue: () => () => Effect.void }
)

/** What `effect` does, and the ledger of it, in the pipeline's order whatever ran first. */
export const collect = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Ledger], E, R> =>
  Effect.suspend(() => {
    const entries: Array<readonly [string, Entry]> = []
    const record = (position: string, entry: Entry) => Effect.sync(() => void entries.push([position, entry]))
    return Effect.map(Effect.provideService(effect, Recorder, record), (result) => {
      const sorted = entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      return [result, sorted.map(([, entry]) => entry)] as const
    })
  })
