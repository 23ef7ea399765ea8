/**
 * Weather: what a simulated machine suffers: how many times slower than undisturbed it is at a moment.
 */
import * as Seeded from "./Seeded.ts"

export interface Moment {
  /** Nanoseconds. */
  readonly at: number
  /** How much of a neighbour's harm reaches the work: 1 all (memory), 0 none. */
  readonly exposure: number
}

export type Weather = (moment: Moment) => number

const SECOND = 1e9

export const calm: Weather = () => 1

/** A clock that goes from full speed to `slowest` times slower and back, once a period (seconds). */
export const drift =
  (slowest: number, period: number): Weather =>
  ({ at }) =>
    1 + (slowest - 1) * (0.5 - 0.5 * Math.cos((2 * Math.PI * at) / (period * SECOND)))

/** A clock that is slower from one moment on (seconds). */
export const throttled =
  (slower: number, from: number): Weather =>
  ({ at }) =>
    at >= from * SECOND ? slower : 1

/** A neighbour that works in bursts of random length, `share` of the time, and makes exposed work `slower`. */
export const neighbour = (options: {
  readonly slower: number
  readonly share: number
  /** Mean length of a burst, milliseconds. */
  readonly burst: number
  readonly seed: number
}): Weather => {
  const random = Seeded.make("neighbour", options.seed)
  const length = (mean: number) => -Math.log(1 - random.next()) * mean * 1e6
  // Ends of quiet times and of bursts, in turns.
  const ends: Array<number> = []
  let last = 0
  return ({ at, exposure }) => {
    while (last <= at) {
      const isBurst = ends.length % 2 === 1
      last += length(isBurst ? options.burst : (options.burst * (1 - options.share)) / options.share)
      ends.push(last)
    }
    let [low, high] = [0, ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ends[middle] ?? 0) <= at) low = middle + 1
      else high = middle
    }
    return low % 2 === 1 ? 1 + (options.slower - 1) * exposure : 1
  }
}

/** Every measurement differs a little (standard deviation, as a share), and one in a hundred a lot. */
export const jitter = (deviation: number, seed: number): Weather => {
  const random = Seeded.make("jitter", seed)
  return () => Math.exp(deviation * random.normal()) * (random.next() < 0.01 ? 1 + 3 * random.next() : 1)
}

/** All at once. */
export const all =
  (...weathers: ReadonlyArray<Weather>): Weather =>
  (moment) =>
    weathers.reduce((slower, weather) => slower * weather(moment), 1)
