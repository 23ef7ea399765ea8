/**
 * MeasuringTuner: checks and times what a strategy proposes, until it proposes nothing or the budget ends.
 *
 *   for each choice, heaviest first: propose → check side by side → journal rejections → heat alone → journal timings → …
 *
 * Each choice gets its share of the time that is left, by its weight; what one doesn't need is the next ones'. So whenever the
 * budget ends, what matters most is known best. What is journalled is not checked or timed again.
 */
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Measurer, type Checked, type MeasurerService, type Rejected } from "@anneal/pipeline/Measurer"
import * as Progress from "@anneal/pipeline/Progress"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Deciding from "./Deciding.ts"
import type { Entry } from "./Entry.ts"
import * as Event from "./Event.ts"
import { Journal, type JournalService } from "./Journal.ts"
import * as Machine from "./Machine.ts"
import { MachineTurn } from "./MachineTurn.ts"
import * as Measurements from "./Measurements.ts"
import * as Protocol from "./Protocol.ts"
import * as Space from "./Space.ts"
import type { Strategy, View } from "./Strategy.ts"
import * as Yardstick from "./Yardstick.ts"

export interface Options {
  /** Time for checking and timing. Default: as much as it takes. */
  readonly budget?: Duration.Input
  /** Default `Protocol.quick`. */
  readonly settings?: Protocol.Settings
  /** Candidates in one race. Default 12. */
  readonly width?: number
}

const DEFAULT_WIDTH = 12
/** Nanoseconds that a choice's first heat gets at least. */
const LOOK = 100e6
const nanosOf = (budget: Duration.Input | undefined) =>
  budget === undefined ? Infinity : Duration.toMillis(Duration.fromInputUnsafe(budget)) * 1e6

/** What one tuning works with. */
interface Tuning {
  readonly measurer: MeasurerService
  readonly journal: JournalService
  readonly strategy: Strategy
  readonly settings: Protocol.Settings
  readonly machine: Machine.Machine
  readonly measurements: Measurements.Measurements
  /** Nanoseconds of this tuning's own time. */
  readonly deadline: number
  /** Nanoseconds that it waited for other processes of the machine to end what they timed: no part of its own time. */
  readonly waited: { spent: number }
  /** Candidates that nothing more has to be done for. */
  readonly done: { count: number; readonly total: number }
  readonly warned: { journal: boolean }
  /** Nanoseconds that checks took so far, side by side, and of how many candidates. */
  readonly checking: { spent: number; count: number }
}

/** Nanoseconds of a tuning's own time: the monotonic clock without what it waited. */
const nowOf = ({ waited }: Pick<Tuning, "waited">) =>
  Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) - waited.spent)

/** Keeps entries, here and in the journal. A journal that can't be written costs the next build time, not this one its result. */
const keep = (tuning: Tuning, entries: ReadonlyArray<Entry>) =>
  Effect.gen(function* () {
    const { journal, measurements, done, warned } = tuning
    measurements.add(entries)
    done.count += entries.length
    if (entries.length > 0 && done.total > 0)
      yield* Progress.step("candidates", Math.min(done.count, done.total), done.total)
    const failed = yield* Effect.option(Effect.flip(journal.append(entries)))
    if (Option.isNone(failed) || warned.journal) return
    warned.journal = true
    yield* Diagnostic.report({
      severity: "warning",
      code: "journal-not-written",
      message: `measurements are not kept: ${failed.value.message}`,
      action: "the next tuning will measure them again"
    })
  })

const entryOf = (tuning: Tuning, { key, node }: Tuner.Choice, { name, config }: Tuner.Candidate, at: number) => ({
  v: 1 as const,
  key,
  node,
  candidate: { name, config },
  generator: tuning.measurer.generator,
  machine: tuning.machine,
  at
})

const rejectionOf = (
  tuning: Tuning,
  choice: Tuner.Choice,
  candidate: Tuner.Candidate,
  { reason, detail, evidence }: Rejected
) =>
  Effect.gen(function* () {
    const { key, node } = choice
    yield* Event.tell({ _tag: "Rejected", key, node, candidate: Tuner.identify(candidate), reason, detail })
    const at = yield* Clock.currentTimeMillis
    return { ...entryOf(tuning, choice, candidate, at), kind: "rejection" as const, reason, detail, evidence }
  })

