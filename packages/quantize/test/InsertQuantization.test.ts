import { assert, describe, it } from "@effect/vitest"
import * as Constant from "@anneal/ir/Constant"
import type * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Target from "@anneal/pipeline/Target"
import * as InsertQuantization from "@anneal/quantize/InsertQuantization"
import { nodesOf, parse } from "./Text.ts"

const schemes = InsertQuantization.chooseSchemes(Target.reference.quantization, 8)
const options = (ranges: InsertQuantization.Options["ranges"], keep: ReadonlyArray<string> = []) => {
  if (schemes === undefined) throw new TypeError("no scheme")
  return { ranges, schemes, keep: new Set(keep) }
}
const numbers = (graph: Graph.Graph, id: string): ReadonlyArray<number> => {
  const entry = graph.constants.get(id)
  return entry === undefined ? [] : [...Numbers.toNumbers(Constant.load(entry.constant))]
}

const two = parse(`
  input "x" %x : f32[n, 2]
  constant %w : f32[2, 2] = [1, 2.54, -1.27, 0]
  %a : f32[n, 2] = matmul(%x, %w) from "first"
  %b : f32[n, 2] = relu(%a)
  %y : f32[n, 2] = matmul(%b, %w)
  output "y" = %y`)
const ranges = { x: { min: -1, max: 1.55 }, b: { min: 0, max: 2.55 } }

