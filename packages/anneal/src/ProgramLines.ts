/**
 * What `anneal inspect` prints of the programs in an engine: regions with what was decided and why, fusions that were
 * refused, what is left to the host, the memory plan.
 */
import * as Inspect from "@anneal/engine/Inspect"
import * as Key from "@anneal/pipeline/Key"
import * as Dim from "@anneal/ir/Dim"
import type { ExplainedRegion, ExplainedReport } from "./Explained.ts"
import * as DurationOption from "./DurationOption.ts"

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

/** `1.2 MFLOP`, `340 KiB`; nothing where sizes are free. */
const workText = ({ bytes, operations }: ExplainedRegion, typical: ReadonlyMap<string, number>): string => {
  const count = Dim.evaluate(operations, typical)
  const moved = Dim.evaluate(bytes, typical)
  const parts = [
    ...(count === undefined || count === 0 ? [] : [`${(count / 1e6).toPrecision(3)} MFLOP`]),
    ...(moved === undefined ? [] : [Inspect.formatBytes(moved)])
  ]
  return parts.length === 0 ? "" : ` · ${parts.join(", ")}`
}

const timeText = ({ measured, predicted }: ExplainedRegion): string =>
  measured !== null
    ? DurationOption.format(measured / 1e6)
    : predicted === null
      ? "?"
      : `~${DurationOption.format(predicted / 1e6)}`

/** Three lines a region: what was decided, why, of what. */
const regionLines = (
  region: ExplainedRegion,
  place: number,
  typical: ReadonlyMap<string, number>
): ReadonlyArray<string> => {
  const members = region.members.map(({ node, op }) => `${op} ${node}`)
  const [shown, more] = [members.slice(0, 12), members.length - 12]
  return [
    `${String(place + 1).padStart(4)}  ${timeText(region).padStart(9)}  ${region.kernel}${configText(region.config)}${region.prepared ? " (once, after loading)" : ""}`,
    `                 ${region.why}`,
    `                 ${region.kind} ${region.shape}${workText(region, typical)}: ${shown.join(", ")}${more > 0 ? `, ${more} more` : ""}`,
    ...region.rejected.map(({ candidate, why }) => `                 not ${candidate}: ${why}`)
  ]
}

const fusionLine = ({ id, kind, members, reason, saving }: ExplainedReport["fusions"][number]): string => {
  const bytes = saving === null || saving === 0 ? "" : ` (${Inspect.formatBytes(saving)})`
  return `      ${kind}${bytes}: ${members.join(" → ")}: ${reason}  [${id}]`
}

export interface Options {
  /** Also the fusions that were made: those that `--fusion-off` can switch off. */
  readonly fusions: boolean
}

/** One program. */
export const lines = (report: ExplainedReport, { fusions }: Options): ReadonlyArray<string> => {
  const { hosts, memory, regions } = report
  const typical = new Map(Object.entries(report.typical))
  const refused = report.fusions.filter(({ taken }) => !taken)
  const taken = report.fusions.filter((fusion) => fusion.taken)
  return [
    `program for ${sizesOf(report)}: ${regions.length} regions, ${hosts.length} nodes on the host`,
    ...regions.flatMap((region, place) => regionLines(region, place, typical)),
    ...hosts.map(({ node, op, why }) => `      host  ${op} ${node}: ${why}`),
    `  fusions: ${taken.length} made, ${refused.length} refused`,
    ...(fusions ? taken.map((fusion) => fusionLine({ ...fusion, reason: `made: ${fusion.reason}` })) : []),
    ...refused.map(fusionLine),
    ...(memory === null ? ["  memory: planned when the sizes are known"] : memory.picture.map((line) => `  ${line}`))
  ]
}
