/**
 * VirtualClock: time that passes only when somebody sleeps or says so. When all fibers sleep, the one that wakes first
 * wakes at once, and the clock says its time: an hour of tuning takes a moment, and always the same way.
 *
 *   const time = VirtualClock.make()
 *   yield* Effect.provideService(tuning, Clock.Clock, time.clock)
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface VirtualClock {
  readonly clock: Clock.Clock
  /** Nanoseconds since the clock was made. */
  readonly now: () => number
  /** So many nanoseconds go by. */
  readonly pass: (nanoseconds: number) => void
}

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

export const make = (): VirtualClock => {
  let now = 0
  let sleepers: ReadonlyArray<Sleeper> = []
  let waiting = false
  // A turn of the event loop: whatever can still run, runs first.
  const look = () => {
    if (waiting || sleepers.length === 0) return
    waiting = true
    setImmediate(() => {
      waiting = false
      const first = sleepers.reduce<Sleeper | undefined>(
        (best, one) => (best === undefined || one.at < best.at ? one : best),
        undefined
      )
      if (first === undefined) return
      sleepers = sleepers.filter((one) => one !== first)
      now = Math.max(now, first.at)
      first.wake()
      look()
    })
  }
  const millis = () => Math.floor(now / 1e6)
  const nanos = () => BigInt(Math.round(now))
  return {
    now: () => now,
    pass: (nanoseconds) => {
      now += nanoseconds
    },
    clock: {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          const sleeper = { at: now + Duration.toMillis(duration) * 1e6, wake: () => resume(Effect.void) }
          sleepers = [...sleepers, sleeper]
          look()
          return Effect.sync(() => {
            sleepers = sleepers.filter((one) => one !== sleeper)
          })
        })
    }
  }
}

/** Runs `effect` in virtual time. */
export const provide =
  (time: VirtualClock) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Clock.Clock, time.clock)
