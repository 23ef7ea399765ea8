/**
 * Protocol: how candidates are timed against each other, on a machine that does other things too.
 *
 *   warm up each → rounds A B C Y, C B A Y, … → fit → drop sure losers → … → timings
 *
 * What goes wrong on a shared machine, and what is done about it:
 * - the clock drifts (25 % over minutes): candidates are sampled in turns, and the fit takes out what a round has in common;
 *   the yardstick Y is one of the lanes, so that timings of another race can be compared with these;
 * - an interrupt, a preemption: a sample is the least of three batches;
 * - a neighbour, who hurts the one more than the other: scores are medians over the quiet rounds (`Statistics.fit`); only
 *   quiet rounds count as rounds, up to three times as many are run for them; and nothing is dropped that was once, were it
 *   while warming up, as fast as the leader at its best;
 * - position (caches warm from the lane before): each round starts at another lane, every second one runs backwards;
 * - a short run is below the clock's resolution: runs are batched until a batch is long enough;
 * - code that gets faster (tiers of the JIT): warm-up goes on for a time, and until a batch can be as long as asked; what
 *   is far slower than the fastest then is warmed up again, five times longer, before it is given up.
 *
 * Racing (Maron & Moore, "Hoeffding Races", 1994, with intervals of medians): a lane whose difference to the leader is
 * larger than three standard errors is dropped. The race ends when all that is left is equal.
 */
import { MeasurerError } from "@anneal/pipeline/Measurer"
import type { Checked, Inputs, Rejected, Run } from "@anneal/pipeline/Measurer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Statistics from "./Statistics.ts"
import * as Timing from "./Timing.ts"

/** Of the way timings are made and compared: another one makes other decisions. */
export const version = 1

export interface Settings {
  /** Nanoseconds that each candidate is run for before it is sampled. */
  readonly warmUp: number
  /** Nanoseconds of a batch; a sample is the least of three (of one, where a single run takes four times as long). */
  readonly batch: number
  /** Fewest rounds for what stays to the end, and most. */
  readonly rounds: { readonly least: number; readonly most: number }
  /** Differences below this share are none. */
  readonly tolerance: number
  /** So many times slower than the fastest while warming up: not sampled. */
  readonly hopeless: number
  readonly inputs: Inputs
}

const MILLISECOND = 1e6
export const quick: Settings = {
  warmUp: 5 * MILLISECOND,
  batch: 0.3 * MILLISECOND,
  rounds: { least: 7, most: 20 },
  tolerance: 0.02,
  hopeless: 4,
  inputs: "warm"
}
export const full: Settings = {
  warmUp: 20 * MILLISECOND,
  batch: MILLISECOND,
  rounds: { least: 11, most: 60 },
  tolerance: 0.01,
  hopeless: 8,
  inputs: "warm"
}

export type Outcome =
  | { readonly _tag: "Timed"; readonly checked: Checked; readonly timing: Timing.Timing }
  /** Found wrong only while it was timed. */
  | { readonly _tag: "Rejected"; readonly checked: Checked; readonly rejected: Rejected }
  /** Time was up before there were three samples. */
  | { readonly _tag: "Skipped"; readonly checked: Checked }

/** A sample is the least of so many batches. */
const BATCHES = 3
/** For each round that was asked for, at most so many are run, where neighbours disturb. */
const PATIENCE = 3
/** Rounds before which nothing is dropped or kept. */
const FEWEST = 3
/** Standard errors that a difference must have. */
const SURE = 3
/** Efficiency of the median: its standard error is so many times that of the mean. */
const OF_MEDIAN = 1.2533
/** With few samples spreads are known badly: a drop then needs every round to be slower by this share. */
const CLEARLY = 0.25
/** What is known of a hopeless one: its warm-up, to so much. */
const ROUGH = 0.25

/** The second warm-up is so many times longer. */
const SECOND = 5
/** Runs that cannot be as short as a batch. */
const MANY = 2 ** 40

interface Lane {
  readonly run: Run
  /** Undefined: the yardstick. */
  readonly checked: Checked | undefined
  iterations: number
  /** Nanoseconds of one run: the least that was ever seen. */
  least: number
  /** Nanoseconds of one run, by round. */
  readonly samples: Array<number | undefined>
  end: Timing.Timing["end"] | "rejected" | "skipped" | undefined
  rejected: Rejected | undefined
}

const laneOf = (run: Run, checked: Checked | undefined): Lane => ({
  run,
  checked,
  iterations: 1,
  least: Infinity,
  samples: [],
  end: undefined,
  rejected: undefined
})

const now = Effect.map(Clock.monotonicTimeNanos, Number)
const isRunning = ({ end }: Lane) => end === undefined

