/** `anneal build MODEL.onnx -o ENGINE`: from a model to an engine. */
import * as Inspects from "@anneal/engine/Inspect"
import { Calibrator } from "@anneal/pipeline/Calibrator"
import { Evaluator } from "@anneal/pipeline/Evaluator"
import { Samples } from "@anneal/pipeline/Samples"
import * as Store from "@anneal/pipeline/Store"
import * as Target from "@anneal/pipeline/Target"
import * as Validation from "@anneal/pipeline/Validation"
import * as TuneLevel from "@anneal/tune/TuneLevel"
import * as Graphs from "@anneal/ir/Graph"
import * as Dim from "@anneal/ir/Dim"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join } from "node:path"
import * as Builds from "../Build.ts"
import * as CacheFolder from "../CacheFolder.ts"
import * as Compiling from "../Compiling.ts"
import * as Calibration from "../Calibration.ts"
import * as Host from "../Host.ts"
import * as Model from "../Model.ts"
import * as Modules from "../Modules.ts"
import * as Plugin from "../Plugin.ts"
import * as Report from "../Report.ts"
import * as ShapeOption from "../ShapeOption.ts"
import * as Tuning from "../Tuning.ts"
import { UsageError } from "../UsageError.ts"
import * as Options from "./Options.ts"

const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** What a layer gives that a build may do without: nothing here asks for a service that is not there. */
type Needed = Samples | Calibrator | Evaluator

const isPipeline = (value: unknown): value is Builds.UserPipeline =>
  Predicate.hasProperty(value, "steps") &&
  Predicate.hasProperty(value, "build") &&
  typeof value.build === "function" &&
  Predicate.hasProperty(value, "through")

const userPipeline = (name: string): Effect.Effect<Builds.UserPipeline, UsageError> =>
  Effect.flatMap(Modules.load("--pipeline", name), (value) =>
    isPipeline(value)
      ? Effect.succeed(value)
      : Effect.fail(
          new UsageError({
            detail: `--pipeline ${name}: its default export must be a pipeline: Pipeline.on(Graph).through(…)`
          })
        )
  )

/** A layer from a module has unknown types: what it needs beyond a measurer and a journal shows when it is built. */
const userTuner = (name: string): Effect.Effect<Compiling.TunerLayer, UsageError> =>
  Effect.flatMap(Modules.load("--tuner", name), (value) =>
    Layer.isLayer(value)
      ? Effect.succeed(value as Compiling.TunerLayer)
      : Effect.fail(new UsageError({ detail: `--tuner ${name}: its default export must be a Layer of Tuner` }))
  )

/** Options that give what a pipeline may ask for. */
const givenBy: ReadonlyMap<string, string> = new Map([
  [Samples.key, "--calibrate"],
  [Evaluator.key, "--evaluate"]
])

/** A user's pipeline may ask for a service that no option gave; its type is not known here, so that shows when it runs. */
const explained = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | UsageError, R> =>
  Effect.catchDefect(effect, (defect) => {
    const missing = defect instanceof Error ? /Service not found: (\S+)/.exec(defect.message)?.[1] : undefined
    if (missing === undefined) return Effect.die(defect)
    const option = givenBy.get(missing)
    const remedy = option === undefined ? "the command has no option that gives it" : `give ${option}`
    return Effect.fail(new UsageError({ detail: `the pipeline asks for ${missing}: ${remedy}` }))
  })

/** `IN=OUT`, in the order of the model's own names. */
const parseState = (texts: ReadonlyArray<string>): ReadonlyArray<Graphs.Alias> =>
  texts.map((text) => {
    const [input, output, ...rest] = text.split("=")
    if (input === undefined || output === undefined || rest.length > 0 || input === "" || output === "")
      throw new UsageError({ detail: `--state ${text}: expected INPUT=OUTPUT` })
    return { input, output }
  })

