/**
 * Device work in a process of its own, with a deadline: a kernel that never ends, or crashes the context or the process,
 * costs that process and is reported by name; the caller lives on. Each stage has the deadline to itself.
 *
 * The parent: `Isolated.run({ entry, payload, deadline: "10 seconds" })`. The child (the module `entry`):
 * `Isolated.serve((payload, stage) => …)`, which says `stage("kernel gemm_128x128")` before each thing that may not return.
 */
import { fork } from "node:child_process"
import type { Serializable } from "node:child_process"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** It was still running at the deadline and was ended. */
export const DidNotEnd = Schema.TaggedStruct("DidNotEnd", { milliseconds: Schema.Number })
/** The process ended without an answer. */
export const Died = Schema.TaggedStruct("Died", { how: Schema.String, output: Schema.String })
/** The work itself reported an error. */
export const Failed = Schema.TaggedStruct("Failed", { name: Schema.String, detail: Schema.String })

/** Work in a process of its own did not come to an answer. `stage` is the last thing that it said it was about to do. */
export class IsolatedError extends Schema.TaggedError<IsolatedError>()("IsolatedError", {
  stage: Schema.String,
  reason: Schema.Union([DidNotEnd, Died, Failed])
}) {
  override get message(): string {
    const what = this.stage === "" ? "before its first stage" : `in "${this.stage}"`
    switch (this.reason._tag) {
      case "DidNotEnd":
        return `did not end ${what} within ${this.reason.milliseconds} ms; its process was ended`
      case "Died":
        return `its process ended ${what} (${this.reason.how})${this.reason.output === "" ? "" : `: ${this.reason.output}`}`
      case "Failed":
        return `failed ${what}: ${this.reason.detail}`
    }
  }
}

export interface Job {
  /** The module that calls `serve`, as a path. */
  readonly entry: string
  readonly payload: Serializable
  /** For each stage, from when it was said to begin; 30 seconds unless said otherwise. */
  readonly deadline?: Duration.Input
  /** From the start of the process to its first stage; 60 seconds unless said otherwise. */
  readonly startup?: Duration.Input
  /** Options for node itself, before the entry. Default: those of this process. */
  readonly execArgv?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
}

const Message = Schema.Union([
  Schema.TaggedStruct("Stage", { name: Schema.String }),
  Schema.TaggedStruct("Done", { value: Schema.Unknown }),
  Schema.TaggedStruct("Error", { name: Schema.String, detail: Schema.String })
])
const isMessage = Schema.is(Message)

const outputLimit = 4000

/** Runs the job and gives back what `serve`'s function returned (plain data). Interruption ends the process. */
export const run = (job: Job): Effect.Effect<unknown, IsolatedError> =>
  Effect.callback<unknown, IsolatedError>((resume) => {
    const deadline = Duration.toMillis(Duration.fromInputUnsafe(job.deadline ?? "30 seconds"))
    const startup = Duration.toMillis(Duration.fromInputUnsafe(job.startup ?? "60 seconds"))
    const child = fork(job.entry, [], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "advanced",
      env: { ...process.env, ...job.environment },
      ...(job.execArgv === undefined ? {} : { execArgv: [...job.execArgv] })
    })
    let stage = ""
    let output = ""
    let answered = false
    const answer = (effect: Effect.Effect<unknown, IsolatedError>): void => {
      if (answered) return
      answered = true
      clearTimeout(timer)
      child.kill("SIGKILL")
      resume(effect)
    }
    const fail = (reason: IsolatedError["reason"]): void => answer(Effect.fail(new IsolatedError({ stage, reason })))
    const expire = (milliseconds: number): NodeJS.Timeout =>
      setTimeout(() => fail(DidNotEnd.make({ milliseconds })), milliseconds)
    let timer = expire(startup)
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString("utf8")).slice(-outputLimit)
    }
    child.stdout?.on("data", keep)
    child.stderr?.on("data", keep)
    child.on("message", (message) => {
      if (!isMessage(message)) return
      if (message._tag === "Stage") {
        stage = message.name
        clearTimeout(timer)
        if (!answered) timer = expire(deadline)
      } else if (message._tag === "Done") answer(Effect.succeed(message.value))
      else fail(Failed.make({ name: message.name, detail: message.detail }))
    })
    child.on("error", (error) => fail(Died.make({ how: error.message, output })))
    // `close`, not `exit`: what it wrote last has arrived by then.
    child.on("close", (code, signal) =>
      fail(
        Died.make({
          how: signal === null ? `exit code ${code ?? "unknown"}` : `signal ${signal}`,
          output: output.trim()
        })
      )
    )
    child.send(job.payload, (error) => {
      if (error !== null) fail(Died.make({ how: error.message, output }))
    })
    return Effect.sync(() => {
      answered = true
      clearTimeout(timer)
      child.kill("SIGKILL")
    })
  })

/** The child's side: answers one job, then ends the process. */
export const serve = (
  work: (payload: unknown, stage: (name: string) => Promise<void>) => Promise<Serializable | undefined>
): void => {
  const send = (message: typeof Message.Type): Promise<void> =>
    new Promise((resolve, reject) => {
      if (process.send === undefined) reject(new Error("this module is run by Isolated.run, not by itself"))
      else process.send(message, undefined, {}, (error) => (error === null ? resolve() : reject(error)))
    })
  process.once("message", (payload: unknown) => {
    work(payload, (name) => send({ _tag: "Stage", name }))
      .then(
        (value) => send({ _tag: "Done", value }),
        (error: unknown) =>
          send({
            _tag: "Error",
            name: error instanceof Error ? error.name : "Error",
            detail: error instanceof Error ? error.message : String(error)
          })
      )
      .finally(() => process.exit())
  })
}
