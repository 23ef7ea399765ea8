/**
 * ExhaustiveTuner: measures all candidates, in the order of what is predicted.
 */
import type { Journal } from "./Journal.ts"
import type { Measurer } from "@anneal/pipeline/Measurer"
import type { Tuner } from "@anneal/pipeline/Tuner"
import type * as Layer from "effect/Layer"
import * as MeasuringTuner from "./MeasuringTuner.ts"
import type { Strategy } from "./Strategy.ts"

export const strategy: Strategy = {
  identity: { name: "exhaustive", version: 1, config: {} },
  propose: ({ open }) => open
}

export const layer = (options?: MeasuringTuner.Options): Layer.Layer<Tuner, never, Measurer | Journal> =>
  MeasuringTuner.layer(strategy, options)
