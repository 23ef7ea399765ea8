/**
 * Report: what people read of a program: its regions with what was decided for them, the fusions that were taken and
 * refused, what is left to the host, the memory plan. Kept in the engine beside the code, so it holds decisions and
 * predictions only: timings are a journal's.
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import type { Node } from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Tuners from "@anneal/pipeline/Tuner"
import * as Schema from "effect/Schema"
import * as Footprint from "./Footprint.ts"
import * as MemoryPlan from "./MemoryPlan.ts"
import type { Program, Step } from "./Program.ts"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { View } from "./View.ts"

export const RegionEntry = Schema.Struct({
  /** Unique in the program; steps of the executor have the same. */
  id: Schema.String,
  /** `convolution`, `rows`, … */
  kind: Schema.String,
  /** The shape of what it writes first: `f32[1, 16, 32, 32]`. */
  shape: Schema.String,
  /** The nodes that it computes: ops, and paths in the user's model. */
  members: Schema.Array(Schema.Struct({ op: Schema.String, node: Schema.String })),
  /** Computed once, by the build or after loading: see `preparation`. */
  prepared: Schema.Boolean,
  /** What the decision is kept under, in lock and journal. */
  key: Schema.String,
  kernel: Schema.String,
  config: Schema.Json,
  /** Kernels that there were to choose from. */
  offered: Schema.Int,
  /** Predicted nanoseconds. */
  predicted: Schema.NullOr(Schema.Finite),
  /** The one of the others that is predicted to be the fastest. */
  next: Schema.optionalKey(Schema.Struct({ kernel: Schema.String, config: Schema.Json, predicted: Schema.Finite })),
  /** As in `Footprint`. */
  operations: Op.DimSchema,
  bytes: Op.DimSchema
})
export type RegionEntry = typeof RegionEntry.Type

export const FusionEntry = Schema.Struct({
  id: Schema.String,
  kind: Schema.String,
  /** Paths of the nodes that make the values, producer first. */
  members: Schema.Array(Schema.String),
  taken: Schema.Boolean,
  reason: Schema.String,
  /** Bytes of memory traffic that it saves, or would. */
  saving: Schema.NullOr(Schema.Finite)
})
export type FusionEntry = typeof FusionEntry.Type

export const HostEntry = Schema.Struct({ node: Schema.String, op: Schema.String, why: Schema.String })

/** Of what depends on constants alone: whether its values are in the engine, and why. */
export const Preparation = Schema.Struct({ stored: Schema.Boolean, why: Schema.String })

export const Report = Schema.Struct({
  /** Symbols that have their only value in this program. */
  fixed: Schema.Record(Schema.String, Schema.Int),
  /** Symbols that stay free, at the values that kernels were chosen for. */
  typical: Schema.Record(Schema.String, Schema.Int),
  /** In the order in which they run. */
  regions: Schema.Array(RegionEntry),
  fusions: Schema.Array(FusionEntry),
  hosts: Schema.Array(HostEntry),
  preparation: Schema.optionalKey(Preparation),
  /** Bytes; null where sizes are open. */
  memory: Schema.NullOr(
    Schema.Struct({ arena: Schema.Finite, lowerBound: Schema.Finite, picture: Schema.Array(Schema.String) })
  )
})
export type Report = typeof Report.Type

const codec = Schema.toCodecJson(Report)

/** The report's bytes in an engine: JSON, the same for the same program and decisions. */
export const encode = (report: Report): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(Schema.encodeSync(codec)(report)))

/** Throws a `SchemaError` that says what is wrong. */
export const decode = (bytes: Uint8Array): Report =>
  Schema.decodeUnknownSync(codec)(JSON.parse(new TextDecoder().decode(bytes)))

export interface Options {
  /** Values of the free symbols that kernels are chosen for. */
  readonly typical: Bindings
  /** The choice that a region was: its key, and what there was to choose from. */
  readonly choice: (region: Region) => Pick<Choice, "key" | "candidates"> | undefined
  /** The plan of the arena, where the target has one. */
  readonly memory?: MemoryPlan.MemoryPlan | undefined
  /** Where the target decides when that is computed which depends on constants alone. */
  readonly preparation?: typeof Preparation.Type
}

