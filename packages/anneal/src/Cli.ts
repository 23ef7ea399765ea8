/**
 * The `anneal` command: parsing, running, printing, exit codes. `bin.ts` calls it; tests call it too.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Command from "effect/cli/Command"
import { env } from "node:process"
import { generatorVersion } from "@anneal/engine/Engine"
import { bench } from "./commands/Bench.ts"
import { build } from "./commands/Build.ts"
import { compare } from "./commands/Compare.ts"
import { doctor } from "./commands/Doctor.ts"
import { inspect } from "./commands/Inspect.ts"
import { lock } from "./commands/Lock.ts"
import { run } from "./commands/Run.ts"
import * as ExitCode from "./ExitCode.ts"
import * as Report from "./Report.ts"

const anneal = Command.make("anneal").pipe(
  Command.withDescription(
    `From a trained model to a validated, tuned, explainable inference engine.\n\nExit codes:\n${ExitCode.help}`
  ),
  Command.withSubcommands([build, run, compare, bench, inspect, lock, doctor])
)

const parse = Command.runWith(anneal, { version: generatorVersion })

/** Help that was asked for is a success; help that explains a mistake is not. */
const helpCode = (error: unknown): number | undefined => {
  if (!Predicate.hasProperty(error, "_tag") || error._tag !== "ShowHelp") return undefined
  return Predicate.hasProperty(error, "errors") && Array.isArray(error.errors) && error.errors.length > 0 ? 2 : 0
}

/** Runs a command line (without the program's name); gives the exit code. Never fails. */
export const main = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const asJson = args.includes("--json")
    const exit = yield* Effect.exit(parse(args))
    if (Exit.isSuccess(exit)) return 0
    if (Cause.hasInterruptsOnly(exit.cause)) return ExitCode.interrupted
    const error = Cause.findErrorOption(exit.cause)
    if (Option.isSome(error)) {
      const help = helpCode(error.value)
      if (help !== undefined) return help
      yield* Report.failure(error.value, asJson)
      return ExitCode.of(error.value)
    }
    yield* Report.defect(Cause.squash(exit.cause), asJson)
    if (env["ANNEAL_STACK"] === "1") yield* Console.error(Cause.pretty(exit.cause))
    return ExitCode.defect
  })
