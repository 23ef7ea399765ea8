/**
 * Step: what a pipeline is made of. A step takes what is known so far and gives what is known after it.
 *
 * Known things are a typed `Context`. A step needs `I` from the pipeline, or else from the user, and `R` from the user
 * only; it adds `O`. When `O` is a new graph, what was measured on the old one is no longer known, except what the step
 * transports (`T`).
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Artefact, Artefacts, Measured } from "./Artefact.ts"
import { isMeasured } from "./Artefact.ts"
import { Graph } from "./Graph.ts"
import type { Digest } from "./Key.ts"

/** What is known at a point of a pipeline. */
export type Known<X> = Context.Context<X>

/** What of `X` stays known beside a new output `O`. */
export type Kept<X, O, T> = [O] extends [Graph] ? Fresh<X, T> : X
type Fresh<X, T> = X extends { readonly Service: Measured<unknown> } ? Extract<X, T> : X

export interface Step<I, O, E, R, T> {
  /** `calibrate@1`. */
  readonly label: string
  readonly run: <X>(known: Known<X>) => Effect.Effect<Known<O | Kept<X, O, T>>, E, R | Exclude<I, X>>
  /** The step on its own, to compose with `Layer.provide`. */
  readonly layer: Layer.Layer<O, E, Exclude<R | Exclude<I, never>, Scope.Scope>>
}

export const make = <I, O, E, R, T>(label: string, run: Step<I, O, E, R, T>["run"]): Step<I, O, E, R, T> => ({
  label,
  run,
  // Layers are memoised by reference alone: without `fresh`, a pass used twice gives its first result both times.
  layer: Layer.fresh(Layer.effectContext(run(Context.empty())))
})

/** A new output, and how values of the graph before became values of this one. */
export interface Outcome<A> {
  readonly value: A
  /** Digest of the new graph, when the output is one. */
  readonly digest: Digest
  /** Value ids before → after, beside ids that are in both. */
  readonly replaced: ReadonlyMap<string, string>
  /** Value ids of the new graph; none when the output is no graph. */
  readonly ids: () => ReadonlySet<string>
}

/** Measurements moved to the new graph: by the id they had, or by what took the value's place. */
const transport = (old: Measured<unknown>, { digest, ids: idsOf, replaced }: Outcome<unknown>): Measured<unknown> => {
  const ids = idsOf()
  const moved = new Map<string, unknown>()
  for (const [id, value] of Object.entries(old.of)) {
    const now = replaced.get(id)
    if (now !== undefined && ids.has(now)) moved.set(now, value)
  }
  for (const [id, value] of Object.entries(old.of)) if (ids.has(id) && !replaced.has(id)) moved.set(id, value)
  return { measuredOn: digest, of: Object.fromEntries(moved) }
}

/** Stands in a dry run for what has not been made, over anything of that name around the pipeline. */
export const missing: unique symbol = Symbol("@anneal/pipeline/missing")

/** What is known after a step. `outcome` is undefined in a dry run that could not make it: then it is missing. */
export const next = <X, O, A, T>(
  known: Known<X>,
  output: Artefact<O, A>,
  outcome: Outcome<A> | undefined,
  transports: Artefacts<T>
): Known<O | Kept<X, O, T>> => {
  const kept = new Map<string, unknown>(known.mapUnsafe)
  const isGraph = output.key === Graph.key
  kept.delete(output.key)
  for (const [key, old] of known.mapUnsafe) {
    if (!isGraph || key === output.key || !isMeasured(old)) continue
    kept.delete(key)
    if (outcome === undefined) kept.set(key, missing)
    else if (transports.some((tag) => tag.key === key)) kept.set(key, transport(old, outcome))
  }
  kept.set(output.key, outcome === undefined ? missing : outcome.value)
  // The one place where the checker takes our word.
  return Context.makeUnsafe<O | Kept<X, O, T>>(kept)
}
