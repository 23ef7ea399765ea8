/** `anneal bench ENGINE [--shapes x:1x3x224x224]`: latency, throughput, memory, and where the time goes. */
import { asEngineError } from "@anneal/engine/Engine"
import * as Bind from "@anneal/ir/Bind"
import * as MemoryPlan from "@anneal/runtime/MemoryPlan"
import * as Profiles from "@anneal/runtime/Profiles"
import type { Session, Tensors } from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Benches from "../Bench.ts"
import * as BenchReport from "../BenchReport.ts"
import * as Cases from "../Cases.ts"
import * as DurationOption from "../DurationOption.ts"
import * as Host from "../Host.ts"
import * as Plugin from "../Plugin.ts"
import * as Report from "../Report.ts"
import * as ShapeOption from "../ShapeOption.ts"
import { UsageError } from "../UsageError.ts"
import * as Options from "./Options.ts"

const graphOf = (session: Session, plugins: Plugin.Plugins) =>
  Effect.try({
    try: () => session.engine.graph(session.variant, plugins.ops),
    catch: (cause) => asEngineError(cause, session.engine.file)
  })

/** Inputs of the first case in a folder, or random ones of the shapes asked for; and a word on where they come from. */
const inputsOf = (
  session: Session,
  plugins: Plugin.Plugins,
  {
    cases,
    seed,
    shapes
  }: { readonly cases: string | undefined; readonly seed: number; readonly shapes: Profiles.Shapes }
) =>
  Effect.gen(function* () {
    if (cases !== undefined) {
      if (shapes.size > 0)
        return yield* new UsageError({ detail: "--cases and --shapes contradict each other: a case has its shapes" })
      const [first] = yield* Cases.list(cases)
      if (first === undefined) return yield* new UsageError({ detail: `${cases} has no cases` })
      const names = session.inputs.map(({ name }) => name)
      const given: Tensors = yield* Cases.read(first.inputs, names, "input")
      return { given, origin: `case ${first.name}` }
    }
    const graph = yield* graphOf(session, plugins)
    const { chosen, shapes: all } = yield* Effect.try({
      try: () => Benches.sizes(graph, session.profiles, shapes),
      catch: (cause) => {
        if (cause instanceof Bind.BindError) return cause
        throw cause
      }
    })
    const guessed = [...chosen].map(([symbol, extent]) => `${symbol} = ${extent}`)
    const advice = guessed.length === 0 ? "" : ` with ${guessed.join(", ")} (--shapes says otherwise)`
    return { given: Benches.inputs(graph, all, seed), origin: `random inputs, seed ${seed}${advice}` }
  })

/** Weights and values at these inputs, by the plan of the graph. */
const planAt = (session: Session, plugins: Plugin.Plugins, given: Tensors) =>
  Effect.map(graphOf(session, plugins), (graph) => {
    const shapes = new Map(Object.entries(given).map(([name, { shape }]) => [name, shape] as const))
    const { peak, weights } = MemoryPlan.plan(graph, Profiles.bindShapes(graph, shapes))
    return { weights, peak }
  })

export const bench = Command.make(
  "bench",
  {
    engine: Argument.String("engine").pipe(Argument.withDescription("An engine or an ONNX model")),
    shapes: Options.repeated(
      "shapes",
      "Shapes of the random inputs: x:1x3x224x224 (default: the profile's best, or 1)"
    ),
    cases: Options.text("cases", "Measure on the first case of this folder rather than on random inputs"),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Seed of random inputs and ops"), Flag.withDefault(1)),
    duration: Flag.String("duration").pipe(
      Flag.withDescription("How long each measurement takes"),
      Flag.withDefault("3 seconds")
    ),
    warmUp: Flag.String("warm-up").pipe(
      Flag.withDescription("How long runs are not counted at first"),
      Flag.withDefault("500 ms")
    ),
    regions: Flag.Int("regions").pipe(
      Flag.withDescription("How many regions the table shows, the heaviest first"),
      Flag.withDefault(20)
    ),
    ...Options.host,
    plugin: Options.plugin,
    json: Options.json
  },
  Effect.fn(function* (given) {
    const plugins = yield* Plugin.load(given.plugin)
    const options = yield* Options.read(() => ({
      shapes: ShapeOption.parseNumbers("--shapes", given.shapes),
      duration: DurationOption.parse("--duration", given.duration),
      warmUp: DurationOption.parse("--warm-up", given.warmUp),
      host: Options.hostOf(given)
    }))
    const show = Effect.gen(function* () {
      const resident = process.memoryUsage.rss()
      const began = performance.now()
      const choose = (session: Session) =>
        inputsOf(session, plugins, {
          cases: Option.getOrUndefined(given.cases),
          seed: given.seed,
          shapes: options.shapes
        })
      const session = yield* Host.open(given.engine, plugins, options.host, (one) =>
        Effect.map(choose(one), (chosen) => chosen.given)
      )
      const loaded = performance.now()
      const { given: inputs, origin } = yield* choose(session)
      const before = performance.now()
      yield* session.run(inputs, { seed: given.seed })
      const first = { load: loaded - began, run: performance.now() - before }
      const measured = yield* Benches.measure(session, yield* graphOf(session, plugins), inputs, {
        ...options,
        seed: given.seed
      })
      const plan = yield* planAt(session, plugins, inputs)
      const { features, name: variant } = session.engine.manifest.variants.find(
        ({ name }) => name === session.variant
      ) ?? {
        features: [],
        name: session.variant
      }
      const about = {
        engine: given.engine,
        target: [session.target, ...features].join("+"),
        threads: options.host.threads ?? 1,
        inputs: Object.entries(inputs).map(([name, { dtype, shape }]) => `${name} ${dtype}[${shape.join(", ")}]`),
        origin,
        first,
        resident,
        plan
      }
      const json = { ...about, digest: session.engine.digest, variant, wide: options.host.wide, ...measured }
      yield* Report.result(json, () => BenchReport.format(about, measured, given.regions))
    })
    yield* show.pipe(
      Effect.scoped,
      Effect.provide(Host.execution(plugins, options.host)),
      Effect.provideService(Report.AsJson, given.json)
    )
  })
).pipe(
  Command.withDescription("Measure an engine: latency, throughput, first inference, memory, and each region's share"),
  Command.withExamples([
    { command: "anneal bench net.engine", description: "One caller, random inputs" },
    { command: "anneal bench net.engine --shapes x:8x3x224x224 --threads 2 --json", description: "For scripts" }
  ])
)
