import { assert, describe, it } from "@effect/vitest"
import * as Editor from "@anneal/ir/Editor"
import type * as IR from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Store from "@anneal/pipeline/Store"
import * as Validate from "@anneal/pipeline/Validate"
import * as Validation from "@anneal/pipeline/Validation"
import * as Effect from "effect/Effect"
import * as TestOracle from "./TestOracle.ts"

const parse = (body: string): IR.Graph => Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() })

const request = (
  claims: "exact" | "reassociating" | "lossy",
  before: IR.Graph,
  edited: Pick<Editor.Edited, "graph" | "replaced">,
  reads: ReadonlyArray<string> = []
): Validate.Request => ({
  pass: "p",
  claims,
  before,
  after: edited.graph,
  replaced: edited.replaced,
  reads,
  policy: Validation.defaults
})

const check = (...args: Parameters<typeof request>) =>
  Effect.provide(Validate.check(request(...args)), TestOracle.layer)

/** Edits the node that makes `id`. */
const replacing = (
  graph: IR.Graph,
  id: string,
  make: Parameters<Editor.Editor["replace"]>[2] extends (builder: infer B) => unknown
    ? (builder: B, inputs: ReadonlyArray<IR.Value | undefined>) => ReadonlyArray<IR.Value | undefined>
    : never
) => {
  const editor = Editor.open(graph)
  const node = editor.producer(id)
  if (node === undefined) throw new TypeError(`no node makes ${id}`)
  const inputs = editor.inputs(node)
  editor.replace(node, "p", (builder) => make(builder, inputs))
  return editor.finish()
}

const doubled = parse(`
  input "x" %x : f32[n, 3]
  %a : f32[n, 3] = neg(%x)
  %b : f32[n, 3] = add(%a, %a)
  %c : f32[n, 3] = relu(%b)
  output "c" = %c`)