/** A candidate that is alive: released when nothing more is to be timed of it. */
interface Alive {
  readonly checked: Checked
  readonly scope: Scope.Closeable
}

const release = ({ scope }: Alive) => Scope.close(scope, Exit.void)

/** Checks one candidate: alive, or the entry that says why not; undefined: time was up. */
const check = (tuning: Tuning, choice: Tuner.Choice, candidate: Tuner.Candidate) =>
  Effect.gen(function* () {
    const left = tuning.deadline - (yield* nowOf(tuning))
    if (left <= 0) return undefined
    const { key, node } = choice
    const scope = yield* Scope.fork(yield* Scope.Scope)
    const passed = Effect.gen(function* () {
      const checked = yield* Scope.provide(tuning.measurer.check(choice, candidate), scope)
      yield* Event.tell({ _tag: "Checked", key, node, candidate: Tuner.identify(candidate) })
      return { checked, scope }
    })
    const verdict = Effect.catchTag(passed, "Rejected", (rejected) =>
      Effect.map(rejectionOf(tuning, choice, candidate, rejected), (entry) => ({ entry }))
    )
    const found =
      left === Infinity
        ? yield* verdict
        : Option.getOrUndefined(yield* Effect.timeoutOption(verdict, Duration.millis(left / 1e6)))
    if (found === undefined || "entry" in found) yield* Scope.close(scope, Exit.void)
    return found
  })

/** Checks candidates side by side; those that are right, and how many are not. */
const checkAll = (tuning: Tuning, choice: Tuner.Choice, candidates: ReadonlyArray<Tuner.Candidate>) =>
  Effect.gen(function* () {
    const began = yield* nowOf(tuning)
    const found = yield* Effect.forEach(candidates, (candidate) => check(tuning, choice, candidate), {
      concurrency: "unbounded"
    })
    tuning.checking.spent += (yield* nowOf(tuning)) - began
    tuning.checking.count += candidates.length
    const wrong = found.flatMap((one) => (one !== undefined && "entry" in one ? [one.entry] : []))
    yield* keep(tuning, wrong)
    return { right: found.flatMap((one) => (one !== undefined && "checked" in one ? [one] : [])), wrong: wrong.length }
  })

/** Journals what is known at the end of a candidate's race; whether anything is. */
const settle = (tuning: Tuning, choice: Tuner.Choice, outcomes: ReadonlyArray<Protocol.Outcome>) =>
  Effect.gen(function* () {
    const { key, node } = choice
    const entries: Array<Entry> = []
    for (const outcome of outcomes) {
      const { candidate } = outcome.checked
      if (outcome._tag === "Rejected") entries.push(yield* rejectionOf(tuning, choice, candidate, outcome.rejected))
      if (outcome._tag !== "Timed") continue
      const { timing } = outcome
      yield* Event.tell({ _tag: "Timed", key, node, candidate: Tuner.identify(candidate), timing })
      entries.push({ ...entryOf(tuning, choice, candidate, yield* Clock.currentTimeMillis), kind: "timing", timing })
    }
    yield* keep(tuning, entries)
    return entries.length
  })

/** Runs what times while nothing else of this measurer runs, and no other process of this machine times. */
const inTurn = <A, E, R>(tuning: Tuning, effect: (waited: number) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const turn = yield* MachineTurn
    const { measurer, waited } = tuning
    const asked = yield* nowOf(tuning)
    return yield* turn(
      Effect.gen(function* () {
        waited.spent += (yield* nowOf(tuning)) - asked
        return yield* measurer.alone(effect(waited.spent))
      })
    )
  })

/** A choice that is still being measured. `width`: candidates in its next heat. */
interface Active extends Space.Group {
  width: number
}

const provisionalOf = (outcome: Protocol.Outcome | undefined): Deciding.Provisional | undefined =>
  outcome?._tag === "Timed" ? { candidate: outcome.checked.candidate, timing: outcome.timing } : undefined

/** How many candidates can be checked in half of the time that is left. */
const affordable = ({ checking: { count, spent } }: Tuning, left: number) =>
  count === 0 ? Infinity : Math.floor((0.5 * left * count) / Math.max(1, spent))

/**
 * One race for a choice, of as many heats as its strategy asks for and time allows; how many candidates it settled. The
 * leader is journalled at the end, so a kill in between costs its measurement, which then is made again.
 */
