// Rewrites that were found right are not checked again where the build is told so; anything else is.
import { assert, describe, it } from "@effect/vitest"
import * as Editor from "@anneal/ir/Editor"
import type * as IR from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import { Graph } from "@anneal/pipeline/Graph"
import * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Validation from "@anneal/pipeline/Validation"
import { Verdicts } from "@anneal/pipeline/Verdicts"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestOracle from "./TestOracle.ts"

const parse = (factor: number): IR.Graph =>
  Text.parse(
    `graph "g" {
  input "x" %x : f32[n, 3]
  constant %k : f32[] = ${factor}
  %a : f32[n, 3] = mul(%x, %k)
  %b : f32[n, 3] = neg(%a)
  %c : f32[n, 3] = neg(%b)
  output "c" = %c
}`,
    { ops: Ops.table() }
  )

/** neg(neg(a)) → a */
const cancel = Pass.make({
  name: "cancel",
  version: 1,
  claims: "exact",
  config: Schema.Struct({}),
  run: (graph) => {
    const editor = Editor.open(graph)
    const [outer, inner] = [editor.producer("c"), editor.producer("b")]
    if (outer !== undefined && inner !== undefined) editor.replace(outer, "cancel", () => editor.inputs(inner))
    return editor.finish()
  }
})

const build = (graph: IR.Graph, known: ReadonlyMap<string, number> = new Map()) =>
  Effect.gen(function* () {
    const earlier = TestOracle.runs.count
    const { ledger } = yield* Pipeline.on(Graph).through(cancel({})).build()
    return { entry: ledger[0], runs: TestOracle.runs.count - earlier }
  }).pipe(Effect.provideService(Graph, graph), Effect.provideService(Verdicts, known), Effect.provide(TestOracle.layer))

describe("verdicts", () => {
  it.effect("stand for the check of the same rewrite of the same graph, by the same settings", () =>
    Effect.gen(function* () {
      const first = yield* build(parse(2))
      assert.isAbove(first.runs, 0)
      const verdict = first.entry?.verdict
      assert.isDefined(verdict)
      const regions = first.entry?.validation?.regions ?? 0
      const known = new Map([[verdict ?? "", regions]])
      const again = yield* build(parse(2), known)
      assert.deepStrictEqual([again.runs, again.entry?.verdict], [0, verdict])
      assert.deepStrictEqual(again.entry?.validation, {
        regions,
        memoised: regions,
        failed: 0,
        notValidated: 0,
        inferences: 0
      })
      // Another weight, other settings, another verdict: checked.
      assert.isAbove((yield* build(parse(3), known)).runs, 0)
      const more = yield* Effect.provideService(build(parse(2), known), Validation.Validation, {
        ...Validation.defaults,
        draws: 3
      })
      assert.isAbove(more.runs, 0)
      assert.isAbove((yield* build(parse(2), new Map([["0".repeat(64), regions]]))).runs, 0)
    })
  )
})
