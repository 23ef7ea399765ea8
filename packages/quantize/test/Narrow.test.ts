import { assert, describe, it } from "@effect/vitest"
import type * as Graph from "@anneal/ir/Graph"
import * as Artefact from "@anneal/pipeline/Artefact"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import { Ranges } from "@anneal/pipeline/Ranges"
import * as Target from "@anneal/pipeline/Target"
import * as Narrow from "@anneal/quantize/Narrow"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { nodesOf, parse } from "./Text.ts"
import * as TestOracle from "./TestOracle.ts"

const insert = (
  graph: Graph.Graph,
  options: Partial<Parameters<typeof Narrow.insert>[1]> = {}
): ReturnType<typeof Narrow.insert> =>
  Narrow.insert(
    graph,
    { to: "f16", keep: new Set(), target: Target.reference, ranges: undefined, ...options },
    "narrow"
  )

const chain = parse(`
  input "x" %x : f32[n, 2]
  constant %w : f32[2, 2] = [1, 2, 3, 4]
  %a : f32[n, 2] = matmul(%x, %w) from "first"
  %b : f32[n, 2] = relu(%a)
  %y : f32[n, 2] = softmax(%b) {"axis":1}
  output "y" = %y`)

describe("Narrow", () => {
  it("casts stand at the ends and at constants only; inputs and outputs keep their types", () => {
    const { changed, graph, replaced } = insert(chain)
    assert.isTrue(changed)
    assert.deepStrictEqual(nodesOf(graph), [
      "x_f16 = cast(x)",
      "w_f16 = cast(w)",
      "a_f16 = matmul(x_f16, w_f16)",
      "b_f16 = relu(a_f16)",
      "y_f16 = softmax(b_f16)",
      "y = cast(y_f16)"
    ])
    assert.deepStrictEqual(
      [...replaced],
      [
        ["a", "a_f16"],
        ["b", "b_f16"]
      ]
    )
    assert.deepStrictEqual(graph.nodes[2]?.lineage, { sources: ["first"], rewrites: ["narrow"] })
    assert.strictEqual(graph.nodes[2]?.outputs[0]?.type.dtype, "f16")
  })

  it("what is kept, or not supported, reads and gives f32, with one cast a value", () => {
    const graph = parse(`
      input "x" %x : f32[2, 2]
      %a : f32[2, 2] = matmul(%x, %x)
      %e : f32[2, 2] = exp(%a)
      %s : f32[2, 2] = sin(%a)
      %m : f32[2, 2] = matmul(%e, %s)
      output "m" = %m
      output "a" = %a`)
    const supports: Target.TargetService["supports"] = (op) => op.name !== "sin"
    assert.deepStrictEqual(nodesOf(insert(graph, { keep: new Set(["e"]), target: { supports } }).graph), [
      "x_f16 = cast(x)",
      "a_f16 = matmul(x_f16, x_f16)",
      "a = cast(a_f16)",
      "e = exp(a)",
      "s = sin(a)",
      "e_f16 = cast(e)",
      "s_f16 = cast(s)",
      "m_f16 = matmul(e_f16, s_f16)",
      "m = cast(m_f16)"
    ])
  })

  it("asks the target about the types that it would get", () => {
    const asked: Array<string> = []
    const supports: Target.TargetService["supports"] = (op, dtypes) => {
      asked.push(`${op.name} ${dtypes.join(" ")}`)
      return true
    }
    const graph = parse(`
      input "x" %x : f32[4, 2]
      input "i" %i : i64[3]
      %g : f32[3, 2] = gather(%x, %i) {"axis":0}
      %y : f32[3, 2] = exp(%g)
      output "y" = %y`)
    insert(graph, { to: "bf16", target: { supports } })
    assert.deepStrictEqual(asked, ["gather bf16 i64 bf16", "exp bf16 bf16"])
  })

  it("integers, truth values, f64, and what is cast or quantised already stay as they are", () => {
    const graph = parse(`
      input "i" %i : i64[2]
      input "d" %d : f64[2]
      input "x" %x : f32[2]
      constant %s : f32[] = 0.5
      %j : i64[2] = add(%i, %i)
      %e : f64[2] = exp(%d)
      %q : i8[2] = quantize(%x, %s) {"axis":0,"block":0,"to":"i8","saturate":true}
      %f : f32[2] = dequantize(%q, %s) {"axis":0,"block":0,"to":"f32"}
      %k : i32[2] = cast(%f) {"saturate":false,"to":"i32"}
      output "j" = %j
      output "e" = %e
      output "k" = %k`)
    const { changed, graph: same } = insert(graph)
    assert.isFalse(changed)
    assert.strictEqual(same, graph)
  })

  it("nodes that only move elements are not worth a cast; between narrow nodes they are narrow too", () => {
    const moved = parse(`
      input "x" %x : f32[2, 3]
      %t : f32[3, 2] = transpose(%x) {"permutation":[1,0]}
      %r : f32[6] = reshape(%t) {"shape":[6]}
      output "r" = %r`)
    assert.isFalse(insert(moved).changed)
    const used = parse(`
      input "x" %x : f32[2, 3]
      %t : f32[3, 2] = transpose(%x) {"permutation":[1,0]}
      %y : f32[3, 3] = matmul(%t, %x)
      output "y" = %y`)
    assert.deepStrictEqual(nodesOf(insert(used).graph), [
      "x_f16 = cast(x)",
      "t_f16 = transpose(x_f16)",
      "y_f16 = matmul(t_f16, x_f16)",
      "y = cast(y_f16)"
    ])
  })

  it("goes into control flow, whose own inputs and outputs stay f32", () => {
    const graph = parse(`
      input "c" %c : bool[]
      input "x" %x : f32[2]
      %y : f32[2] = if(%c, %x) with then graph "then" {
        input "x" %x : f32[2]
        %e : f32[2] = exp(%x)
        output "e" = %e
      } with else graph "else" {
        input "x" %x : f32[2]
        output "x" = %x
      }
      output "y" = %y`)
    const { graph: made, unchecked } = insert(graph)
    assert.deepStrictEqual(nodesOf(made), ["y = if(c, x)"])
    const body = made.nodes[0]?.graphs["then"]
    assert.deepStrictEqual(body === undefined ? [] : nodesOf(body), [
      "x_f16 = cast(x)",
      "e_f16 = exp(x_f16)",
      "e = cast(e_f16)"
    ])
    assert.strictEqual(unchecked, 2)
  })

  it("finds ranges and constants that do not fit, and what would vanish", () => {
    const graph = parse(`
      input "x" %x : f32[2]
      constant %mask : f32[2] = [0, -100000]
      constant %tiny : f32[] = 1e-12
      constant %weights : f32[2] = [1e-12, 1]
      constant %infinite : f32[2] = [-Infinity, 0]
      constant %limit : f32[] = 3e38
      %a : f32[2] = add(%x, %mask)
      %b : f32[2] = add(%a, %tiny)
      %d : f32[2] = mul(%b, %weights)
      %e : f32[2] = add(%d, %infinite)
      %y : f32[2] = clip(%e, _, %limit)
      output "y" = %y`)
    const ranges = { x: { min: -1, max: 1 }, a: { min: -7e4, max: 1 } }
    const { excess, unchecked } = insert(graph, { ranges })
    assert.deepStrictEqual(excess, [
      { value: "mask", min: -100000, max: 0, node: "add %a" },
      { value: "a", min: -7e4, max: 1, node: "add %a" },
      { value: "tiny", min: Math.fround(1e-12), max: Math.fround(1e-12), node: "add %b" }
    ])
    assert.strictEqual(unchecked, 4)
    assert.deepStrictEqual(insert(graph, { ranges, to: "bf16" }).excess, [])
    assert.deepStrictEqual(insert(graph, { ranges, keep: new Set(["a", "b"]) }).excess, [])
  })

  const given = [Target.layerReference, TestOracle.layer] as const

  it.effect("the pass is a lossy one by the checker's rules, and refuses what does not fit", () =>
    Effect.gen(function* () {
      const measuredOn = yield* Artefact.digestOf(GraphTag, chain)
      const run = (max: number, keep: ReadonlyArray<string> = []) => {
        const of = Object.fromEntries(["x", "a", "b", "y"].map((id) => [id, { min: 0, max: id === "b" ? max : 1 }]))
        return Pipeline.on(GraphTag, Ranges)
          .through(Narrow.narrow({ to: "f16", keep }))
          .build()
          .pipe(Effect.provide([...given, Layer.succeed(GraphTag, chain), Layer.succeed(Ranges, { measuredOn, of })]))
      }
      const { known, ledger } = yield* run(65504)
      assert.strictEqual(nodesOf(Pipeline.get(known, GraphTag)).length, 6)
      assert.deepStrictEqual(
        ledger.flatMap(({ diagnostics }) => diagnostics),
        []
      )
      const refused = yield* Effect.flip(run(65536))
      if (refused._tag !== "DoesNotFit") return assert.fail(refused.message)
      assert.deepStrictEqual(refused.values, [{ value: "b", min: 0, max: 65536, node: "relu %b" }])
      assert.match(refused.message, /%b in \[0, 65536\], at relu %b/)
      assert.match(refused.message, /Keep those nodes in f32 .*or use bf16/)
      const kept = yield* run(65536, ["relu", "softmax"])
      assert.include(nodesOf(Pipeline.get(kept.known, GraphTag)).join("\n"), "b = relu(a)")
    })
  )

  it.effect("without ranges it says that activations were not checked", () =>
    Effect.gen(function* () {
      const { ledger } = yield* Pipeline.on(GraphTag)
        .through(Narrow.narrowUnchecked({ to: "bf16", keep: [] }))
        .build()
      const [finding] = ledger.flatMap(({ diagnostics }) => diagnostics)
      assert.strictEqual(finding?.code, "activations-not-checked")
      assert.include(finding?.message, "4 activations")
    }).pipe(Effect.provide([...given, Layer.succeed(GraphTag, chain)]))
  )
})
