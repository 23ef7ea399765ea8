/**
 * TuneLevel: how much is tuned, in three words, as the command line has them. `none` measures nothing; `quick` measures
 * what is promising, in half a minute or less; `full` measures all of small spaces and much of large ones, with care.
 */
import type { Measurer } from "@anneal/pipeline/Measurer"
import type { Tuner } from "@anneal/pipeline/Tuner"
import type * as Duration from "effect/Duration"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as EvolutionaryTuner from "./EvolutionaryTuner.ts"
import * as HeuristicTuner from "./HeuristicTuner.ts"
import type { Journal } from "./Journal.ts"
import * as Protocol from "./Protocol.ts"

export const TuneLevel = Schema.Literals(["none", "quick", "full"])
export type TuneLevel = typeof TuneLevel.Type

const options = {
  quick: { settings: Protocol.quick, trials: 24, budget: "20 seconds" },
  full: { settings: Protocol.full, trials: 256 }
} as const

/** The tuner of a level. `budget` is the level's own where it is not given: 20 seconds for `quick`, no limit for `full`. */
export const layer = (level: TuneLevel, budget?: Duration.Input): Layer.Layer<Tuner, never, Measurer | Journal> =>
  level === "none"
    ? HeuristicTuner.layer
    : EvolutionaryTuner.layer({ ...options[level], ...(budget === undefined ? {} : { budget }) })
