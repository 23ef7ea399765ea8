// A calibrator of your own, on samples from a source that drops out.
//
// The calibrator keeps a mean and a spread, and takes the range mean ± 4 · spread. The source fails now and then, and
// says that asking again may help; the stage's retry policy does, and the build says how often it had to.
import { IR, Pipeline, Quantize, Reference } from "anneal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const { Calibrator, Samples } = Pipeline

/** Sums that do not depend on the order of the samples, as long as they are exact: integers of a fixed grid. */
interface Moments {
  readonly count: number
  readonly sum: bigint
  readonly squares: bigint
}
const grid = 2 ** 20

const sigma: Pipeline.Calibrator.Calibration<Moments> = {
  empty: { count: 0, sum: 0n, squares: 0n },
  observe: (moments, tensor) => {
    let { count, squares, sum } = moments
    for (const value of IR.Numbers.toNumbers(tensor)) {
      const step = BigInt(Math.round(value * grid))
      count++
      sum += step
      squares += step * step
    }
    return { count, sum, squares }
  },
  merge: (a, b) => ({ count: a.count + b.count, sum: a.sum + b.sum, squares: a.squares + b.squares }),
  finish: ({ count, squares, sum }) => {
    if (count === 0) return undefined
    const mean = Number(sum) / grid / count
    const spread = Math.sqrt(Math.max(0, Number(squares) / grid / grid / count - mean * mean))
    return { min: mean - 4 * spread, max: mean + 4 * spread }
  }
}

const sigmaCalibrator = Layer.succeed(
  Calibrator.Calibrator,
  Calibrator.make({ name: "sigma", identity: { name: "sigma", version: 1, config: { width: 4 } }, calibration: sigma })
)

/** 500 samples from a source that drops out twice on the way. */
const flakySource = () => {
  let failures = 0
  const sample = (index: number): Effect.Effect<Pipeline.Samples.Sample, Pipeline.Samples.SampleError> =>
    Effect.suspend(() => {
      if (index === 200 && failures < 2) {
        failures++
        return Effect.fail(new Samples.SampleError({ detail: "the source dropped out", index, retryable: true }))
      }
      const values = Array.from({ length: 8 }, (_, i) => Math.sin(index * 8 + i))
      return Effect.succeed({ x: IR.Numbers.fromNumbers("f32", [1, 8], values) })
    })
  return Stream.range(0, 499).pipe(Stream.mapEffect(sample))
}

const graph = (): IR.Graph.Graph => {
  const g = IR.Dsl.graph("one product")
  const x = g.input("x", "f32", [1, 8])
  const weights = Array.from({ length: 32 }, (_, i) => Math.fround(Math.cos(i)))
  g.output("y", IR.Dsl.matmul(x, g.constant("f32", [8, 4], weights)))
  return g.finish()
}

const pipeline = Pipeline.Pipeline.on(Pipeline.Graph.Graph)
  .through(Quantize.Calibrate.calibrate({ limit: null }))
  .through(Quantize.Quantize.quantize({ bits: 8, keep: [] }))

const services = Layer.mergeAll(
  Reference.Reference.layer(),
  Pipeline.Target.layerReference,
  sigmaCalibrator,
  Samples.layerStream(flakySource(), { identity: { name: "sines", version: 1, config: { count: 500 } }, count: 500 }),
  Layer.succeed(Pipeline.Graph.Graph, graph())
)

const program = Effect.gen(function* () {
  const [built, events] = yield* Pipeline.Progress.collect(pipeline.build())
  const retries = events.filter(({ _tag }) => _tag === "Retry")
  for (const event of retries) yield* Console.log(Pipeline.Progress.format(event))
  if (retries.length !== 2) return yield* Effect.die(new Error(`expected two retries, saw ${retries.length}`))
  const quantized = Pipeline.Pipeline.get(built.known, Pipeline.Graph.Graph)
  yield* Console.log(IR.Text.print(quantized, { lineage: false }))
})

Effect.runPromise(Effect.provide(program, services)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
