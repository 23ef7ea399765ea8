/**
 * What is in an engine or a model, for people and for scripts: boundary, profiles, nodes by op, weights, what each stage
 * did, precision, accuracy, origin.
 */
import type { OpDefinition } from "@anneal/ir/Op"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import type { Engine } from "./Engine.ts"
import type { Accuracy, Calibration, PrecisionEntry, Profile, Provenance, Stage } from "./Manifest.ts"

/** Counts over one graph, sub-graphs included. */
export interface GraphSummary {
  readonly nodes: number
  /** Nodes by op, the most frequent first. */
  readonly ops: Readonly<Record<string, number>>
  readonly constants: number
  /** Bytes of constants by dtype; equal ones once. */
  readonly constantBytes: Readonly<Record<string, number>>
  readonly digest: string
}

export interface PortSummary {
  readonly name: string
  /** `f32[batch, 3, 224, 224]`. */
  readonly type: string
}

export interface EngineSummary {
  readonly kind: "engine"
  readonly file: string
  readonly digest: string
  readonly bytes: number
  readonly strippedBytes: number
  readonly format: number
  readonly generator: string
  readonly model: { readonly name: string; readonly digest: string; readonly provenance: Provenance }
  readonly inputs: ReadonlyArray<PortSummary>
  readonly outputs: ReadonlyArray<PortSummary>
  readonly state: ReadonlyArray<{ readonly input: string; readonly output: string }>
  readonly variants: ReadonlyArray<
    GraphSummary & {
      readonly name: string
      readonly target: string
      readonly features: ReadonlyArray<string>
      readonly profiles: ReadonlyArray<Profile>
    }
  >
  readonly weights: {
    readonly kept: number
    readonly consumed: number
    /** Names that a refit may replace. */
    readonly replaceable: ReadonlyArray<string>
  }
  readonly stages: ReadonlyArray<Stage>
  readonly precision: ReadonlyArray<PrecisionEntry>
  readonly calibration: Calibration | null
  readonly accuracy: Accuracy | null
  readonly refits: ReadonlyArray<ReadonlyArray<string>>
}

export interface ModelSummary extends GraphSummary {
  readonly kind: "model"
  readonly file: string
  readonly name: string
  readonly inputs: ReadonlyArray<PortSummary>
  readonly outputs: ReadonlyArray<PortSummary>
}

export const summarizeGraph = (graph: Graph): GraphSummary => {
  const counts = new Map<string, number>()
  for (const { op } of Graphs.allNodes(graph)) counts.set(op.name, (counts.get(op.name) ?? 0) + 1)
  const constants = Graphs.allConstants(graph)
  const bytes = new Map<string, number>()
  for (const constant of constants.values())
    bytes.set(constant.dtype, (bytes.get(constant.dtype) ?? 0) + Constants.byteLength(constant))
  return {
    nodes: Graphs.nodeCount(graph),
    ops: Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))),
    constants: constants.size,
    constantBytes: Object.fromEntries([...bytes].sort(([a], [b]) => (a < b ? -1 : 1))),
    digest: Hash.content(graph)
  }
}

/** What is in an engine. Throws `EngineError` for a damaged graph. */
export const summarize = (engine: Engine, ops?: ReadonlyMap<string, OpDefinition>): EngineSummary => {
  const { manifest } = engine
  const port = ({ dtype, name, shape }: (typeof manifest.inputs)[number]): PortSummary => ({
    name,
    type: `${dtype}[${shape.join(", ")}]`
  })
  const kept = manifest.weights.filter(({ state }) => state === "kept")
  return {
    kind: "engine",
    file: engine.file,
    digest: engine.digest,
    bytes: engine.byteLength,
    strippedBytes: manifest.sections.reduce((sum, one) => (one.stripped === true ? sum + one.bytes : sum), 0),
    format: manifest.format,
    generator: `${manifest.generator.name} ${manifest.generator.version}`,
    model: manifest.model,
    inputs: manifest.inputs.map(port),
    outputs: manifest.outputs.map(port),
    state: manifest.aliases,
    variants: manifest.variants.map(({ features, name, profiles, target }) => ({
      name,
      target,
      features,
      profiles,
      ...summarizeGraph(engine.graph(name, ops))
    })),
    weights: {
      kept: kept.length,
      consumed: manifest.weights.length - kept.length,
      replaceable: kept.map(({ name }) => name)
    },
    stages: manifest.stages,
    precision: manifest.precision,
    calibration: manifest.calibration,
    accuracy: manifest.accuracy,
    refits: manifest.refits
  }
}

/** What is in a model that was imported. */
export const summarizeModel = (graph: Graph, file: string): ModelSummary => {
  const { type } = Graphs.index(graph)
  const port = (name: string, id: string): PortSummary => {
    const { dtype, shape } = type(id)
    return { name, type: `${dtype}[${shape.map(Dim.format).join(", ")}]` }
  }
  return {
    kind: "model",
    file,
    name: graph.name,
    inputs: graph.inputs.map(({ id, name }) => port(name, id)),
    outputs: graph.outputs.map(({ id, name }) => port(name, id)),
    ...summarizeGraph(graph)
  }
}