describe("InsertQuantization", () => {
  it("puts quantise and dequantise before products, and a shared weight is quantised once", () => {
    const { changed, graph } = InsertQuantization.insert(two, options(ranges), "quantize")
    assert.isTrue(changed)
    assert.deepStrictEqual(nodesOf(graph), [
      "x_q = quantize(x, x_scale, x_zero)",
      "x_dq = dequantize(x_q, x_scale, x_zero)",
      "w_q = quantize(w, w_scale)",
      "w_dq = dequantize(w_q, w_scale)",
      "a = matmul(x_dq, w_dq)",
      "b = relu(a)",
      "b_q = quantize(b, b_scale, b_zero)",
      "b_dq = dequantize(b_q, b_scale, b_zero)",
      "y = matmul(b_dq, w_dq)"
    ])
    assert.deepStrictEqual(numbers(graph, "x_scale"), [Math.fround(0.01)])
    assert.deepStrictEqual(numbers(graph, "x_zero"), [100])
    // A column of the weight has a scale of its own.
    assert.deepStrictEqual(numbers(graph, "w_scale"), [Math.fround(1.27 / 127), Math.fround(2.54 / 127)])
    assert.deepStrictEqual(graph.nodes[0]?.lineage, { sources: ["first"], rewrites: ["quantize"] }, "an input's too")
    const lineage = graph.nodes.find(({ outputs }) => outputs[0]?.id === "w_q")?.lineage
    assert.deepStrictEqual(lineage, { sources: ["first"], rewrites: ["quantize"] })
  })

  it("quantises nothing that is kept, and gives the same graph when nothing is left", () => {
    const some = InsertQuantization.insert(two, options(ranges, ["first"]), "quantize")
    assert.notInclude(nodesOf(some.graph).join("\n"), "x_q")
    assert.include(nodesOf(some.graph).join("\n"), "a = matmul(x, w)")
    const none = InsertQuantization.insert(two, options(ranges, ["matmul"]), "quantize")
    assert.isFalse(none.changed)
    assert.strictEqual(none.graph, two)
  })

  it("values that share a scale get the hull of their ranges", () => {
    const graph = parse(`
      input "x" %x : f32[1, 1]
      input "z" %z : f32[1, 1]
      constant %m : f32[2, 1] = [1, 2]
      %both : f32[1, 2] = concat(%x, %z) {"axis":1}
      %y : f32[1, 1] = matmul(%both, %m)
      output "y" = %y`)
    const own = options({ x: { min: -1, max: 0 }, z: { min: 0, max: 1.55 }, both: { min: -1, max: 1.55 } })
    const made = InsertQuantization.insert(graph, own, "quantize").graph
    for (const id of ["x", "z", "both"]) assert.deepStrictEqual(numbers(made, `${id}_scale`), [Math.fround(0.01)])
    assert.deepStrictEqual(InsertQuantization.sharedRanges(graph, own)["x"], { min: -1, max: 1.55 })
    assert.include(nodesOf(made).join("\n"), "both = concat(x_dq, z_dq)")
  })

  it("weights of convolutions have a scale an output channel, of transposed ones along axis 1", () => {
    const window = '"dilations":[1],"groups":1,"padsBegin":[0],"padsEnd":[0],"strides":[1]'
    const graph = parse(`
      input "x" %x : f32[1, 1, 4]
      constant %w : f32[2, 1, 1] = [1.27, 12.7]
      constant %v : f32[2, 1, 1] = [1.27, 12.7]
      %a : f32[1, 2, 4] = conv(%x, %w) {${window}}
      %y : f32[1, 1, 4] = convTranspose(%a, %v) {${window},"outputPadding":[0]}
      output "y" = %y`)
    const made = InsertQuantization.insert(
      graph,
      options({ x: { min: 0, max: 1 }, a: { min: 0, max: 1 } }),
      "quantize"
    ).graph
    assert.deepStrictEqual(numbers(made, "w_scale"), [Math.fround(0.01), Math.fround(0.1)])
    assert.deepStrictEqual(numbers(made, "v_scale"), [Math.fround(0.1)])
    assert.strictEqual(nodesOf(made).length, 10)
  })

  it("scales weights to the bits that they use", () => {
    const graph = parse(`
      input "x" %x : f32[1, 2]
      constant %w : f32[2, 2] = [6.3, 0.63, -1, -0.1]
      %a : f32[1, 2] = matmul(%x, %w)
      output "a" = %a`)
    const base = options({ x: { min: 0, max: 1 } })
    const weightScheme = { ...base.schemes.weights, usedBits: 7 }
    const made = InsertQuantization.insert(
      graph,
      { ...base, schemes: { ...base.schemes, weights: weightScheme } },
      "quantize"
    ).graph
    assert.deepStrictEqual(numbers(made, "w_scale"), [Math.fround(0.1), Math.fround(0.01)])
  })

  it("chooses schemes that it can keep to", () => {
    const [activation] = Target.reference.quantization.activations
    const [weight] = Target.reference.quantization.weights
    if (activation === undefined || weight === undefined) throw new TypeError("no scheme")
    const choose = (
      activations: ReadonlyArray<Target.QuantScheme>,
      weights: ReadonlyArray<Target.QuantScheme>,
      bits: 4 | 8 = 8
    ) => InsertQuantization.chooseSchemes({ activations, weights }, bits)
    assert.isDefined(choose([activation], [weight]))
    assert.isUndefined(choose([{ ...activation, range: "dynamic" }], [weight]))
    assert.isUndefined(choose([{ ...activation, granularity: { per: "axis" } }], [weight]))
    assert.isUndefined(choose([activation], [{ ...weight, symmetric: false }]))
    assert.isUndefined(choose([activation], [{ ...weight, granularity: { per: "block", size: 32 } }]))
    assert.isUndefined(choose([activation], [weight], 4))
    const four: Target.QuantScheme = { ...weight, bits: 4 }
    const seven: Target.QuantScheme = { ...weight, usedBits: 7 }
    const of = (fullRange: boolean, ...weights: ReadonlyArray<Target.QuantScheme>) =>
      InsertQuantization.chooseSchemes({ activations: [activation], weights }, 8, fullRange)?.weights
    assert.deepStrictEqual(
      [of(false, seven, weight), of(true, seven, weight), of(true, seven)],
      [seven, weight, undefined]
    )
    assert.strictEqual(choose([activation], [weight, four], 4)?.weights, four)
  })
})
