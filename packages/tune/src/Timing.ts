/**
 * Timing: what is known of a candidate's speed, and how timings decide.
 *
 * A timing is `relative`: to the yardstick, measured in the same rounds. So timings of other hours, other runs and other
 * machines of the same kind compare, whatever the clock did meanwhile; nanoseconds are there to be read.
 */
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Measurer from "@anneal/pipeline/Measurer"
import * as Schema from "effect/Schema"
import * as Statistics from "./Statistics.ts"

export const Timing = Schema.Struct({
  /** Time of one run, divided by that of one run of the yardstick. */
  relative: Schema.Finite,
  /** Standard error of `relative`, as a share of it: 0.01 is one in a hundred. */
  error: Schema.Finite,
  /** Nanoseconds of one run: median of the samples, their median absolute deviation (times 1.4826), and the least. */
  median: Schema.Finite,
  mad: Schema.Finite,
  least: Schema.Finite,
  /** Samples taken, and runs in each batch of a sample. */
  samples: Schema.Int,
  iterations: Schema.Int,
  inputs: Measurer.Inputs,
  /**
   * Why no more samples were taken: it stayed to the end; it was slower for sure; so much slower that warming up showed
   * it; time was up.
   */
  end: Schema.Literals(["finalist", "slower", "hopeless", "budget"])
})
export type Timing = typeof Timing.Type

export interface Ranked {
  readonly candidate: Tuner.Candidate
  readonly relative: number
  readonly error: number
  /** Median nanoseconds, of the timing nearest to what was taken as `relative`. */
  readonly median: number
}

/** Several timings of one candidate (of several machines) as one: the middle one, by `relative`; the order is nothing. */
const middle = (timings: ReadonlyArray<Timing>): Timing | undefined =>
  timings.toSorted((a, b) => a.relative - b.relative || a.error - b.error || a.median - b.median)[
    (timings.length - 1) >> 1
  ]

/** The candidates that have timings, fastest first, equal ones by what was predicted. */
export const rank = (
  candidates: ReadonlyArray<Tuner.Candidate>,
  timingsOf: (candidate: Tuner.Candidate) => ReadonlyArray<Timing>
): ReadonlyArray<Ranked> =>
  candidates
    .flatMap((candidate) => {
      const timing = middle(timingsOf(candidate))
      return timing === undefined ? [] : [{ candidate, ...timing }]
    })
    .map(({ candidate, relative, error, median }) => ({ candidate, relative, error, median }))
    .toSorted((a, b) => a.relative - b.relative || Tuner.byPrediction(a.candidate, b.candidate))

/**
 * The one to take: of those that nothing tells from the fastest, the one predicted to be cheapest, then by name. "Nothing
 * tells" is a difference under `tolerance`, or under twice its standard error, but never over twice the tolerance. So a
 * second tuning, whose noise is another, takes the same one, or one as fast.
 */
export const choose = (
  ranked: ReadonlyArray<Ranked>,
  tolerance: number
): { readonly chosen: Ranked; readonly equals: number } | undefined => {
  const [fastest] = ranked
  if (fastest === undefined) return undefined
  const equals = ranked.filter((one) => {
    const noise = one === fastest ? 0 : 2 * Math.hypot(one.error, fastest.error)
    const window = Math.min(2 * tolerance, Math.max(tolerance, noise))
    return one.relative <= fastest.relative * (1 + window)
  })
  const [chosen = fastest] = equals.toSorted((a, b) => Tuner.byPrediction(a.candidate, b.candidate))
  return { chosen, equals: equals.length }
}

/** The timing of samples; `score`: the logarithm of the time, by the yardstick's. */
export const of = (
  samples: ReadonlyArray<number>,
  found: {
    readonly score: number
    readonly error: number
    readonly iterations: number
    readonly inputs: Measurer.Inputs
    readonly end: Timing["end"]
  }
): Timing => {
  const median = Statistics.median(samples)
  return {
    relative: significant(Math.exp(found.score)),
    error: significant(found.error),
    median: significant(median),
    mad: significant(Statistics.spread(samples, median)),
    least: significant(Math.min(...samples)),
    samples: samples.length,
    iterations: found.iterations,
    inputs: found.inputs,
    end: found.end
  }
}

/** Six digits: more would be noise, and the journal is read by people. */
const significant = (value: number): number => Number(value.toPrecision(6))
