// Percentile: leaves out the rarest values on each side, so that a few outliers do not widen the grid for all.
import * as Calibrator from "@anneal/pipeline/Calibrator"
import * as Layer from "effect/Layer"
import * as Histogram from "./Histogram.ts"

/** The range that keeps the share `percentile`/100 of the values; what is left out is split between the sides. */
const calibration = (percentile: number): Calibrator.Calibration<Histogram.Histogram> => ({
  empty: Histogram.empty,
  observe: Histogram.observe,
  merge: Histogram.merge,
  finish: (histogram) => {
    if (histogram.count === 0) return undefined
    const out = (histogram.count * (1 - percentile / 100)) / (histogram.min < 0 && histogram.max > 0 ? 2 : 1)
    const width = Histogram.width(histogram)
    const { counts } = histogram
    let [low, high] = [-Histogram.half, Histogram.half]
    if (histogram.min < 0)
      for (let below = counts[0] ?? 0; below <= out && low < 0; below += counts[Histogram.half + low] ?? 0) low++
    if (histogram.max > 0)
      for (let above = counts.at(-1) ?? 0; above <= out && high > 0; above += counts[Histogram.half + high - 1] ?? 0)
        high--
    return Histogram.clipped(histogram, low * width, high * width)
  }
})

/** `percentile` in (0, 100]; 99.99 by default. */
export const layer = (options: { readonly percentile?: number } = {}): Layer.Layer<Calibrator.Calibrator> => {
  const percentile = options.percentile ?? 99.99
  if (!(percentile > 0 && percentile <= 100)) throw new RangeError(`percentile ${percentile} is not in (0, 100]`)
  const identity = { name: "percentile", version: 1, config: { percentile } }
  return Layer.succeed(
    Calibrator.Calibrator,
    Calibrator.make({ name: "percentile", identity, calibration: calibration(percentile) })
  )
}