describe("Validate", () => {
  it.effect("an untouched graph has no regions", () =>
    Effect.gen(function* () {
      const { failures, summary } = yield* check("exact", doubled, { graph: doubled, replaced: new Map() })
      assert.deepStrictEqual(failures, [])
      assert.strictEqual(summary.regions, 0)
      assert.strictEqual(summary.inferences, 0)
    })
  )

  it.effect("an expression of constants is run once a side: every draw would be the same", () =>
    Effect.gen(function* () {
      const graph = parse(`
        constant %two : f32[] = 2
        %b : f32[] = neg(%two)
        output "b" = %b`)
      const edited = replacing(graph, "b", (b) => [b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(-2) })])
      const reads = [...graph.constants.values()].map(({ constant }) => constant.digest)
      const earlier = TestOracle.runs.count
      const { failures, summary } = yield* check("exact", graph, edited, reads)
      assert.deepStrictEqual([failures, summary.regions, summary.notValidated], [[], 1, 0])
      assert.strictEqual(TestOracle.runs.count - earlier, 2)
    })
  )

  it.effect("a right rewrite passes, and only what it touched is run", () =>
    Effect.gen(function* () {
      const edited = replacing(doubled, "b", (b, [a]) => [
        b.one(Ops.mul, [a, b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(2) })], {})
      ])
      const { diagnostics, failures, summary } = yield* check("exact", doubled, edited)
      assert.deepStrictEqual(failures, [])
      assert.deepStrictEqual(diagnostics, [])
      assert.strictEqual(summary.regions, 1)
      assert.isAbove(summary.inferences, 0)
    })
  )

  it.effect("a wrong rewrite fails, with the node and a small case", () =>
    Effect.gen(function* () {
      const edited = replacing(doubled, "b", (b, [a]) => [
        b.one(Ops.mul, [a, b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(3) })], {})
      ])
      const { failures, summary } = yield* check("exact", doubled, edited)
      assert.strictEqual(failures.length, 1)
      assert.strictEqual(summary.failed, 1)
      assert.include(failures[0]?.message, "Pass p changes results at add %b")
      assert.include(failures[0]?.message, "v0 f32[2, 3] = ")
    })
  )

  it.effect("x + 0 is not exactly x: -0 tells", () =>
    Effect.gen(function* () {
      const graph = parse(`
        input "x" %x : f32[n]
        constant %z : f32[] = 0
        %y : f32[n] = add(%x, %z)
        output "y" = %y`)
      const digest = [...graph.constants.values()].map(({ constant }) => constant.digest)
      const edited = replacing(graph, "y", (_, [x]) => [x])
      const exact = yield* check("exact", graph, edited, digest)
      assert.strictEqual(exact.failures[0]?.expected, "0")
      assert.strictEqual(exact.failures[0]?.found, "-0")
      const loose = yield* check("reassociating", graph, edited, digest)
      assert.deepStrictEqual(loose.failures, [])
    })
  )

  it.effect("a rewrite that rests on what comes before is seen with it", () =>
    Effect.gen(function* () {
      const graph = parse(`
        input "x" %x : f32[n]
        %a : f32[n] = relu(%x)
        %b : f32[n] = relu(%a)
        %c : f32[n] = neg(%b)
        output "c" = %c`)
      const edited = replacing(graph, "b", (_, [a]) => [a])
      assert.deepStrictEqual((yield* check("exact", graph, edited)).failures, [])
      const wrong = replacing(graph, "a", (_, [x]) => [x])
      const broken = replacing(wrong.graph, "b", (_, [x]) => [x])
      const both = { graph: broken.graph, replaced: new Map([...wrong.replaced, ...broken.replaced]) }
      assert.isAbove((yield* check("exact", graph, both)).failures.length, 0)
    })
  )

  it.effect("a mask of infinities that another takes the place of: equal constants are one", () =>
    Effect.gen(function* () {
      const masks = (name: string) =>
        parse(`
        input "keep" %keep : bool[n]
        constant %zero : f32[] = 0
        constant %away : f32[] = -Infinity
        constant %zero_0 ${name} : f32[] = 0
        constant %away_0 ${name} : f32[] = -Infinity
        %a : f32[n] = select(%keep, %zero, %away)
        %b : f32[n] = select(%keep, %zero_0, %away_0)
        %c : f32[n] = add(%a, %b)
        %d : f32[n] = add(%c, %zero_0)
        output "d" = %d`)
      const merged = (graph: IR.Graph) =>
        replacing(graph, "b", () => [{ id: "a", type: { dtype: "f32", shape: graph.inputs[0]?.type.shape ?? [] } }])
      const { failures, summary } = yield* check("exact", masks(""), merged(masks("")))
      assert.deepStrictEqual([failures, summary.regions], [[], 0])
      // A constant with a name may get other bytes.
      const named = masks('"away"')
      assert.isAbove((yield* check("exact", named, merged(named))).summary.regions, 0)
    })
  )

  it.effect("claims are checked, not believed", () =>
    Effect.gen(function* () {
      const graph = parse(`
        input "x" %x : f32[n]
        input "y" %y : f32[n]
        %a : f32[n] = neg(%x)
        %b : f32[n] = abs(%y)
        %c : f32[n] = add(%a, %b)
        output "c" = %c`)
      // An edit that puts %a in the place of %b, saying that they are equal.
      const edited = replacing(graph, "b", () => [
        { id: "a", type: { dtype: "f32", shape: graph.inputs[0]?.type.shape ?? [] } }
      ])
      const { failures } = yield* check("exact", graph, edited)
      assert.isAbove(failures.length, 0)
      assert.include(failures[0]?.node, "abs %b")
    })
  )

  it.effect(
    "an op without a kernel, or without finite results, leaves the rewrite not validated, and that is said",
    () =>
      Effect.gen(function* () {
        const graph = parse(`
        input "x" %x : f32[n]
        %a : f32[n] = erf(%x)
        output "a" = %a`)
        const edited = replacing(graph, "a", (b, [x]) => [b.one(Ops.erf, [b.one(Ops.abs, [x], {})], {})])
        const { diagnostics, failures, summary } = yield* check("exact", graph, edited)
        assert.deepStrictEqual(failures, [])
        assert.strictEqual(summary.notValidated, 1)
        assert.include(diagnostics[0]?.message, "no kernel for erf")
      })
  )

  it.effect("good verdicts are kept by region", () =>
    Effect.gen(function* () {
      const edited = replacing(doubled, "b", (b, [a]) => [
        b.one(Ops.mul, [a, b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(2) })], {})
      ])
      yield* check("exact", doubled, edited)
      const before = TestOracle.runs.count
      const again = yield* check("exact", doubled, edited)
      assert.strictEqual(TestOracle.runs.count, before)
      assert.strictEqual(again.summary.memoised, 1)
    }).pipe(Effect.provide(Store.layerMemory))
  )

  it.effect("a lossy pass may insert casts and nothing else", () =>
    Effect.gen(function* () {
      const cast = (to: "f16" | "f32") => ({ to, saturate: false })
      const narrow = replacing(doubled, "a", (b, [x]) => [
        b.one(Ops.cast, [b.one(Ops.neg, [b.one(Ops.cast, [x], cast("f16"))], {})], cast("f32"))
      ])
      assert.deepStrictEqual((yield* check("lossy", doubled, narrow)).failures, [])
      const more = replacing(doubled, "a", (b, [x]) => [
        b.one(Ops.cast, [b.one(Ops.abs, [b.one(Ops.cast, [x], cast("f16"))], {})], cast("f32"))
      ])
      const { failures } = yield* check("lossy", doubled, more)
      assert.include(failures[0]?.message, "neg %a")
    })
  )

  it.effect("sub-graphs are compared as graphs of their own", () =>
    Effect.gen(function* () {
      const branches = (name: string) =>
        parse(`
        input "c" %c : bool[]
        input "x" %x : f32[n]
        %y : f32[n] = if(%c, %x) with then graph "t" {
          input "v" %v : f32[n]
          %a : f32[n] = neg(%v)
          %b : f32[n] = ${name}
          output "b" = %b
        } with else graph "e" {
          input "w" %w : f32[n]
          output "w" = %w
        }
        output "y" = %y`)
      const before = branches("add(%a, %a)")
      const right = { graph: branches("add(%a, %a)"), replaced: new Map<string, string>() }
      assert.strictEqual((yield* check("exact", before, right)).summary.regions, 0)
      const wrong = yield* check("exact", before, { graph: branches("add(%a, %v)"), replaced: new Map() })
      assert.include(wrong.failures[0]?.node, "add %b")
      const close = yield* check("exact", before, { graph: branches("sub(%a, %v)"), replaced: new Map() })
      assert.deepStrictEqual(close.failures, [])
      assert.strictEqual(close.summary.regions, 1)
    })
  )

  it.effect("large static extents are shrunk, unless the rewrite only holds at the real ones", () =>
    Effect.gen(function* () {
      const graph = parse(`
        input "x" %x : f32[1, 64, 64]
        %a : f32[1, 64, 64] = neg(%x)
        %b : f32[1, 64, 64] = add(%a, %a)
        output "b" = %b`)
      const edited = replacing(graph, "b", (b, [a]) => [
        b.one(Ops.mul, [a, b.tensor({ dtype: "f32", shape: [], data: Float32Array.of(2) })], {})
      ])
      const { failures, summary } = yield* check("exact", graph, edited)
      assert.deepStrictEqual(failures, [])
      assert.isBelow(summary.inferences, 0.5)
    })
  )

  it.effect("an output that is lost or renamed is a failure", () =>
    Effect.gen(function* () {
      const renamed = { ...doubled, outputs: doubled.outputs.map(({ id }) => ({ id, name: "other" })) }
      const { failures } = yield* check("exact", doubled, { graph: renamed, replaced: new Map() })
      assert.include(failures[0]?.message, "outputs other, were c")
    })
  )
})
