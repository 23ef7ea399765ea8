// What is timed: a case of each model of ../shared/models, and products of matrices that are made here. With each, the
// least ratios (their time by ours) to reach.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Builder from "@anneal/ir/Builder"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Export from "@anneal/onnx/Export"
import * as Npy from "@anneal/runtime/Npy"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Tensors } from "./Protocol.ts"

/** Least ratios: their time by ours. */
export interface Goals {
  readonly plain: { readonly node: number; readonly web: number }
  readonly wide: { readonly node: number }
}

export interface Case {
  readonly model: string
  readonly case: string
  /** Left out: ratios are only shown. */
  readonly goals: Goals | undefined
  /** The ONNX file. */
  readonly file: string
  readonly inputs: Tensors
  readonly expected: Tensors
  /** Multiplications plus additions of one inference, where that is known. */
  readonly operations?: number
}

const goals = (node: number, web: number, wide: number): Goals => ({ plain: { node, web }, wide: { node: wide } })

interface Golden {
  readonly model: string
  readonly case: string
  readonly goals: Goals
}

/** Models beside the project, in the order of the table. */
export const goldens: ReadonlyArray<Golden> = [
  { model: "mnist-8", case: "digit0", goals: goals(2, 5, 2) },
  { model: "resnet8-cifar10", case: "batch1", goals: goals(0.7, 3, 1.3) },
  { model: "ultraface-rfb320", case: "astronaut", goals: goals(0.8, 2.2, 1.3) },
  { model: "silero-vad-v6", case: "16k_frame1", goals: goals(1.5, 3.5, 2) },
  { model: "magika-v3_3", case: "batch1", goals: goals(0.6, 2.4, 1.1) },
  { model: "nnsplit-en", case: "medium", goals: goals(1, 2.8, 1.4) },
  { model: "retsim-v1", case: "one", goals: goals(0.6, 2.2, 1.1) },
  { model: "stories260k", case: "decode_step", goals: goals(2, 3, 2.5) }
]

/** Of the models together. */
export const meanGoals: Goals = goals(1, 2.8, 1.5)

/** The parts of a model's `meta.json` that are used. */
interface Meta {
  readonly goldens: ReadonlyArray<{
    readonly case: string
    readonly model: string
    readonly inputs: Readonly<Record<string, { readonly file: string }>>
    readonly outputs: Readonly<Record<string, { readonly file?: string }>>
  }>
}

const readTensors = (folder: string, files: Readonly<Record<string, { readonly file?: string }>>): Tensors =>
  Object.fromEntries(
    Object.entries(files).flatMap(([name, { file }]): ReadonlyArray<readonly [string, Tensor]> =>
      file === undefined ? [] : [[name, Npy.parse(readFileSync(join(folder, file)), file)]]
    )
  )

/** A case of a model below `folder`; undefined where it is not there. */
export const readGolden = (folder: string, golden: Golden): Case | undefined => {
  const home = join(folder, golden.model)
  if (!existsSync(join(home, "meta.json"))) return undefined
  const meta: Meta = JSON.parse(readFileSync(join(home, "meta.json"), "utf8"))
  const found = meta.goldens.find((one) => one.case === golden.case)
  if (found === undefined) return undefined
  return {
    ...golden,
    file: join(home, found.model),
    inputs: readTensors(home, found.inputs),
    expected: readTensors(home, found.outputs)
  }
}

/** What a case of `anneal compare` has in its folder: `in_NAME.npy` and `out_NAME.npy`. */
const readCase = (folder: string, prefix: "in_" | "out_"): Tensors =>
  readTensors(
    folder,
    Object.fromEntries(
      readdirSync(folder)
        .filter((file) => file.startsWith(prefix) && file.endsWith(".npy"))
        .map((file) => [file.slice(prefix.length, -".npy".length), { file }])
    )
  )

/** Models of one's own: each folder below `folder` that has a `model.onnx`, with the arrays of one case beside it. */
export const readFolder = (folder: string): ReadonlyArray<Case> =>
  readdirSync(folder)
    .filter((model) => existsSync(join(folder, model, "model.onnx")))
    .map((model) => {
      const home = join(folder, model)
      return {
        model,
        case: "own",
        goals: undefined,
        file: join(home, "model.onnx"),
        inputs: readCase(home, "in_"),
        expected: readCase(home, "out_")
      }
    })

/** Values in [-1, 1) that repeat on every machine. */
export const filled = (shape: ReadonlyArray<number>, seed: number): Tensor => {
  let state = seed
  const count = shape.reduce((product, extent) => product * extent, 1)
  const values = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround(state / 2 ** 31 - 1)
  })
  return Numbers.fromNumbers("f32", shape, values)
}

/** `y = x · w` with weights in the model, [n, n] each. The expected values are those of float64 sums. */
export const matmul = async (folder: string, n: number, least: Goals): Promise<Case> => {
  const [x, w] = [filled([n, n], 1), filled([n, n], 2)]
  const builder = Builder.make(`matmul ${n}`)
  const input = builder.input("x", Type.make("f32", [n, n]))
  builder.output("y", builder.one(Ops.matmul, [input, builder.tensor(w, { name: "w" })], {}))
  const file = join(folder, `matmul-${n}.onnx`)
  writeFileSync(file, await Effect.runPromise(Export.exportModel(builder.finish())))
  const sums = new Float64Array(n * n)
  const [a, b] = [Numbers.toNumbers(x), Numbers.toNumbers(w)]
  for (let row = 0; row < n; row++)
    for (let k = 0; k < n; k++) {
      const factor = a[row * n + k] ?? 0
      for (let column = 0; column < n; column++)
        sums[row * n + column] = (sums[row * n + column] ?? 0) + factor * (b[k * n + column] ?? 0)
    }
  return {
    model: "MatMul",
    case: `${n}³ f32`,
    goals: least,
    file,
    inputs: { x },
    expected: { y: Numbers.fromNumbers("f32", [n, n], sums) },
    operations: 2 * n ** 3
  }
}

/** The products of the table. */
export const matmuls: ReadonlyArray<{ readonly n: number; readonly goals: Goals }> = [
  { n: 512, goals: goals(0.5, 2, 1) },
  { n: 1024, goals: goals(0.5, 2, 1) }
]
