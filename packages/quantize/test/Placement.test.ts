import { assert, describe, it } from "@effect/vitest"
import type * as Graph from "@anneal/ir/Graph"
import { reference, type TargetService } from "@anneal/pipeline/Target"
import * as Placement from "@anneal/quantize/Placement"
import { parse } from "./Text.ts"

const conv = '{"dilations":[1,1],"groups":1,"padsBegin":[1,1],"padsEnd":[1,1],"strides":[1,1]}'
const pool = '{"ceil":false,"dilations":[1,1],"kernel":[2,2],"padsBegin":[0,0],"padsEnd":[0,0],"strides":[2,2]'

/** `x, y | z`: x and y share a scale, z has its own. */
const groupsOf = (graph: Graph.Graph, keep: ReadonlyArray<string> = []): string => {
  const members = new Map<string, Array<string>>()
  for (const [id, group] of Placement.place(graph, new Set(keep)).groups)
    members.set(group, [...(members.get(group) ?? []), id])
  return [...members.values()].map((ids) => ids.join(", ")).join(" | ")
}
const readersOf = (graph: Graph.Graph): string =>
  graph.nodes
    .filter((node) => Placement.place(graph).readers.has(node))
    .map(({ outputs }) => outputs[0]?.id)
    .join(" ")

const weights = `
  constant %w : f32[1, 1, 3, 3] = [0, 0, 0, 0, 1, 0, 0, 0, 0]
  constant %v : f32[1, 2, 1, 1] = [1, 2]`