/** The i-th use of each option belongs to the i-th profile. */
const parseProfiles = (
  min: ReadonlyArray<string>,
  opt: ReadonlyArray<string>,
  max: ReadonlyArray<string>
): ReadonlyArray<Builds.ProfileShapes> => {
  const count = Math.max(min.length, opt.length, max.length)
  const one = (option: string, text: string | undefined) =>
    text === undefined ? undefined : ShapeOption.parseNumbers(option, [text])
  return Array.from({ length: count }, (_, index): Builds.ProfileShapes => {
    const shapes = {
      min: one("--min-shapes", min[index]),
      opt: one("--opt-shapes", opt[index]),
      max: one("--max-shapes", max[index])
    }
    return {
      ...(shapes.min === undefined ? {} : { min: shapes.min }),
      ...(shapes.opt === undefined ? {} : { opt: shapes.opt }),
      ...(shapes.max === undefined ? {} : { max: shapes.max })
    }
  })
}

/** Precisions by their names on the command line. */
const precisions = { fp32: "float", fp16: "f16", bf16: "bf16", int8: "int8", int4: "int4" } as const satisfies Record<
  string,
  Builds.Precisions
>
type PrecisionName = keyof typeof precisions

/** `--fp16`, `--bf16`, `--int8` are short for `--precision …`; two different ones contradict each other. */
const precisionName = (
  given: Readonly<Record<"fp16" | "bf16" | "int8", boolean>>,
  long: PrecisionName
): PrecisionName => {
  const short = (["fp16", "bf16", "int8"] as const).filter((name) => given[name])
  const names = [...new Set([...short, ...(long === "fp32" ? [] : [long])])]
  if (names.length > 1)
    throw new UsageError({ detail: `--${names.join(" and --")} contradict each other: one precision a build` })
  return names[0] ?? "fp32"
}

