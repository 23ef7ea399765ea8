/**
 * HeuristicTuner: takes what is predicted to cost least, by name where nothing is predicted. Measures nothing, needs
 * nothing, and gives the same on every machine.
 */
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Event from "./Event.ts"
import * as Space from "./Space.ts"

const decide: Tuner.TunerService["decide"] = (space) =>
  Effect.gen(function* () {
    const { groups, problems } = Space.group(space)
    if (problems.length > 0) return yield* new Tuner.TunerError({ problems })
    const decided = new Map<string, Tuner.Candidate>()
    for (const { choice } of groups) {
      const { key, node, candidates } = choice
      const [candidate] = candidates.toSorted(Tuner.byPrediction)
      if (candidate === undefined) continue
      decided.set(key, candidate)
      const why = candidates.length === 1 ? "only" : "predicted"
      yield* Event.tell({ _tag: "Decided", key, node, candidate: Tuner.identify(candidate), why })
    }
    return Space.spread(space, decided)
  })

export const layer: Layer.Layer<Tuner.Tuner> = Layer.succeed(Tuner.Tuner, {
  name: "heuristic",
  identity: { name: "heuristic", version: 1, config: {} },
  decide
})
