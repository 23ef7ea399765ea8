// A report as text: what was timed, the ratios with their goals, builds, and how many goals are reached.
import type { Outcome } from "./Builds.ts"
import { limits } from "./Builds.ts"
import { goldens, meanGoals } from "./Cases.ts"
import type { Ratio, Report, Result } from "./Report.ts"
import * as Statistics from "./Statistics.ts"

/** Most milliseconds from load to the end of the first inference. */
const firstInferenceLimit = 60

/** Most memory, by weights plus plan. */
const memoryLimit = 1.15

type Cells = ReadonlyArray<string>

const table = (header: Cells, rows: ReadonlyArray<Cells>): string => {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] ?? "").length)))
  const line = (row: Cells): string => `| ${widths.map((width, i) => (row[i] ?? "").padEnd(width)).join(" | ")} |`
  return [line(header), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n")
}

const milliseconds = (value: number): string =>
  value < 1 ? value.toFixed(4) : value < 10 ? value.toFixed(3) : value.toFixed(1)

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)

/** Goals as they are met: counted for the summary. */
interface Tally {
  reached: number
  missed: number
}

const mark = (tally: Tally, ok: boolean, goal: string): string => {
  if (ok) tally.reached++
  else tally.missed++
  return `${ok ? "reached" : "MISSED"} (${goal})`
}

const atLeast = (tally: Tally, value: number, goal: number | null): string =>
  goal === null ? "" : mark(tally, value >= goal, `≥ ${goal}`)

const title = ({ case: name, model }: Pick<Result, "case" | "model">): string => `${model} ${name}`

/** A line for each result, while the bench runs. */
export const line = (result: Result): string =>
  `${title(result)}: ${result.rows
    .map(({ calls, contestant, error, gigaflops }) => {
      const rate = gigaflops === null ? "" : ` (${gigaflops.toFixed(1)} GFLOP/s)`
      return `${contestant.name} ${error ?? `${milliseconds(calls.run?.median ?? NaN)} ms${rate}`}`
    })
    .join("; ")}`

const timings = (results: ReadonlyArray<Result>): string =>
  table(
    ["model, case", "contestant", "call", "median ms", "p10", "p90", "GFLOP/s", "load ms", "import ms", "memory MiB"],
    results.flatMap((result) =>
      result.rows.flatMap(({ calls, contestant, error, gigaflops, load, memory }): ReadonlyArray<Cells> => {
        const head = [title(result), contestant.name]
        if (error !== null) return [[...head, "", error]]
        const cells = (call: string, { median, p10, p90 }: Statistics.Spread): Cells =>
          head.concat(call, milliseconds(median), milliseconds(p10), milliseconds(p90))
        const process = [
          gigaflops === null ? "" : gigaflops.toFixed(1),
          load === null ? "" : milliseconds(load.total.median),
          load === null ? "" : milliseconds(load.importing),
          memory === null ? "" : mebibytes(memory.resident)
        ]
        return Object.entries(calls).map(([call, times]) => cells(call, times).concat(call === "run" ? process : []))
      })
    )
  )

/** "best tenth": the ratio of the two p10, which a busy neighbour moves least. */
const ratioHeader: Cells = ["model, case", "pair", "ratio", "p10 – p90", "best tenth", "goal"]

const ratioRow = (tally: Tally, name: string, { call, goal, ours, quiet, ratio, theirs }: Ratio): Cells => [
  name,
  `${ours}${call === "run" ? "" : ` (${call})`} against ${theirs}`,
  ratio.median.toFixed(2),
  `${ratio.p10.toFixed(2)} – ${ratio.p90.toFixed(2)}`,
  quiet.toFixed(2),
  atLeast(tally, ratio.median, goal)
]

const meanGoalOf = (ours: string, theirs: string): number | null => {
  if (theirs === "onnxruntime-node")
    return ours === "anneal" ? meanGoals.plain.node : ours === "anneal wide" ? meanGoals.wide.node : null
  return theirs === "onnxruntime-web" && ours === "anneal" ? meanGoals.plain.web : null
}

/** Over the models, without the bare products of matrices. */
const means = (tally: Tally, results: ReadonlyArray<Result>): ReadonlyArray<Cells> => {
  const groups = new Map<string, Array<Ratio>>()
  for (const { model, ratios } of results)
    for (const ratio of model === "MatMul" ? [] : ratios) {
      const key = `${ratio.ours}|${ratio.theirs}|${ratio.call}`
      groups.set(key, [...(groups.get(key) ?? []), ratio])
    }
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const mean = Statistics.geometricMean(group.map(({ ratio }) => ratio.median))
    const { call, ours, theirs } = first
    const goal = call === "run" && group.length === goldens.length ? meanGoalOf(ours, theirs) : null
    return [
      [
        `geometric mean of ${group.length}`,
        `${ours}${call === "run" ? "" : ` (${call})`} against ${theirs}`,
        mean.toFixed(2),
        "",
        Statistics.geometricMean(group.map(({ quiet }) => quiet)).toFixed(2),
        atLeast(tally, mean, goal)
      ]
    ]
  })
}

