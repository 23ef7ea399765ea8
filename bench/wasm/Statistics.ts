// Medians, spreads and means of timings.

export interface Spread {
  readonly median: number
  /** A tenth of the values is below, a tenth above. */
  readonly p10: number
  readonly p90: number
  readonly count: number
}

/** The value below which a share of sorted values lies, interpolated. NaN of nothing. */
const quantile = (sorted: Float64Array, share: number): number => {
  const place = share * (sorted.length - 1)
  const below = sorted[Math.floor(place)] ?? NaN
  const above = sorted[Math.ceil(place)] ?? NaN
  return below + (above - below) * (place - Math.floor(place))
}

export const median = (values: ArrayLike<number>): number => quantile(Float64Array.from(values).sort(), 0.5)

export const spread = (values: ArrayLike<number>): Spread => {
  const sorted = Float64Array.from(values).sort()
  return {
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
    count: sorted.length
  }
}

export const geometricMean = (values: ReadonlyArray<number>): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