export const build = Command.make(
  "build",
  {
    model: Argument.String("model").pipe(Argument.withDescription("An ONNX model")),
    output: Flag.String("output").pipe(Flag.withAlias("o"), Flag.withDescription("The engine to write")),
    shapes: Options.repeated("shapes", "Pin input shapes: x:1x3x224x224,y:1x77 (numbers, or names to keep open)"),
    minShapes: Options.repeated("min-shapes", "Least shapes of a profile; the n-th use belongs to the n-th profile"),
    optShapes: Options.repeated("opt-shapes", "Shapes that a profile is best for"),
    maxShapes: Options.repeated("max-shapes", "Greatest shapes of a profile"),
    precision: Flag.Literals("precision", ["fp32", "fp16", "bf16", "int8", "int4"]).pipe(
      Flag.withDescription("Precision of products"),
      Flag.withDefault("fp32")
    ),
    fp16: flag("fp16", "Short for --precision fp16"),
    bf16: flag("bf16", "Short for --precision bf16"),
    int8: flag("int8", "Short for --precision int8"),
    calibrate: Options.text("calibrate", "Samples: a folder of cases, or a module (FILE.ts)"),
    calibrator: Flag.Literals("calibrator", ["percentile", "minmax", "mse", "entropy"]).pipe(
      Flag.withDescription("How ranges are found"),
      Flag.withDefault("percentile")
    ),
    evaluate: Options.text("evaluate", "A module (FILE.ts) with an evaluator: accuracy before and after"),
    maxDrop: Flag.Finite("max-drop").pipe(
      Flag.withDescription("Greatest loss of the evaluator's metric: 0.005"),
      Flag.optional
    ),
    keep: Options.repeated("keep-float", "A product that stays float: op, value or path in the model"),
    fullRange: flag("full-range", "Weights use all 8 bits where the target is faster with 7 of them"),
    pipeline: Options.text("pipeline", "A module (FILE.ts) with a pipeline of your own"),
    plugin: Options.plugin,
    disable: Options.repeated("disable", "A pass to leave out, by name; may be repeated"),
    target: Flag.Literals("target", ["wasm", "reference"]).pipe(
      Flag.withDescription("What the engine is for: generated WebAssembly, or the oracle (to debug)"),
      Flag.withDefault("wasm")
    ),
    tune: Flag.Literals("tune", ["none", "quick", "full"]).pipe(
      Flag.withDescription(
        "How kernels are chosen: predicted, or measured on this machine for a while, or until all are"
      ),
      Flag.withDefault("none")
    ),
    tuner: Options.text("tuner", "A module (FILE.ts) with a tuner of your own: a Layer of Tuner"),
    tuneBudget: Options.text(
      "tune-budget",
      'Time for measuring: "2 minutes" (default: 20 s for quick, no limit for full)'
    ),
    lock: Options.text(
      "lock",
      "The lock file: its decisions are kept, new ones are written to it; FILE.journal has timings"
    ),
    frozen: flag("frozen", "Decide nothing that is not in the lock: the same engine, or a list of what is missing"),
    wide: flag("wide", "Also write code for V8's experimental 256-bit vectors; run and bench take it with --wide"),
    fusionOff: Options.repeated(
      "fusion-off",
      "A fusion not to make, by its id (anneal inspect --fusions); may be repeated"
    ),
    cache: Options.text("cache", "Cache folder (default: $ANNEAL_CACHE, $XDG_CACHE_HOME/anneal, ~/.cache/anneal)"),
    useCache: Flag.Boolean("use-cache").pipe(
      Flag.withDescription("Keep results of stages (--no-use-cache: do not)"),
      Flag.withDefault(true)
    ),
    memLimit: Options.text("mem-limit", "Refuse to build above so much memory at run time: 512MiB"),
    state: Options.repeated("state", "INPUT=OUTPUT: the output comes back as the input of the next run"),
    saveOnnx: Options.text("save-onnx", "Also write the optimised graph as ONNX"),
    stripWeights: flag("strip-weights", "Leave the model's weights out of the file"),
    validate: Flag.Boolean("validate").pipe(
      Flag.withDescription("Check every rewrite on the oracle, every kernel on its region (--no-validate: do not)"),
      Flag.withDefault(true)
    ),
    onFailure: Flag.Literals("on-failure", ["stop", "skip"]).pipe(
      Flag.withDescription("What a wrong rewrite does: stop the build, or go on without it"),
      Flag.withDefault("stop")
    ),
    json: Options.json
  },
  Effect.fn(function* (given) {
    const plugins = yield* Plugin.load(given.plugin)
    const precision = yield* Options.read(() => precisionName(given, given.precision))
    const maxDrop = Option.getOrUndefined(given.maxDrop)
    const quantizes = precision === "int8" || precision === "int4"
    if (quantizes && Option.isNone(given.calibrate) && Option.isNone(given.pipeline))
      return yield* new UsageError({
        detail: `--${precision} needs samples to calibrate on: --calibrate DIR or --calibrate MODULE.ts`
      })
    if (maxDrop !== undefined && Option.isNone(given.evaluate))
      return yield* new UsageError({ detail: "--max-drop needs a metric: --evaluate MODULE.ts" })
    const options = yield* Options.read((): Omit<Builds.BuildOptions, "pipeline"> => {
      const limit = Option.getOrUndefined(given.memLimit)
      const shapes = ShapeOption.parse("--shapes", given.shapes)
      const extents = [...shapes].map(
        ([name, shape]) => [name, shape.map((dim) => (typeof dim === "number" ? dim : Dim.format(dim)))] as const
      )
      return {
        model: given.model,
        output: given.output,
        plugins,
        shapes: Object.fromEntries(extents),
        profiles: parseProfiles(given.minShapes, given.optShapes, given.maxShapes),
        precision: precisions[precision],
        ...(maxDrop === undefined ? {} : { maxDrop }),
        keep: given.keep,
        fullRange: given.fullRange,
        disable: given.disable,
        state: parseState(given.state),
        ...(limit === undefined ? {} : { memoryLimit: ShapeOption.parseBytes("--mem-limit", limit) }),
        ...(Option.isSome(given.saveOnnx) ? { saveOnnx: given.saveOnnx.value } : {}),
        strip: given.stripWeights,
        ...(Option.isSome(given.lock) ? { lock: given.lock.value } : {}),
        frozen: given.frozen,
        wide: given.wide,
        checkKernels: given.validate,
        fusionsOff: given.fusionOff
      }
    })
    const { budget, level } = yield* Options.read(() =>
      Tuning.parse({
        tune: given.tune,
        budget: Option.getOrUndefined(given.tuneBudget),
        lock: options.lock,
        frozen: given.frozen,
        target: given.target
      })
    )
    const own = Option.isSome(given.tuner) ? yield* userTuner(given.tuner.value) : undefined
    if (own !== undefined && (level !== "none" || given.frozen))
      return yield* new UsageError({ detail: "--tuner brings a tuner of your own: leave --tune and --frozen away" })
    const cache = Option.getOrElse(given.cache, CacheFolder.defaultFolder)
    const deciding =
      given.target === "reference"
        ? {}
        : {
            tuner: own ?? TuneLevel.layer(level, budget),
            // Without a lock the machine's own journal keeps what was measured.
            ...(options.lock === undefined && given.useCache ? { journal: join(cache, Tuning.journalName) } : {})
          }
    const pipeline = Option.isSome(given.pipeline) ? { pipeline: yield* userPipeline(given.pipeline.value) } : {}
    const model =
      Option.isSome(given.calibrate) && !Modules.isModule(given.calibrate.value)
        ? (yield* Model.importOnnx(given.model, plugins, options.shapes)).graph
        : undefined
    const samples = Option.isSome(given.calibrate)
      ? yield* Calibration.samples(given.calibrate.value, model)
      : Layer.empty
    const evaluator = Option.isSome(given.evaluate) ? yield* Calibration.evaluator(given.evaluate.value) : Layer.empty
    const store = given.useCache ? Store.layerFileSystem({ directory: cache }) : Layer.empty
    const validation = given.validate ? Validation.layer({ onFailure: given.onFailure }) : Validation.layerOff
    // Whether a value fits a narrow float is a question of its extremes.
    const calibrator = quantizes ? given.calibrator : "minmax"
    // Samples, calibrator and evaluator are asked for only where the checks above have seen to it that they are there.
    const data = Layer.mergeAll(samples, evaluator, Calibration.calibrators[calibrator]) as Layer.Layer<Needed>
    // Samples are run on generated code too; `--target reference` runs them on the oracle.
    const running =
      given.target === "wasm" ? Host.wasm(plugins) : Layer.merge(Host.execution(plugins), Target.layerReference)
    const services = Layer.mergeAll(running, validation, store, data)
    const work = Effect.gen(function* () {
      const { hits, stages, value } = yield* Options.watched(
        explained(Builds.build({ ...options, ...deciding, ...pipeline }))
      )
      const { bytes, decided, digest, graph, manifest, output, source } = value
      const nodes = { before: Graphs.nodeCount(source), after: Graphs.nodeCount(graph) }
      const kept = manifest.weights.filter(({ state }) => state === "kept").length
      const { accuracy, precision: choices, stages: done } = manifest
      yield* Report.result(
        { output, bytes, digest, nodes, cache: { hits, stages }, stages: done, precision: choices, accuracy, decided },
        () =>
          [
            `${output}: ${Inspects.formatBytes(bytes)}, ${nodes.before} → ${nodes.after} nodes, ${kept} of ${manifest.weights.length} weights replaceable`,
            ...(accuracy === null ? [] : [`accuracy ${Inspects.formatAccuracy(accuracy)}`]),
            ...(decided === undefined ? [] : [Tuning.summary(decided)]),
            ...(stages === 0 ? [] : [`${hits} of ${stages} stages from the cache`]),
            `next: anneal inspect ${output}; anneal run ${output} ${manifest.inputs.map(({ name }) => `--input ${name}=FILE.npy`).join(" ")} --output out`
          ].join("\n")
      )
    })
    return yield* work.pipe(Effect.provide(services), Effect.provideService(Report.AsJson, given.json))
  })
).pipe(
  Command.withDescription("Build an engine from an ONNX model"),
  Command.withExamples([
    { command: "anneal build net.onnx -o net.engine", description: "All passes, every rewrite checked" },
    {
      command:
        "anneal build net.onnx -o net.engine --int8 --calibrate samples.ts --evaluate metric.ts --max-drop 0.005",
      description: "INT8 within an accuracy budget"
    },
    {
      command: "anneal build net.onnx -o net.engine --min-shapes x:1x3 --opt-shapes x:4x3 --max-shapes x:8x3",
      description: "A profile of shapes"
    }
  ])
)
