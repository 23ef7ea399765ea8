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
 * Candidates come in heats: the leader of a heat stays, and what comes next is timed in turns with it. So all candidates of
 * a choice are compared in the same moments, and those that come late and are slow are gone after three rounds.
 *
 * Racing (Maron & Moore, "Hoeffding Races", 1994, with intervals of medians): a lane whose difference to the leader is
 * larger than three standard errors is dropped. The race ends when all that is left is equal.
 */
import type { Checked, MeasurerError, Rejected, Run } from "@anneal/pipeline/Measurer"
import * as Effect from "effect/Effect"
import * as Lane from "./Lane.ts"
import type { Settings } from "./Settings.ts"
import * as Statistics from "./Statistics.ts"
import * as Timing from "./Timing.ts"

export { full, quick } from "./Settings.ts"
export type { Settings } from "./Settings.ts"

/** Of the way timings are made and compared: another one makes other decisions. */
export const version = 1

export type Outcome =
  | { readonly _tag: "Timed"; readonly checked: Checked; readonly timing: Timing.Timing }
  /** Found wrong only while it was timed. */
  | { readonly _tag: "Rejected"; readonly checked: Checked; readonly rejected: Rejected }
  /** Time was up before there were three samples. */
  | { readonly _tag: "Skipped"; readonly checked: Checked }

/** For each round that was asked for, at most so many are run, where neighbours disturb. */
const PATIENCE = 3
/** Rounds before which nothing is dropped or kept. */
const FEWEST = 3
/** Samples before which only what is clearly slower is dropped. */
const SOME = 5
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

const isHopeless = (lane: Lane.Lane, fastest: number, settings: Settings) =>
  Lane.isRunning(lane) && lane.least > settings.hopeless * fastest

const fastestOf = (lanes: ReadonlyArray<Lane.Lane>) =>
  Math.min(...lanes.filter(Lane.isRunning).map(({ least }) => least))

/** What looks hopeless may only not be compiled yet, on a machine whose compiling thread has no core: it is asked again. */
const secondChance = (candidates: ReadonlyArray<Lane.Lane>, settings: Settings, deadline: number) =>
  Effect.gen(function* () {
    const fastest = fastestOf(candidates)
    for (const lane of candidates) {
      if (!isHopeless(lane, fastest, settings)) continue
      yield* Lane.warmUp(lane, settings, deadline, SECOND * settings.warmUp)
    }
  })

/** Takes out what is hopeless, and the slowest of what there is no time for. */
const trim = (candidates: ReadonlyArray<Lane.Lane>, settings: Settings, left: number) => {
  const fastest = fastestOf(candidates)
  let spent = 0
  for (const lane of candidates.filter(Lane.isRunning).toSorted((a, b) => a.least - b.least)) {
    if (isHopeless(lane, fastest, settings)) {
      lane.end = "hopeless"
      continue
    }
    spent += FEWEST * Lane.price(lane, settings)
    if (spent > left) lane.end = "skipped"
  }
}

/** The lanes of a round: another one first each time, backwards every second time. */
const turns = (lanes: ReadonlyArray<Lane.Lane>, round: number): ReadonlyArray<Lane.Lane> => {
  const running = lanes.filter(Lane.isRunning)
  const start = running.length === 0 ? 0 : (round >> 1) % running.length
  const rotated = [...running.slice(start), ...running.slice(0, start)]
  return round % 2 === 0 ? rotated : rotated.toReversed()
}

interface Standing {
  readonly lane: Lane.Lane
  readonly score: number
  /** Standard error of the score. */
  readonly error: number
  /** Quiet rounds that it was in. */
  readonly rounds: number
}

const standingsOf = (lanes: ReadonlyArray<Lane.Lane>): ReadonlyArray<Standing> => {
  const fit = Statistics.fit(lanes.map(({ samples }) => samples.map((ns) => (ns === undefined ? ns : Math.log(ns)))))
  // Few samples may agree by luck: nobody's spread is taken below the usual one of this heat.
  const usual = Statistics.median(fit.spread.filter((value) => !Number.isNaN(value)))
  return lanes.map((lane, i) => {
    const rounds = fit.rounds[i] ?? 0
    const error = (OF_MEDIAN * Math.max(fit.spread[i] ?? 0, usual, 1e-4)) / Math.sqrt(Math.max(1, rounds))
    return { lane, score: fit.score[i] ?? Number.NaN, error, rounds }
  })
}

