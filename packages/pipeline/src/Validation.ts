/**
 * Validation: whether passes are checked against the oracle, and what a failed check does. On by default.
 *
 * ```ts
 * Effect.provideService(build, Validation.Validation, { check: "off" })
 * ```
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

export type Validation =
  | { readonly check: "off" }
  | {
      readonly check: "on"
      /** `stop`: the build fails. `skip`: it goes on without that pass's rewrites, and the ledger says so. */
      readonly onFailure: "stop" | "skip"
      /** Random draws a region, beside the edge values. */
      readonly draws: number
      /** Seed of the draws. */
      readonly seed: number
    }

export const defaults = { check: "on", onFailure: "stop", draws: 2, seed: 1 } as const

export const Validation: Context.Reference<Validation> = Context.Reference<Validation>("@anneal/pipeline/Validation", {
  defaultValue: () => defaults
})

export const layerOff: Layer.Layer<never> = Layer.succeed(Validation, { check: "off" })

/** Checks on, with these settings. */
export const layer = (
  settings: Partial<Omit<Extract<Validation, { readonly check: "on" }>, "check">> = {}
): Layer.Layer<never> => Layer.succeed(Validation, { ...defaults, ...settings })