const broken = (detail: string) =>
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
        return took >= 1 && took < Infinity
          ? Effect.succeed(took)
          : Effect.fail(broken(`${iterations} runs took ${took} ns`))
      }
      lane.end = "rejected"
      lane.rejected = result.failure
      return Effect.succeed(undefined)
    }
  )

/** Warms up for so many nanoseconds, and finds how many runs make a batch. */
const warmUp = (lane: Lane, settings: Settings, deadline: number, least = settings.warmUp) =>
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
      lane.least = Math.min(lane.least, took / iterations)
      // The first run may have compiled: what it took says little.
      if (turn > 0 && spent >= least && took >= settings.batch / 2) break
      const enough = Math.ceil(settings.batch / lane.least)
      if (iterations > MANY) return yield* broken(`${iterations} runs took no longer than one: ${took} ns`)
      if (turn > 0 && took < settings.batch) iterations = Math.min(iterations * 8, Math.max(iterations, enough))
    }
    fitBatch(lane, settings)
  })

const fitBatch = (lane: Lane, settings: Settings) => {
  lane.iterations = Math.max(1, Math.round(settings.batch / lane.least))
}

const isHopeless = (lane: Lane, fastest: number, settings: Settings) =>
  isRunning(lane) && lane.least > settings.hopeless * fastest

/** What looks hopeless may only not be compiled yet, on a machine whose compiling thread has no core: it is asked again. */
const secondChance = (candidates: ReadonlyArray<Lane>, settings: Settings, deadline: number) =>
  Effect.gen(function* () {
    const fastest = Math.min(...candidates.filter(isRunning).map(({ least }) => least))
    for (const lane of candidates) {
      if (isHopeless(lane, fastest, settings)) yield* warmUp(lane, settings, deadline, SECOND * settings.warmUp)
    }
  })

const batchesOf = ({ least }: Lane, settings: Settings) => (least > 4 * settings.batch ? 1 : BATCHES)

/** Nanoseconds of one run: the least of a few batches. */
const sample = (lane: Lane, settings: Settings) =>
  Effect.gen(function* () {
    let least = Infinity
    for (let i = batchesOf(lane, settings); i > 0; i--) {
      const took = yield* batch(lane, lane.iterations, settings.inputs)
      if (took === undefined) return undefined
      least = Math.min(least, took / lane.iterations)
    }
    lane.least = Math.min(lane.least, least)
    // It became faster since it was warmed up: its batches are too short now.
    if (lane.least * lane.iterations < settings.batch / 2) fitBatch(lane, settings)
    return least
  })

/** Nanoseconds that a sample of this lane will take. */
const price = (lane: Lane, settings: Settings) => batchesOf(lane, settings) * lane.iterations * lane.least

/** Takes out what is hopeless, and the slowest of what there is no time for. */
const trim = (candidates: ReadonlyArray<Lane>, yardstick: Lane, settings: Settings, left: number) => {
  const running = candidates.filter(isRunning).toSorted((a, b) => a.least - b.least)
  const [fastest] = running
  if (fastest === undefined) return
  let spent = FEWEST * price(yardstick, settings)
  for (const lane of running) {
    if (isHopeless(lane, fastest.least, settings)) {
      lane.end = "hopeless"
      continue
    }
    spent += FEWEST * price(lane, settings)
    if (spent > left) lane.end = "skipped"
  }
}

/** The lanes of a round: another one first each time, backwards every second time. */
const turns = (lanes: ReadonlyArray<Lane>, round: number): ReadonlyArray<Lane> => {
  const running = lanes.filter(isRunning)
  const start = running.length === 0 ? 0 : (round >> 1) % running.length
  const rotated = [...running.slice(start), ...running.slice(0, start)]
  return round % 2 === 0 ? rotated : rotated.toReversed()
}

interface Standing {
  readonly fit: Statistics.Fit
  /** Standard error of each lane's score. */
  readonly error: ReadonlyArray<number>
}

const standingOf = (lanes: ReadonlyArray<Lane>): Standing => {
  const fit = Statistics.fit(lanes.map(({ samples }) => samples.map((ns) => (ns === undefined ? ns : Math.log(ns)))))
  // Few samples may agree by luck: nobody's spread is taken below the usual one of this race.
  const usual = Statistics.median(fit.spread.filter((value) => !Number.isNaN(value)))
  const error = fit.spread.map(
    (own, i) => (OF_MEDIAN * Math.max(own, usual, 1e-4)) / Math.sqrt(Math.max(1, fit.rounds[i] ?? 1))
  )
  return { fit, error }
}

