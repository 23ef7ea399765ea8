/** Options that several commands share, and what they provide. */
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import { stderr } from "node:process"
import * as Progress from "@anneal/pipeline/Progress"
import type * as Host from "../Host.ts"
import * as ProgressLines from "../ProgressLines.ts"
import * as Report from "../Report.ts"
import { UsageError } from "../UsageError.ts"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON document on standard output"),
  Flag.withDefault(false)
)

export const plugin = Flag.String("plugin").pipe(
  Flag.withDescription("A package (or file) that brings ops, kernels, ONNX operators, passes; may be repeated"),
  Flag.atLeast(0)
)

/** An option that may be repeated. */
export const repeated = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.atLeast(0))

export const text = (name: string, description: string): Flag.Flag<Option.Option<string>> =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)

/** Options of commands that run engines. */
export const host = {
  threads: Flag.Int("threads").pipe(
    Flag.withDescription("Threads that a run is divided among (default: 1)"),
    Flag.optional
  ),
  wide: Flag.Boolean("wide").pipe(
    Flag.withDescription("Switch V8's experimental 256-bit vectors on, after a check against the plain code"),
    Flag.withDefault(false)
  )
}

/** Throws `UsageError`. */
export const hostOf = (given: { readonly threads: Option.Option<number>; readonly wide: boolean }): Host.Host => {
  const threads = Option.getOrUndefined(given.threads)
  if (threads !== undefined && (threads < 1 || threads > 256))
    throw new UsageError({ detail: `--threads ${threads}: expected 1 … 256` })
  return { ...(threads === undefined ? {} : { threads }), wide: given.wide }
}

/** A plain function of the options; what it throws of ours is a typed failure. */
export const read = <A>(parse: () => A): Effect.Effect<A, UsageError> =>
  Effect.try({
    try: parse,
    catch: (cause) => {
      if (cause instanceof UsageError) return cause
      throw cause
    }
  })

/** Shows the progress of `effect` on standard error; with `--json` nothing. Gives how many stages were in the cache. */
export const watched = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly value: A; readonly hits: number; readonly stages: number }, E, R> =>
  Effect.gen(function* () {
    const quiet = yield* Report.AsJson
    const renderer = ProgressLines.make({
      isTerminal: stderr.isTTY,
      columns: stderr.isTTY ? stderr.columns : 80,
      write: (line) => void (quiet || stderr.write(line))
    })
    let [hits, stages] = [0, 0]
    const emit = (event: Progress.Event) =>
      Effect.sync(() => {
        if (event._tag === "Hit") hits++
        if (event._tag === "Hit" || event._tag === "Miss" || event._tag === "Uncached") stages++
        renderer.show(event)
      })
    const value = yield* Effect.ensuring(
      Effect.provideService(effect, Progress.Progress, emit),
      Effect.sync(renderer.finish)
    )
    return { value, hits, stages }
  })