const countOf = ({ samples }: Lane.Lane) => samples.filter((ns) => ns !== undefined).length

/** Whether every sample of the one is far slower than the other's of the same round. */
const isClearlySlower = (one: Lane.Lane, other: Lane.Lane): boolean => {
  const pairs = one.samples.flatMap((ns, round) => {
    const beside = other.samples[round]
    return ns === undefined || beside === undefined ? [] : [ns > beside * (1 + CLEARLY)]
  })
  return pairs.length >= FEWEST && pairs.every((slower) => slower)
}

/** Drops sure losers, and takes back what was dropped and looks best after all; whether all that is left is equal. */
const judge = (standings: ReadonlyArray<Standing>, settings: Settings): boolean => {
  const candidates = standings.filter(({ lane, score }) => lane.checked !== undefined && !Number.isNaN(score))
  const running = candidates.filter(({ lane }) => Lane.isRunning(lane)).toSorted((a, b) => a.score - b.score)
  const [leader, ...others] = running
  if (leader === undefined) return true
  let settled = true
  for (const { lane, score } of candidates) {
    if (lane.end !== "slower" || score >= leader.score) continue
    lane.end = undefined
    settled = false
  }
  for (const one of others) {
    const gap = one.score - leader.score
    const noise = SURE * Math.hypot(one.error, leader.error)
    const onceAsFast = one.lane.recent <= leader.lane.recent * (1 + settings.tolerance)
    const sure = isClearlySlower(one.lane, leader.lane) || (countOf(one.lane) >= SOME && gap > noise)
    if (sure && !onceAsFast) one.lane.end = "slower"
    else if (gap + noise > 2 * settings.tolerance) settled = false
  }
  return settled
}

/** Where a lane is, by the lane that its heat is measured by. */
const settle = (lane: Lane.CandidateLane, standings: ReadonlyArray<Standing>, by: Lane.Lane) => {
  const [own, other] = [lane, by].map((one) => standings.find((standing) => standing.lane === one))
  if (lane.place !== undefined || by.place === undefined || own === undefined || other === undefined) return
  if (lane.end === "hopeless") {
    lane.place = { score: Math.log(lane.least / by.least) + by.place.score, error: ROUGH }
  } else if (countOf(lane) >= FEWEST) {
    lane.place = { score: own.score - other.score + by.place.score, error: Math.hypot(own.error, other.error) }
  }
}

const outcomeOf = (lane: Lane.CandidateLane, settings: Settings): Outcome => {
  const { checked, place, end = "finalist", iterations } = lane
  if (lane.rejected !== undefined) return { _tag: "Rejected", checked, rejected: lane.rejected }
  if (place === undefined || end === "skipped" || end === "rejected") return { _tag: "Skipped", checked }
  const samples = end === "hopeless" ? [lane.least] : lane.all
  const { inputs } = settings
  return { _tag: "Timed", checked, timing: Timing.of(samples, { ...place, iterations, inputs, end }) }
}

export interface Race {
  /**
   * Times these beside the leader, until nothing more is to be told apart, or until `deadline` (nanoseconds of the
   * monotonic clock), give or take a sample. Outcomes of all that are done; the leader stays.
   */
  readonly heat: (
    candidates: ReadonlyArray<Checked>,
    deadline: number
  ) => Effect.Effect<ReadonlyArray<Outcome>, MeasurerError>
  /** The leader's outcome as it is now; none before the first heat. */
  readonly leader: () => Outcome | undefined
}

