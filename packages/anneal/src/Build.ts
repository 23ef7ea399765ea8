/**
 * From a model to an engine: import, the pipeline, assembly.
 *
 * ```ts
 * const built = yield* Build.build({ model: "net.onnx", output: "net.engine" })
 * ```
 * Needs the oracle, the target, and what the precision asks for: samples and a calibrator for INT8, an evaluator for a
 * budget. Equal inputs give an equal engine, to the byte.
 */
import * as Engine from "@anneal/engine/Engine"
import * as EngineFile from "@anneal/engine/EngineFile"
import * as Manifest from "@anneal/engine/Manifest"
import { BindError } from "@anneal/ir/Bind"
import * as IR from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Export from "@anneal/onnx/Export"
import { Calibrator } from "@anneal/pipeline/Calibrator"
import { Evaluator, type Score } from "@anneal/pipeline/Evaluator"
import { Graph } from "@anneal/pipeline/Graph"
import * as Key from "@anneal/pipeline/Key"
import type { Ledger } from "@anneal/pipeline/Ledger"
import type { Oracle } from "@anneal/pipeline/Oracle"
import * as Pipelines from "@anneal/pipeline/Pipeline"
import { Samples } from "@anneal/pipeline/Samples"
import { Target } from "@anneal/pipeline/Target"
import * as Verdicts from "@anneal/pipeline/Verdicts"
import * as WholeFile from "@anneal/pipeline/WholeFile"
import * as Budget from "@anneal/quantize/Budget"
import * as Precision from "@anneal/quantize/Precision"
import * as MemoryPlan from "@anneal/runtime/MemoryPlan"
import * as Profiles from "@anneal/runtime/Profiles"
import { MemoryError } from "@anneal/runtime/RuntimeError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Compiling from "./Compiling.ts"
import * as DefaultPipeline from "./DefaultPipeline.ts"
import * as Evaluate from "./Evaluate.ts"
import type { InputShapes } from "./Model.ts"
import * as Model from "./Model.ts"
import type { Plugins } from "./Plugin.ts"
import * as Plugin from "./Plugin.ts"
import { UsageError } from "./UsageError.ts"

/** Shapes of one profile. */
export interface ProfileShapes {
  readonly min?: Profiles.Shapes
  readonly opt?: Profiles.Shapes
  readonly max?: Profiles.Shapes
}

/** The element types of products: those of the model, or narrower ones. */
export type Precisions = "float" | "f16" | "bf16" | "int8" | "int4"

/** A pipeline that starts from a graph and ends in one, as `--pipeline` takes it. */
export interface UserPipeline {
  readonly steps: ReadonlyArray<string>
  readonly build: () => Effect.Effect<
    { readonly known: Context.Context<Graph>; readonly ledger: Ledger },
    unknown,
    Graph | Oracle | Target | Samples | Calibrator | Evaluator
  >
}

/** Beside the model's own options: how what is to be decided is decided. */
export interface BuildOptions extends Compiling.Options {
  readonly model: string
  readonly output: string
  /** Shapes that pin sizes of the model, or give ranks that it leaves out. */
  readonly shapes?: InputShapes
  /** Profiles; none: the engine takes every shape that the model takes. */
  readonly profiles?: ReadonlyArray<ProfileShapes>
  readonly precision?: Precisions
  /** Greatest loss of the evaluator's metric, in its own units. */
  readonly maxDrop?: number
  /** Products that stay float when quantising. */
  readonly keep?: ReadonlyArray<string>
  /** Weights use all their bits when quantising, though the target would be faster with fewer (a reduced range). */
  readonly fullRange?: boolean
  /** Names of passes to leave out. */
  readonly disable?: ReadonlyArray<string>
  /** Instead of the default pipeline. */
  readonly pipeline?: UserPipeline
  readonly plugins?: Plugins
  /** Outputs that come back as inputs: state. */
  readonly state?: ReadonlyArray<IR.Alias>
  /** Bytes that weights and values may take together at the largest profile. */
  readonly memoryLimit?: number
  readonly strip?: boolean
  /** Also write the optimised graph as ONNX, for others' tools. */
  readonly saveOnnx?: string
}

