/**
 * Statistics that one wild value in two can't move: median, spread by the median absolute deviation, and the round-by-round
 * fit that takes common slowness out.
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

/** `log[candidate][round]`: natural logarithm of a time; undefined where it was not measured. */
export type Rounds = ReadonlyArray<ReadonlyArray<number | undefined>>

export interface Fit {
  /** For each candidate: its logarithm of time, without what its rounds had in common. NaN where nothing was measured. */
  readonly score: ReadonlyArray<number>
  /** For each candidate: the standard deviation of one sample, robust, of what is left. */
  readonly spread: ReadonlyArray<number>
  /** For each candidate: rounds that its score is made from. */
  readonly rounds: ReadonlyArray<number>
  /** For each round: how much slower than the middle round it was, as a logarithm. */
  readonly slowness: ReadonlyArray<number>
}

const SWEEPS = 12
const isNumber = (value: number | undefined): value is number => value !== undefined

/** The rounds whose slowness is at or below the median of the given ones, at least five where there are so many. */
const quiet = (rounds: ReadonlyArray<number>, slowness: ReadonlyArray<number>): ReadonlyArray<number> => {
  const bySlowness = rounds.toSorted((a, b) => (slowness[a] ?? 0) - (slowness[b] ?? 0) || a - b)
  return bySlowness.slice(0, Math.max(5, Math.ceil(rounds.length / 2)))
}

/**
 * Splits logarithms of time into candidate + round + rest, by medians in turns. A clock that slows, or a neighbour that
 * takes its share, is in the rounds, and leaves the candidates' differences alone. The scores are then taken from the
 * quieter half of the rounds, where a neighbour hurts the one candidate more than the other the least.
 */
export const fit = (rounds: Rounds): Fit => {
  const count = Math.max(0, ...rounds.map(({ length }) => length))
  const measured = rounds.map((row) =>
    Array.from({ length: count }, (_, round) => round).filter((round) => isNumber(row[round]))
  )
  const at = (candidate: number, round: number): number => rounds[candidate]?.[round] ?? Number.NaN
  const slowness = new Array<number>(count).fill(0)
  let score = rounds.map((row) => median(row.filter(isNumber)))
  const scoresFrom = (from: (candidate: number) => ReadonlyArray<number>) =>
    rounds.map((_, candidate) => median(from(candidate).map((round) => at(candidate, round) - (slowness[round] ?? 0))))

  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let round = 0; round < count; round++) {
      const rest = rounds.flatMap((row, candidate) => {
        const value = row[round]
        return value === undefined ? [] : [value - (score[candidate] ?? 0)]
      })
      slowness[round] = rest.length === 0 ? 0 : median(rest)
    }
    score = scoresFrom((candidate) => measured[candidate] ?? [])
  }
  const middle = count === 0 ? 0 : median(slowness)
  for (let round = 0; round < count; round++) slowness[round] = (slowness[round] ?? 0) - middle
  const chosen = measured.map((own) => quiet(own, slowness))
  score = scoresFrom((candidate) => chosen[candidate] ?? [])
  const rest = chosen.map((own, candidate) =>
    own.map((round) => at(candidate, round) - (slowness[round] ?? 0) - (score[candidate] ?? 0))
  )
  return { score, spread: rest.map((own) => spread(own, 0)), rounds: chosen.map(({ length }) => length), slowness }
}
