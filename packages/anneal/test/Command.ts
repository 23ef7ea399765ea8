// Runs the command in this process and keeps what it prints.
import * as Cli from "anneal/Cli"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export const command = (...args: ReadonlyArray<string>): Effect.Effect<Ran> =>
  Effect.gen(function* () {
    const console = yield* Console.Console
    const out: Array<string> = []
    const err: Array<string> = []
    const capture: Console.Console = Object.assign(Object.create(console), {
      log: (...parts: ReadonlyArray<unknown>) => void out.push(parts.join(" ")),
      error: (...parts: ReadonlyArray<unknown>) => void err.push(parts.join(" "))
    })
    const code = yield* Cli.main(args).pipe(
      Effect.provide(NodeServices.layer),
      Effect.provideService(Console.Console, capture)
    )
    return { code, out: out.join("\n"), err: err.join("\n") }
  })
