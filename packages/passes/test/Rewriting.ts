// What the tests of passes share: graphs as text, comparison up to the names of values, and the check of each rewrite
// against the oracle.
import { assert } from "@effect/vitest"
import type { Edited } from "@anneal/ir/Editor"
import type { ConstantEntry, Graph } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import type { Oracle, OracleError } from "@anneal/pipeline/Oracle"
import type * as Pass from "@anneal/pipeline/Pass"
import * as Validate from "@anneal/pipeline/Validate"
import * as Validation from "@anneal/pipeline/Validation"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"

/** A pass as the tests need it. */
export interface Tested {
  readonly name: string
  readonly claim: Pass.Claim
  readonly rewrite: (graph: Graph) => Effect.Effect<Edited, OracleError, Oracle>
}

/** The statements of a graph. */
export const parse = (body: string): Graph => {
  const graph = Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() })
  return Verify.check(graph, "the test's text")
}

/** The graph with values called by their place: two graphs that differ in names alone print alike. */
const renamed = (graph: Graph): Graph => {
  const names = new Map<string, string>()
  const name = (id: string, prefix: string): string => {
    const known = names.get(id)
    if (known !== undefined) return known
    const fresh = `${prefix}${names.size}`
    names.set(id, fresh)
    return fresh
  }
  const inputs = graph.inputs.map((input) => ({ ...input, id: name(input.id, "x") }))
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((id) => (id === null ? null : name(id, "c"))),
    outputs: node.outputs.map(({ id, type }) => ({ id: name(id, "v"), type })),
    graphs: Object.fromEntries(Object.entries(node.graphs).map(([key, inner]) => [key, renamed(inner)]))
  }))
  const outputs = graph.outputs.map((output) => ({ ...output, id: name(output.id, "c") }))
  const constants = new Map<string, ConstantEntry>(
    [...graph.constants]
      .map(([id, entry]) => [name(id, "c"), entry] as const)
      .sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
  )
  return { ...graph, inputs, nodes, outputs, constants }
}

export const show = (graph: Graph): string => Text.print(renamed(graph), { lineage: false })

/** Checks a rewrite as a build does; gives what it found. */
export const validate = (pass: Pick<Tested, "name" | "claim">, before: Graph, edited: Edited) =>
  Validate.check({
    pass: pass.name,
    claims: pass.claim,
    before,
    after: edited.graph,
    replaced: edited.replaced,
    reads: [...Graphs.allConstants(before).keys()],
    policy: Validation.defaults
  }).pipe(Effect.provide(Reference.layer()))

/** The rewrite, verified and checked. `unvalidated`: why the oracle may be unable to run the graph before. */
const rewritten = (pass: Tested, before: Graph, unvalidated: ReadonlyArray<RegExp> = []) =>
  Effect.gen(function* () {
    const edited = yield* pass.rewrite(before)
    Verify.check(edited.graph, pass.name)
    const report = yield* validate(pass, before, edited)
    assert.deepStrictEqual(
      report.failures.map(({ message }) => message),
      []
    )
    assert.deepStrictEqual(
      report.diagnostics
        .map(({ message }) => message)
        .filter((message) => !unvalidated.some((reason) => reason.test(message))),
      []
    )
    return edited
  }).pipe(Effect.provide(Reference.layer()))

/** The pass makes `expected` of `before`, and the oracle agrees. */
export const becomes = (pass: Tested, before: string, expected: string, unvalidated: ReadonlyArray<RegExp> = []) =>
  Effect.gen(function* () {
    const edited = yield* rewritten(pass, parse(before), unvalidated)
    assert.strictEqual(show(edited.graph), show(parse(expected)))
  })

/** The pass leaves the graph as it is: the same object. */
export const stays = (pass: Tested, before: string) =>
  Effect.gen(function* () {
    const graph = parse(before)
    const edited = yield* Effect.provide(pass.rewrite(graph), Reference.layer())
    assert.strictEqual(show(edited.graph), show(graph))
    assert.isFalse(edited.changed)
  })

/** The pass does something that the oracle agrees with; gives the ops that are left, in order. */
export const opsAfter = (pass: Tested, before: string) =>
  Effect.map(rewritten(pass, parse(before)), ({ graph }) => graph.nodes.map(({ op }) => op.name))
