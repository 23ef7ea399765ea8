// Min–max: the range is all that was seen. Right when outliers matter, or when the calibration set is small.
import * as Calibrator from "@anneal/pipeline/Calibrator"
import * as Layer from "effect/Layer"
import * as Histogram from "./Histogram.ts"

const calibration: Calibrator.Calibration<Histogram.Histogram> = {
  empty: Histogram.empty,
  observe: Histogram.observe,
  merge: Histogram.merge,
  finish: ({ count, max, min }) => (count === 0 ? undefined : { min, max })
}

export const layer: Layer.Layer<Calibrator.Calibrator> = Layer.succeed(
  Calibrator.Calibrator,
  Calibrator.make({ name: "minMax", identity: { name: "minMax", version: 1, config: {} }, calibration })
)