/** Where a node comes from in the user's model, or what it makes. */
const pathOf = ({ lineage, outputs }: Node): string =>
  lineage.sources.length > 0 ? lineage.sources.join(" + ") : `%${outputs[0]?.id ?? ""}`

/** Of the kernels that were not chosen, the one that is predicted to be the fastest. */
const nextOf = (candidates: ReadonlyArray<Candidate>, chosen: Candidate): Pick<RegionEntry, "next"> => {
  const wanted = Tuners.identify(chosen)
  const [next] = candidates.filter((one) => Tuners.identify(one) !== wanted).toSorted(Tuners.byPrediction)
  return next?.cost === undefined ? {} : { next: { kernel: next.name, config: next.config, predicted: next.cost } }
}

/** The shape of a value as the graph has it: of convolutions, groups and their channels are one axis. */
const shapeOf = (region: Region, { shape }: View): ReadonlyArray<Dim.Dim> => {
  if (region.kind !== "convolution" || shape.length !== region.out.length + 3) return shape
  const [batch = 1, groups = 1, channels = 1, ...spatial] = shape
  return [batch, Dim.mul(groups, channels), ...spatial]
}

const regionEntry = (
  step: Extract<Step, { readonly kind: "region" }>,
  prepared: boolean,
  { choice }: Options
): RegionEntry => {
  const { region, tactic } = step
  const found = choice(region)
  const first = Regions.writes(region).find((view) => view !== null)
  return {
    id: region.id,
    kind: region.kind,
    shape: first === undefined ? "" : `${first.dtype}[${shapeOf(region, first).map(Dim.format).join(", ")}]`,
    members: region.members.map((node) => ({ op: node.op.name, node: pathOf(node) })),
    prepared,
    key: found?.key ?? "",
    kernel: tactic.name,
    config: tactic.config,
    offered: found?.candidates.length ?? 1,
    predicted: tactic.cost ?? null,
    ...nextOf(found?.candidates ?? [], tactic),
    ...Footprint.of(region)
  }
}

/** The report of a program that is decided. */
export const of = (program: Program, options: Options): Report => {
  const makers = new Map<string, Node>()
  for (const node of Graphs.allNodes(program.graph)) for (const { id } of node.outputs) makers.set(id, node)
  const nameOf = (id: string): string => {
    const maker = makers.get(id)
    return maker === undefined ? `%${id}` : pathOf(maker)
  }
  const regionsOf = (steps: ReadonlyArray<Step>, prepared: boolean): ReadonlyArray<RegionEntry> =>
    MemoryPlan.flatten(steps).flatMap((step) => (step.kind === "region" ? [regionEntry(step, prepared, options)] : []))
  const hosts = MemoryPlan.flatten(program.steps).flatMap((step) =>
    step.kind === "host" ? [{ node: pathOf(step.node), op: step.node.op.name, why: step.why }] : []
  )
  const { memory, preparation, typical } = options
  return {
    fixed: Object.fromEntries(program.fixed),
    typical: Object.fromEntries(
      program.symbols.flatMap((name) => {
        const value = typical.get(name)
        return value === undefined ? [] : [[name, value] as const]
      })
    ),
    regions: [...regionsOf(program.prepare, true), ...regionsOf(program.steps, false)],
    fusions: program.fusions.map(({ id, kind, members, reason, saving, taken }) => ({
      id,
      kind,
      members: members.map(nameOf),
      taken,
      reason,
      saving: Dim.evaluate(saving, typical) ?? null
    })),
    hosts,
    ...(preparation === undefined ? {} : { preparation }),
    memory:
      memory === undefined
        ? null
        : { arena: memory.peak, lowerBound: memory.lowerBound, picture: MemoryPlan.picture(memory).split("\n") }
  }
}
