/**
 * Deciding: from measurements to decisions. Only recorded timings, rejections and predictions go in, so the same journal
 * gives the same decisions, whoever measured it and however often they were stopped.
 */
import * as Tuner from "@anneal/pipeline/Tuner"
import type { Event } from "./Event.ts"
import type { Measurements } from "./Measurements.ts"
import type { View } from "./Strategy.ts"
import * as Timing from "./Timing.ts"

/** A timing that is not journalled yet: its candidate is still being timed. */
export interface Provisional {
  readonly candidate: Tuner.Candidate
  readonly timing: Timing.Timing
}

/** What the measurements say of a choice. */
export const view = (choice: Tuner.Choice, measurements: Measurements, provisional?: Provisional): View => {
  const right = choice.candidates.filter((candidate) => measurements.rejection(choice.key, candidate) === undefined)
  const timings = (candidate: Tuner.Candidate) =>
    provisional?.candidate === candidate ? [provisional.timing] : measurements.timings(choice.key, candidate)
  return {
    choice,
    measured: Timing.rank(right, timings),
    open: right.filter((candidate) => timings(candidate).length === 0).toSorted(Tuner.byPrediction)
  }
}

export type Decided =
  | { readonly _tag: "Decided"; readonly candidate: Tuner.Candidate; readonly event: Event }
  | { readonly _tag: "Undecided"; readonly problem: Tuner.Problem }

/** The decision of a choice: the fastest, or what is predicted to be where nothing was measured. */
export const decide = (choice: Tuner.Choice, measurements: Measurements, tolerance: number): Decided => {
  const { key, node } = choice
  const { measured, open } = view(choice, measurements)
  const made = (
    candidate: Tuner.Candidate,
    rest: Omit<Extract<Event, { _tag: "Decided" }>, "_tag" | "key" | "node" | "candidate">
  ): Decided => ({
    _tag: "Decided",
    candidate,
    event: { _tag: "Decided", key, node, candidate: Tuner.identify(candidate), ...rest }
  })
  const best = Timing.choose(measured, tolerance)
  if (best !== undefined) {
    const { chosen } = best
    const [first, second] = measured
    const next = chosen === first ? second : first
    return made(chosen.candidate, {
      why: choice.candidates.length === 1 ? "only" : chosen === first ? "fastest" : "equal",
      median: chosen.median,
      ...(next === undefined ? {} : { margin: next.relative / chosen.relative })
    })
  }
  const [predicted] = open
  if (predicted !== undefined) return made(predicted, { why: choice.candidates.length === 1 ? "only" : "predicted" })
  const reasons = choice.candidates.map((candidate) => {
    const rejection = measurements.rejection(key, candidate)
    return `${Tuner.identify(candidate)}: ${rejection === undefined ? "" : `${rejection.reason}: ${rejection.detail}`}`
  })
  const detail = `none of its ${reasons.length} candidates is right:\n    ${reasons.join("\n    ")}`
  return { _tag: "Undecided", problem: { reason: "AllRejected", key, node, detail } }
}
