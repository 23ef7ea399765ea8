import * as Diff from "@anneal/engine/Diff"
import * as Engine from "@anneal/engine/Engine"
import * as Inspect from "@anneal/engine/Inspect"
import * as Refit from "@anneal/engine/Refit"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Strip from "@anneal/engine/Strip"
import * as Constant from "@anneal/ir/Constant"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"
import { assert, describe, it } from "@effect/vitest"
import * as Model from "./Model.ts"

const open = (layout: Safetensors.Layout) => Engine.verify(Engine.parse(Safetensors.toBytes(layout)))
const built = () => open(Engine.assemble(Model.input()))
const bias = (...values: ReadonlyArray<number>): Tensor => Numbers.fromNumbers("f32", [values.length], values)

describe("refit", () => {
  it("replaces a weight that was kept, everywhere, and says so", () => {
    const engine = open(Refit.refit(built(), { "fc.bias": bias(9, 8, 7, 6) }))
    const entry = [...engine.graph().constants.values()].find(({ name }) => name === "fc.bias")
    assert.deepStrictEqual(entry && Constant.load(entry.constant).data, Float32Array.of(9, 8, 7, 6))
    assert.deepStrictEqual(engine.manifest.refits, [["fc.bias"]])
    assert.strictEqual(engine.manifest.weights.find(({ name }) => name === "fc.bias")?.digest, entry?.constant.digest)
  })

  it("back to the old weight gives the old constants", () => {
    const engine = built()
    const there = open(Refit.refit(engine, { "fc.bias": bias(9, 8, 7, 6) }))
    const back = open(Refit.refit(there, { "fc.bias": bias(1, 2, 3, 4) }))
    assert.strictEqual(back.manifest.variants[0]?.digest, engine.manifest.variants[0]?.digest)
  })

  it("refuses all wrong weights at once: consumed, of another type, unknown", () => {
    const weights = { "fc.weight": bias(1), "fc.bias": bias(1, 2), nonsense: bias(1) }
    assert.throws(
      () => Refit.refit(built(), weights),
      /fc\.weight is no longer there on its own: consumed by foldScale/
    )
    assert.throws(() => Refit.refit(built(), weights), /fc\.bias is f32\[4\], the replacement is f32\[2\]/)
    assert.throws(
      () => Refit.refit(built(), weights),
      /nonsense is not a weight of the model \(replaceable: fc\.bias\)/
    )
  })
})

describe("stripped engines", () => {
  it("lack the model's weights, keep what passes computed, and say what is missing", () => {
    const engine = open(Engine.assemble(Model.input(Model.optimised(), true)))
    assert.strictEqual(Strip.strippedBytes(engine), 16)
    assert.throws(() => engine.section("fc.bias"), /left out.*Restore the weights/)
    assert.strictEqual(engine.graph().constants.size, 2)
  })

  it("are whole again after restoring, to the byte", () => {
    const whole = Engine.assemble(Model.input())
    const weights = [...Graph.allConstants(Model.source()).values()]
    for (const stripped of [Engine.assemble(Model.input(Model.optimised(), true)), Strip.strip(open(whole))])
      assert.deepStrictEqual(Safetensors.toBytes(Strip.restore(open(stripped), weights)), Safetensors.toBytes(whole))
  })

  it("refuse another model's weights", () => {
    const engine = open(Engine.assemble(Model.input(Model.optimised(), true)))
    assert.throws(() => Strip.restore(engine, []), /fc\.bias \(sha256:.*very model/)
  })
})

describe("inspect and diff", () => {
  it("show boundary, profiles, nodes, weights", () => {
    const text = Inspect.format(Inspect.summarize(built()))
    assert.match(text, /inputs +x: f32\[batch, 3\]/)
    assert.match(text, /profiles +small: batch 1…2 \(opt 1\)\n +large: batch 8…32 \(opt 16\)/)
    assert.match(text, /nodes +3: add, matmul, relu/)
    assert.match(text, /weights +1 replaceable by name, 2 consumed by rewrites/)
  })

  it("find nothing between equal engines, and the weight and its users after a refit", () => {
    const engine = built()
    assert.deepStrictEqual(Diff.diff(engine, built()), [])
    const other = open(Refit.refit(engine, { "fc.bias": bias(9, 8, 7, 6) }))
    assert.deepStrictEqual(
      Diff.diff(engine, other).map(({ what }) => what),
      ["weight fc.bias"]
    )
  })

  it("find a folded node", () => {
    const plain = open(Engine.assemble(Model.input(Model.source())))
    const text = Diff.format(Diff.diff(plain, built()))
    assert.include(text, "- reference: node scaling: mul")
    assert.include(text, "+ reference: node fc + scaling: matmul")
  })
})
