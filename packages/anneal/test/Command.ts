// Runs the command, in this process or in one of its own, and keeps what it prints.
import * as Cli from "anneal/Cli"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

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

export interface Ended extends Omit<Ran, "code"> {
  /** null: it was killed. */
  readonly code: number | null
  /** Milliseconds. */
  readonly took: number
}

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url))

/** Runs the command in a process of its own; kills it outright after so many milliseconds, if given. */
export const child = (args: ReadonlyArray<string>, killAfter?: number): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const started = performance.now()
    const spawned = spawn(process.execPath, ["--conditions=@anneal/source", bin, ...args], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    const out: Array<string> = []
    const err: Array<string> = []
    spawned.stdout.on("data", (piece: Buffer) => void out.push(piece.toString()))
    spawned.stderr.on("data", (piece: Buffer) => void err.push(piece.toString()))
    const timer = killAfter === undefined ? undefined : setTimeout(() => spawned.kill("SIGKILL"), killAfter)
    spawned.on("close", (code) => {
      clearTimeout(timer)
      resume(Effect.succeed({ code, out: out.join(""), err: err.join(""), took: performance.now() - started }))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      spawned.kill("SIGKILL")
    })
  })
