import * as Engine from "@anneal/engine/Engine"
import { EngineError } from "@anneal/engine/EngineError"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Hash from "@anneal/ir/Hash"
import * as Numbers from "@anneal/ir/Numbers"
import * as Text from "@anneal/ir/Text"
import * as Tensor from "@anneal/ir/Tensor"
import * as Builder from "@anneal/ir/Builder"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Manifest from "@anneal/engine/Manifest"
import { assert, describe, it } from "@effect/vitest"
import * as Model from "./Model.ts"

const build = (): Uint8Array => Safetensors.toBytes(Engine.assemble(Model.input()))

const refusal = (run: () => unknown): EngineError => {
  try {
    run()
  } catch (cause) {
    if (cause instanceof EngineError) return cause
    throw cause
  }
  return assert.fail("nothing was refused")
}

describe("the engine file", () => {
  it("gives the graph back, constants as views on the file", () => {
    const bytes = build()
    const engine = Engine.verify(Engine.parse(bytes))
    const graph = engine.graph()
    assert.strictEqual(Text.print(graph), Text.print(Model.optimised()))
    assert.strictEqual(engine.manifest.variants[0]?.digest, Hash.content(Model.optimised()))
    for (const { constant } of graph.constants.values()) {
      const view = constant.bytes()
      assert.strictEqual(view.buffer, bytes.buffer)
      assert.strictEqual(view.byteOffset % Safetensors.alignment, 0)
    }
  })

  it("is the same to the byte when built twice", () => {
    assert.deepStrictEqual(build(), build())
  })

  it("keeps a constant once, under the user's name", () => {
    const b = Builder.make("twice")
    const value = Numbers.fromNumbers("f32", [2], [0.5, 0.25])
    const x = b.input("x", Type.make("f32", [2]))
    const sum = b.one(Ops.add, [x, b.tensor(value)], {})
    b.output("y", b.one(Ops.mul, [sum, b.tensor(value, { name: "gain" })], {}))
    const graph = b.finish()
    const layout = Engine.assemble({ ...Model.input(graph), source: graph })
    const engine = Engine.parse(Safetensors.toBytes(layout))
    assert.deepStrictEqual(
      engine.manifest.sections.filter(({ kind }) => kind === "constant").map(({ name }) => name),
      ["gain"]
    )
    assert.strictEqual(Text.print(engine.graph()), Text.print(graph))
  })

  it("packs 4-bit integers and gives them back", () => {
    const b = Builder.make("nibbles")
    const codes = Numbers.fromNumbers("i4", [5], [-8, 7, -1, 0, 3])
    b.output("y", b.one(Ops.cast, [b.tensor(codes, { name: "codes" })], { to: "f32", saturate: false }))
    const graph = b.finish()
    const engine = Engine.parse(Safetensors.toBytes(Engine.assemble({ ...Model.input(graph), source: graph })))
    assert.strictEqual(engine.section("codes").length, 3)
    assert.strictEqual(Text.print(engine.graph()), Text.print(graph))
    assert.strictEqual(engine.manifest.weights[0]?.dtype, "i4")
  })

  it("finds one altered byte anywhere", () => {
    const good = build()
    for (let place = 0; place < good.length; place++) {
      const bytes = good.slice()
      bytes[place] = (bytes[place] ?? 0) ^ 1
      assert.throws(() => Engine.verify(Engine.parse(bytes)), EngineError, undefined, `byte ${place}`)
    }
  })

  it("names the section that was altered", () => {
    const bytes = build()
    const offset = Engine.parse(bytes).section("fc.bias").byteOffset
    bytes[offset + 1] = 99
    const engine = Engine.parse(bytes)
    const error = refusal(() => engine.section("fc.bias"))
    assert.strictEqual(error.reason, "Altered")
    assert.include(error.message, `section fc.bias, bytes ${offset}..${offset + 16}`)
    assert.include(error.action, "rebuild")
  })

  it("refuses every shorter file and bytes after the end", () => {
    const good = build()
    for (let length = 0; length < good.length; length++) {
      const error = refusal(() => Engine.parse(good.subarray(0, length)))
      assert.strictEqual(error.reason, "Truncated", `length ${length}: ${error.message}`)
    }
    const longer = new Uint8Array(good.length + 1)
    longer.set(good)
    assert.include(refusal(() => Engine.parse(longer)).message, "belong to none")
  })

  it("says that a newer format needs a newer anneal, and that other files are no engines", () => {
    const metadata = (format: string, manifest: string) =>
      Safetensors.toBytes(Safetensors.layout([], { format, manifest }))
    const newer = refusal(() => Engine.parse(metadata("anneal-engine", '{"format":3,"unheard":"of"}')))
    assert.strictEqual(newer.reason, "UnsupportedVersion")
    assert.include(newer.message, "Update anneal")
    assert.strictEqual(refusal(() => Engine.parse(metadata("pt", "{}"))).reason, "NotAnEngine")
  })

  it("refuses variants of different models", () => {
    const [first] = Model.input().variants
    if (first === undefined) return assert.fail("there is no variant")
    const b = Builder.make("other")
    b.output("z", b.input("x", Type.make("f32", [1])))
    const other = { ...first, name: "other", graph: b.finish() }
    assert.throws(() => Engine.assemble({ ...Model.input(), variants: [first, other] }), /variant other/)
  })

  it("refuses to write a weight whose source changed meanwhile", () => {
    const graph = Model.source()
    const constants = new Map(
      [...graph.constants].map(([id, entry]) => [
        id,
        { ...entry, constant: { ...entry.constant, bytes: () => new Uint8Array(entry.constant.bytes().length) } }
      ])
    )
    const layout = Engine.assemble(Model.input({ ...graph, constants }))
    assert.strictEqual(refusal(() => Safetensors.toBytes(layout)).reason, "Altered")
  })

  it("has a manifest that reads back, without a time or a path", () => {
    const { manifest } = Engine.parse(build())
    assert.deepStrictEqual(Manifest.read(JSON.parse(Manifest.print(manifest))), manifest)
    assert.deepStrictEqual(manifest.inputs, [{ name: "x", dtype: "f32", shape: ["batch", "3"] }])
    assert.deepStrictEqual(manifest.outputs, [{ name: "y", dtype: "f32", shape: ["batch", "4"] }])
    assert.deepStrictEqual(manifest.variants[0]?.profiles, Model.profiles)
  })

  it("says which weights a rewrite consumed", () => {
    const states = Engine.parse(build()).manifest.weights.map(({ consumedBy, name, state }) => [
      name,
      state,
      consumedBy
    ])
    assert.deepStrictEqual(states, [
      ["fc.weight", "consumed", ["foldScale"]],
      ["fc.bias", "kept", []],
      ["scale", "consumed", ["foldScale"]]
    ])
  })

  it("counts a weight as consumed when an equal one took its place", () => {
    const make = (shared: boolean) => {
      const b = Builder.make("ties")
      const x = b.input("x", Type.make("f32", [2]))
      const tensor = Tensor.make("f32", [2], Float32Array.of(1, 2))
      const first = b.tensor(tensor, { name: "a" })
      const second = shared ? first : b.tensor(tensor, { name: "b" })
      const sum = b.one(Ops.add, [x, first], {}, { lineage: { sources: ["one"], rewrites: [] } })
      b.output("y", b.one(Ops.mul, [sum, second], {}, { lineage: { sources: ["two"], rewrites: [] } }))
      return b.finish()
    }
    const layout = Engine.assemble({ ...Model.input(make(true)), source: make(false) })
    const { weights } = Engine.parse(Safetensors.toBytes(layout)).manifest
    assert.deepStrictEqual(
      weights.map(({ name, state }) => [name, state]),
      [
        ["a", "consumed"],
        ["b", "consumed"]
      ]
    )
  })
})
