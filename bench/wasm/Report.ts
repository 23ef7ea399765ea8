// From timings to a report: medians with spreads, and ratios against their goals. The report is plain data, kept as JSON
// and printed by Tables.ts.
import type { BuildTimes } from "./Builds.ts"
import type { Case, Goals } from "./Cases.ts"
import type { Contestant } from "./Contestant.ts"
import type { Call } from "./Protocol.ts"
import * as Statistics from "./Statistics.ts"
import type { Protocol, Record as Timings } from "./Turns.ts"

/** What was found of one contestant on one case. Times in milliseconds, memory in bytes. */
export interface Row {
  readonly contestant: Contestant
  readonly version: string | null
  readonly error: string | null
  readonly calls: Readonly<Partial<Record<Call, Statistics.Spread>>>
  /** Each turn was on one core, which was that of the others on one thread. */
  readonly sameCore: boolean
  readonly gigaflops: number | null
  /** In a fresh process: create and first inference together, and each; importing the library is apart. */
  readonly load: {
    readonly total: Statistics.Spread
    readonly importing: number
    readonly creating: number
    readonly first: number
  } | null
  readonly memory: {
    /** Resident after the runs, above what it was with the library imported. */
    readonly resident: number
    /** The process's greatest. */
    readonly peak: number
    /** Weights plus plan, as the library says. */
    readonly planned: number | null
    /** What the library holds for this model, as it says. */
    readonly taken: number | null
  } | null
}

/** Theirs by ours, of neighbouring turns: above 1, ours is faster. */
export interface Ratio {
  readonly ours: string
  readonly theirs: string
  /** How ours was called; theirs by `run`. */
  readonly call: Call
  readonly ratio: Statistics.Spread
  /** Their p10 by our p10: what a busy machine changes least. */
  readonly quiet: number
  readonly goal: number | null
}

export interface Result {
  readonly model: string
  readonly case: string
  readonly rows: ReadonlyArray<Row>
  readonly ratios: ReadonlyArray<Ratio>
  /** Create and first inference in a fresh process. */
  readonly loads: ReadonlyArray<Ratio>
}

/** An INT8 engine against our float engine of the same model. */
export interface Int8Result extends Result {
  readonly accuracy: {
    readonly float: number | null
    readonly int8: number | null
    readonly probes: number
    /** Euclidean size of the outputs' difference, by the size of what is expected. */
    readonly relativeError: number | null
  }
}

export interface Report {
  readonly target: string
  readonly options: ReadonlyArray<string>
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly node: string
    readonly v8: string
    /** Processes that wanted to run, before and after: above the cores, timings are of a busy machine. */
    readonly load: readonly [number, number]
  }
  readonly protocol: Protocol
  readonly speed: ReadonlyArray<Result>
  readonly int8: ReadonlyArray<Int8Result>
  readonly builds: ReadonlyArray<BuildTimes>
  readonly skipped: ReadonlyArray<string>
}

/** Ratios of load to first inference that are wanted. */
const loadGoals = { "onnxruntime-node": 2, "onnxruntime-web": 5 } as const

/** Of two threads to one: where an inference takes a millisecond or more, and where it takes less. */
const threadGoals = { long: 1.6, short: 0.9 } as const

const flattened = (turns: ReadonlyArray<Float64Array>): Float64Array => {
  const all = new Float64Array(turns.reduce((sum, one) => sum + one.length, 0))
  let at = 0
  for (const one of turns) {
    all.set(one, at)
    at += one.length
  }
  return all
}

const loadsOf = ({ loads }: Timings): ReadonlyArray<number> => loads.map(({ creating, first }) => creating + first)

const rowOf = (one: Case, timings: Timings): Row => {
  const { contestant, error, footprints, loads, sameCore, turns, version } = timings
  const calls = Object.fromEntries([...turns].map(([call, list]) => [call, Statistics.spread(flattened(list))]))
  const run = turns.get("run")
  const medianOf = (get: (load: (typeof loads)[number]) => number): number => Statistics.median(loads.map(get))
  const gigaflops =
    run === undefined || one.operations === undefined ? null : one.operations / Statistics.median(flattened(run)) / 1e6
  return {
    contestant,
    version: version ?? null,
    error: error ?? null,
    calls,
    sameCore,
    gigaflops,
    load:
      loads.length === 0
        ? null
        : {
            total: Statistics.spread(loadsOf(timings)),
            importing: medianOf(({ importing }) => importing),
            creating: medianOf(({ creating }) => creating),
            first: medianOf(({ first }) => first)
          },
    memory:
      footprints.length === 0
        ? null
        : {
            resident: Statistics.median(
              footprints.map(({ resident }, i) => resident - (loads[i]?.footprints.imported.resident ?? 0))
            ),
            peak: Statistics.median(footprints.map(({ peak }) => peak)),
            planned: loads[0]?.planned ?? null,
            taken: loads[0]?.taken ?? null
          }
  }
}

