// The eight models of ../shared/models as the passes leave them, and their golden cases; for tests that skip without them.
import type { Graph } from "@anneal/ir/Graph"
import type { DType } from "@anneal/ir/DType"
import * as Tensors from "@anneal/ir/Tensor"
import * as Import from "@anneal/onnx/Import"
import * as Wire from "@anneal/onnx/Wire"
import * as All from "@anneal/passes/All"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../../../shared/models/", import.meta.url))

export const exist = existsSync(root)

export const names = [
  "magika-v3_3",
  "mnist-8",
  "nnsplit-en",
  "resnet8-cifar10",
  "retsim-v1",
  "silero-vad-v6",
  "stories260k",
  "ultraface-rfb320"
] as const

/** The graph of a model after the built-in passes, in their order; what they claim is their own tests' business. */
export const optimised = (name: string): Effect.Effect<Graph> =>
  Effect.gen(function* () {
    const path = `${root}${name}/model.onnx`
    let graph = Import.toGraph(Wire.decodeModel(readFileSync(path), path), {}, path)
    for (const { rewrite } of All.passes) graph = (yield* rewrite(graph)).graph
    return graph
  }).pipe(Effect.provide(Reference.layer()), Effect.orDie)

const dtypes: ReadonlyMap<string, DType> = new Map([
  ["<f4", "f32"],
  ["<f8", "f64"],
  ["<i8", "i64"],
  ["<i4", "i32"],
  ["|u1", "u8"],
  ["|i1", "i8"],
  ["|b1", "bool"]
])

/** A `.npy` file of version 1, little-endian, C order. */
const read = (path: string): Tensors.Tensor => {
  const bytes = new Uint8Array(readFileSync(path))
  const length = (bytes[8] ?? 0) + 256 * (bytes[9] ?? 0)
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length))
  const dtype = dtypes.get(/'descr': '([^']+)'/.exec(header)?.[1] ?? "")
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1]
  if (dtype === undefined || shape === undefined) throw new Error(`${path}: ${header}`)
  const extents = shape.split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]))
  return Tensors.fromBytes(dtype, extents, bytes.subarray(10 + length))
}

/** Names as the golden files have them. */
const fileName = (name: string): string => name.replace(/[^A-Za-z0-9_.-]/g, "_")

export interface Golden {
  readonly name: string
  readonly inputs: ReadonlyArray<Tensors.Tensor>
  /** By output; undefined where the case is not about it. */
  readonly outputs: ReadonlyArray<Tensors.Tensor | undefined>
}

export const goldens = (name: string, graph: Graph): ReadonlyArray<Golden> =>
  readdirSync(`${root}${name}/golden`)
    .sort()
    .map((golden) => {
      const folder = `${root}${name}/golden/${golden}`
      const inputs = graph.inputs.map((input) => read(`${folder}/in_${fileName(input.name)}.npy`))
      const outputs = graph.outputs.map((output) => {
        const file = `${folder}/out_${fileName(output.name)}.npy`
        return existsSync(file) ? read(file) : undefined
      })
      return { name: golden, inputs, outputs }
    })
