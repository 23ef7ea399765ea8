// Precision: which products of a graph run on integers and which stay float, and why. A decision, measured on one graph;
// the quantising pass reads it, the engine's ledger shows it.
import * as DeterministicMath from "@anneal/ir/Math"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Score } from "@anneal/pipeline/Evaluator"
import * as Schema from "effect/Schema"

export const Choice = Schema.Struct({
  /** The product's path in the user's model, or its op and result. */
  node: Schema.String,
  precision: Schema.Literals(["int8", "int4", "float"]),
  /** Noise power over signal power of its result when it alone is quantised; 0 when that was not measured. */
  noise: Schema.Finite,
  reason: Schema.String
})
export type Choice = typeof Choice.Type

export const Choices = Schema.Struct({
  /** Digest of the graph that was decided on. The decisions outlive it: the engine keeps them. */
  decidedOn: Schema.String,
  /** By the id of the product's first result, in the graph's order. */
  products: Schema.Record(Schema.String, Choice),
  /** The full evaluation set, before and after. */
  before: Score,
  after: Score,
  /** The greatest loss that was allowed, in units of the metric. */
  maxDrop: Schema.Finite
})
export type Choices = typeof Choices.Type

export class Precision extends Artefact.make<Precision>()("@anneal/quantize/Precision", Artefact.json(Choices)) {}

/** Ids of the products that stay float. */
export const kept = ({ products }: Choices): ReadonlySet<string> =>
  new Set(Object.entries(products).flatMap(([id, { precision }]) => (precision === "float" ? [id] : [])))

/** Signal to noise in decibels, for people; infinite for no noise. */
export const decibels = (noise: number): number => (noise === 0 ? Infinity : -10 * DeterministicMath.log10(noise))

/** In decibels, in a column; a dash where nothing was measured, or nothing is lost. */
export const column = (noise: number): string =>
  noise === 0 ? "     – dB" : `${decibels(noise).toFixed(1).padStart(6)} dB`

/** The table as text, worst first. */
export const format = ({ after, before, maxDrop, products }: Choices): string => {
  const rows = Object.values(products).toSorted((a, b) => b.noise - a.noise)
  const lines = rows.map(
    ({ node, noise, precision, reason }) =>
      `${precision.padEnd(6)} ${column(noise)}  ${node}${reason === "" ? "" : `: ${reason}`}`
  )
  const score = `${before.metric}: ${before.value} before, ${after.value} after, on ${after.count} samples (allowed loss ${maxDrop})`
  return [score, ...lines].join("\n")
}

/** Decisions that were made on another graph than the one at hand. */
export class StalePrecision extends Schema.TaggedError<StalePrecision>()("StalePrecision", {
  decidedOn: Schema.String,
  graph: Schema.String
}) {
  override get message(): string {
    return `The precisions were decided on graph ${this.decidedOn.slice(0, 12)}, this is graph ${this.graph.slice(0, 12)}: run fitBudget after the last rewrite`
  }
}
