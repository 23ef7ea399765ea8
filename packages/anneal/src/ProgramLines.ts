/**
 * What `anneal inspect` prints of the programs in an engine: regions with what was decided and why, fusions that were
 * refused, what is left to the host, the memory plan.
 */
import * as Inspect from "@anneal/engine/Inspect"
import * as Key from "@anneal/pipeline/Key"
import * as Dim from "@anneal/ir/Dim"
import type { ExplainedRegion, ExplainedReport } from "./Explained.ts"
import * as DurationOption from "./DurationOption.ts"
import * as NodePaths from "./NodePaths.ts"

/** `batch = 1, height 64`: what is fixed, then what is free, at the values that kernels were chosen for. */
const sizesOf = ({ fixed, typical }: ExplainedReport): string => {
  const parts = [
    ...Object.entries(fixed).map(([symbol, value]) => `${symbol} = ${value}`),
    ...Object.entries(typical).map(([symbol, value]) => `any ${symbol} (chosen for ${value})`)
  ]
  return parts.length === 0 ? "its only sizes" : parts.join(", ")
}

const configText = (config: ExplainedRegion["config"]): string => {
  const text = Key.canonical(config)
  return text === "{}" || text === "null" ? "" : ` ${text}`
}

const counts = [
  { from: 1e9, name: "GFLOP" },
  { from: 1e6, name: "MFLOP" },
  { from: 1e3, name: "kFLOP" }
] as const

/** Three digits, never an exponent. */
const digits = (value: number): string => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3))

/** `1.20 MFLOP`, `50 FLOP` */
const countText = (count: number): string => {
  const unit = counts.find(({ from }) => count >= from)
  return unit === undefined ? `${count} FLOP` : `${digits(count / unit.from)} ${unit.name}`
}

/** `1.20 MFLOP, 340 KiB, 41.0 GFLOP/s`; nothing where sizes are not known. */
const workText = (region: ExplainedRegion, typical: ReadonlyMap<string, number>): string => {
  const { bytes, operations } = region
  const count = Dim.evaluate(operations, typical) ?? 0
  const moved = Dim.evaluate(bytes, typical)
  const time = timeOf(region)
  const parts = [
    ...(count === 0 ? [] : [countText(count)]),
    ...(moved === undefined ? [] : [Inspect.formatBytes(moved)]),
    ...(count < 1e5 || time === null || time === 0 ? [] : [`${digits(count / time)} GFLOP/s`])
  ]
  return parts.length === 0 ? "" : ` · ${parts.join(", ")}`
}

/** Nanoseconds: measured, or else predicted. */
const timeOf = ({ measured, predicted }: ExplainedRegion): number | null => measured ?? predicted

const duration = (nanoseconds: number): string => DurationOption.format(nanoseconds / 1e6)

const timeText = (region: ExplainedRegion): string => {
  const time = timeOf(region)
  return time === null ? "?" : `${region.measured === null ? "~" : ""}${duration(time)}`
}

/** What a run takes, and how much of that is known by measuring. */
const totalOf = (regions: ReadonlyArray<ExplainedRegion>) => {
  const running = regions.filter(({ prepared }) => !prepared)
  const total = running.reduce((sum, region) => sum + (timeOf(region) ?? 0), 0)
  const measured = running.filter((region) => region.measured !== null).length
  const how =
    measured === 0
      ? "predicted"
      : measured === running.length
        ? "measured"
        : `${measured} of ${running.length} measured`
  return {
    total,
    text: `${measured === running.length && measured > 0 ? "" : "~"}${duration(total)} on one thread (${how})`
  }
}

const indent = " ".repeat(24)

