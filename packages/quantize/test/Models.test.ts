/**
 * Real models, calibrated on one part of their evaluation data and evaluated on another: no more than one point or one
 * sample of top-1 is lost. Needs ../shared/models beside the project; skipped where that is absent.
 */
import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as DType from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Import from "@anneal/onnx/Import"
import * as All from "@anneal/passes/All"
import type { Calibrator } from "@anneal/pipeline/Calibrator"
import type { LabelledSample } from "@anneal/pipeline/Evaluator"
import { Evaluator } from "@anneal/pipeline/Evaluator"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Samples from "@anneal/pipeline/Samples"
import { layerReference } from "@anneal/pipeline/Target"
import * as Budget from "@anneal/quantize/Budget"
import * as Calibrate from "@anneal/quantize/Calibrate"
import * as EntropyCalibrator from "@anneal/quantize/EntropyCalibrator"
import * as Metrics from "@anneal/quantize/Metrics"
import * as MinMaxCalibrator from "@anneal/quantize/MinMaxCalibrator"
import * as MseCalibrator from "@anneal/quantize/MseCalibrator"
import * as Precision from "@anneal/quantize/Precision"
import * as Quantize from "@anneal/quantize/Quantize"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const folder = new URL("../../../../shared/models/", import.meta.url)
const absent = !existsSync(folder)
const file = (path: string): Uint8Array => new Uint8Array(readFileSync(new URL(path, folder)))

/** A plain little-endian C-ordered .npy file. */
const npy = (path: string): Tensor.Tensor => {
  const bytes = file(path)
  const length = new DataView(bytes.buffer).getUint16(8, true)
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length))
  const [, kind = ""] = /'descr': '[<|]([a-z]\d)'/.exec(header) ?? []
  const [, inside = ""] = /'shape': \(([^)]*)\)/.exec(header) ?? []
  const dtype = { u1: "u8", i4: "i32", f4: "f32" }[kind]
  if (!DType.is(dtype)) throw new TypeError(`${path}: ${header}`)
  const shape = inside.split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]))
  return Tensor.fromBytes(dtype, shape, bytes.slice(10 + length))
}

/** Row `index` of a tensor as a batch of one, in the input's type and shape. */
const row = (all: Tensor.Tensor, index: number, dtype: "f32" | "i32", shape: ReadonlyArray<number>): Tensor.Tensor => {
  const size = Tensor.size(shape)
  const values = Array.from({ length: size }, (_, offset) => Number(all.data[index * size + offset]))
  return Numbers.fromNumbers(dtype, shape, values)
}

interface Subject {
  readonly name: string
  readonly calibrator: Layer.Layer<Calibrator>
  readonly data: () => ReadonlyArray<LabelledSample>
  readonly calibrate: number
  readonly evaluate: number
}

const images = (model: string, pixelsFile: string, input: string, shape: ReadonlyArray<number>) => () => {
  const [pixels, labels] = [npy(`${model}/eval/${pixelsFile}`), npy(`${model}/eval/labels_u8.npy`)]
  return [...Numbers.toNumbers(labels)].map((label, index): LabelledSample => ({
    inputs: { [input]: row(pixels, index, "f32", shape) },
    label
  }))
}

const Labels = Schema.fromJsonString(
  Schema.Struct({ labels: Schema.Array(Schema.String), classes: Schema.Array(Schema.String) })
)
const contents = (): ReadonlyArray<LabelledSample> => {
  const { classes, labels } = Schema.decodeUnknownSync(Labels)(
    new TextDecoder().decode(file("magika-v3_3/eval/labels.json"))
  )
  const features = npy("magika-v3_3/eval/features_i32.npy")
  return labels.map((label, index) => ({
    inputs: { bytes: row(features, index, "i32", [1, 2048]) },
    label: classes.indexOf(label)
  }))
}

const subjects: ReadonlyArray<Subject> = [
  {
    name: "mnist-8",
    calibrator: EntropyCalibrator.layer,
    data: images("mnist-8", "images_u8.npy", "Input3", [1, 1, 28, 28]),
    calibrate: 60,
    evaluate: 100
  },
  {
    name: "resnet8-cifar10",
    calibrator: MseCalibrator.layer,
    data: images("resnet8-cifar10", "images_u8_nchw.npy", "image", [1, 3, 32, 32]),
    calibrate: 10,
    evaluate: 16
  },
  { name: "magika-v3_3", calibrator: MinMaxCalibrator.layer, data: contents, calibrate: 2, evaluate: 3 }
]

/** Every other sample calibrates, those between are evaluated. */
const build = ({ calibrate, calibrator, data, evaluate, name }: Subject, maxDrop?: number) =>
  Effect.gen(function* () {
    const all = data()
    const calibration = all.filter((_, index) => index % 2 === 0).slice(0, calibrate)
    const evaluation = all.filter((_, index) => index % 2 === 1).slice(0, evaluate)
    const imported = yield* Import.importBytes(file(`${name}/model.onnx`))
    const { graph } = yield* Effect.provide(All.rewriteAll(imported), Reference.layer())
    const allowed = maxDrop ?? Math.max(0.01, 1 / evaluation.length)
    const built = Pipeline.on(GraphTag)
      .through(Calibrate.calibrate({ limit: null }))
      .through(Budget.fitBudget({ maxDrop: allowed, bits: 8, keep: [], rankingSamples: 2 }))
      .through(Quantize.quantizeWithin({ bits: 8, keep: [] }))
      .build()
    return yield* Effect.gen(function* () {
      const { known, ledger } = yield* built
      const graph = Pipeline.get(known, GraphTag)
      const evaluator = yield* Evaluator
      const oracle = yield* Oracle
      return {
        precision: Pipeline.get(known, Precision.Precision),
        ledger,
        allowed,
        score: Budget.evaluate(graph, evaluator, oracle)
      }
    }).pipe(
      Effect.provide([
        Layer.succeed(GraphTag, graph),
        Samples.layerArray(calibration.map(({ inputs }) => inputs)),
        Metrics.layer(Metrics.top1, evaluation),
        calibrator,
        Reference.layer(),
        layerReference
      ])
    )
  })

describe("INT8 on real models (needs ../shared/models)", () => {
  for (const subject of subjects)
    it.live.skipIf(absent)(
      `${subject.name} keeps its accuracy`,
      () =>
        Effect.gen(function* () {
          const { allowed, ledger, precision, score } = yield* build(subject)
          assert.isAtMost(Budget.drop(precision.before, precision.after), allowed)
          // The graph that is handed on has the score that was measured; once is enough.
          if (subject === subjects[0]) assert.deepStrictEqual(yield* score, precision.after)
          assert.isAbove(precision.before.value, 0.85)
          assert.isNotEmpty(Object.values(precision.products).filter(({ precision: chosen }) => chosen === "int8"))
          assert.isNotEmpty(ledger)
          const codes = ledger.flatMap(({ diagnostics }) => diagnostics.map(({ code }) => code))
          assert.includeMembers(codes, ["accuracy-budget", "few-calibration-samples"])
        }),
      180_000
    )

  it.live.skipIf(absent)("an impossible budget fails with the list of spenders", () =>
    Effect.gen(function* () {
      const [mnist] = subjects
      if (mnist === undefined) return assert.fail("no subject")
      const error = yield* Effect.flip(build({ ...mnist, calibrate: 8, evaluate: 8 }, -1))
      if (error._tag !== "BudgetExceeded") return assert.fail(error.message)
      assert.isNotEmpty(error.spenders)
      assert.isAbove(error.spenders[0]?.noise ?? 0, 0)
    })
  )
})
