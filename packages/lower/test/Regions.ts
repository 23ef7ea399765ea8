// Graphs from text, and programs as short text, for tests of what is fused.
import type { Graph } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import type { Program, Step } from "@anneal/lower/Program"
import * as Graphs from "@anneal/testing/Graphs"
import { assert } from "@effect/vitest"
import { difference, planned, type Options } from "./Agreement.ts"

export const parse = (body: string): Graph =>
  Verify.check(Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() }), "the test's text")

const line = (step: Step): ReadonlyArray<string> => {
  if (step.kind === "region") return [`${step.region.kind} ${step.region.members.map(({ op }) => op.name).join(" ")}`]
  if (step.kind === "host") return [`host ${step.node.op.name}`]
  return [
    "branch",
    ...step.whenTrue.flatMap(line).map((one) => `  ${one}`),
    ...step.whenFalse.flatMap(line).map((one) => `  ${one}`)
  ]
}

/** Kind and ops of each region, in order. */
export const regions = (program: Program): ReadonlyArray<string> => program.steps.flatMap(line)

/** Plans a graph, checks that it computes what the oracle does on some inputs, and gives its regions. */
export const lowered = (body: string | Graph, options: Options = {}): ReadonlyArray<string> => {
  const graph = typeof body === "string" ? parse(body) : body
  for (const seed of [1, 2, 3]) assert.isUndefined(difference(graph, Graphs.inputsOf(graph, seed), options))
  return regions(planned(graph, options))
}

/** The fusions of a kind: what they join, and why not. */
export const fusions = (body: string | Graph, kind: string, options: Options = {}): ReadonlyArray<string> =>
  planned(typeof body === "string" ? parse(body) : body, options)
    .fusions.filter((fusion) => fusion.kind === kind)
    .map(({ members, reason, taken }) => `${members.join(" ")}: ${taken ? "taken" : reason}`)
