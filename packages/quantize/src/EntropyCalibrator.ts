// Entropy: the clip whose quantised distribution diverges least (Kullback–Leibler) from what was seen.
//
// Migacz, "8-bit inference with TensorRT", GTC 2017: for each candidate threshold, the reference distribution P takes the
// clipped mass into its last bin; Q is P's unclipped part spread evenly over each of the grid's levels.
import * as DeterministicMath from "@anneal/ir/Math"
import * as Calibrator from "@anneal/pipeline/Calibrator"
import * as Layer from "effect/Layer"
import * as Histogram from "./Histogram.ts"

/** Sums over the first i bins, so that each level of each candidate costs one look at both ends. */
const prefixSums = (counts: Float64Array) => {
  const mass = new Float64Array(counts.length + 1)
  const occupied = new Float64Array(counts.length + 1)
  /** Σ c·log c. */
  const entropy = new Float64Array(counts.length + 1)
  for (let i = 0; i < counts.length; i++) {
    const own = counts[i] ?? 0
    mass[i + 1] = (mass[i] ?? 0) + own
    occupied[i + 1] = (occupied[i] ?? 0) + (own > 0 ? 1 : 0)
    entropy[i + 1] = (entropy[i] ?? 0) + selfInformation(own)
  }
  return { mass, occupied, entropy }
}

const selfInformation = (count: number): number => (count === 0 ? 0 : count * DeterministicMath.log(count))

/**
 * Index of the best threshold, in bins. With P = c/total, Q = mass/(occupied · kept) on the occupied bins of a level:
 * Σ P·log(P/Q) = (Σ c·log c − Σ_levels c_level·log(mass/(occupied·kept)))/total − log total. A candidate whose last bin
 * is empty would put clipped mass where Q has none: its divergence is infinite.
 */
const bestThreshold = (counts: Float64Array, levels: number): number => {
  let last = counts.length
  while (last > levels && (counts[last - 1] ?? 0) === 0) last--
  const { entropy, mass, occupied } = prefixSums(counts)
  const total = mass[counts.length] ?? 0
  let [best, least] = [last, Infinity]
  for (let threshold = last; threshold >= levels; threshold--) {
    const kept = mass[threshold] ?? 0
    const own = counts[threshold - 1] ?? 0
    const clipped = total - kept
    if (kept === 0 || (own === 0 && clipped > 0)) continue
    let sum = (entropy[threshold - 1] ?? 0) + selfInformation(own + clipped)
    for (let level = 0; level < levels; level++) {
      const start = Math.floor((level * threshold) / levels)
      const end = Math.floor(((level + 1) * threshold) / levels)
      const inside = (mass[end] ?? 0) - (mass[start] ?? 0)
      if (inside === 0) continue
      const bins = (occupied[end] ?? 0) - (occupied[start] ?? 0)
      sum -= (level === levels - 1 ? inside + clipped : inside) * DeterministicMath.log(inside / (bins * kept))
    }
    const divergence = sum / total - DeterministicMath.log(total)
    if (divergence < least) [best, least] = [threshold, divergence]
  }
  return best
}

/** Levels that the magnitudes are spread over: half of the grid, or all of an unsigned one when the values have one sign. */
const levelsOf = ({ max, min }: Histogram.Histogram, { bits, symmetric }: Calibrator.RangeScheme): number =>
  symmetric || (min < 0 && max > 0) ? 2 ** (bits - 1) : 2 ** bits

const calibration: Calibrator.Calibration<Histogram.Histogram> = {
  empty: Histogram.empty,
  observe: Histogram.observe,
  merge: Histogram.merge,
  finish: (histogram, scheme) => {
    if (histogram.count === 0) return undefined
    const counts = Histogram.magnitudes(histogram)
    // Exact zeros (padding, relu) are representable on every grid and would drown the rest.
    counts[0] = 0
    if (counts.every((amount) => amount === 0)) return { min: histogram.min, max: histogram.max }
    const limit = bestThreshold(counts, levelsOf(histogram, scheme)) * Histogram.width(histogram)
    return Histogram.clipped(histogram, -limit, limit)
  }
}

export const layer: Layer.Layer<Calibrator.Calibrator> = Layer.succeed(
  Calibrator.Calibrator,
  Calibrator.make({ name: "entropy", identity: { name: "entropy", version: 1, config: {} }, calibration })
)