const speed = (tally: Tally, results: ReadonlyArray<Result>): string => {
  const rows = results.flatMap((result) => result.ratios.map((ratio) => ratioRow(tally, title(result), ratio)))
  return rows.length === 0
    ? "no ratios: nothing of ours ran beside a peer"
    : table(ratioHeader, [...rows, ...means(tally, results)])
}

const loads = (tally: Tally, results: ReadonlyArray<Result>): ReadonlyArray<Cells> =>
  results.flatMap((result) => result.loads.map((ratio) => ratioRow(tally, title(result), ratio)))

const firsts = (tally: Tally, results: ReadonlyArray<Result>): ReadonlyArray<Cells> =>
  results.flatMap((result) =>
    result.rows.flatMap(({ contestant, error, load, memory }): ReadonlyArray<Cells> => {
      if (contestant.library !== "anneal" || error !== null || load === null || memory === null) return []
      const { planned, resident, taken } = memory
      const first = load.total.median
      return [
        [
          title(result),
          contestant.name,
          milliseconds(first),
          mark(tally, first < firstInferenceLimit, `< ${firstInferenceLimit} ms`),
          mebibytes(resident),
          taken === null ? "" : mebibytes(taken),
          planned === null ? "" : mebibytes(planned),
          planned === null || taken === null
            ? ""
            : mark(tally, taken <= memoryLimit * planned, `≤ ${memoryLimit} × plan`)
        ]
      ]
    })
  )

const percent = (share: number | null): string => (share === null ? "" : `${(share * 100).toFixed(1)} %`)

const int8 = (tally: Tally, { int8: results }: Report): string =>
  table(
    [...ratioHeader, "accuracy float → int8", "relative error"],
    results.flatMap((result) =>
      result.ratios.map((ratio) => {
        const { float, int8: after, probes, relativeError } = result.accuracy
        return [
          ...ratioRow(tally, title(result), ratio),
          float === null ? "" : `${percent(float)} → ${percent(after)} of ${probes}`,
          relativeError === null ? "" : relativeError.toExponential(1)
        ]
      })
    )
  )

const builds = (tally: Tally, { builds: list }: Report): string => {
  const cell = (outcome: Outcome, limit: number): string =>
    "error" in outcome
      ? outcome.error
      : `${(outcome.milliseconds / 1000).toFixed(2)} s, ${mark(tally, outcome.milliseconds < limit, `< ${limit / 1000} s`)}`
  return table(
    ["model", "heuristic", "tuned quick", "frozen"],
    list.map(({ frozen, heuristic, model, quick }) => [
      model,
      cell(heuristic, limits.heuristic),
      cell(quick, limits.quick),
      cell(frozen, limits.frozen)
    ])
  )
}

/** The report, with a heading for each part that was measured. */
export const format = (report: Report): string => {
  const { machine, options, protocol, skipped, target } = report
  const rows = [...report.speed, ...report.int8].flatMap((result) => result.rows)
  const versions = new Map(rows.map(({ contestant }) => [contestant.library, "(did not run)"]))
  for (const { contestant, version } of rows) if (version !== null) versions.set(contestant.library, version)
  const isSpread = rows.some(
    ({ contestant, error, sameCore }) => error === null && contestant.threads === 1 && !sameCore
  )
  const tally: Tally = { reached: 0, missed: 0 }
  const parts: Array<string> = [
    [
      `${machine.cpu}, ${machine.cores} cores, Node ${machine.node} (V8 ${machine.v8}), load ${machine.load.map((one) => one.toFixed(1)).join(" → ")}`,
      [...versions].map(([library, version]) => `${library} ${version}`).join(", "),
      `target ${target}${options.length === 0 ? "" : ` (${options.join(" ")})`}; ${protocol.rounds} rounds of fresh processes, ${protocol.turns} turns of ${protocol.turn} ms each after ${protocol.warmUp} ms`,
      isSpread
        ? "contestants may have run on different cores (this system has no taskset): ratios may be of the cores"
        : "in a turn, all that compute on one thread ran on one core",
      ...skipped.map((reason) => `skipped: ${reason}`)
    ].join("\n")
  ]
  const part = (heading: string, body: string): void => void parts.push(`## ${heading}\n\n${body}`)
  if (report.speed.length > 0) {
    part("Times", timings(report.speed))
    part("Their time by ours, of neighbouring turns (above 1: ours is faster)", speed(tally, report.speed))
    const ratios = loads(tally, report.speed)
    if (ratios.length > 0)
      part("Load to first inference in a fresh process, theirs by ours", table(ratioHeader, ratios))
    const own = firsts(tally, report.speed)
    if (own.length > 0)
      part(
        "Ours alone: load to first inference, memory",
        table(
          [
            "model, case",
            "contestant",
            "load ms",
            "goal",
            "resident MiB",
            "engine's MiB",
            "weights + plan MiB",
            "goal"
          ],
          own
        )
      )
  }
  if (report.int8.length > 0) {
    part("INT8: times", timings(report.int8))
    part("INT8 against our float engine", int8(tally, report))
  }
  if (report.builds.length > 0) part("Builds: the whole command, no cache", builds(tally, report))
  parts.push(`${tally.reached} goals reached, ${tally.missed} missed`)
  return parts.join("\n\n")
}