export interface Built {
  readonly output: string
  readonly bytes: number
  /** The engine's seal. */
  readonly digest: string
  readonly source: IR.Graph
  readonly graph: IR.Graph
  readonly ledger: Ledger
  readonly manifest: Manifest.Manifest
  /** Undefined for a target that has nothing to decide. */
  readonly decided: Compiling.Decided | undefined
}

/** What a pipeline made. */
interface Made {
  readonly graph: IR.Graph
  readonly ledger: Ledger
  readonly choices: Precision.Choices | undefined
}

const made = (known: Context.Context<Graph>, ledger: Ledger): Made => ({
  graph: Pipelines.get(known, Graph),
  ledger,
  choices: undefined
})

/** Makes the graph of an engine from a model's. */
type Run<E, R> = (options: BuildOptions, plugins: Plugins, source: IR.Graph) => Effect.Effect<Made, E, R>

/** Imports, runs the pipeline, assembles, writes. */
const buildBy =
  <E, R>(run: Run<E, R>) =>
  (options: BuildOptions) =>
    Effect.gen(function* () {
      const plugins = options.plugins ?? Plugin.none
      const target = yield* Target
      yield* Model.mustBeWritable(options.output)
      if (options.saveOnnx !== undefined) yield* Model.mustBeWritable(options.saveOnnx)
      const imported = yield* Model.importOnnx(options.model, plugins, options.shapes)
      const source = yield* withState(imported.graph, options.state ?? [])
      // Before the work, so that a profile that cannot be is refused at once; again below, for the graph that is kept.
      yield* profilesOf(source, options.profiles ?? [])
      const verdicts = yield* Compiling.verdictsIn(options)
      const { choices, graph, ledger } = yield* Effect.provideService(
        run(options, plugins, source),
        Verdicts.Verdicts,
        verdicts
      )
      const profiles = yield* profilesOf(graph, options.profiles ?? [])
      yield* withinLimit(options, graph, profiles)
      const { decided, fusionsOff, payload } = yield* Compiling.compile(target, graph, profiles, options, ledger)
      const about: Manifest.About = {
        ...Manifest.aboutModel(source.name, Hash.content(source), imported.provenance),
        stages: Manifest.stagesOf(ledger),
        decisions: {
          disabled: [...(options.disable ?? [])].sort(),
          fusionsOff: [...fusionsOff],
          plugins: plugins.names
        },
        precision: choices === undefined ? narrowNodes(graph) : precisionOf(choices),
        calibration: yield* calibrationOf(ledger),
        accuracy: yield* accuracyOf(options, source, graph, choices)
      }
      const variants = [{ name: target.name, target: target.name, features: target.features, graph, profiles, payload }]
      const layout = Engine.assemble({ about, source, variants, strip: options.strip ?? false })
      yield* EngineFile.write(options.output, layout)
      if (options.saveOnnx !== undefined) yield* writeOnnx(options.saveOnnx, graph)
      const { digest, manifest } = yield* EngineFile.read(options.output, { verify: "lazily" })
      const built: Built = {
        output: options.output,
        bytes: layout.byteLength,
        digest,
        source,
        graph,
        ledger,
        manifest,
        decided
      }
      return built
    })

const enabled = (options: BuildOptions, plugins: Plugins) =>
  Effect.try({
    try: () => DefaultPipeline.enabled(plugins, options.disable ?? []),
    catch: (cause) => (cause instanceof UsageError ? cause : new UsageError({ detail: String(cause) }))
  })

