// Graphs written as ONNX and read again mean the same: the oracle gives equal results.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Verify from "@anneal/ir/Verify"
import * as Export from "@anneal/onnx/Export"
import * as Import from "@anneal/onnx/Import"
import * as Wire from "@anneal/onnx/Wire"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { difference } from "../conformance/Compare.ts"
import { failure } from "./Failure.ts"
import * as Npy from "./Npy.ts"

const oracle = Reference.make()
const again = (graph: Graph): Graph =>
  Import.toGraph(Wire.decodeModel(Wire.encodeModel(Export.toModel(graph)), "written again"))

const agrees = (graph: Graph, inputs: ReadonlyArray<Tensor>) =>
  Effect.gen(function* () {
    const copy = again(graph)
    assert.deepStrictEqual(Verify.verify(copy), [])
    assert.deepStrictEqual(
      copy.inputs.map(({ name }) => name),
      graph.inputs.map(({ name }) => name)
    )
    assert.deepStrictEqual(
      copy.outputs.map(({ name }) => name),
      graph.outputs.map(({ name }) => name)
    )
    const [before, after] = [yield* oracle.run(graph, inputs), yield* oracle.run(copy, inputs)]
    for (const [index, expected] of before.entries()) {
      const found = after[index]
      assert.isUndefined(
        found === undefined ? "missing" : difference(found, expected, { relative: 1e-6, absolute: 1e-7 })
      )
    }
  })

const n = Dim.symbol("n")
const ramp = (shape: ReadonlyArray<number>): Tensor => {
  const size = shape.reduce((product, extent) => product * extent, 1)
  return Numbers.fromNumbers(
    "f32",
    shape,
    Array.from({ length: size }, (_, i) => Math.sin(i + 1))
  )
}

describe("export", () => {
  it.effect("a recurrent layer without input weights has ones for them", () =>
    Effect.gen(function* () {
      const b = Builder.make("projected")
      const [hidden, directions] = [2, 2]
      const x = b.input("x", { dtype: "f32", shape: [n, 3, directions * 4 * hidden] })
      const r = b.tensor(ramp([directions, 4 * hidden, hidden]))
      const bias = b.tensor(ramp([directions, 8 * hidden]))
      const activation = (name: "sigmoid" | "tanh") => ({ name, alpha: 0, beta: 0 })
      const [y, h] = b.node(Ops.lstm, [x, undefined, r, bias], {
        hidden,
        direction: "bidirectional",
        activations: [0, 1].flatMap(() => [activation("sigmoid"), activation("tanh"), activation("tanh")]),
        clip: null,
        inputForget: false
      })
      if (y === undefined || h === undefined) throw new Error("a layer has results")
      b.output("y", y)
      b.output("h", h)
      yield* agrees(b.finish(), [ramp([4, 3, directions * 4 * hidden])])
    })
  )

  it.effect("computes the sizes that a reshape needs, and names symbolic dims", () => {
    const b = Builder.make("sizes")
    const x = b.input("x", { dtype: "f32", shape: [n, 4, Dim.symbol("m")] })
    const grown = b.one(Ops.pad, [x], { before: [0, 0, 1], after: [0, 0, 1], mode: "constant" })
    const shape = [Dim.mul(n, 2), 2, Dim.add(Dim.symbol("m"), 2)]
    b.output("y", b.one(Ops.reshape, [grown], { shape }))
    const graph = b.finish()
    const model = Export.toModel(graph)
    const dims = model.graph?.output[0]?.type?.value
    assert.strictEqual(dims?.case, "tensorType")
    assert.deepStrictEqual(
      dims?.case === "tensorType" ? dims.value.shape?.dim.map(({ value }) => String(value.value)) : [],
      ["2*n", "2", "m+2"]
    )
    return agrees(graph, [ramp([3, 4, 5])])
  })

  it.effect("writes floor division, slices backwards and composites without an operator", () => {
    const b = Builder.make("mixed")
    const x = b.input("x", { dtype: "f32", shape: [n, 6] })
    const back = b.one(Ops.slice, [x], {
      starts: [Dim.sub(n, 1), 5],
      sizes: [Dim.ceilDiv(n, 2), 3],
      steps: [-2, -2]
    })
    b.output("back", back)
    b.output("norm", b.one(Ops.rmsNorm, [x], { axis: 1, epsilon: 1e-5 }))
    b.output("same", x)
    return agrees(b.finish(), [ramp([5, 6])])
  })

  it.effect("writes quantisation and control flow with captured values", () => {
    const b = Builder.make("flow")
    const x = b.input("x", { dtype: "f32", shape: [n] })
    const flag = b.input("flag", { dtype: "bool", shape: [] })
    const scale = b.tensor(Numbers.scalar("f32", 0.1))
    const q = b.one(Ops.quantize, [x, scale], { axis: 0, block: 0, to: "i8", saturate: true })
    const real = b.one(Ops.dequantize, [q, scale], { axis: 0, block: 0, to: "f32" })
    const branch = (name: string, op: typeof Ops.neg) => {
      const inner = Builder.make(name)
      const given = inner.input("given", real.type)
      inner.output("result", inner.one(op, [given], {}))
      return inner.finish()
    }
    const [whenTrue = "", whenFalse = ""] = Ops.branch.graphs ?? []
    const graphs = { [whenTrue]: branch("yes", Ops.neg), [whenFalse]: branch("no", Ops.exp) }
    b.output("y", b.one(Ops.branch, [flag, real], {}, { graphs }))
    return agrees(b.finish(), [ramp([4]), Numbers.scalar("bool", 1)])
  })

  it("says which node ONNX cannot express", () => {
    const b = Builder.make("open")
    const x = b.input("x", { dtype: "f32", shape: [1, 1, n] })
    const w = b.input("w", { dtype: "f32", shape: [1, 1, 2] })
    const attributes = { strides: [1], padsBegin: [n], padsEnd: [0], dilations: [1], groups: 1 }
    b.output("y", b.one(Ops.conv, [x, w], attributes))
    const error = failure(() => Export.toModel(b.finish()))
    assert.strictEqual(error.reason._tag, "NotExportable")
    assert.include(error.message, "padding of n must be a number")
  })
})

const root = fileURLToPath(new URL("../../../../shared/models/", import.meta.url))
describe.skipIf(!existsSync(root))(
  "the models, written and read again (skipped where ../shared/models is absent)",
  () => {
    for (const name of ["mnist-8", "resnet8-cifar10", "nnsplit-en", "silero-vad-v6", "stories260k"])
      it.live(
        name,
        () => {
          const path = `${root}${name}/model.onnx`
          const graph = Import.toGraph(Wire.decodeModel(readFileSync(path), path), {}, path)
          const [golden = ""] = readdirSync(`${root}${name}/golden`).sort()
          const file = (input: string): string => input.replace(/[^A-Za-z0-9_.-]/g, "_")
          return agrees(
            graph,
            graph.inputs.map((input) => Npy.read(`${root}${name}/golden/${golden}/in_${file(input.name)}.npy`))
          )
        },
        60_000
      )
  }
)