const visit = (tuning: Tuning, { choice, width }: Active, views: ReadonlyArray<View>, deadline: number) =>
  Effect.gen(function* () {
    const { measurer, settings, strategy, measurements } = tuning
    const race = Protocol.open({ settings, yardstick: measurer.yardstick ?? Yardstick.spin })
    const alive = new Map<Checked, Alive>()
    let settled = 0
    for (;;) {
      const left = deadline - (yield* nowOf(tuning))
      if (left <= 0) break
      const before = race.leader()
      // Two at first, or nothing is learned of any.
      const few = before === undefined ? Math.max(2, affordable(tuning, left)) : affordable(tuning, left)
      const known = Deciding.view(choice, measurements, provisionalOf(before))
      const others = views.filter((one) => one.choice.key !== choice.key)
      const proposed = strategy.propose(known, [known, ...others]).slice(0, Math.min(width, few))
      if (proposed.length === 0) break
      const began = yield* nowOf(tuning)
      const { right, wrong } = yield* checkAll(tuning, choice, proposed)
      const ended = yield* nowOf(tuning)
      settled += wrong
      for (const one of right) alive.set(one.checked, one)
      // Checks may have taken all of this choice's share: the first candidates are worth as much time again all the same.
      const until = before === undefined ? Math.max(deadline, ended + Math.max(LOOK, ended - began)) : deadline
      const heat = inTurn(tuning, (waited) =>
        race.heat(
          right.map(({ checked }) => checked),
          Math.min(tuning.deadline, until) + waited
        )
      )
      const outcomes = right.length === 0 ? [] : yield* heat
      const made = yield* settle(tuning, choice, outcomes)
      settled += made
      yield* Effect.forEach(outcomes, ({ checked }) => {
        const done = alive.get(checked)
        alive.delete(checked)
        return done === undefined ? Effect.void : release(done)
      })
      if (wrong + made === 0 && race.leader()?.checked === before?.checked) break
    }
    const leader = race.leader()
    return settled + (leader === undefined ? 0 : yield* settle(tuning, choice, [leader]))
  }).pipe(Effect.scoped)

/** All choices with several candidates, in waves. */
const search = (tuning: Tuning, groups: ReadonlyArray<Space.Group>, width: number) =>
  Effect.gen(function* () {
    const { measurements, deadline, strategy } = tuning
    let active: ReadonlyArray<Active> = Space.heaviestFirst(groups)
      .filter(({ choice }) => choice.candidates.length > 1)
      .map(({ choice, weight }) => ({ choice, weight, width }))
    const views = new Map(active.map(({ choice }) => [choice.key, Deciding.view(choice, measurements)]))
    // A share that was too small for one heat: then the whole of what is left.
    let whole = false
    while (active.length > 0 && (yield* nowOf(tuning)) < deadline) {
      let progress = 0
      let weights = active.reduce((sum, { weight }) => sum + weight, 0)
      for (const one of active) {
        const at = yield* nowOf(tuning)
        if (at >= deadline) return
        const share = whole || weights <= 0 ? 1 : one.weight / weights
        weights -= one.weight
        const until = deadline === Infinity ? Infinity : at + share * (deadline - at)
        const settled = yield* visit(tuning, one, [...views.values()], until)
        views.set(one.choice.key, Deciding.view(one.choice, measurements))
        progress += settled
        if (settled === 0) one.width = Math.max(1, one.width >> 2)
      }
      if (progress === 0 && whole) return
      whole = progress === 0
      const all = [...views.values()]
      active = active.filter(({ choice }) => {
        const known = views.get(choice.key)
        return known !== undefined && strategy.propose(known, all).length > 0
      })
    }
  })

/** What has one candidate has nothing to be measured, but must be right. */
const checkOnly = (tuning: Tuning, groups: ReadonlyArray<Space.Group>) =>
  Effect.forEach(
    groups,
    ({ choice }) => {
      const { open } = Deciding.view(choice, tuning.measurements)
      return choice.candidates.length > 1 || open.length === 0
        ? Effect.void
        : Effect.scoped(checkAll(tuning, choice, open))
    },
    { concurrency: "unbounded", discard: true }
  )

