/**
 * NodeThreadWorker: the file that a worker of Node runs.
 */
import { parentPort } from "node:worker_threads"
import type { ToWorker } from "./ThreadProtocol.ts"
import { serve } from "./ThreadWorker.ts"

const answer = serve(() => parentPort?.postMessage("ready"))
parentPort?.on("message", (message: ToWorker) => answer(message))
