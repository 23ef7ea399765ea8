// What is predicted to cost least, without measuring: enough for tests of what comes after.
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export const layer: Layer.Layer<Tuner.Tuner> = Layer.succeed(Tuner.Tuner, {
  name: "heuristic",
  identity: { name: "heuristic", version: 1, config: {} },
  decide: (space) =>
    Effect.succeed(
      space.flatMap(({ candidates, key }) => {
        const [candidate] = candidates.toSorted(Tuner.byPrediction)
        return candidate === undefined ? [] : [{ key, candidate }]
      })
    )
})
