/**
 * Pipeline: steps in a row, from what is given to what is wanted.
 *
 * ```ts
 * const int8 = Pipeline.on(Graph).through(calibrate({ samples: 500 })).through(quantize({ bits: 8 }))
 * int8.steps        // ["calibrate@1", "quantize@2"]
 * int8.explain()    // for each stage its key, and whether its result is in the store; runs nothing
 * int8.layer        // a layer from what it is on to what it makes
 * ```
 * Plain Effect inside, because a layer cannot take a service (stale ranges) out again; a layer outside. A missing step,
 * or ranges older than the graph, do not type-check.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type * as Scope from "effect/Scope"
import type { Artefact } from "./Artefact.ts"
import * as Artefacts from "./Artefact.ts"
import { Dry, Explainer, type Explanation, Position } from "./Execution.ts"
import { Graph } from "./Graph.ts"
import * as Ledger from "./Ledger.ts"
import * as Progress from "./Progress.ts"
import type { Known } from "./Step.ts"
import * as Step from "./Step.ts"
import { Variants } from "./Variants.ts"

type Tag = Context.Key<unknown, unknown>

/** Pipelines that start from the same things and each end in a graph, by name. */
export type Branches<I, E, R> = { readonly [name: string]: Pick<Pipeline<I, Graph, E, R>, "steps" | "run"> }

export class Pipeline<In, Out, E, R> {
  /** Labels of the steps, in order. */
  readonly steps: ReadonlyArray<string>
  readonly run: (given: Known<In>) => Effect.Effect<Known<Out>, E, R>
  readonly layer: Layer.Layer<Out, E, Exclude<In | R, Scope.Scope>>

  constructor(steps: ReadonlyArray<string>, run: (given: Known<In>) => Effect.Effect<Known<Out>, E, R>) {
    this.steps = steps
    this.run = run
    this.layer = Layer.fresh(Layer.effectContext(Effect.flatMap(Effect.context<In>(), run)))
  }

  /** One more step. (Not `then`: to every `await`, an object with a `then` is a promise.) */
  through<I, O, E2, R2, T>({ label, run }: Step.Step<I, O, E2, R2, T>) {
    type Next = Pipeline<In, O | Step.Kept<Out, O, T>, E | E2, R | R2 | Exclude<I, Out>>
    const number = String(this.steps.length).padStart(3, "0")
    const all: Next["run"] = (given) =>
      Effect.flatMap(this.run(given), (known) =>
        Effect.gen(function* () {
          const position = `${yield* Position}${number}`
          return yield* Effect.provideService(run(known), Position, position)
        })
      )
    return new Pipeline([...this.steps, label], all)
  }

  /** For each stage, in order: its key, and whether its result is in the store. Runs no stage. */
  explain(): Effect.Effect<ReadonlyArray<Explanation>, E, In | R> {
    return Effect.suspend(() => {
      const found: Array<readonly [string, Explanation]> = []
      const note = (position: string, explanation: Explanation) =>
        Effect.sync(() => void found.push([position, explanation]))
      return Effect.flatMap(Effect.context<In>(), this.run).pipe(
        Effect.provideService(Dry, true),
        Effect.provideService(Explainer, note),
        Effect.map(() => found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, explanation]) => explanation))
      )
    })
  }

  /** Runs all of it; gives what is known at the end and the ledger. */
  build(): Effect.Effect<{ readonly known: Known<Out>; readonly ledger: Ledger.Ledger }, E, In | R> {
    const run = Effect.withSpan(Effect.flatMap(Effect.context<In>(), this.run), "anneal.build")
    return Effect.map(Ledger.collect(run), ([known, ledger]) => ({ known, ledger }))
  }
}

/** A pipeline that starts from these artefacts or services; from nothing when there are none. */
export const on = <const T extends ReadonlyArray<Tag>>(...tags: T) => {
  type In = T[number]["Identifier"]
  return new Pipeline<In, In, never, never>([], (given) =>
    Effect.succeed(Context.pick<ReadonlyArray<Tag>>(...tags)(given))
  )
}

/**
 * Runs siblings in parallel, on what is known here, and gives their graphs by name. With a store, what they
 * share is made once: equal keys wait for the first.
 */
export function branch<B extends Branches<unknown, unknown, unknown>>(
  branches: B
): B[keyof B] extends Branches<infer I, infer E, infer R>[string]
  ? Step.Step<I, Variants, E | Artefacts.ArtefactError, R, never>
  : never
export function branch<I, E, R>(
  branches: Branches<I, E, R>
): Step.Step<I, Variants, E | Artefacts.ArtefactError, R, never> {
  const label = `{ ${Object.entries(branches)
    .map(([name, { steps }]) => `${name}: ${steps.join(" → ")}`)
    .join("; ")} }`
  return Step.make<I, Variants, E | Artefacts.ArtefactError, R, never>(label, <X>(known: Known<X>) =>
    Effect.gen(function* () {
      const given = yield* Effect.provideContext(Effect.context<I>(), known)
      const place = yield* Progress.Place
      const position = yield* Position
      const runs = Record.map(branches, ({ run }, name) =>
        run(given).pipe(
          Effect.provideService(Progress.Place, place === "" ? name : `${place}/${name}`),
          Effect.provideService(Position, `${position}.${name}.`)
        )
      )
      const ends = yield* Effect.all(runs, { concurrency: "unbounded" })
      const graphs = Option.all(Record.map(ends, (end) => Option.filter(Context.getOption(end, Graph), isMade)))
      if (Option.isNone(graphs)) return Step.next(known, Variants, undefined, [])
      const digest = yield* Artefacts.digestOf(Variants, graphs.value)
      return Step.next(known, Variants, { value: graphs.value, digest, replaced: new Map(), ids: () => new Set() }, [])
    })
  )
}

const isMade = (graph: unknown) => graph !== Step.missing

/** The value of an artefact at the end of a build. */
export const get = <Out, I extends Out, A>(known: Known<Out>, artefact: Artefact<I, A>): A =>
  Context.get(known, artefact)
