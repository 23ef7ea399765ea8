/**
 * The process of the `anneal` command: runs a command line on this machine's services and sets the exit code.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Cli from "./Cli.ts"

/** `args` without the program's name. */
export const run = (args: ReadonlyArray<string>): void =>
  Cli.main(args).pipe(
    Effect.tap((code) => Effect.sync(() => void (process.exitCode = code))),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true })
  )