// ---- for people -----------------------------------------------------------------------------------------------------

/** `1536` → `1.5 KiB`. */
export const formatBytes = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit] ?? ""}`
}

const row = (label: string, value: string): string => `${label.padEnd(12)} ${value}`

const list = (label: string, values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.map((value, index) => row(index === 0 ? label : "", value))

const graphLines = (graph: GraphSummary): ReadonlyArray<string> => {
  const ops = Object.entries(graph.ops).map(([op, count]) => (count === 1 ? op : `${op} ×${count}`))
  const bytes = Object.entries(graph.constantBytes).map(([dtype, count]) => `${dtype} ${formatBytes(count)}`)
  return [
    row("nodes", `${graph.nodes}: ${ops.join(", ")}`),
    row("constants", `${graph.constants}${bytes.length === 0 ? "" : `: ${bytes.join(", ")}`}`)
  ]
}

/** `batch 1…8 (opt 4)`. */
export const formatProfile = ({ dims, name }: Profile): string => {
  const ranges = Object.entries(dims).map(([symbol, { max, min, opt }]) =>
    min === max ? `${symbol} ${min}` : `${symbol} ${min}…${max ?? "∞"} (opt ${opt})`
  )
  return `${name}: ${ranges.length === 0 ? "any shape that the model takes" : ranges.join(", ")}`
}

const stageLine = ({ changed, claims, diagnostics, stage, validation }: Stage): string => {
  const parts = [stage]
  if (claims !== undefined) parts.push(claims)
  if (changed !== undefined) parts.push(changed ? "changed the graph" : "nothing to do")
  if (validation !== undefined && validation.regions > 0) {
    const wrong = validation.failed > 0 ? `, ${validation.failed} wrong` : ""
    const open = validation.notValidated > 0 ? `, ${validation.notValidated} not validated` : ""
    parts.push(`${validation.regions} rewrites checked${wrong}${open}`)
  }
  if (diagnostics.length > 0) parts.push(diagnostics.map(({ code }) => code).join(", "))
  return parts.join(" · ")
}

/** Those that did something or found something; the others are only counted. */
const stageLines = (stages: ReadonlyArray<Stage>): ReadonlyArray<string> => {
  const shown = stages.filter(({ changed, diagnostics }) => changed !== false || diagnostics.length > 0)
  const idle = stages.length - shown.length
  return [...shown.map(stageLine), ...(idle === 0 ? [] : [`${idle} more had nothing to do`])]
}

const portLines = (inputs: ReadonlyArray<PortSummary>, outputs: ReadonlyArray<PortSummary>): ReadonlyArray<string> => [
  ...list(
    "inputs",
    inputs.map(({ name, type }) => `${name}: ${type}`)
  ),
  ...list(
    "outputs",
    outputs.map(({ name, type }) => `${name}: ${type}`)
  )
]

/** The summary as lines of text. */
export const format = (summary: EngineSummary | ModelSummary): string => {
  if (summary.kind === "model")
    return [
      row("model", `${summary.name} (${summary.file})`),
      ...portLines(summary.inputs, summary.outputs),
      ...graphLines(summary)
    ].join("\n")
  const { accuracy, calibration, model, weights } = summary
  const stripped = summary.strippedBytes > 0 ? `, ${formatBytes(summary.strippedBytes)} of weights left out` : ""
  return [
    row("engine", `${summary.file}, ${formatBytes(summary.bytes)}${stripped}`),
    row("digest", summary.digest),
    row("made by", `${summary.generator}, file format ${summary.format}`),
    row("model", `${model.name}, ${model.provenance.format}, ${model.provenance.sha256 ?? model.digest}`),
    row("licence", model.provenance.licence ?? "not stated in the model"),
    ...portLines(summary.inputs, summary.outputs),
    ...list(
      "state",
      summary.state.map(({ input, output }) => `${output} comes back as ${input}`)
    ),
    ...summary.variants.flatMap((variant) => [
      row("variant", `${variant.name} for ${[variant.target, ...variant.features].join(" + ")}`),
      ...list("profiles", variant.profiles.map(formatProfile)),
      ...graphLines(variant)
    ]),
    row("weights", `${weights.kept} replaceable by name, ${weights.consumed} consumed by rewrites`),
    ...list("stages", stageLines(summary.stages)),
    ...list(
      "precision",
      summary.precision.map(({ from, node, to, why }) => `${node}: ${from} → ${to}, ${why}`)
    ),
    ...(calibration === null
      ? []
      : [row("calibration", `${calibration.calibrator.name}, ${calibration.count} samples ${calibration.samples}`)]),
    ...(accuracy === null ? [] : [row("accuracy", formatAccuracy(accuracy))]),
    ...list(
      "refits",
      summary.refits.map((names) => names.join(", "))
    )
  ].join("\n")
}

/** `top-1 0.9870 → 0.9860 (1000 samples, allowed drop 0.005)`. */
export const formatAccuracy = ({ after, before, maxDrop }: Accuracy): string =>
  `${before.metric} ${before.value.toFixed(4)} → ${after.value.toFixed(4)} (${after.count} samples${maxDrop === null ? "" : `, allowed drop ${maxDrop}`})`