/** Drops sure losers, and takes back what was dropped and looks best after all; whether all that is left is equal. */
const judge = (lanes: ReadonlyArray<Lane>, { fit, error }: Standing, settings: Settings, round: number): boolean => {
  const all = lanes.flatMap((lane, i) =>
    lane.checked === undefined ? [] : [{ lane, score: fit.score[i] ?? Number.NaN, error: error[i] ?? Infinity }]
  )
  const running = all.filter(({ lane }) => isRunning(lane))
  const leader = running.toSorted((a, b) => a.score - b.score)[0]
  if (leader === undefined) return true
  let settled = true
  for (const { lane, score } of all) {
    if (lane.end !== "slower" || score >= leader.score) continue
    lane.end = undefined
    settled = false
  }
  for (const one of running) {
    if (one === leader) continue
    const gap = one.score - leader.score
    const noise = SURE * Math.hypot(one.error, leader.error)
    const clearly = one.lane.samples.every((ns, r) => {
      const other = leader.lane.samples[r]
      return ns === undefined || other === undefined || ns > other * (1 + CLEARLY)
    })
    const onceAsFast = one.lane.least <= leader.lane.least * (1 + settings.tolerance)
    if (!onceAsFast && (clearly || (round + 1 >= 5 && gap > noise))) one.lane.end = "slower"
    else if (gap + noise > 2 * settings.tolerance) settled = false
  }
  return settled
}

const outcomeOf = (
  lane: Lane,
  checked: Checked,
  place: number,
  { fit, error }: Standing,
  yardstick: Lane,
  at: number,
  inputs: Inputs
): Outcome => {
  if (lane.end === "rejected" && lane.rejected !== undefined)
    return { _tag: "Rejected", checked, rejected: lane.rejected }
  const samples = lane.samples.filter((ns) => ns !== undefined)
  if (lane.end === "hopeless") {
    const found = { score: Math.log(lane.least), yardstick: Math.log(yardstick.least), error: ROUGH }
    const timing = Timing.of([lane.least], { ...found, iterations: lane.iterations, inputs, end: "hopeless" })
    return { _tag: "Timed", checked, timing }
  }
  if (samples.length < FEWEST || lane.end === "skipped" || lane.end === "rejected") return { _tag: "Skipped", checked }
  const timing = Timing.of(samples, {
    score: fit.score[place] ?? Number.NaN,
    yardstick: fit.score[at] ?? Number.NaN,
    error: Math.hypot(error[place] ?? 0, error[at] ?? 0),
    iterations: lane.iterations,
    inputs,
    end: lane.end ?? "finalist"
  })
  return { _tag: "Timed", checked, timing }
}

/**
 * Times checked candidates of one choice against each other; one outcome each, in their order. Ends before `deadline`
 * (nanoseconds of the monotonic clock), give or take a sample.
 */
export const race = (
  candidates: ReadonlyArray<Checked>,
  options: { readonly settings: Settings; readonly yardstick: Run; readonly deadline: number }
): Effect.Effect<ReadonlyArray<Outcome>, MeasurerError> =>
  Effect.gen(function* () {
    const { settings, deadline } = options
    const yardstick = laneOf(options.yardstick, undefined)
    const competitors = candidates.map((checked) => laneOf(checked.run, checked))
    const lanes = [...competitors, yardstick]
    for (const lane of [yardstick, ...competitors]) yield* warmUp(lane, settings, deadline)
    if (yardstick.rejected !== undefined) {
      return yield* broken(`the yardstick itself fails: ${yardstick.rejected.message}`)
    }
    // Without a yardstick nothing can be said that holds later.
    if (yardstick.end !== undefined) return candidates.map((checked) => ({ _tag: "Skipped", checked }) as const)
    yield* secondChance(competitors, settings, deadline)
    trim(competitors, yardstick, settings, deadline - (yield* now))

    const { least, most } = settings.rounds
    for (let round = 0; round < PATIENCE * most && competitors.some(isRunning); round++) {
      const cost = lanes.filter(isRunning).reduce((sum, lane) => sum + price(lane, settings), 0)
      if (round >= FEWEST && (yield* now) + cost > deadline) {
        for (const lane of competitors.filter(isRunning)) lane.end = "budget"
        break
      }
      for (const lane of lanes) lane.samples.push(undefined)
      for (const lane of turns(lanes, round)) lane.samples[round] = yield* sample(lane, settings)
      if (round + 1 < FEWEST) continue
      const standing = standingOf(lanes)
      const settled = judge(lanes, standing, settings, round)
      const { quiet } = standing.fit
      if (quiet >= most || (settled && (quiet >= least || round + 1 >= PATIENCE * least))) break
    }
    const standing = standingOf(lanes)
    return competitors.flatMap((lane, place) =>
      lane.checked === undefined
        ? []
        : [outcomeOf(lane, lane.checked, place, standing, yardstick, competitors.length, settings.inputs)]
    )
  })
