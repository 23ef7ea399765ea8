/**
 * Stage: one declaration that is both a value (listed, keyed, explained, cached) and a typed layer.
 *
 * ```ts
 * const calibrate = Stage.make({
 *   name: "calibrate", version: 1, config: Schema.Struct({ samples: Schema.Int }),
 *   needs: [Graph, Calibrator, Samples], output: Ranges, run: ({ samples }) => …
 * })
 * pipeline.through(calibrate({ samples: 500 }))   // or: Layer.provide(calibrate({ samples: 500 }).layer, …)
 * ```
 * `run` may use the services in `needs` and no others: the key knows them all.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Effects from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schemas from "effect/Schema"
import type * as Schema from "effect/Schema"
import type { Artefact, Artefacts, ArtefactError } from "./Artefact.ts"
import type { StaleArtefact } from "./Execution.ts"
import * as Execution from "./Execution.ts"
import type { Identified, KeyError } from "./Key.ts"
import * as Step from "./Step.ts"

/** Something that a stage uses: an artefact, or a service that may say who it is. */
export type Need = Artefact<unknown, unknown> | Context.Key<unknown, Identified>

/** What any stage may fail with, beside its own errors. */
export type StageFailure = StaleArtefact | ArtefactError | KeyError

export interface Declaration<C, N extends ReadonlyArray<Need>, O, A, E, T> {
  readonly name: string
  /** Raise it when the result changes for the same configuration and inputs. */
  readonly version: number
  readonly config: Schema.Codec<C, unknown>
  readonly needs: N
  /** Services that are used where they are provided; who they are is part of the key. */
  readonly may?: ReadonlyArray<Context.Key<unknown, Identified>>
  readonly output: Artefact<O, A>
  /** Measured artefacts that follow the values of the new graph. */
  readonly transports?: Artefacts<T>
  /** For errors that say `retryable: true`, no others. */
  readonly retry?: Schedule.Schedule<unknown>
  /** `false` for a stage that is cheaper than reading its result back. Default `true`. */
  readonly cache?: boolean
  readonly run: (config: C) => Effect.Effect<A, E, N[number]["Identifier"]>
}

/** A configured stage. */
export type Stage<I, O, E, T = never> = Step.Step<I, O, E | StageFailure, never, T>

/** Declares a stage; give it a configuration to get a step. */
export const make =
  <C, const N extends ReadonlyArray<Need>, O, A, E, T = never>(declaration: Declaration<C, N, O, A, E, T>) =>
  (config: C): Stage<N[number]["Identifier"], O, E, T> => {
    type I = N[number]["Identifier"]
    const label = `${declaration.name}@${declaration.version}`
    const transports = declaration.transports ?? []
    const execute = Execution.execute<A, E, I>({
      label,
      name: declaration.name,
      version: declaration.version,
      config: Schemas.encodeSync(Schemas.toCodecJson(declaration.config))(config),
      needs: declaration.needs,
      output: declaration.output,
      retry: declaration.retry,
      cache: declaration.cache ?? true,
      also: Effects.map(Effects.context(), (env) =>
        (declaration.may ?? []).flatMap((tag) => {
          const service = Context.getOption(env, tag)
          return Option.isSome(service) ? [{ need: tag.key, identity: service.value.identity }] : []
        })
      ),
      run: Effects.map(
        Effects.suspend(() => declaration.run(config)),
        (value) => ({ value })
      )
    })
    return Step.make<I, O, E | StageFailure, never, T>(label, (known) =>
      Effects.map(Effects.provideContext(execute, known), (outcome) =>
        Step.next(known, declaration.output, outcome, transports)
      )
    )
  }
