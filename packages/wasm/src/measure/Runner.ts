/**
 * Runner: a worker in which candidates run, seen from outside. It answers one request at a time, and is ended when it does
 * not answer in time.
 */
import { MeasurerError } from "@anneal/pipeline/Measurer"
import * as Effect from "effect/Effect"
import { Worker } from "node:worker_threads"
import type { Answer, Request } from "./Protocol.ts"

const file = new URL(import.meta.url.endsWith(".ts") ? "./CandidateWorker.ts" : "./CandidateWorker.js", import.meta.url)

export class Runner {
  readonly #worker = new Worker(file, { execArgv: [] })
  #ended = false

  constructor() {
    this.#worker.unref()
    this.#worker.on("exit", () => {
      this.#ended = true
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Undefined: it did not answer in time, and is ended. */
  ask(request: Request, deadline: number): Effect.Effect<Answer | undefined, MeasurerError> {
    return Effect.callback<Answer | undefined, MeasurerError>((resume) => {
      const worker = this.#worker
      const finish = (effect: Effect.Effect<Answer | undefined, MeasurerError>): void => {
        clearTimeout(timer)
        worker.off("message", onMessage)
        worker.off("error", onError)
        resume(effect)
      }
      const onMessage = (answer: Answer): void => finish(Effect.succeed(answer))
      const onError = (cause: Error): void => {
        this.#ended = true
        finish(
          Effect.fail(
            new MeasurerError({
              detail: `the worker ended: ${cause.message}`,
              action: "look at the memory of this machine"
            })
          )
        )
      }
      const timer = setTimeout(() => {
        this.end()
        finish(Effect.succeed(undefined))
      }, deadline)
      worker.on("message", onMessage)
      worker.on("error", onError)
      worker.postMessage(request)
      return Effect.sync(() => {
        // Interrupted: what it is doing is nobody's any more.
        clearTimeout(timer)
        this.end()
      })
    })
  }

  end(): void {
    this.#ended = true
    void this.#worker.terminate()
  }
}
