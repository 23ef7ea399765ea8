/**
 * Why each region of a program has its kernel, and what it takes: what the engine says, joined with what a journal
 * measured. The engine holds decisions alone, so without a journal only predictions are known.
 */
import type { RegionEntry, Report } from "@anneal/lower/Report"
import * as Tuner from "@anneal/pipeline/Tuner"
import type { Entry, RejectionEntry, TimingEntry } from "@anneal/tune/Entry"
import * as Machine from "@anneal/tune/Machine"
import type { Timing } from "@anneal/tune/Timing"

export interface Rejection {
  readonly candidate: string
  readonly why: string
}

export interface ExplainedRegion extends RegionEntry {
  /** `fastest of 14 timed; conv-direct {"oc":8} takes 1.18 times as long`. */
  readonly why: string
  /** Median nanoseconds of one run, where it was measured. */
  readonly measured: number | null
  /** The machine that measured. */
  readonly machine: string | null
  /** Candidates that were found wrong. */
  readonly rejected: ReadonlyArray<Rejection>
}

export interface ExplainedReport extends Omit<Report, "regions"> {
  /** The variant of the engine that it is of. */
  readonly variant: string
  readonly regions: ReadonlyArray<ExplainedRegion>
}

const isTiming = (entry: Entry): entry is TimingEntry => entry.kind === "timing"
const isRejection = (entry: Entry): entry is RejectionEntry => entry.kind === "rejection"

/** Timings of one machine, the one that measured last. */
const ofLastMachine = (timings: ReadonlyArray<TimingEntry>): ReadonlyArray<TimingEntry> => {
  const last = timings.toSorted((a, b) => b.at - a.at)[0]
  if (last === undefined) return []
  const wanted = Machine.fingerprint(last.machine)
  return timings.filter(({ machine }) => Machine.fingerprint(machine) === wanted)
}

const times = (ratio: number): string => (ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(0))

/** By candidate, the last timing of each. */
const timingsOf = (timings: ReadonlyArray<TimingEntry>): ReadonlyMap<string, Timing> =>
  new Map(timings.toSorted((a, b) => a.at - b.at).map(({ candidate, timing }) => [Tuner.identify(candidate), timing]))

/** `; gemm {"mr":4} would take 1.2 times as long` */
const nextOf = ({ next, predicted }: RegionEntry): string => {
  if (next === undefined || predicted === null || predicted <= 0) return ""
  const name = Tuner.identify({ name: next.kernel, config: next.config })
  return `; ${name} ${times(next.predicted / predicted)} times as long`
}

const whyOf = (region: RegionEntry, timings: ReadonlyMap<string, Timing>): string => {
  const { config, kernel, offered } = region
  const own = timings.get(Tuner.identify({ name: kernel, config }))?.relative
  if (own === undefined) {
    if (offered === 1) return "the only kernel"
    const measured = timings.size === 0 ? "" : `; ${timings.size} others are timed, this one is not`
    return `predicted to be the fastest of ${offered}${nextOf(region)}${measured}`
  }
  const others = [...timings].filter(([candidate]) => candidate !== Tuner.identify({ name: kernel, config }))
  const [next] = others.toSorted(([, a], [, b]) => a.relative - b.relative)
  const count = timings.size === offered ? `all ${offered}` : `${timings.size} of ${offered}`
  if (next === undefined) return `the only one timed (${count})`
  // Decisions compare times relative to the yardstick, as they were measured at different hours.
  const [candidate, { relative }] = next
  return relative >= own
    ? `fastest of ${count} timed; ${candidate} takes ${times(relative / own)} times as long`
    : `chosen among ${count} timed as good as the fastest: ${candidate} takes ${times(relative / own)} times as long`
}

/** A report with what the entries of a journal say of its regions. */
export const explain = (variant: string, report: Report, entries: ReadonlyArray<Entry>): ExplainedReport => {
  const byKey = Map.groupBy(entries, ({ key }) => key)
  const regions = report.regions.map((region): ExplainedRegion => {
    const own = byKey.get(region.key) ?? []
    const timings = ofLastMachine(own.filter(isTiming))
    const byCandidate = timingsOf(timings)
    const machine = timings[0]?.machine
    const rejected = new Map(
      own
        .filter(isRejection)
        .map(({ candidate, detail, reason }) => [Tuner.identify(candidate), `${reason}: ${detail}`])
    )
    return {
      ...region,
      why: whyOf(region, byCandidate),
      measured: byCandidate.get(Tuner.identify({ name: region.kernel, config: region.config }))?.median ?? null,
      machine: machine === undefined ? null : `${machine.cpu}, ${machine.platform}, V8 ${machine.v8}`,
      rejected: [...rejected].map(([candidate, why]) => ({ candidate, why }))
    }
  })
  return { variant, ...report, regions }
}
