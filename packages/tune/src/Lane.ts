/**
 * Lane: one thing that is timed: a candidate, or the yardstick. Warmed up, then sampled: a sample is the least of three
 * batches, a batch so many runs that the clock is fine enough for it.
 */
import { MeasurerError } from "@anneal/pipeline/Measurer"
import type { Checked, Inputs, Rejected, Run } from "@anneal/pipeline/Measurer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Settings } from "./Settings.ts"
import type { Timing } from "./Timing.ts"

export interface Lane {
  readonly run: Run
  /** Undefined: the yardstick. */
  readonly checked: Checked | undefined
  /** Runs in a batch. */
  iterations: number
  /** Nanoseconds of one run: the least that was ever seen, and the least since the heat began. */
  least: number
  recent: number
  /** Nanoseconds of one run, by round of the heat. */
  samples: Array<number | undefined>
  /** Of all heats. */
  readonly all: Array<number>
  /** Logarithm of its time, of which the yardstick's is 0, and its standard error; known after its first heat. */
  place: { readonly score: number; readonly error: number } | undefined
  end: Timing["end"] | "rejected" | "skipped" | undefined
  rejected: Rejected | undefined
}

export interface CandidateLane extends Lane {
  readonly checked: Checked
}

const start = () => ({
  iterations: 1,
  least: Infinity,
  recent: Infinity,
  samples: [],
  all: [],
  place: undefined,
  end: undefined,
  rejected: undefined
})
export const ofCandidate = (checked: Checked): CandidateLane => ({ run: checked.run, checked, ...start() })
export const ofYardstick = (run: Run): Lane => ({ run, checked: undefined, ...start(), place: { score: 0, error: 0 } })

/** Nanoseconds of the monotonic clock. */
export const now = Effect.map(Clock.monotonicTimeNanos, Number)
export const isRunning = ({ end }: Lane): boolean => end === undefined

/** A sample is the least of so many batches. */
const BATCHES = 3
/** A single run that takes so many batches is its own batch, and sample. */
const LONG = 4
/** Runs that cannot be as short as a batch. */
const MANY = 2 ** 40

export const broken = (detail: string): MeasurerError =>
  new MeasurerError({ detail, action: "this is a fault of the target's measurer: report it" })

/** Nanoseconds of `iterations` runs; undefined, and the lane ended, when the candidate is rejected. */
const batch = (lane: Lane, iterations: number, inputs: Inputs): Effect.Effect<number | undefined, MeasurerError> =>
  Effect.flatMap(
    lane.run({ iterations, inputs }).pipe(
      Effect.map((took) => Result.succeed(took)),
      Effect.catchTag("Rejected", (rejected) => Effect.succeed(Result.fail(rejected)))
    ),
    (result) => {
      if (Result.isSuccess(result)) {
        const took = result.success
        if (!(took >= 1 && took < Infinity)) return Effect.fail(broken(`${iterations} runs took ${took} ns`))
        lane.least = Math.min(lane.least, took / iterations)
        lane.recent = Math.min(lane.recent, took / iterations)
        return Effect.succeed(took)
      }
      lane.end = "rejected"
      lane.rejected = result.failure
      return Effect.succeed(undefined)
    }
  )

const fitBatch = (lane: Lane, settings: Settings) => {
  lane.iterations = Math.max(1, Math.round(settings.batch / lane.least))
}

/** Warms up for so many nanoseconds, and finds how many runs make a batch. */
export const warmUp = (
  lane: Lane,
  settings: Settings,
  deadline: number,
  least = settings.warmUp
): Effect.Effect<void, MeasurerError> =>
  Effect.gen(function* () {
    let [iterations, spent] = [lane.iterations, 0]
    for (let turn = 0; ; turn++) {
      if ((yield* now) >= deadline) {
        lane.end = "skipped"
        return
      }
      const took = yield* batch(lane, iterations, settings.inputs)
      if (took === undefined) return
      spent += took
      // The first run may have compiled: what it took says little.
      if (turn > 0 && spent >= least && took >= settings.batch / 2) break
      const enough = Math.ceil(settings.batch / lane.least)
      if (iterations > MANY) return yield* broken(`${iterations} runs took no longer than one: ${took} ns`)
      if (turn > 0 && took < settings.batch) iterations = Math.min(iterations * 8, Math.max(iterations, enough))
    }
    fitBatch(lane, settings)
  })

const batchesOf = ({ least }: Lane, settings: Settings) => (least > LONG * settings.batch ? 1 : BATCHES)

/** Nanoseconds of one run; undefined, and the lane ended, when the candidate is rejected. */
export const sample = (lane: Lane, settings: Settings): Effect.Effect<number | undefined, MeasurerError> =>
  Effect.gen(function* () {
    let least = Infinity
    for (let i = batchesOf(lane, settings); i > 0; i--) {
      const took = yield* batch(lane, lane.iterations, settings.inputs)
      if (took === undefined) return undefined
      least = Math.min(least, took / lane.iterations)
    }
    lane.all.push(least)
    // It became faster since it was warmed up: its batches are too short now.
    if (lane.least * lane.iterations < settings.batch / 2) fitBatch(lane, settings)
    return least
  })

/** Nanoseconds that a sample of this lane will take. */
export const price = (lane: Lane, settings: Settings): number =>
  batchesOf(lane, settings) * lane.iterations * lane.least