const decideAll = (tuning: Tuning, space: ReadonlyArray<Tuner.Choice>, groups: ReadonlyArray<Space.Group>) =>
  Effect.gen(function* () {
    const problems: Array<Tuner.Problem> = []
    const decided = new Map<string, Tuner.Candidate>()
    for (const { choice } of groups) {
      const made = Deciding.decide(choice, tuning.measurements, tuning.settings.tolerance)
      if (made._tag === "Undecided") {
        problems.push(made.problem)
        continue
      }
      decided.set(choice.key, made.candidate)
      yield* Event.tell(made.event)
    }
    if (problems.length > 0) return yield* new Tuner.TunerError({ problems })
    return Space.spread(space, decided)
  })

/** Nothing at all can be measured: one problem, at the first choice. */
const cannot = (space: ReadonlyArray<Tuner.Choice>, detail: string) =>
  new Tuner.TunerError({
    problems: space.slice(0, 1).map(({ key, node }) => ({ reason: "Measurer", key, node, detail }))
  })

const countOpen = (groups: ReadonlyArray<Space.Group>, measurements: Measurements.Measurements) =>
  groups
    .filter(({ choice }) => choice.candidates.length > 1)
    .reduce((sum, { choice }) => sum + Deciding.view(choice, measurements).open.length, 0)

/** A tuner that measures what the strategy proposes. */
export const layer = (strategy: Strategy, options: Options = {}): Layer.Layer<Tuner.Tuner, never, Measurer | Journal> =>
  Layer.effect(
    Tuner.Tuner,
    Effect.gen(function* () {
      const measurer = yield* Measurer
      const journal = yield* Journal
      const settings = options.settings ?? Protocol.quick
      const width = Math.max(1, options.width ?? DEFAULT_WIDTH)
      const machine = Machine.here(measurer.features)
      const budget = nanosOf(options.budget)
      const { name, version, config } = strategy.identity

      const decide: Tuner.TunerService["decide"] = (space) =>
        Effect.gen(function* () {
          const { groups, problems } = Space.group(space)
          if (problems.length > 0) return yield* new Tuner.TunerError({ problems })
          const { entries, damaged } = yield* Effect.mapError(journal.read, (error) => cannot(space, error.message))
          if (damaged.length > 0) {
            const lines = damaged.map(({ line, why }) => `${line} (${why})`).join(", ")
            const message = `${journal.name}: passed over what is no entry, lines ${lines}`
            yield* Diagnostic.report({ severity: "info", code: "journal-damaged", message })
          }
          const scope = { machine, generator: measurer.generator, inputs: settings.inputs }
          const measurements = Measurements.make(entries, scope)
          const candidates = groups.reduce((sum, { choice }) => sum + choice.candidates.length, 0)
          const several = groups.filter(({ choice }) => choice.candidates.length > 1)
          const total = several.reduce((sum, { choice }) => sum + choice.candidates.length, 0)
          const recorded = total - countOpen(groups, measurements)
          yield* Event.tell({ _tag: "Started", choices: groups.length, candidates, recorded })
          const tuning: Tuning = {
            measurer,
            journal,
            strategy,
            settings,
            machine,
            measurements,
            deadline: Number(yield* Clock.monotonicTimeNanos) + budget,
            waited: { spent: 0 },
            done: { count: recorded, total },
            warned: { journal: false },
            checking: { spent: 0, count: 0 }
          }
          // What there is nothing to decide of comes last: time is for what can be made faster.
          yield* search(tuning, groups, width).pipe(
            Effect.andThen(checkOnly(tuning, groups)),
            Effect.mapError((error) => cannot(space, error.message))
          )
          const unmeasured = countOpen(groups, measurements)
          if (unmeasured > 0 && (yield* nowOf(tuning)) >= tuning.deadline)
            yield* Event.tell({ _tag: "OutOfBudget", unmeasured })
          return yield* decideAll(tuning, space, groups)
        })

      const identity = {
        name,
        version,
        config: {
          strategy: config,
          budget: budget === Infinity ? null : budget,
          width,
          protocol: Protocol.version,
          settings: { ...settings, rounds: { ...settings.rounds } },
          machine: { ...machine, features: [...machine.features] },
          generator: measurer.generator,
          measurer: measurer.identity === undefined ? null : { ...measurer.identity }
        }
      }
      // Without a known measurer, nobody knows what the timings were.
      return { name, identity: measurer.identity === undefined ? undefined : identity, decide }
    })
  )