/** Floats, of the model's types or narrower ones. */
const buildFloats = buildBy((options, plugins, source) =>
  Effect.gen(function* () {
    const passes = yield* enabled(options, plugins)
    const { keep = [], precision } = options
    if (precision !== "f16" && precision !== "bf16") {
      const { known, ledger } = yield* DefaultPipeline.floats(passes).build()
      return made(known, ledger)
    }
    const narrow = { to: precision, keep }
    const samples = yield* Effect.serviceOption(Samples)
    const calibrator = yield* Effect.serviceOption(Calibrator)
    if (Option.isSome(samples) && Option.isSome(calibrator)) {
      const { known, ledger } = yield* DefaultPipeline.narrowed(passes, narrow)
        .build()
        .pipe(Effect.provideService(Samples, samples.value), Effect.provideService(Calibrator, calibrator.value))
      return made(known, ledger)
    }
    // Without samples nothing is known of the activations; the stage says so.
    const { known, ledger } = yield* DefaultPipeline.narrowedUnchecked(passes, narrow).build()
    return made(known, ledger)
  }).pipe(Effect.provideService(Graph, source))
)

const quantizing = ({ fullRange = false, keep = [], precision }: BuildOptions): DefaultPipeline.QuantizeOptions => ({
  bits: precision === "int4" ? 4 : 8,
  keep,
  fullRange
})

const buildQuantized = buildBy((options, plugins, source) =>
  Effect.gen(function* () {
    const pipeline = DefaultPipeline.quantized(yield* enabled(options, plugins), quantizing(options))
    const { known, ledger } = yield* pipeline.build()
    return made(known, ledger)
  }).pipe(Effect.provideService(Graph, source))
)

const buildWithin = buildBy((options, plugins, source) =>
  Effect.gen(function* () {
    const within = { ...quantizing(options), maxDrop: options.maxDrop ?? 0 }
    const { known, ledger } = yield* DefaultPipeline.quantizedWithin(yield* enabled(options, plugins), within).build()
    return { ...made(known, ledger), choices: Pipelines.get(known, Precision.Precision) }
  }).pipe(Effect.provideService(Graph, source))
)

const buildByUser = (pipeline: UserPipeline) =>
  buildBy((_, __, source) =>
    pipeline.build().pipe(
      Effect.map(({ known, ledger }) => made(known, ledger)),
      Effect.provideService(Graph, source)
    )
  )

type Default = BuildOptions & { readonly pipeline?: never }
type Quantized = Default & { readonly precision: "int8" | "int4" }

/** Builds an engine and writes it. What it needs is what its options ask for. */
export function build(
  options: Default & { readonly precision?: "float" | "f16" | "bf16" }
): ReturnType<typeof buildFloats>
export function build(options: Quantized & { readonly maxDrop?: never }): ReturnType<typeof buildQuantized>
export function build(options: Quantized & { readonly maxDrop: number }): ReturnType<typeof buildWithin>
export function build(options: BuildOptions): ReturnType<ReturnType<typeof buildByUser>>
export function build(options: BuildOptions): ReturnType<ReturnType<typeof buildByUser>> {
  if (options.pipeline !== undefined) return buildByUser(options.pipeline)(options)
  if (options.precision !== "int8" && options.precision !== "int4") return buildFloats(options)
  return options.maxDrop === undefined ? buildQuantized(options) : buildWithin(options)
}

const writeOnnx = (path: string, graph: IR.Graph) =>
  Effect.gen(function* () {
    const bytes = yield* Export.exportModel(graph)
    yield* Effect.mapError(
      WholeFile.writeBytes(path, bytes),
      (error) => new UsageError({ detail: `${path} cannot be written: ${WholeFile.explain(error)}` })
    )
  })

/** The graph with outputs bound back to inputs. */
const withState = (graph: IR.Graph, state: ReadonlyArray<IR.Alias>): Effect.Effect<IR.Graph, UsageError> => {
  const wrong = state.filter(
    ({ input, output }) =>
      !graph.inputs.some(({ name }) => name === input) || !graph.outputs.some(({ name }) => name === output)
  )
  return wrong.length === 0
    ? Effect.succeed(state.length === 0 ? graph : { ...graph, aliases: [...graph.aliases, ...state] })
    : Effect.fail(
        new UsageError({
          detail: `--state ${wrong.map(({ input, output }) => `${input}=${output}`).join(", ")}: the inputs are ${graph.inputs.map(({ name }) => name).join(", ")}, the outputs ${graph.outputs.map(({ name }) => name).join(", ")}`
        })
      )
}