const ran = ({ error, turns }: Timings): boolean => error === undefined && turns.size > 0

/** Pairs that are compared: ours with each peer on as many threads, and everyone's threads with one thread. */
const compared = (ours: Contestant, theirs: Contestant): "peer" | "thread" | undefined => {
  if (ours.library === theirs.library)
    return theirs.threads === 1 && ours.threads > 1 && ours.wide === theirs.wide && ours.precision === theirs.precision
      ? "thread"
      : undefined
  return ours.library === "anneal" && ours.threads === theirs.threads ? "peer" : undefined
}

const goalOf = (goals: Goals | undefined, ours: Timings, theirs: Timings): number | null => {
  const { library, threads, wide } = ours.contestant
  if (compared(ours.contestant, theirs.contestant) === "thread") {
    const one = Statistics.median(flattened(theirs.turns.get("run") ?? []))
    return library === "anneal" ? (one >= 1 ? threadGoals.long : threadGoals.short) : null
  }
  if (threads !== 1 || goals === undefined) return null
  if (theirs.contestant.library === "onnxruntime-node") return wide ? goals.wide.node : goals.plain.node
  return wide ? null : goals.plain.web
}

/** The spread, over turns, of their median in a turn by our median in the same turn. */
const paired = (ours: Timings, theirs: Timings, call: Call): Statistics.Spread => {
  const [a, b] = [theirs.turns.get("run") ?? [], ours.turns.get(call) ?? []]
  const both = Math.min(a.length, b.length)
  return Statistics.spread(
    Array.from({ length: both }, (_, i) => Statistics.median(a[i] ?? []) / Statistics.median(b[i] ?? []))
  )
}

const quietly = (ours: Timings, theirs: Timings, call: Call): number =>
  Statistics.spread(flattened(theirs.turns.get("run") ?? [])).p10 /
  Statistics.spread(flattened(ours.turns.get(call) ?? [])).p10

const ratiosOf = (goals: Goals | undefined, records: ReadonlyArray<Timings>): ReadonlyArray<Ratio> =>
  records.flatMap((ours) =>
    records.flatMap((theirs) => {
      const kind = compared(ours.contestant, theirs.contestant)
      if (kind === undefined || !ran(ours) || !ran(theirs)) return []
      const calls = kind === "peer" ? [...ours.turns.keys()] : (["run"] as const)
      return calls.map((call): Ratio => ({
        ours: ours.contestant.name,
        theirs: theirs.contestant.name,
        call,
        ratio: paired(ours, theirs, call),
        quiet: quietly(ours, theirs, call),
        goal: call === "run" ? goalOf(goals, ours, theirs) : null
      }))
    })
  )

const loadRatiosOf = (records: ReadonlyArray<Timings>): ReadonlyArray<Ratio> =>
  records.flatMap((ours) =>
    records.flatMap((theirs): ReadonlyArray<Ratio> => {
      const { library } = theirs.contestant
      if (compared(ours.contestant, theirs.contestant) !== "peer" || library === "anneal") return []
      if (!ran(ours) || !ran(theirs)) return []
      const [a, b] = [loadsOf(theirs), loadsOf(ours)]
      const ratio = Statistics.spread(Array.from(b.slice(0, a.length), (mine, i) => (a[i] ?? NaN) / mine))
      const quiet = Math.min(...a) / Math.min(...b)
      const goal = ours.contestant.threads === 1 ? loadGoals[library] : null
      return [{ ours: ours.contestant.name, theirs: theirs.contestant.name, call: "run", ratio, quiet, goal }]
    })
  )

export const resultOf = (one: Case, records: ReadonlyArray<Timings>): Result => ({
  model: one.model,
  case: one.case,
  rows: records.map((record) => rowOf(one, record)),
  ratios: ratiosOf(one.goals, records),
  loads: loadRatiosOf(records)
})

/** INT8 by float: the first and second of each pair of contestants. */
export const int8ResultOf = (
  one: Case,
  records: ReadonlyArray<Timings>,
  goal: number,
  accuracy: Int8Result["accuracy"]
): Int8Result => {
  const ratios = records.flatMap((int8): ReadonlyArray<Ratio> => {
    const float = records.find(
      ({ contestant }) => contestant.precision === "float" && contestant.wide === int8.contestant.wide
    )
    if (int8.contestant.precision === "float" || float === undefined || !ran(float) || !ran(int8)) return []
    const names = { ours: int8.contestant.name, theirs: float.contestant.name }
    const ratio = paired(int8, float, "run")
    const quiet = quietly(int8, float, "run")
    return [{ ...names, call: "run", ratio, quiet, goal: int8.contestant.wide ? null : goal }]
  })
  return {
    model: one.model,
    case: one.case,
    rows: records.map((record) => rowOf(one, record)),
    ratios,
    loads: [],
    accuracy
  }
}
