import { assert, describe, it } from "@effect/vitest"
import * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as OracleCost from "@anneal/pipeline/OracleCost"
import * as Trial from "@anneal/pipeline/Trial"

const parse = (body: string): IR.Graph => Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() })
const types = (graph: IR.Graph) => graph.inputs.map(({ type }) => Type.format(type))
const numbers = (values: ReadonlyArray<number>) => Numbers.fromNumbers("f32", [values.length], values)

describe("Trial", () => {
  it("gives free dims small, different sizes", () => {
    const graph = parse(`
      input "x" %x : f32[n, 2*m]
      %y : f32[n, 2*m] = neg(%x)
      output "y" = %y`)
    const sized = [...Trial.sizings({ before: graph, after: graph })]
    assert.deepStrictEqual(sized[0] && types(sized[0].before), ["f32[3, 4]"])
    assert.isAbove(sized.length, 3)
  })

  it("gives the dims that a long window needs a long size, and no others; nothing is empty or negative", () => {
    const graph = parse(`
      input "x" %x : f32[batch, n]
      %y : f32[batch, n-200] = slice(%x) {"starts":[0,200],"sizes":["batch","n-200"],"steps":[1,1]}
      output "y" = %y`)
    const sized = [...Trial.sizings({ before: graph, after: graph })].map(({ before }) => types(before))
    assert.deepStrictEqual(sized[0], ["f32[2, 257]"])
    assert.isTrue(sized.every(([text]) => /^f32\[2, (?:256|257|1024|1025)\]$/.test(text ?? "")))
  })

  it("shrinks static extents where both sides allow it", () => {
    const graph = parse(`
      input "x" %x : f32[1, 30, 50]
      %y : f32[1, 30, 50] = neg(%x)
      output "y" = %y`)
    const stuck = parse(`
      input "x" %x : f32[1, 30, 50]
      %r : f32[1500] = reshape(%x) {"shape":[1500]}
      %s : f32[1, 30, 50] = reshape(%r) {"shape":[1,30,50]}
      %y : f32[1, 30, 50] = neg(%s)
      output "y" = %y`)
    const sized = (before: IR.Graph, after: IR.Graph) =>
      Trial.shrink({ before, after, sizes: new Map(), shrunk: false })
    assert.deepStrictEqual(types(sized(graph, graph).before), ["f32[1, 6, 6]"])
    assert.isFalse(sized(graph, stuck).shrunk)
  })

  it("shrinks to sizes that windows still fit into", () => {
    const graph = parse(`
      input "x" %x : f32[1, 3, 500]
      input "w" %w : f32[2, 3, 5]
      %y : f32[1, 2, 496] = conv(%x, %w) {"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":1}
      output "y" = %y`)
    const { before, shrunk } = Trial.shrink({ before: graph, after: graph, sizes: new Map(), shrunk: false })
    assert.deepStrictEqual([shrunk, types(before)], [true, ["f32[1, 3, 8]", "f32[2, 3, 5]"]])
  })

  it("draws from the domains of what takes a value, through data movement", () => {
    const graph = parse(`
      input "x" %x : f32[5]
      input "i" %i : i64[2, 3]
      %r : i64[6] = reshape(%i) {"shape":[6]}
      %y : f32[6] = gather(%x, %r) {"axis":0}
      output "y" = %y`)
    const input = graph.inputs[1]
    assert.isDefined(input)
    if (input === undefined) return
    const domains = Trial.domainsOf(graph, "i")
    assert.isTrue(domains.some(({ kind }) => kind === "index"))
    for (const flavour of ["edges", "mixed", "random", "special"] as const) {
      for (let seed = 0; seed < 20; seed++) {
        const values = Numbers.toNumbers(Trial.draw(input.type, domains, flavour, seed))
        assert.isTrue(
          values.every((value) => Number.isInteger(value) && value >= -5 && value < 5),
          `${flavour} ${seed}: ${values.join()}`
        )
      }
    }
  })

  it("draws the same from the same seed, every edge value in turn", () => {
    const type = Type.make("f32", [64])
    const draw = (seed: number) => Array.from(Numbers.toNumbers(Trial.draw(type, [], "edges", seed)))
    assert.deepStrictEqual(draw(3), draw(3))
    assert.notDeepEqual(draw(3), draw(4))
    const seen = new Set([1, 2, 3].flatMap(draw).map((value) => (Object.is(value, -0) ? "-0" : String(value))))
    for (const edge of ["0", "-0", "1", "-1", "127", "255"]) assert.isTrue(seen.has(edge), edge)
  })

  it("compares bit for bit, or within the bounds", () => {
    const exact = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
      Trial.compare([numbers(a)], [numbers(b)]).difference?.element
    assert.strictEqual(exact([0, Number.NaN, Infinity], [0, Number.NaN, Infinity]), undefined)
    assert.strictEqual(exact([1, 0], [1, -0]), 1)
    const within = (a: number, b: number, bound: number) =>
      Trial.compare([numbers([a])], [numbers([b])], {
        before: [Float64Array.of(bound)],
        after: [Float64Array.of(bound)]
      })
    assert.isUndefined(within(1, 1.5, 0.25).difference)
    assert.strictEqual(within(1, 1.75, 0.25).difference?.allowed, 0.5)
    assert.isDefined(within(1, Infinity, 0.25).difference)
    assert.deepStrictEqual(within(1, 2, Infinity), { difference: undefined, finite: 0, total: 1 })
    assert.strictEqual(Trial.compare([numbers([1])], [numbers([1, 2])]).difference?.element, -1)
  })
})

describe("OracleCost", () => {
  it("counts multiply-adds of contractions and elements of the rest", () => {
    const graph = parse(`
      input "x" %x : f32[n, 100]
      input "w" %w : f32[100, 10]
      %y : f32[n, 10] = matmul(%x, %w)
      output "y" = %y`)
    const cost = (n: number) => OracleCost.elementOperations(graph, new Map([["n", n]]))
    assert.strictEqual(cost(2), 200 + 1000 + 20 + 2 * 10 * 100)
  })
})
