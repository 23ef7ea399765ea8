// The passes that quantise: they insert quantise and dequantise nodes, and claim nothing more than that.
//
// `quantize` takes ranges and what to keep; `quantizeWithin` takes the decisions of an accuracy budget.
import * as Graph from "@anneal/ir/Graph"
import * as Artefact from "@anneal/pipeline/Artefact"
import type { Range } from "@anneal/pipeline/Calibrator"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Pass from "@anneal/pipeline/Pass"
import { Ranges } from "@anneal/pipeline/Ranges"
import { Target, type TargetService } from "@anneal/pipeline/Target"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as InsertQuantization from "./InsertQuantization.ts"
import * as Placement from "./Placement.ts"
import * as Precision from "./Precision.ts"

const Config = Schema.Struct({
  /** Width of the weights; activations have 8 bits. */
  bits: Schema.Literals([4, 8]),
  /** Products that stay float: op names, value ids or sources in the user's model. */
  keep: Schema.Array(Schema.String),
  /** Weights use all their bits, though the target would be faster with fewer. Default: as the target prefers. */
  fullRange: Schema.optionalKey(Schema.Boolean)
})

/** Products that stay float since a value that they read has no range, said to the user. */
const tellUnmeasured = (graph: Graph.Graph, unmeasured: ReadonlySet<string>) => {
  const names = graph.nodes.filter((node) => unmeasured.has(node.outputs[0]?.id ?? "")).map(Graph.nodeName)
  if (names.length === 0) return Effect.void
  return Diagnostic.report({
    severity: "warning",
    code: "not-quantized",
    message: `${names.length} products stay float, since no range was measured of what they read: ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", …" : ""}`,
    action: "calibrate on samples that reach them, or add their ranges to the table"
  })
}

/** Products that stay float since they are faster so, said to the user. */
const tellPreferring = (graph: Graph.Graph, target: TargetService, preferring: ReadonlyMap<string, string>) => {
  if (preferring.size === 0) return Effect.void
  const names = graph.nodes.flatMap((node) => {
    const reason = preferring.get(node.outputs[0]?.id ?? "")
    return reason === undefined ? [] : [`${Graph.nodeName(node)}: ${reason}`]
  })
  return Diagnostic.report({
    severity: "info",
    code: "faster-as-float",
    message: `${names.length} products stay float, which ${target.name} runs faster: ${names.slice(0, 5).join("; ")}${names.length > 5 ? "; …" : ""}`
  })
}

const apply = (
  graph: Graph.Graph,
  ranges: Readonly<Record<string, Range>>,
  target: TargetService,
  { bits, fullRange }: { readonly bits: 4 | 8; readonly fullRange?: boolean },
  keep: ReadonlySet<string>,
  name: string
) =>
  Effect.gen(function* () {
    const schemes = InsertQuantization.chooseSchemes(target.quantization, bits, fullRange)
    if (schemes === undefined) return yield* new InsertQuantization.NoScheme({ target: target.name, bits })
    const unmeasured = Placement.unmeasured(graph, ranges, keep)
    yield* tellUnmeasured(graph, unmeasured)
    const open = new Set([...keep, ...Placement.namesOf(unmeasured)])
    const preferring = Placement.preferringFloat(graph, target, open)
    yield* tellPreferring(graph, target, preferring)
    const options = { ranges, schemes, keep: new Set([...open, ...Placement.namesOf(preferring.keys())]) }
    return InsertQuantization.insert(graph, options, name)
  })

export const quantize = Pass.make({
  name: "quantize",
  version: 2,
  claims: "lossy",
  config: Config,
  needs: [Ranges, Target],
  run: Effect.fnUntraced(function* (graph, { keep, ...scheme }) {
    const [{ of }, target] = [yield* Ranges, yield* Target]
    return yield* apply(graph, of, target, scheme, new Set(keep), "quantize")
  })
})

export const quantizeWithin = Pass.make({
  name: "quantizeWithin",
  version: 2,
  claims: "lossy",
  config: Config,
  needs: [Ranges, Target, Precision.Precision],
  run: Effect.fnUntraced(function* (graph, { keep, ...scheme }) {
    const [{ of }, target, choices] = [yield* Ranges, yield* Target, yield* Precision.Precision]
    const digest = yield* Artefact.digestOf(GraphTag, graph)
    if (choices.decidedOn !== digest)
      return yield* new Precision.StalePrecision({ decidedOn: choices.decidedOn, graph: digest })
    return yield* apply(
      graph,
      of,
      target,
      scheme,
      new Set([...keep, ...Placement.namesOf(Precision.kept(choices))]),
      "quantizeWithin"
    )
  })
})
