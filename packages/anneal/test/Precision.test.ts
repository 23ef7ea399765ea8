// INT8 within an accuracy budget on real models, calibrated on one part of their data and evaluated on another; and the
// narrow floats. Skipped where the folder of models is not there.
import * as Engine from "@anneal/engine/Engine"
import * as Constant from "@anneal/ir/Constant"
import * as Numbers from "@anneal/ir/Numbers"
import * as Npy from "@anneal/runtime/Npy"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { child, command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

const repository = fileURLToPath(new URL("../../..", import.meta.url))
const models = `${repository}/../shared/models`

interface Case {
  readonly name: string
  /** File of samples, each along the first axis. */
  readonly data: string
  readonly input: string
  /** Expression of the dtype and of a sample's values from the array `data`, element `i`; labels from `labels`. */
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly labels: string
  readonly calibrate: number
  readonly evaluate: number
}

const cases: ReadonlyArray<Case> = [
  {
    name: "mnist-8",
    data: "images_u8.npy",
    input: "Input3",
    dtype: "f32",
    shape: [1, 1, 28, 28],
    labels: "labels_u8.npy",
    calibrate: 100,
    evaluate: 100
  },
  {
    name: "resnet8-cifar10",
    data: "images_u8_nchw.npy",
    input: "image",
    dtype: "f32",
    shape: [1, 3, 32, 32],
    labels: "labels_u8.npy",
    calibrate: 40,
    evaluate: 50
  }
]

/** A user's module with the samples and labels of a model, as plain data. */
const moduleOf = (one: Case, from: number, count: number, evaluates: boolean): string => `
import { readFileSync } from "node:fs"
import * as Npy from "${repository}/packages/runtime/src/Npy.ts"
const read = (file) => Npy.parse(readFileSync("${models}/${one.name}/eval/" + file), file)
const { data } = read("${one.data}")
const labels = read("${one.labels}").data
const size = ${one.shape.reduce((product, extent) => product * extent, 1)}
const sample = (i) => ({
  "${one.input}": { dtype: "${one.dtype}", shape: ${JSON.stringify(one.shape)}, data: Float32Array.from(data.subarray(i * size, (i + 1) * size)) }
})
const indices = Array.from({ length: ${count} }, (_, i) => ${from} + i)
export default ${
  evaluates
    ? `{ metric: "top-1", samples: indices.map((i) => ({ inputs: sample(i), label: labels[i] })) }`
    : `indices.map(sample)`
}
`

const options = (folder: string): ReadonlyArray<string> => {
  const files = { "-o": "net.engine", "--calibrate": "samples.ts", "--evaluate": "metric.ts", "--cache": "cache" }
  return ["--int8", ...Object.entries(files).flatMap(([option, file]) => [option, `${folder}/${file}`])]
}

describe("INT8 on real models", () => {
  for (const one of cases) {
    const model = `${models}/${one.name}`
    const absent = !existsSync(`${model}/model.onnx`)
    const title = absent ? `${one.name} (skipped: ../shared/models/${one.name} is not there)` : one.name
    it.live.skipIf(absent)(
      title,
      () =>
        Effect.gen(function* () {
          const files = yield* FileSystem.FileSystem
          const folder = yield* files.makeTempDirectoryScoped()
          yield* files.writeFileString(`${folder}/samples.ts`, moduleOf(one, 0, one.calibrate, false))
          yield* files.writeFileString(`${folder}/metric.ts`, moduleOf(one, one.calibrate, one.evaluate, true))
          const build = (maxDrop: string) =>
            child(["build", `${model}/model.onnx`, ...options(folder), "--max-drop", maxDrop])
          const built = yield* build("0.02")
          assert.strictEqual(built.code, 0, built.err)
          const { manifest } = Engine.parse(yield* files.readFile(`${folder}/net.engine`))
          const { accuracy, calibration, precision } = manifest
          // A score is a quotient: one sample of fifty is a little more than 0.02.
          assert.isAtMost((accuracy?.before.value ?? 1) - (accuracy?.after.value ?? 0), 0.02 + 1e-12)
          assert.strictEqual(accuracy?.after.count, one.evaluate)
          assert.strictEqual(calibration?.count, one.calibrate)
          assert.isTrue(precision.some(({ to }) => to === "int8"))
          const again = yield* build("0.02")
          assert.match(again.out, /(\d+) of \1 stages from the cache/)
          assert.deepStrictEqual(Engine.parse(yield* files.readFile(`${folder}/net.engine`)).manifest, manifest)
          const engine = yield* command("inspect", `${folder}/net.engine`)
          assert.match(engine.out, /accuracy +top-1/)
          const impossible = yield* build("-0.5")
          assert.strictEqual(impossible.code, 4, impossible.err)
          assert.match(impossible.err, /budget cannot be met.*worst first/s)
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
      300_000
    )
  }
})

describe("precision options", () => {
  const setting = Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped()
    yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
    const build = (...args: ReadonlyArray<string>) =>
      command("build", `${folder}/net.onnx`, "-o", `${folder}/net.engine`, "--cache", `${folder}/cache`, ...args)
    return { files, folder, build }
  })

  for (const precision of ["fp16", "bf16"])
    it.live(`--${precision} narrows products and says that activations were not measured`, () =>
      Effect.gen(function* () {
        const { build, files, folder } = yield* setting
        const built = yield* build(`--${precision}`)
        assert.strictEqual(built.code, 0, built.err)
        const { manifest, graph } = Engine.parse(yield* files.readFile(`${folder}/net.engine`))
        const dtype = precision === "fp16" ? "f16" : "bf16"
        assert.isTrue(graph().nodes.some(({ outputs }) => outputs[0]?.type.dtype === dtype))
        assert.isTrue(manifest.precision.some(({ from, to }) => from === "f32" && to === dtype))
        const findings = manifest.stages.flatMap(({ diagnostics }) => diagnostics.map(({ code }) => code))
        assert.include(findings, "activations-not-checked")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
    )

  it.live("weights use seven of eight bits for wasm, and all of them with --full-range", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* setting
      yield* files.writeFileString(
        `${folder}/samples.mjs`,
        `export default [{ x: { dtype: "f32", shape: [1, 3], data: Float32Array.of(1, -2, 3) } }]`
      )
      const greatest = (...args: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const built = yield* build("--int8", "--calibrate", `${folder}/samples.mjs`, ...args)
          assert.strictEqual(built.code, 0, built.err)
          const { constants } = Engine.parse(yield* files.readFile(`${folder}/net.engine`)).graph()
          const weights = [...constants.values()].flatMap(({ constant }) =>
            constant.dtype === "i8" ? [...Numbers.toNumbers(Constant.load(constant))].map(Math.abs) : []
          )
          return Math.max(...weights)
        })
      assert.deepStrictEqual([yield* greatest(), yield* greatest("--full-range")], [63, 127])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("refuses two precisions in one build, and data that is none", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* setting
      const both = yield* build("--int8", "--fp16")
      assert.deepStrictEqual([both.code, /contradict/.test(both.err)], [2, true])
      yield* files.writeFileString(`${folder}/empty.mjs`, "export const nothing = 1")
      const empty = yield* build("--int8", "--calibrate", `${folder}/empty.mjs`)
      assert.match(empty.err, /has no default export/)
      yield* files.writeFileString(`${folder}/wrong.mjs`, "export default [{ x: [1, 2, 3] }]")
      const wrong = yield* build("--int8", "--calibrate", `${folder}/wrong.mjs`)
      assert.match(wrong.err, /a Layer of Samples or an array/)
      const metric = yield* build("--evaluate", `${folder}/wrong.mjs`)
      assert.match(metric.err, /a Layer of Evaluator, or \{ metric, samples \}/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("names the case of a calibration folder that does not fit the model", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* setting
      yield* files.makeDirectory(`${folder}/cases/odd`, { recursive: true })
      for (const [dtype, shape, message] of [
        ["f32", [1, 4], /case odd: input x: axis 1 is 4, expected 3/],
        ["f64", [1, 3], /case odd: x is f64, the model takes f32/]
      ] as const) {
        const values = shape.reduce<number>((count, extent) => count * extent, 1)
        const x = Numbers.fromNumbers(dtype, shape, new Float64Array(values))
        yield* files.writeFile(`${folder}/cases/odd/in_x.npy`, Npy.encode(x))
        const refused = yield* build("--int8", "--calibrate", `${folder}/cases`)
        assert.strictEqual(refused.code, 2, refused.out)
        assert.match(refused.err, message)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("calibrates on a folder of cases, or on what a module's function gives", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* setting
      yield* files.makeDirectory(`${folder}/cases/one`, { recursive: true })
      const x = Numbers.fromNumbers("f32", [1, 3], [1, -2, 3])
      yield* files.writeFile(`${folder}/cases/one/in_x.npy`, Npy.encode(x))
      yield* files.writeFileString(
        `${folder}/samples.mjs`,
        `export default () => [{ x: { dtype: "f32", shape: [1, 3], data: Float32Array.of(1, -2, 3) } }]`
      )
      const engines: Array<Uint8Array> = []
      for (const samples of ["cases", "samples.mjs"]) {
        const built = yield* build("--int8", "--calibrate", `${folder}/${samples}`, "--calibrator", "minmax")
        assert.strictEqual(built.code, 0, built.err)
        engines.push(yield* files.readFile(`${folder}/net.engine`))
      }
      const [first = new Uint8Array(), second] = engines
      assert.deepStrictEqual(first, second)
      const { graph, manifest } = Engine.parse(first)
      assert.isTrue(graph().nodes.some(({ op }) => op.name === "quantize"))
      assert.strictEqual(manifest.calibration?.calibrator.name, "minMax")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