/** Three lines a region: what was decided, why, of what. */
const regionLines = (
  region: ExplainedRegion,
  place: number,
  total: number,
  { begin, once, typical }: Names
): ReadonlyArray<string> => {
  const members = region.members.map(({ node, op }) => `${op} ${NodePaths.short(node, begin)}`)
  const [shown, more] = [members.slice(0, 12), members.length - 12]
  const share = region.prepared || total === 0 ? "once" : `${Math.round((100 * (timeOf(region) ?? 0)) / total)} %`
  return [
    `${String(place + 1).padStart(4)}  ${timeText(region).padStart(9)}  ${share.padStart(5)}  ${region.kernel}${configText(region.config)}${region.prepared ? ` (${once})` : ""}`,
    `${indent}${region.why}`,
    `${indent}${region.kind} ${region.shape}${workText(region, typical)}: ${shown.join(", ")}${more > 0 ? `, ${more} more` : ""}`,
    ...region.rejected.map(({ candidate, why }) => `${indent}not ${candidate}: ${why}`)
  ]
}

interface Names {
  /** What all paths begin with. */
  readonly begin: string
  /** When that is computed which depends on constants alone. */
  readonly once: string
  readonly typical: ReadonlyMap<string, number>
}

type Fusion = ExplainedReport["fusions"][number]

const fusionLine = ({ id, kind, members, reason, saving }: Fusion, begin: string): string => {
  const bytes = saving === null || saving === 0 ? "" : ` (${Inspect.formatBytes(saving)})`
  const short = members.map((member) => NodePaths.short(member, begin))
  return `      ${kind}${bytes}: ${short.join(" → ")}: ${reason}  [${id}]`
}

/** What would have saved most comes first. */
const bySaving = (a: Fusion, b: Fusion): number => (b.saving ?? 0) - (a.saving ?? 0)

const refusedOf = ({ fusions }: ExplainedReport): ReadonlyArray<Fusion> =>
  fusions.filter(({ taken }) => !taken).toSorted(bySaving)

/** Whether two programs refuse the same for the same reasons: their sizes alone differ. */
const isAlike = (a: ReadonlyArray<Fusion>, b: ReadonlyArray<Fusion>): boolean => {
  const known = new Set(b.map(({ id, reason }) => `${id} ${reason}`))
  return a.length === b.length && a.every(({ id, reason }) => known.has(`${id} ${reason}`))
}

export interface Options {
  /** Also the fusions that were made: those that `--fusion-off` can switch off. */
  readonly fusions: boolean
  /** The program printed before: what is the same in both is not said again. */
  readonly before?: ExplainedReport | undefined
}

const nodesOf = ({ fusions, hosts, regions }: ExplainedReport): ReadonlyArray<string> => [
  ...regions.flatMap(({ members }) => members.map(({ node }) => node)),
  ...hosts.map(({ node }) => node),
  ...fusions.flatMap(({ members }) => members)
]

/** One program. */
export const lines = (report: ExplainedReport, { before, fusions }: Options): ReadonlyArray<string> => {
  const { hosts, memory, regions } = report
  const begin = NodePaths.commonBegin(nodesOf(report))
  const once = report.preparation?.stored === true ? "by the build" : "after loading"
  const names: Names = { begin, once, typical: new Map(Object.entries(report.typical)) }
  const refused = refusedOf(report)
  const taken = report.fusions.filter((fusion) => fusion.taken)
  const isRepeated = before !== undefined && refused.length > 0 && isAlike(refused, refusedOf(before))
  const { text, total } = totalOf(regions)
  return [
    `program for ${sizesOf(report)}: ${regions.length} regions, ${text}, ${hosts.length} nodes on the host`,
    ...(begin === "" ? [] : [`  paths are in ${begin}`]),
    ...regions.flatMap((region, place) => regionLines(region, place, total, names)),
    ...(report.preparation === undefined ? [] : [`  what depends on constants alone: ${report.preparation.why}`]),
    ...hosts.map(({ node, op, why }) => `      host  ${op} ${NodePaths.short(node, begin)}: ${why}`),
    `  fusions: ${taken.length} made, ${refused.length} refused${isRepeated ? ", those of the program before" : ""}`,
    ...(fusions ? taken.map((one) => fusionLine({ ...one, reason: `made: ${one.reason}` }, begin)) : []),
    ...(isRepeated ? [] : refused.map((one) => fusionLine(one, begin))),
    ...(memory === null
      ? ["  memory: planned by the runtime, for the sizes of a run"]
      : memory.picture.map((line) => `  ${line}`))
  ]
}
