// The eight models: imported, sound, and on the oracle equal to their goldens. Skipped where they are not at hand.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Graphs from "@anneal/ir/Graph"
import * as Verify from "@anneal/ir/Verify"
import * as Import from "@anneal/onnx/Import"
import * as Wire from "@anneal/onnx/Wire"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { difference } from "../conformance/Compare.ts"
import * as Npy from "./Npy.ts"

const root = fileURLToPath(new URL("../../../../shared/models/", import.meta.url))
const models = [
  "magika-v3_3",
  "mnist-8",
  "nnsplit-en",
  "resnet8-cifar10",
  "retsim-v1",
  "silero-vad-v6",
  "stories260k",
  "ultraface-rfb320"
]
const oracle = Reference.make()
/** Names as the golden files have them. */
const fileName = (name: string): string => name.replace(/[^A-Za-z0-9_.-]/g, "_")

describe.skipIf(!existsSync(root))("the models (skipped where ../shared/models is absent)", () => {
  for (const name of models) {
    const path = `${root}${name}/model.onnx`
    const load = () => Import.toGraph(Wire.decodeModel(readFileSync(path), path), {}, path)

    it(`${name}: imports to a sound graph, every node with its place in the model`, () => {
      const graph = load()
      assert.deepStrictEqual(Verify.verify(graph), [])
      for (const node of Graphs.allNodes(graph)) assert.isAbove(node.lineage.sources.length, 0, Graphs.nodeName(node))
    })

    it.live(
      `${name}: equals its goldens`,
      () =>
        Effect.gen(function* () {
          const graph = load()
          const cases = readdirSync(`${root}${name}/golden`).sort().slice(0, 3)
          assert.isAbove(cases.length, 0)
          for (const golden of cases) {
            const folder = `${root}${name}/golden/${golden}`
            const inputs = graph.inputs.map((input) => Npy.read(`${folder}/in_${fileName(input.name)}.npy`))
            let compared = 0
            const outputs = yield* oracle.run(graph, inputs)
            for (const [index, output] of graph.outputs.entries()) {
              // Some goldens keep only the outputs that they are about.
              if (!existsSync(`${folder}/out_${fileName(output.name)}.npy`)) continue
              compared++
              const expected = Npy.read(`${folder}/out_${fileName(output.name)}.npy`)
              const found = outputs[index]
              assert.isDefined(found)
              assert.isUndefined(
                found === undefined ? "missing" : difference(found, expected, { relative: 1e-3, absolute: 1e-4 }),
                `${golden} ${output.name}`
              )
            }
            assert.isAbove(compared, 0, golden)
          }
        }),
      120_000
    )
  }
})
