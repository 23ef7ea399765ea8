// INT8 against our own float engine: a product of matrices, and the models that have data to calibrate and evaluate on.
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Npy from "@anneal/runtime/Npy"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Cases from "./Cases.ts"
import type { Tensors } from "./Protocol.ts"

/** A case with what INT8 needs beside it. */
export interface Quantized {
  readonly case: Cases.Case
  /** A folder of cases (`in_NAME.npy`) for `--calibrate`. */
  readonly calibration: string
  readonly calibrator: string
  /** Held back from calibration, each with its class where the data has one. */
  readonly probes: ReadonlyArray<{ readonly inputs: Tensors; readonly label?: number }>
  /** Least ratio: our float time by our INT8 time. */
  readonly goal: number
}

const calibrating = 32

const writeCases = (folder: string, samples: ReadonlyArray<Tensors>): string => {
  for (const [index, sample] of samples.entries()) {
    const home = join(folder, String(index).padStart(3, "0"))
    mkdirSync(home, { recursive: true })
    for (const [name, tensor] of Object.entries(sample)) writeFileSync(join(home, `in_${name}.npy`), Npy.encode(tensor))
  }
  return folder
}

interface Labelled {
  readonly inputs: Tensors
  readonly label: number
}

const images = (folder: string): ReadonlyArray<Labelled> => {
  const parsed = (file: string): Tensor.Tensor => Npy.parse(readFileSync(join(folder, "eval", file)), file)
  const labels = Numbers.toNumbers(parsed("labels_u8.npy"))
  return Tensor.rows(parsed("images_u8_nchw.npy")).map((image, i) => ({
    inputs: { image: Numbers.fromNumbers("f32", image.shape, Numbers.toNumbers(image)) },
    label: labels[i] ?? -1
  }))
}

const files = (folder: string): ReadonlyArray<Labelled> => {
  const features = Npy.parse(readFileSync(join(folder, "eval", "features_i32.npy")), "features_i32.npy")
  const { classes, labels }: { readonly classes: ReadonlyArray<string>; readonly labels: ReadonlyArray<string> } =
    JSON.parse(readFileSync(join(folder, "eval", "labels.json"), "utf8"))
  return Tensor.rows(features).map((bytes, i) => ({ inputs: { bytes }, label: classes.indexOf(labels[i] ?? "") }))
}

const models = [
  { model: "resnet8-cifar10", case: "batch1", goal: 1.4, calibrator: "mse", data: images },
  { model: "magika-v3_3", case: "batch1", goal: 1.4, calibrator: "minmax", data: files }
] as const

/** The cases that are there and wanted. The data is dealt out by turns, so that classes in order do not matter. */
export const list = async (
  modelsFolder: string,
  folder: string,
  isWanted: (model: string) => boolean
): Promise<ReadonlyArray<Quantized>> => {
  const found: Array<Quantized> = []
  for (const { calibrator, case: name, data, goal, model } of models) {
    const golden = Cases.goldens.find((one) => one.model === model && one.case === name)
    const home = join(modelsFolder, model)
    const one = golden === undefined ? undefined : Cases.readGolden(modelsFolder, golden)
    if (one === undefined || !isWanted(model) || !existsSync(join(home, "eval"))) continue
    const samples = data(home)
    const stride = Math.max(2, Math.floor(samples.length / calibrating))
    const used = samples.filter((_, i) => i % stride === 0).slice(0, calibrating)
    found.push({
      case: one,
      calibration: writeCases(
        join(folder, `${model}-calibration`),
        used.map(({ inputs }) => inputs)
      ),
      calibrator,
      probes: samples.filter((sample) => !used.includes(sample)),
      goal
    })
  }
  if (!isWanted("matmul")) return found
  const product = await Cases.matmul(folder, 1024, { plain: { node: 0.5, web: 2 }, wide: { node: 1 } })
  const samples = [3, 4, 5, 6].map((seed) => ({ x: Cases.filled([1024, 1024], seed) }))
  found.push({
    case: product,
    calibration: writeCases(join(folder, "matmul-1024-calibration"), samples),
    calibrator: "minmax",
    probes: [],
    goal: 2
  })
  return found
}

/** Share of probes whose greatest output is their class; undefined without classes. */
export const accuracy = ({ probes }: Quantized, outputs: ReadonlyArray<Tensors>): number | undefined => {
  if (probes.length === 0 || outputs.length < probes.length) return undefined
  let right = 0
  for (const [index, { label }] of probes.entries()) {
    const [scores] = Object.values(outputs[index] ?? {})
    if (scores === undefined) continue
    const values = Numbers.toNumbers(scores)
    if (values.indexOf(values.reduce((a, b) => Math.max(a, b), -Infinity)) === label) right++
  }
  return right / probes.length
}

/** Size of the difference by the size of what is expected (Euclidean), over all outputs. */
export const relativeError = (found: Tensors, expected: Tensors): number => {
  let [difference, size] = [0, 0]
  for (const [name, tensor] of Object.entries(expected)) {
    const output = found[name]
    if (output === undefined || output.data.length !== tensor.data.length) return Infinity
    const [a, b] = [Numbers.toNumbers(output), Numbers.toNumbers(tensor)]
    for (let i = 0; i < b.length; i++) {
      difference += ((a[i] ?? NaN) - (b[i] ?? 0)) ** 2
      size += (b[i] ?? 0) ** 2
    }
  }
  return Math.sqrt(difference / size)
}
