/**
 * Statistics that wild values can't move: median, spread by the median absolute deviation, and the fit over rounds that
 * takes out what slows everything.
 *
 * Median polish: Tukey, "Exploratory Data Analysis", 1977.
 */

/** The middle value, or the mean of the two; NaN of nothing. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** 1.4826 times the median absolute deviation: the standard deviation, were the values normal. */
export const spread = (values: ReadonlyArray<number>, centre: number = median(values)): number =>
  1.4826 * median(values.map((value) => Math.abs(value - centre)))

/** `rounds[lane][round]`: natural logarithm of a time; undefined where it was not measured. */
export type Rounds = ReadonlyArray<ReadonlyArray<number | undefined>>

export interface Fit {
  /** For each lane: its logarithm of time, without what its rounds had in common. NaN where nothing was measured. */
  readonly score: ReadonlyArray<number>
  /** For each lane: the standard deviation of one sample, robust, of what is left. */
  readonly spread: ReadonlyArray<number>
  /** For each lane: rounds that its score is made from. */
  readonly rounds: ReadonlyArray<number>
  /** For each round: how much slower it was than the others, as a logarithm; only differences mean something. */
  readonly slowness: ReadonlyArray<number>
}

const SWEEPS = 8
/** So many rounds are taken to be quiet, the quietest ones; and all that are hardly more disturbed. */
const SURELY_QUIET = 3
/** Hardly more: by 3 %, or by three standard deviations of what rounds differ by anyway. */
const HARDLY = 0.03
const DEVIATIONS = 3
const isNumber = (value: number | undefined): value is number => value !== undefined

/** For each round: by how much its lanes were above their least, on average. It tells what hurts one lane from what hurts none. */
const disturbance = (rounds: Rounds, count: number): ReadonlyArray<number> => {
  const least = rounds.map((row) => Math.min(...row.filter(isNumber)))
  return Array.from({ length: count }, (_, round) => {
    const above = rounds.flatMap((row, lane) => {
      const value = row[round]
      return value === undefined ? [] : [value - (least[lane] ?? 0)]
    })
    return above.length === 0 ? Infinity : above.reduce((sum, value) => sum + value, 0) / above.length
  })
}

/** By how much rounds differ anyway: from the differences of neighbours, of which bursts change few. */
const unrest = (disturbed: ReadonlyArray<number>): number => {
  const steps = disturbed.slice(1).map((value, i) => Math.abs(value - (disturbed[i] ?? 0)))
  const usual = median(steps.filter((step) => step < Infinity))
  // 0.95: the median of the absolute difference of two normal values, in deviations.
  return Number.isNaN(usual) ? 0 : usual / 0.95
}

/** Of these rounds, the quiet ones. */
const quietOf = (
  own: ReadonlyArray<number>,
  disturbed: ReadonlyArray<number>,
  hardly: number
): ReadonlyArray<number> => {
  const at = (round: number) => disturbed[round] ?? Infinity
  const sorted = own.toSorted((a, b) => at(a) - at(b) || a - b)
  const limit = at(sorted[Math.min(SURELY_QUIET, sorted.length) - 1] ?? -1) + hardly
  return sorted.filter((round) => at(round) <= limit)
}

/**
 * Splits logarithms of time into lane + round + rest, by medians in turns. A clock that slows, or a neighbour that takes
 * its share of everything, is in the rounds, and leaves the lanes' differences alone. A neighbour that hurts one lane more
 * than the other is not: so the lanes' scores are taken from their quiet rounds.
 */
export const fit = (rounds: Rounds): Fit => {
  const count = Math.max(0, ...rounds.map(({ length }) => length))
  const all = Array.from({ length: count }, (_, round) => round)
  const disturbed = disturbance(rounds, count)
  const hardly = Math.max(HARDLY, DEVIATIONS * unrest(disturbed))
  const chosen = rounds.map((row) =>
    quietOf(
      all.filter((round) => isNumber(row[round])),
      disturbed,
      hardly
    )
  )
  const slowness = new Array<number>(count).fill(0)
  const restOf = (lane: number) =>
    (chosen[lane] ?? []).map((round) => (rounds[lane]?.[round] ?? Number.NaN) - (slowness[round] ?? 0))
  let score = rounds.map((_, lane) => median(restOf(lane)))
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const round of all) {
      const rest = rounds.flatMap((row, lane) => {
        const value = row[round]
        return value === undefined ? [] : [value - (score[lane] ?? 0)]
      })
      slowness[round] = rest.length === 0 ? 0 : median(rest)
    }
    score = rounds.map((_, lane) => median(restOf(lane)))
  }
  return {
    score,
    spread: rounds.map((_, lane) => spread(restOf(lane), score[lane])),
    rounds: chosen.map(({ length }) => length),
    slowness
  }
}
