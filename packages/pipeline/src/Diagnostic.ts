/**
 * What a build has to say to the user: findings with a place and a remedy.
 *
 * `Diagnostic.report({ severity: "warning", code: "cache-full", message: "…", action: "…" })` reaches the ledger and the
 * progress of the build that is running, whichever it is; outside a build it is dropped.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** `error`: a result was refused. `warning`: the build went on, and the user should look. `info`: worth knowing. */
export const Severity = Schema.Literals(["info", "warning", "error"])
export type Severity = typeof Severity.Type

/** One finding. */
export const Diagnostic = Schema.Struct({
  severity: Severity,
  /** A short stable name in kebab case, for scripts: `not-validated`, `store-damaged`. */
  code: Schema.String,
  /** What was expected and what was found. */
  message: Schema.String,
  /** The path of the node in the user's own model. */
  node: Schema.optionalKey(Schema.String),
  /** What the user can do about it. */
  action: Schema.optionalKey(Schema.String)
})
export type Diagnostic = typeof Diagnostic.Type

/** Where findings go. A build puts its ledger here. */
export const Sink = Context.Reference<(diagnostic: Diagnostic) => Effect.Effect<void>>(
  "@anneal/pipeline/Diagnostic/Sink",
  { defaultValue: () => () => Effect.void }
)

/** Tell the running build. */
export const report = (diagnostic: Diagnostic): Effect.Effect<void> => Effect.flatMap(Sink, (sink) => sink(diagnostic))

/** What `effect` does, and what it reported, which also goes where it would have gone. */
export const collect = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, ReadonlyArray<Diagnostic>], E, R> =>
  Effect.gen(function* () {
    const outer = yield* Sink
    const found: Array<Diagnostic> = []
    const result = yield* Effect.provideService(effect, Sink, (diagnostic) =>
      Effect.suspend(() => {
        found.push(diagnostic)
        return outer(diagnostic)
      })
    )
    return [result, found] as const
  })

/** One line for a terminal: `warning: conv1: … (do this)`. */
export const format = ({ severity, node, message, action }: Diagnostic): string =>
  `${severity}: ${node === undefined ? "" : `${node}: `}${message}${action === undefined ? "" : ` (${action})`}`
