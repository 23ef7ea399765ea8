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
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker of Node, no window
    post: (message) => worker.postMessage(message),
    onExit: (ended) => {
      worker.on("exit", ended)
      worker.on("error", ended)
    },
    terminate: () => void worker.terminate()
  }
}
