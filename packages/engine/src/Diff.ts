/**
 * What differs between two engines, in the user's terms: boundary, profiles, stages, nodes by their paths, weights,
 * accuracy. Two engines with one seal have no difference.
 */
import type { OpDefinition } from "@anneal/ir/Op"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import type { Engine } from "./Engine.ts"
import * as Inspect from "./Inspect.ts"

export interface Difference {
  /** `input x`, `stage fold@1`, `node /conv1`. */
  readonly what: string
  readonly before: string | null
  readonly after: string | null
}

type Table = ReadonlyMap<string, string>

/** All differences, grouped by kind; empty when the engines are the same file. */
export const diff = (
  before: Engine,
  after: Engine,
  ops?: ReadonlyMap<string, OpDefinition>
): ReadonlyArray<Difference> =>
  before.digest === after.digest
    ? []
    : [...compare(describe(before, ops), describe(after, ops))].map(([what, [a, b]]) => ({ what, before: a, after: b }))

const compare = (a: Table, b: Table): ReadonlyMap<string, readonly [string | null, string | null]> => {
  const found = new Map<string, readonly [string | null, string | null]>()
  for (const what of new Set([...a.keys(), ...b.keys()])) {
    const pair = [a.get(what) ?? null, b.get(what) ?? null] as const
    if (pair[0] !== pair[1]) found.set(what, pair)
  }
  return found
}

/** Everything about an engine as text by name. */
const describe = (engine: Engine, ops?: ReadonlyMap<string, OpDefinition>): Table => {
  const { manifest } = engine
  const table = new Map<string, string>()
  table.set("format", String(manifest.format))
  table.set("generator", `${manifest.generator.name} ${manifest.generator.version}`)
  table.set("model", `${manifest.model.name} ${manifest.model.digest}`)
  for (const { dtype, name, shape } of manifest.inputs) table.set(`input ${name}`, `${dtype}[${shape.join(", ")}]`)
  for (const { dtype, name, shape } of manifest.outputs) table.set(`output ${name}`, `${dtype}[${shape.join(", ")}]`)
  for (const { input, output } of manifest.aliases) table.set(`state ${input}`, output)
  for (const variant of manifest.variants) {
    table.set(`variant ${variant.name}`, [variant.target, ...variant.features].join(" + "))
    for (const profile of variant.profiles)
      table.set(`profile ${variant.name}/${profile.name}`, Inspect.formatProfile(profile))
    for (const [what, ops_] of nodes(engine.graph(variant.name, ops))) table.set(`${variant.name}: ${what}`, ops_)
  }
  for (const { kind, name, origin, sha256 } of manifest.sections) {
    if (kind === "module" || kind === "program") table.set(`${kind} ${name}`, `sha256:${sha256}`)
    if (kind === "packed") table.set(`packed ${name}`, `${origin?.layout ?? ""} sha256:${sha256}`)
  }
  for (const { changed, output, stage } of manifest.stages)
    table.set(`stage ${stage}`, `${changed === false ? "nothing to do" : "result"} ${output}`)
  for (const { digest, dtype, name, shape, state } of manifest.weights)
    table.set(`weight ${name}`, `${dtype}[${shape.join()}] ${state} sha256:${digest}`)
  for (const { from, node, to, why } of manifest.precision) table.set(`precision ${node}`, `${from} → ${to}, ${why}`)
  if (manifest.calibration !== null)
    table.set("calibration", `${manifest.calibration.calibrator.name} on ${manifest.calibration.samples}`)
  if (manifest.accuracy !== null) table.set("accuracy", Inspect.formatAccuracy(manifest.accuracy))
  return table
}

/** The ops that each node of the user's model became. */
const nodes = (graph: Graph): Table => {
  const made = new Map<string, Array<string>>()
  for (const node of Graphs.allNodes(graph)) {
    const place = node.lineage.sources.length === 0 ? `%${node.outputs[0]?.id ?? ""}` : node.lineage.sources.join(" + ")
    const list = made.get(place) ?? []
    made.set(place, list)
    list.push(node.op.name)
  }
  return new Map([...made].map(([place, ops]) => [`node ${place}`, ops.join(", ")]))
}

/** One line a difference: `- ` before, `+ ` after. */
export const format = (differences: ReadonlyArray<Difference>): string =>
  differences.length === 0
    ? "no difference"
    : differences
        .flatMap(({ after, before, what }) => [
          ...(before === null ? [] : [`- ${what}: ${before}`]),
          ...(after === null ? [] : [`+ ${what}: ${after}`])
        ])
        .join("\n")
