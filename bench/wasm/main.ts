// How fast engines of the wasm target are, against onnxruntime's native and WebAssembly engines on this machine.
//
//   npm ci --prefix bench/wasm --ignore-scripts     the peers, once
//   npm run bench -- [--models mnist-8,matmul] [--rounds 3] [--threads 1,2] [--wide] [--parts speed,int8,builds]
//                    [--target wasm] [--tune quick] [--peers-only] [--folder MODELS] [--json FILE]
//
// Every library runs in processes of its own, in turns; outputs are checked before anything is timed. See Turns.ts for
// the protocol, docs/benchmarks.md for how to read the result.
import * as Compare from "anneal/Compare"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { cpus, loadavg, tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Builds from "./Builds.ts"
import * as Cases from "./Cases.ts"
import * as Contestant from "./Contestant.ts"
import * as Engines from "./Engines.ts"
import type { Tensors } from "./Protocol.ts"
import * as Quantized from "./Quantized.ts"
import * as Report from "./Report.ts"
import * as Tables from "./Tables.ts"
import * as Turns from "./Turns.ts"

const { values: options } = parseArgs({
  options: {
    models: { type: "string" },
    parts: { type: "string", default: "speed" },
    rounds: { type: "string", default: String(Turns.standard.rounds) },
    turns: { type: "string", default: String(Turns.standard.turns) },
    threads: { type: "string", default: "1" },
    wide: { type: "boolean", default: false },
    target: { type: "string", default: "wasm" },
    tune: { type: "string" },
    "peers-only": { type: "boolean", default: false },
    folder: { type: "string" },
    json: { type: "string" }
  }
})

/** What outputs may differ by: |found − expected| ≤ atol + rtol·|expected|. */
const tolerance: Compare.Tolerance = { rtol: 1e-3, atol: 1e-4 }

/** What INT8 outputs of a bare product may differ by, of their size; models are judged by their accuracy. */
const int8Tolerance = 0.05

const models = join(dirname(fileURLToPath(import.meta.url)), "../../../shared/models")
const wanted = options.models?.split(",")
const isWanted = (name: string): boolean => wanted === undefined || wanted.includes(name)
const parts = new Set(options.parts.split(","))
const threads = options.threads.split(",").map(Number)
const protocol: Turns.Protocol = { ...Turns.standard, rounds: Number(options.rounds), turns: Number(options.turns) }
const target = ["--target", options.target]
const buildOptions = [
  ...target,
  ...(options.wide ? ["--wide"] : []),
  ...(options.tune === undefined ? [] : ["--tune", options.tune])
]
const skipped: Array<string> = []

type Engine = Engines.Built | { readonly error: string }

/** What is wrong with outputs, by element. */
const mismatch = (outputs: Tensors, expected: Tensors): string | undefined => {
  for (const [name, tensor] of Object.entries(expected)) {
    const found = outputs[name]
    if (found === undefined) return `wrong: it gave no output ${name}`
    const agreement = Compare.compare(found, tensor, tolerance)
    if (!agreement.agree) return `wrong: ${name}: ${Compare.format(agreement)}`
  }
  return undefined
}

const engineName = (one: Cases.Case, suffix: string): string =>
  `${one.model}-${one.case}${suffix}`.replace(/[^A-Za-z0-9.-]/g, "_")

/** The shapes of the case as what the engine is best for, as somebody would build who knows what will run. */
const profileOf = ({ inputs }: Cases.Case): ReadonlyArray<string> => {
  const shapes = Object.entries(inputs).map(([name, { shape }]) => `${name}:${shape.join("x") || "scalar"}`)
  return ["--opt-shapes", shapes.join(",")]
}

const speedOf = async (folder: string, one: Cases.Case): Promise<Report.Result> => {
  const engine: Engine = options["peers-only"]
    ? { error: "not asked for" }
    : Engines.build(folder, engineName(one, ""), one.file, [...buildOptions, ...profileOf(one)])
  const contestants = Contestant.list(threads, { ours: !options["peers-only"], wide: options.wide })
  const subject: Turns.Subject = {
    file: ({ library }) => (library === "anneal" ? engine : { path: one.file }),
    inputs: one.inputs,
    verdict: (outputs) => mismatch(outputs, one.expected)
  }
  return Report.resultOf(one, await Turns.time(contestants, subject, protocol))
}

const int8Of = async (folder: string, quantized: Quantized.Quantized): Promise<Report.Int8Result> => {
  const { calibration, calibrator, case: one, goal, probes } = quantized
  const float: Engine = Engines.build(folder, engineName(one, "-float"), one.file, buildOptions)
  const data = ["--int8", "--calibrate", calibration, "--calibrator", calibrator]
  const int8: Engine = Engines.build(folder, engineName(one, "-int8"), one.file, [...buildOptions, ...data])
  let relativeError: number | null = null
  const subject: Turns.Subject = {
    file: ({ precision }) => (precision === "int8" ? int8 : float),
    inputs: one.inputs,
    verdict: (outputs, { precision }) => {
      if (precision === "float") return mismatch(outputs, one.expected)
      relativeError = Quantized.relativeError(outputs, one.expected)
      return probes.length === 0 && !(relativeError <= int8Tolerance)
        ? `wrong: relative error ${relativeError.toPrecision(3)}`
        : undefined
    },
    probes: probes.map(({ inputs }) => inputs)
  }
  const records = await Turns.time(Contestant.precisions({ wide: options.wide }), subject, protocol)
  const accuracyOf = (precision: "float" | "int8"): number | null => {
    const record = records.find(({ contestant }) => contestant.precision === precision && !contestant.wide)
    return Quantized.accuracy(quantized, record?.probed ?? []) ?? null
  }
  const accuracy = { float: accuracyOf("float"), int8: accuracyOf("int8"), probes: probes.length, relativeError }
  return Report.int8ResultOf(one, records, goal, accuracy)
}

/** The cases of the speed table that are wanted and there. */
const casesIn = async (folder: string): Promise<ReadonlyArray<Cases.Case>> => {
  if (options.folder !== undefined) return Cases.readFolder(options.folder).filter(({ model }) => isWanted(model))
  const found: Array<Cases.Case> = []
  for (const golden of Cases.goldens.filter(({ model }) => isWanted(model))) {
    const one = Cases.readGolden(models, golden)
    if (one === undefined) skipped.push(`${golden.model} is not in ../shared/models`)
    else found.push(one)
  }
  if (isWanted("matmul")) for (const { goals, n } of Cases.matmuls) found.push(await Cases.matmul(folder, n, goals))
  return found
}

const folder = mkdtempSync(join(tmpdir(), "anneal-bench-"))
try {
  const before = loadavg()[0] ?? NaN
  const cases = await casesIn(folder)
  const speed: Array<Report.Result> = []
  const int8: Array<Report.Int8Result> = []
  const builds: Array<Builds.BuildTimes> = []
  if (parts.has("speed"))
    for (const one of cases) {
      const result = await speedOf(folder, one)
      speed.push(result)
      console.error(Tables.line(result))
    }
  if (parts.has("int8"))
    for (const one of await Quantized.list(models, folder, isWanted)) {
      const result = await int8Of(folder, one)
      int8.push(result)
      console.error(Tables.line(result))
    }
  if (parts.has("builds"))
    for (const one of cases.filter(({ model }) => model !== "MatMul")) {
      builds.push(Builds.time(folder, one, target))
      console.error(`${one.model}: built`)
    }
  const report: Report.Report = {
    target: options.target,
    options: buildOptions.slice(2),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      node: process.version,
      v8: process.versions.v8,
      load: [before, loadavg()[0] ?? NaN]
    },
    protocol,
    speed,
    int8,
    builds,
    skipped
  }
  console.log(Tables.format(report))
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true })
}
