// A real measurer, small: candidates are JavaScript, each in a worker of its own that can be terminated.
import * as Measurer from "@anneal/pipeline/Measurer"
import type { Candidate } from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Worker } from "node:worker_threads"

/** Milliseconds after which a candidate hangs. */
const LIMIT = 4000

// The kernel computes y = 2x + 1; its memory has guard cells after the output.
const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads")
const n = 4096
let kernel
const x = Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i)))
const memory = new Float32Array(n + 64)
const check = () => {
  memory.fill(-77)
  const y = memory.subarray(0, n + 64)
  kernel(x, y, n)
  for (let i = 0; i < n; i++) {
    const expected = Math.fround(2 * x[i] + 1)
    if (Number.isNaN(y[i])) return { reason: "NotFinite", detail: "element " + i + " is NaN" }
    if (Math.abs(y[i] - expected) > 1e-6) return { reason: "Wrong", detail: "element " + i + " is " + y[i] + ", not " + expected }
  }
  if (memory.subarray(n).some((cell) => cell !== -77)) return { reason: "StrayWrite", detail: "behind the output" }
  return undefined
}
parentPort.on("message", ({ iterations }) => {
  try {
    kernel ??= new Function("x", "y", "n", workerData.source)
    if (iterations === 0) return parentPort.postMessage({ rejected: check() })
    const start = process.hrtime.bigint()
    for (let i = 0; i < iterations; i++) kernel(x, memory, n)
    parentPort.postMessage({ took: Number(process.hrtime.bigint() - start) })
  } catch (error) {
    const reason = error instanceof SyntaxError ? "Refused" : "Trap"
    parentPort.postMessage({ rejected: { reason, detail: String(error) } })
  }
})
`

interface Reply {
  readonly took?: number
  readonly rejected?: { readonly reason: Measurer.RejectionReason; readonly detail: string }
}

const sourceOf = ({ config }: Candidate): string => {
  if (typeof config !== "object" || config === null) return ""
  const { source } = Object.fromEntries(Object.entries(config))
  return typeof source === "string" ? source : ""
}

const ask = (worker: Worker, iterations: number) =>
  Effect.callback<Reply, Measurer.MeasurerError>((resume) => {
    const failed = (error: Error) =>
      resume(Effect.fail(new Measurer.MeasurerError({ detail: error.message, action: "look at the worker" })))
    const replied = (reply: Reply) => {
      worker.off("error", failed)
      resume(Effect.succeed(reply))
    }
    worker.once("error", failed)
    worker.once("message", replied)
    worker.postMessage({ iterations }, [])
    return Effect.sync(() => {
      worker.off("error", failed)
      worker.off("message", replied)
    })
  }).pipe(
    Effect.timeoutOrElse({
      duration: LIMIT,
      orElse: () =>
        Effect.andThen(
          Effect.promise(() => worker.terminate()),
          Effect.fail(
            new Measurer.Rejected({ reason: "Hang", detail: `no answer in ${LIMIT} ms`, evidence: { iterations } })
          )
        )
    }),
    Effect.flatMap((reply) =>
      reply.rejected === undefined
        ? Effect.succeed(reply.took ?? 0)
        : Effect.fail(new Measurer.Rejected({ ...reply.rejected, evidence: { iterations } }))
    )
  )

export const layer = (onRun: (candidate: Candidate) => void): Layer.Layer<Measurer.Measurer> =>
  Layer.effect(
    Measurer.Measurer,
    Measurer.make({
      name: "workers",
      identity: { name: "workers", version: 1, config: {} },
      generator: "javascript@1",
      features: [],
      parallel: 2,
      prepare: (_, candidate) =>
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => new Worker(PROGRAM, { eval: true, workerData: { source: sourceOf(candidate) } })),
            (worker) => Effect.promise(() => worker.terminate())
          ),
          (worker) => ({
            check: Effect.asVoid(ask(worker, 0)),
            run: ({ iterations }: Measurer.Batch) => {
              onRun(candidate)
              return ask(worker, iterations)
            }
          })
        )
    })
  )
