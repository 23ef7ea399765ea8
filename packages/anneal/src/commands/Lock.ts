/** `anneal lock diff A B`, `anneal lock merge A B -o C`: what locks decide differently; two locks as one. */
import * as LockDiff from "@anneal/tune/LockDiff"
import * as LockFile from "@anneal/tune/LockFile"
import * as LockMerge from "@anneal/tune/LockMerge"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Model from "../Model.ts"
import * as Report from "../Report.ts"
import * as Options from "./Options.ts"

const two = {
  a: Argument.String("a").pipe(Argument.withDescription("A lock file")),
  b: Argument.String("b").pipe(Argument.withDescription("Another lock file"))
}

/** A lock's file; a missing one is told apart from a broken one. */
const read = (path: string) => Effect.andThen(Model.mustExist(path), LockFile.read(path))

const diff = Command.make(
  "diff",
  { ...two, json: Options.json },
  Effect.fn(function* ({ a, b, json }) {
    const show = Effect.gen(function* () {
      const differences = LockDiff.diff(yield* read(a), yield* read(b))
      const text = () => LockDiff.format(differences)
      if (differences.length === 0) return yield* Report.result({ differences }, text)
      const count = `${differences.length} ${differences.length === 1 ? "difference" : "differences"}`
      return yield* Report.mismatch(`the locks differ: ${count}`, { differences }, text)
    })
    yield* Effect.provideService(show, Report.AsJson, json)
  })
).pipe(Command.withDescription("Show which decisions differ between two locks (exit code 1 when some do)"))

const merge = Command.make(
  "merge",
  {
    ...two,
    output: Flag.String("output").pipe(Flag.withAlias("o"), Flag.withDescription("The lock to write")),
    prefer: Flag.Literals("prefer", ["a", "b"]).pipe(
      Flag.withDescription("Whose decision counts where both decide differently; without it nothing is merged then"),
      Flag.optional
    ),
    json: Options.json
  },
  Effect.fn(function* ({ a, b, json, output, prefer }) {
    const show = Effect.gen(function* () {
      yield* Model.mustBeWritable(output)
      const merged = LockMerge.merge(
        yield* read(a),
        yield* read(b),
        Option.isSome(prefer) ? { prefer: prefer.value } : {}
      )
      if (merged._tag === "Conflicts") {
        const { conflicts } = merged
        const header = conflicts.some(({ _tag }) => _tag === "Header")
        const advice = header
          ? "they are for different things, and cannot be merged"
          : "choose with --prefer a or --prefer b"
        return yield* Report.mismatch(`the locks contradict each other: ${advice}`, { conflicts }, () =>
          LockMerge.format(conflicts)
        )
      }
      yield* LockFile.write(output, merged.lock)
      const decisions = merged.lock.decisions.length
      return yield* Report.result({ output, decisions }, () => `${output}: ${decisions} decisions`)
    })
    yield* Effect.provideService(show, Report.AsJson, json)
  })
).pipe(Command.withDescription("Make one lock of two: everything that either decides"))

export const lock = Command.make("lock").pipe(
  Command.withDescription("Compare and merge lock files: what was decided for a build"),
  Command.withSubcommands([diff, merge]),
  Command.withExamples([
    { command: "anneal lock diff old.lock new.lock", description: "What another machine decided differently" },
    {
      command: "anneal lock merge a.lock b.lock -o both.lock",
      description: "Decisions of two models or machines in one file"
    }
  ])
)
