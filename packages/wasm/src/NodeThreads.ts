/**
 * NodeThreads: workers of `node:worker_threads`, for `Executor.layer({ threads: 2, spawn: NodeThreads.spawn })`.
 */
import { Worker } from "node:worker_threads"
import type { Spawn } from "./Threads.ts"

/** The worker's file, beside this one, in the form that this one has. */
const file = new URL(
  import.meta.url.endsWith(".ts") ? "./NodeThreadWorker.ts" : "./NodeThreadWorker.js",
  import.meta.url
)

export const spawn: Spawn = () => {
  // No flags of the process: a worker needs none of them.
  const worker = new Worker(file, { execArgv: [], stdout: false })
  worker.unref()
  return {
    post: (message) => worker.postMessage(message),
    onReady: (ready) => void worker.once("message", ready),
    onExit: (ended) => {
      let why: string | undefined
      worker.on("error", (error) => {
        why = error instanceof Error ? error.message : String(error)
      })
      worker.on("exit", (code) => ended(why ?? `it ended with code ${code}`))
    },
    terminate: () => worker.terminate().then(() => undefined)
  }
}
