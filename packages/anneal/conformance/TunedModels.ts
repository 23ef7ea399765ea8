// Builds every model of ../shared/models tuned on this machine, float and, where there is evaluation data, INT8 within a
// budget, by the command itself, and holds the engines against the recorded outputs:
//
//   node --conditions=@anneal/source packages/anneal/conformance/TunedModels.ts [--budget "4 seconds"] [--only TEXT]
//
// A line a build; the process fails when one does. Floats: rtol 1e-3, atol 1e-4. INT8: top-1 on samples that calibration
// did not see falls by no more than 0.01, or by one sample where there are fewer than a hundred.
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Npy from "@anneal/runtime/Npy"
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const models = fileURLToPath(new URL("../../../../shared/models", import.meta.url))
const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url))

/** Whatever has recorded outputs. */
const names = existsSync(models) ? readdirSync(models).filter((name) => existsSync(join(models, name, "golden"))) : []

interface Labelled {
  readonly input: string
  readonly tensor: Tensor.Tensor
  readonly label: number
}

const parsed = (file: string): Tensor.Tensor => Npy.parse(readFileSync(file), file)

const images =
  (pixels: string, input: string, shape: ReadonlyArray<number>) =>
  (home: string): ReadonlyArray<Labelled> => {
    const labels = Numbers.toNumbers(parsed(join(home, "labels_u8.npy")))
    return Tensor.rows(parsed(join(home, pixels))).map((image, i) => ({
      input,
      tensor: Numbers.fromNumbers("f32", shape, Numbers.toNumbers(image)),
      label: labels[i] ?? -1
    }))
  }

const contents = (home: string): ReadonlyArray<Labelled> => {
  const { classes, labels }: { readonly classes: ReadonlyArray<string>; readonly labels: ReadonlyArray<string> } =
    JSON.parse(readFileSync(join(home, "labels.json"), "utf8"))
  return Tensor.rows(parsed(join(home, "features_i32.npy"))).map((tensor, i) => ({
    input: "bytes",
    tensor,
    label: classes.indexOf(labels[i] ?? "")
  }))
}

const quantized = [
  { name: "mnist-8", calibrator: "entropy", data: images("images_u8.npy", "Input3", [1, 1, 28, 28]), most: 200 },
  {
    name: "resnet8-cifar10",
    calibrator: "mse",
    data: images("images_u8_nchw.npy", "image", [1, 3, 32, 32]),
    most: 120
  },
  { name: "magika-v3_3", calibrator: "minmax", data: contents, most: 38 }
]

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}

const anneal = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, ["--conditions=@anneal/source", bin, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 28
  })
  return { code: status, out: stdout, err: stderr }
}

/** A module for `--calibrate` or `--evaluate` that needs nothing of ours. */
const dataModule = (file: string, samples: ReadonlyArray<Labelled>, labelled: boolean): string => {
  const plain = samples.map(({ input, label, tensor }) => {
    const { dtype, shape } = tensor
    return { input, dtype, shape, values: [...Numbers.toNumbers(tensor)], label }
  })
  const array = "({ f32: Float32Array, i32: Int32Array })[dtype]"
  const inputs = `{ [input]: { dtype, shape, data: ${array}.from(values) } }`
  const each = labelled ? `({ inputs: ${inputs}, label })` : `(${inputs})`
  const list = `all.map(({ input, dtype, shape, values, label }) => ${each})`
  const made = labelled ? `{ metric: "top-1", samples: ${list} }` : list
  writeFileSync(file, `const all = ${JSON.stringify(plain)}\nexport default ${made}\n`)
  return file
}

const folder = mkdtempSync(join(tmpdir(), "anneal-tuned-"))
const budget = option("budget") ?? "4 seconds"
const only = option("only") ?? ""
let failures = 0

const report = (title: string, ok: boolean, began: number, detail: string): void => {
  if (!ok) failures++
  console.log(
    `${ok ? "ok  " : "FAIL"} ${title.padEnd(26)} ${((performance.now() - began) / 1000).toFixed(1)} s  ${detail}`
  )
}

const tuning = (name: string) => ["--tune", "quick", "--tune-budget", budget, "--cache", join(folder, name)]

interface Built {
  readonly accuracy: { readonly before: { readonly value: number }; readonly after: { readonly value: number } } | null
  readonly decided: { readonly timed: number; readonly rejected: ReadonlyArray<unknown> }
}

const float = (name: string): void => {
  const began = performance.now()
  const engine = join(folder, `${name}.engine`)
  const built = anneal("build", join(models, name, "model.onnx"), "-o", engine, "--json", ...tuning(name))
  if (built.code !== 0) return report(name, false, began, built.err || built.out)
  const { decided }: Built = JSON.parse(built.out)
  const tolerance = ["--rtol", "1e-3", "--atol", "1e-4"]
  const compared = anneal("compare", engine, "--cases", join(models, name, "golden"), ...tolerance)
  const last = compared.out.trim().split("\n").at(-1) ?? ""
  const wrong = decided.rejected.length === 0 ? "" : `; rejected: ${JSON.stringify(decided.rejected)}`
  report(
    name,
    compared.code === 0 && decided.rejected.length === 0,
    began,
    `${decided.timed} timed; ${compared.code === 0 ? last : compared.out + compared.err}${wrong}`
  )
}

const int8 = ({ calibrator, data, most, name }: (typeof quantized)[number]): void => {
  const began = performance.now()
  const all = data(join(models, name, "eval"))
  const calibration = all.filter((_, i) => i % 2 === 0).slice(0, 32)
  const evaluation = all.filter((_, i) => i % 2 === 1).slice(0, most)
  const allowed = Math.max(0.01, 1 / evaluation.length)
  const engine = join(folder, `${name}-int8.engine`)
  const calibrate = dataModule(join(folder, `${name}-calibrate.mjs`), calibration, false)
  const evaluate = dataModule(join(folder, `${name}-evaluate.mjs`), evaluation, true)
  const quantizing = ["--int8", "--calibrator", calibrator, "--calibrate", calibrate]
  const within = ["--evaluate", evaluate, "--max-drop", String(allowed)]
  const model = join(models, name, "model.onnx")
  const built = anneal("build", model, "-o", engine, "--json", ...quantizing, ...within, ...tuning(`${name}-int8`))
  if (built.code !== 0) return report(`${name} int8`, false, began, built.err || built.out)
  const { accuracy, decided }: Built = JSON.parse(built.out)
  const [before, after] = [accuracy?.before.value ?? NaN, accuracy?.after.value ?? NaN]
  report(
    `${name} int8`,
    before - after <= allowed && decided.rejected.length === 0,
    began,
    `${decided.timed} timed; top-1 ${before.toFixed(4)} → ${after.toFixed(4)} of ${evaluation.length}`
  )
}

try {
  if (!existsSync(models)) console.log("skipped: ../shared/models is not there")
  else {
    for (const name of names) if (name.includes(only)) float(name)
    for (const one of quantized) if (`${one.name} int8`.includes(only)) int8(one)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = failures > 0 ? 1 : 0