/** The rounds of one heat. */
const rounds = (
  lanes: ReadonlyArray<Lane.Lane>,
  newcomers: ReadonlyArray<Lane.Lane>,
  settings: Settings,
  deadline: number
) =>
  Effect.gen(function* () {
    const { least, most } = settings.rounds
    for (let round = 0; round < PATIENCE * most && newcomers.some(Lane.isRunning); round++) {
      const cost = lanes.filter(Lane.isRunning).reduce((sum, lane) => sum + Lane.price(lane, settings), 0)
      if (round >= FEWEST && (yield* Lane.now) + cost > deadline) {
        for (const lane of newcomers.filter(Lane.isRunning)) lane.end = "budget"
        return
      }
      for (const lane of lanes) lane.samples.push(undefined)
      for (const lane of turns(lanes, round)) lane.samples[round] = yield* Lane.sample(lane, settings)
      if (round + 1 < FEWEST) continue
      const standings = standingsOf(lanes)
      const settled = judge(standings, settings)
      const quiet = Math.min(...standings.filter(({ lane }) => Lane.isRunning(lane)).map((one) => one.rounds))
      if (quiet >= most || (settled && (quiet >= least || round + 1 >= PATIENCE * least))) return
    }
  })

/** A race among the candidates of one choice. */
export const open = (options: { readonly settings: Settings; readonly yardstick: Run }): Race => {
  const { settings } = options
  const yardstick = Lane.ofYardstick(options.yardstick)
  let leader: Lane.CandidateLane | undefined

  const heat: Race["heat"] = (candidates, deadline) =>
    Effect.gen(function* () {
      const newcomers = candidates.map(Lane.ofCandidate)
      const held = leader === undefined ? [] : [leader]
      const lanes: ReadonlyArray<Lane.Lane> = [yardstick, ...held, ...newcomers]
      for (const lane of [yardstick, ...held]) {
        lane.end = undefined
        lane.samples = []
        lane.recent = Infinity
      }
      if (yardstick.least === Infinity) yield* Lane.warmUp(yardstick, settings, deadline)
      if (yardstick.rejected !== undefined) {
        return yield* Lane.broken(`the yardstick itself fails: ${yardstick.rejected.message}`)
      }
      for (const lane of newcomers) yield* Lane.warmUp(lane, settings, deadline)
      // Without a yardstick nothing can be said that holds later; it is warmed up again in the next heat.
      if (!Lane.isRunning(yardstick)) {
        yardstick.least = Infinity
        return candidates.map((checked) => ({ _tag: "Skipped", checked }) as const)
      }
      yield* secondChance([...held, ...newcomers], settings, deadline)
      const around = [yardstick, ...held].reduce((sum, lane) => sum + FEWEST * Lane.price(lane, settings), 0)
      if (held.length > 0) {
        const fastest = fastestOf([...held, ...newcomers])
        for (const lane of newcomers) if (isHopeless(lane, fastest, settings)) lane.end = "hopeless"
      }
      trim(newcomers, settings, deadline - (yield* Lane.now) - around)
      yield* rounds(lanes, newcomers, settings, deadline)

      const standings = standingsOf(lanes)
      for (const lane of newcomers) settle(lane, standings, leader ?? yardstick)
      // Of those that stayed, the first; of equals, the one that was there.
      const stayed = [...held, ...newcomers].filter(
        ({ end, place }) => place !== undefined && (end === undefined || end === "budget")
      )
      const [first] = stayed.toSorted((a, b) => (a.place?.score ?? 0) - (b.place?.score ?? 0))
      leader = first
      return [...held, ...newcomers].filter((lane) => lane !== leader).map((lane) => outcomeOf(lane, settings))
    })

  return { heat, leader: () => (leader === undefined ? undefined : outcomeOf(leader, settings)) }
}

/** One heat of these candidates; one outcome each, in their order. */
export const race = (
  candidates: ReadonlyArray<Checked>,
  options: { readonly settings: Settings; readonly yardstick: Run; readonly deadline: number }
): Effect.Effect<ReadonlyArray<Outcome>, MeasurerError> =>
  Effect.gen(function* () {
    const one = open(options)
    const done = yield* one.heat(candidates, options.deadline)
    const leader = one.leader()
    const outcomes = new Map(
      [...done, ...(leader === undefined ? [] : [leader])].map((outcome) => [outcome.checked, outcome])
    )
    return candidates.flatMap((checked) => outcomes.get(checked) ?? [])
  })
