// MSE: the clip that minimises the mean squared error of quantising and dequantising what was seen.
import * as Calibrator from "@anneal/pipeline/Calibrator"
import * as Layer from "effect/Layer"
import * as Grid from "./Grid.ts"
import * as Histogram from "./Histogram.ts"

/** Candidate clips, as shares of the full range: widest first, so that equal errors leave the range alone. */
const shares = Array.from({ length: 100 }, (_, index) => (100 - index) / 100)

const meanSquaredError = (
  histogram: Histogram.Histogram,
  range: Calibrator.Range,
  scheme: Calibrator.RangeScheme
): number => {
  const width = Histogram.width(histogram)
  const grid = Grid.fromRange(range, scheme)
  let error = 0
  for (let i = -Histogram.half; i < Histogram.half; i++) {
    const amount = histogram.counts[Histogram.half + i] ?? 0
    if (amount === 0) continue
    const centre = (i + 0.5) * width
    const difference = centre - Grid.roundTrip(grid, centre)
    error += amount * difference * difference
  }
  return error
}

const calibration: Calibrator.Calibration<Histogram.Histogram> = {
  empty: Histogram.empty,
  observe: Histogram.observe,
  merge: Histogram.merge,
  finish: (histogram, scheme) => {
    if (histogram.count === 0) return undefined
    let best: Calibrator.Range = { min: histogram.min, max: histogram.max }
    let least = Infinity
    for (const share of shares) {
      const range = { min: histogram.min * share, max: histogram.max * share }
      const error = meanSquaredError(histogram, range, scheme)
      if (error < least) [best, least] = [range, error]
    }
    return best
  }
}

export const layer: Layer.Layer<Calibrator.Calibrator> = Layer.succeed(
  Calibrator.Calibrator,
  Calibrator.make({
    name: "mse",
    identity: { name: "mse", version: 1, config: { shares: shares.length } },
    calibration
  })
)
