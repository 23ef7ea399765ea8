/** `anneal inspect FILE [--json]`: what is in an engine or a model; with a second file, what differs. */
import * as Diff from "@anneal/engine/Diff"
import { asEngineError } from "@anneal/engine/Engine"
import * as Inspects from "@anneal/engine/Inspect"
import * as Text from "@anneal/ir/Text"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Model from "../Model.ts"
import * as Plugin from "../Plugin.ts"
import * as Report from "../Report.ts"
import * as Options from "./Options.ts"

export const inspect = Command.make(
  "inspect",
  {
    file: Argument.String("file").pipe(Argument.withDescription("An engine or an ONNX model")),
    other: Argument.String("other").pipe(
      Argument.withDescription("Another engine, to compare with"),
      Argument.optional
    ),
    graph: Flag.Boolean("graph").pipe(Flag.withDescription("Print the graph's text form"), Flag.withDefault(false)),
    plugin: Options.plugin,
    json: Options.json
  },
  Effect.fn(function* ({ file, graph, json, other, plugin }) {
    const plugins = yield* Plugin.load(plugin)
    const opened = yield* Model.read(file, plugins)
    const show = Effect.gen(function* () {
      if (Option.isSome(other)) {
        const { engine } = yield* Model.read(other.value, plugins)
        const differences = yield* Effect.try({
          try: () => Diff.diff(opened.engine, engine, plugins.ops),
          catch: (cause) => asEngineError(cause, file)
        })
        return yield* Report.result({ differences }, () => Diff.format(differences))
      }
      if (graph) {
        const text = yield* Effect.try({
          try: () => Text.print(opened.engine.graph(undefined, plugins.ops)),
          catch: (cause) => asEngineError(cause, file)
        })
        return yield* Report.result({ graph: text }, () => text)
      }
      const summary =
        opened.kind === "model"
          ? Inspects.summarizeModel(opened.imported.graph, file)
          : yield* Effect.try({
              try: () => Inspects.summarize(opened.engine, plugins.ops),
              catch: (cause) => asEngineError(cause, file)
            })
      yield* Report.result({ ...summary }, () => Inspects.format(summary))
    })
    yield* Effect.provideService(show, Report.AsJson, json)
  })
).pipe(Command.withDescription("Show what is in an engine or a model, or what differs between two engines"))