describe("Placement", () => {
  it("a chain: what products read, once relu has been applied", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = relu(%a)
      %c : f32[1, 1, 4, 4] = conv(%b, %w) ${conv}
      output "c" = %c`)
    assert.strictEqual(groupsOf(graph), "x | b")
    assert.strictEqual(readersOf(graph), "a c")
    assert.strictEqual(groupsOf(graph, ["c"]), "x", "a product is kept float by its result")
    assert.strictEqual(groupsOf(graph, ["conv"]), "", "or by its op")
  })

  it("a residual block: the add is fused with the product that it alone reads, and reads the rest as products do", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = relu(%a)
      %c : f32[1, 1, 4, 4] = conv(%b, %w) ${conv}
      %sum : f32[1, 1, 4, 4] = add(%c, %x)
      %d : f32[1, 1, 4, 4] = relu(%sum)
      %e : f32[1, 1, 4, 4] = conv(%d, %w) ${conv}
      output "e" = %e`)
    assert.strictEqual(groupsOf(graph), "x | b | d")
    assert.strictEqual(readersOf(graph), "a c sum e")
  })

  it("two products of an add: the later one is fused, behind a relu as well; none: both operands share a scale", () => {
    const block = (last: string, outputs: string) =>
      parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %r : f32[1, 1, 4, 4] = relu(%b)
      %sum : f32[1, 1, 4, 4] = ${last}
      %e : f32[1, 1, 4, 4] = conv(%sum, %w) ${conv}
      output "e" = %e${outputs}`)
    assert.strictEqual(groupsOf(block("add(%b, %a)", "")), "x | sum", "%b has another reader, %a is fused")
    assert.strictEqual(groupsOf(block("add(%r, %x)", "")), "x | sum", "the relu is fused as well")
    assert.strictEqual(groupsOf(block("add(%r, %x)", '\n output "r" = %r')), "x, r | sum", "both are in memory")
    assert.strictEqual(groupsOf(block("add(%a, %x)", '\n output "a" = %a')), "x, a | sum", "an output is in memory")
    const both = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %sum : f32[1, 1, 4, 4] = add(%b, %a)
      %e : f32[1, 1, 4, 4] = conv(%sum, %w) ${conv}
      output "e" = %e`)
    assert.strictEqual(groupsOf(both), "x | sum")
  })

  it("products that the target runs faster on floats, with its reason, unless they are all there is", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %c : f32[1, 2, 4, 4] = concat(%a, %a) {"axis":1}
      %e : f32[1, 1, 6, 6] = conv(%c, %v) ${conv}
      output "e" = %e`)
    const under = (channels: number): TargetService => ({
      ...reference,
      prefersFloat: (_, [, weight]) => (Number(weight?.shape[1]) < channels ? `under ${channels} channels` : undefined)
    })
    const of = (target: TargetService) => [...Placement.preferringFloat(graph, target, new Set())]
    assert.deepStrictEqual(of(reference), [])
    assert.deepStrictEqual(of(under(2)), [["a", "under 2 channels"]])
    assert.deepStrictEqual(of(under(3)), [])
  })

  it("a result named like an op is not all nodes of that op", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %conv : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %c : f32[1, 1, 4, 4] = conv(%conv, %w) ${conv}
      output "c" = %c`)
    assert.strictEqual(groupsOf(graph, ["conv"]), "")
    assert.strictEqual(groupsOf(graph, Placement.namesOf(["conv"])), "conv")
  })

  it("an add that nothing quantised reads stays float, and so does a bias", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      constant %bias : f32[1, 1, 1, 1] = [1]
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = add(%a, %bias)
      %c : f32[1, 1, 4, 4] = conv(%b, %w) ${conv}
      %d : f32[1, 1, 4, 4] = add(%c, %x)
      output "d" = %d`)
    assert.strictEqual(groupsOf(graph), "x | b")
    assert.strictEqual(readersOf(graph), "a c")
  })

  it("concat: the parts and the whole share a scale", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]${weights}
      %a : f32[1, 1, 4, 4] = conv(%x, %w) ${conv}
      %b : f32[1, 1, 4, 4] = sigmoid(%x)
      %both : f32[1, 2, 4, 4] = concat(%a, %b) {"axis":1}
      %c : f32[1, 1, 6, 6] = conv(%both, %v) ${conv}
      output "c" = %c`)
    assert.strictEqual(groupsOf(graph), "x | a, b, both")
    assert.strictEqual(readersOf(graph), "a both c")
  })

  it("pooling and reshapes pass the scale on; their second results and constants do not count", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1, 4, 4]
      constant %m : f32[1, 2] = [1, 2]
      %p : f32[1, 1, 2, 2]; %i : i64[1, 1, 2, 2] = maxPool(%x) ${pool},"indexOrder":"rowMajor"}
      %q : f32[1, 1, 1, 1] = averagePool(%p) ${pool},"includePad":false}
      %r : f32[1, 1] = reshape(%q) {"shape":[1,1]}
      %y : f32[1, 2] = matmul(%r, %m)
      output "y" = %y`)
    assert.strictEqual(groupsOf(graph), "x, p, q, r")
    assert.strictEqual(readersOf(graph), "p q r y")
    const constantPart = parse(`
      input "x" %x : f32[1, 1]
      constant %k : f32[1, 1] = [5]
      constant %m : f32[2, 1] = [1, 2]
      %both : f32[1, 2] = concat(%x, %k) {"axis":1}
      %y : f32[1, 1] = matmul(%both, %m)
      output "y" = %y`)
    assert.strictEqual(groupsOf(constantPart), "both")
  })

  it("a product of two activations reads both; integers and what is quantised already are left alone", () => {
    const graph = parse(`
      input "q" %q : f32[2, 2]
      input "k" %k : f32[2, 2]
      input "i" %i : i32[2, 2]
      input "n" %n : i8[2, 2]
      constant %s : f32[] = 0.5
      %scores : f32[2, 2] = matmul(%q, %k)
      %counts : i32[2, 2] = matmul(%i, %i)
      %d : f32[2, 2] = dequantize(%n, %s) {"axis":0,"block":0,"to":"f32"}
      %y : f32[2, 2] = matmul(%scores, %d)
      output "y" = %y
      output "c" = %counts`)
    assert.strictEqual(groupsOf(graph), "q | k | scores")
    assert.deepStrictEqual(
      Placement.place(graph).products.map(({ outputs }) => outputs[0]?.id),
      ["scores", "y"]
    )
  })

  it("says which products lack a range", () => {
    const graph = parse(`
      input "q" %q : f32[2, 2]
      constant %m : f32[2, 2] = [1, 2, 3, 4]
      %a : f32[2, 2] = matmul(%q, %m)
      %y : f32[2, 2] = matmul(%a, %m)
      output "y" = %y`)
    assert.deepStrictEqual([...Placement.unmeasured(graph, { q: { min: 0, max: 1 } }, new Set())], ["y"])
    assert.deepStrictEqual([...Placement.unmeasured(graph, { q: { min: 0, max: 1 } }, new Set(["y"]))], [])
  })
})