const profilesOf = (
  graph: IR.Graph,
  shapes: ReadonlyArray<ProfileShapes>
): Effect.Effect<ReadonlyArray<Manifest.Profile>, BindError> =>
  Effect.try({
    try: () =>
      shapes.length === 0
        ? [{ name: "any", dims: {} }]
        : shapes.map((one, index) => Profiles.profileOf(graph, `profile ${index}`, one)),
    catch: (cause) => {
      if (cause instanceof BindError) return cause
      throw cause
    }
  })

const withinLimit = (
  { memoryLimit: limit, output }: BuildOptions,
  graph: IR.Graph,
  profiles: ReadonlyArray<Manifest.Profile>
): Effect.Effect<void, MemoryError> =>
  Effect.suspend(() => {
    if (limit === undefined) return Effect.void
    for (const profile of profiles) {
      const { at, peak, weights } = MemoryPlan.plan(graph, MemoryPlan.largest(profile))
      if (weights + peak > limit)
        return Effect.fail(
          new MemoryError({ engine: output, limit, weights, peak, at, shapes: Profiles.list([profile]) })
        )
    }
    return Effect.void
  })

const precisionOf = ({ products }: Precision.Choices): ReadonlyArray<Manifest.PrecisionEntry> =>
  Object.values(products).map(({ node, noise, precision, reason }) => ({
    node,
    from: "f32",
    to: precision === "float" ? "f32" : precision,
    why: reason === "" ? `noise ${noise.toExponential(2)} of the signal's power` : reason
  }))

/** Nodes whose results are narrower than f32, or that take integers in place of floats: what a build without a budget did. */
const narrowNodes = (graph: IR.Graph): ReadonlyArray<Manifest.PrecisionEntry> =>
  [...IR.allNodes(graph)].flatMap((node) => {
    const [result] = node.outputs
    const why = node.lineage.rewrites.find((step) => /^(?:narrow|quantize)/.test(step))
    if (result === undefined || why === undefined || result.type.dtype === "f32") return []
    return [{ node: IR.nodeName(node), from: "f32", to: result.type.dtype, why }]
  })

/** What calibrated, where the pipeline did. */
const calibrationOf = (ledger: Ledger) =>
  Effect.gen(function* () {
    const calibrator = yield* Effect.serviceOption(Calibrator)
    const samples = yield* Effect.serviceOption(Samples)
    if (Option.isNone(calibrator) || Option.isNone(samples)) return null
    if (!ledger.some(({ stage }) => /(?:^|\/)calibrate@/.test(stage))) return null
    const unknown = { name: calibrator.value.name, version: 0, config: null }
    const calibration: Manifest.Calibration = {
      calibrator: calibrator.value.identity ?? unknown,
      samples: Key.digest(samples.value.identity ?? unknown),
      count: samples.value.count ?? 0
    }
    return calibration
  })

/** Scores before and after, where there is an evaluator; a budget that floats do not keep is refused. */
const accuracyOf = (
  { maxDrop }: BuildOptions,
  source: IR.Graph,
  graph: IR.Graph,
  choices: Precision.Choices | undefined
) =>
  Effect.gen(function* () {
    const evaluator = yield* Effect.serviceOption(Evaluator)
    if (Option.isNone(evaluator)) return null
    const scored = (one: IR.Graph) => Effect.provideService(Evaluate.score(one), Evaluator, evaluator.value)
    // A budget has measured both already; what follows it changes nothing.
    const before: Score = choices?.before ?? (yield* scored(source))
    const after: Score = choices?.after ?? (yield* scored(graph))
    if (maxDrop !== undefined && Budget.drop(before, after) > maxDrop + 1e-12)
      return yield* new Budget.BudgetExceeded({
        metric: before.metric,
        before: before.value,
        best: after.value,
        quantized: after.value,
        maxDrop,
        spenders: []
      })
    const accuracy: Manifest.Accuracy = { before, after, maxDrop: maxDrop ?? null }
    return accuracy
  })
