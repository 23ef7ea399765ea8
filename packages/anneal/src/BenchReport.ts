/**
 * What `anneal bench` prints: figures for people, and the table of regions.
 *
 *   latency     p50 236 µs, p90 251 µs, p99 310 µs (12345 runs)
 */
import * as Inspect from "@anneal/engine/Inspect"
import type { Latency, Measured, Profile, RegionTime } from "./Bench.ts"
import * as DurationOption from "./DurationOption.ts"

/** Milliseconds from the file on disk to the first result, in a process that has done nothing else. */
export interface First {
  readonly load: number
  readonly run: number
}

const time = DurationOption.format
const row = (label: string, text: string): string => `${label.padEnd(11)} ${text}`

const latencyText = ({ least, mean, most, p50, p90, p99, runs }: Latency): string =>
  `p50 ${time(p50)}, p90 ${time(p90)}, p99 ${time(p99)}, mean ${time(mean)}, ${time(least)} … ${time(most)} (${runs} runs)`

/** Columns of equal width, numbers to the right. */
const table = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  left: ReadonlySet<number>
): ReadonlyArray<string> => {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((cells) => cells[column]?.length ?? 0)))
  return all.map((cells) =>
    cells
      .map((cell, column) => (left.has(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd()
  )
}

const rate = (value: number | null): string => (value === null ? "" : value.toPrecision(3))

/** `conv2d, add, relu`: the ops of a region, equal ones in a row counted. */
export const opsOf = (members: ReadonlyArray<{ readonly op: string }>): string => {
  const counted: Array<{ readonly op: string; count: number }> = []
  for (const { op } of members) {
    const last = counted.at(-1)
    if (last?.op === op) last.count++
    else counted.push({ op, count: 1 })
  }
  return counted.map(({ count, op }) => (count === 1 ? op : `${op} ×${count}`)).join(", ")
}

const regionCells = ({ gflops, gigabytes, kernel, nanoseconds, node, region, share }: RegionTime) => [
  `${(100 * share).toFixed(1)} %`,
  time(nanoseconds / 1e6),
  rate(gflops),
  rate(gigabytes),
  kernel,
  region === null ? node : `${region.members[0]?.node ?? node} (${opsOf(region.members)})`
]

/** The table of regions, the heaviest first; `most` of them. */
export const profileLines = ({ regions, sum }: Profile, most: number): ReadonlyArray<string> => {
  const shown = regions.slice(0, most)
  const rest = regions.slice(most)
  const restLine = rest.reduce((total, { nanoseconds }) => total + nanoseconds, 0)
  return [
    row("regions", `${regions.length}, ${time(sum / 1e6)} one after the other`),
    ...table(["share", "time", "GFLOP/s", "GB/s", "kernel", "region"], shown.map(regionCells), new Set([4, 5])),
    ...(rest.length === 0
      ? []
      : [`${((100 * restLine) / sum).toFixed(1)} % in ${rest.length} more (--regions ${regions.length} shows them)`])
  ]
}

export const format = (
  what: {
    readonly engine: string
    readonly target: string
    readonly threads: number
    readonly inputs: ReadonlyArray<string>
    readonly origin: string
    readonly first: First
    /** Bytes of the process before the engine was loaded. */
    readonly resident: number
    readonly plan: { readonly weights: number; readonly peak: number } | null
  },
  { bound, memory, process, profile, run, throughput }: Measured,
  most: number
): string => {
  const threads = `${what.threads} ${what.threads === 1 ? "thread" : "threads"}`
  const plan =
    what.plan === null
      ? []
      : [`plan ${Inspect.formatBytes(what.plan.weights)} + ${Inspect.formatBytes(what.plan.peak)}`]
  const use =
    memory === null
      ? []
      : [
          `weights ${Inspect.formatBytes(memory.weights)}`,
          `values ${Inspect.formatBytes(memory.values)}`,
          `in all ${Inspect.formatBytes(memory.memory)} (${(memory.memory / (memory.weights + memory.values)).toFixed(2)} of both)`
        ]
  return [
    `${what.engine}: ${what.target}, ${threads}; ${what.inputs.join(", ")}; ${what.origin}`,
    row(
      "first",
      `${time(what.first.load + what.first.run)}: load ${time(what.first.load)}, run ${time(what.first.run)}`
    ),
    row("latency", latencyText(run)),
    ...(bound === null ? [] : [row("bound", latencyText(bound))]),
    row("throughput", `${throughput.toPrecision(4)} inferences/s`),
    row(
      "memory",
      [
        ...use,
        ...plan,
        `process ${Inspect.formatBytes(process)}, ${Inspect.formatBytes(Math.max(0, process - what.resident))} above what it was before loading`
      ].join(", ")
    ),
    ...(profile === null ? [] : profileLines(profile, most))
  ].join("\n")
}
