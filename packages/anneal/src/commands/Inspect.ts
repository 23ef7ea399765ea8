/** `anneal inspect FILE [--json]`: what is in an engine or a model; with a second file, what differs. */
import * as Diff from "@anneal/engine/Diff"
import { asEngineError, type Engine } from "@anneal/engine/Engine"
import * as Inspects from "@anneal/engine/Inspect"
import * as Text from "@anneal/ir/Text"
import type { Entry } from "@anneal/tune/Entry"
import type { FileError } from "@anneal/tune/FileError"
import * as Journal from "@anneal/tune/Journal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join } from "node:path"
import * as CacheFolder from "../CacheFolder.ts"
import * as Compiling from "../Compiling.ts"
import * as Explained from "../Explained.ts"
import * as Model from "../Model.ts"
import * as Plugin from "../Plugin.ts"
import * as ProgramLines from "../ProgramLines.ts"
import * as Regions from "../Regions.ts"
import * as Report from "../Report.ts"
import * as Tuning from "../Tuning.ts"
import { UsageError } from "../UsageError.ts"
import * as Options from "./Options.ts"

/** Entries of the journal that was named, or of this machine's own. */
const measurements = (
  named: Option.Option<string>
): Effect.Effect<ReadonlyArray<Entry>, UsageError | FileError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const there = (path: string) => Effect.orElseSucceed(files.exists(path), () => false)
    const read = (path: string) =>
      Effect.map(
        Effect.provide(
          Effect.flatMap(Journal.Journal, (journal) => journal.read),
          Journal.layerFile(path)
        ),
        ({ entries }) => entries
      )
    if (Option.isNone(named)) {
      const own = join(CacheFolder.defaultFolder(), Tuning.journalName)
      return (yield* there(own)) ? yield* read(own) : []
    }
    const beside = Compiling.journalOf(named.value)
    if (yield* there(beside)) return yield* read(beside)
    if (!(yield* there(named.value)))
      return yield* new UsageError({ detail: `--journal ${named.value}: there is no such file` })
    return yield* read(named.value)
  })

/** The reports of all variants, explained. */
const programsOf = (engine: Engine, entries: ReadonlyArray<Entry>) =>
  Effect.try({
    try: () =>
      engine.manifest.variants.flatMap(({ name }) =>
        [...Regions.reports(engine, name).values()].map((report) => Explained.explain(name, report, entries))
      ),
    catch: (cause) => asEngineError(cause, engine.file)
  })

export const inspect = Command.make(
  "inspect",
  {
    file: Argument.String("file").pipe(Argument.withDescription("An engine or an ONNX model")),
    other: Argument.String("other").pipe(
      Argument.withDescription("Another engine, to compare with"),
      Argument.optional
    ),
    graph: Flag.Boolean("graph").pipe(Flag.withDescription("Print the graph's text form"), Flag.withDefault(false)),
    brief: Flag.Boolean("brief").pipe(
      Flag.withDescription("Leave out regions, fusions and the memory plan"),
      Flag.withDefault(false)
    ),
    fusions: Flag.Boolean("fusions").pipe(
      Flag.withDescription("Also list the fusions that were made, by the ids that build --fusion-off takes"),
      Flag.withDefault(false)
    ),
    journal: Options.text("journal", "Measurements to explain decisions by: a journal, or the lock that it is beside"),
    plugin: Options.plugin,
    json: Options.json
  },
  Effect.fn(function* ({ brief, file, fusions, graph, journal, json, other, plugin }) {
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
      const programs = brief ? [] : yield* programsOf(opened.engine, yield* measurements(journal))
      yield* Report.result({ ...summary, ...(programs.length === 0 ? {} : { programs }) }, () =>
        [
          Inspects.format(summary),
          ...programs.map(
            (program, place) => `\n${ProgramLines.lines(program, { fusions, before: programs[place - 1] }).join("\n")}`
          )
        ].join("\n")
      )
    })
    yield* Effect.provideService(show, Report.AsJson, json)
  })
).pipe(Command.withDescription("Show what is in an engine or a model, or what differs between two engines"))
