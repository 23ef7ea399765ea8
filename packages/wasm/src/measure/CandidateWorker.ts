/**
 * CandidateWorker: the worker in which candidates run: what they do wrong ends here, and what does not end is ended from
 * outside.
 */
import { parentPort } from "node:worker_threads"
import type { Instance, Memory } from "../WebAssembly.ts"
import { host } from "../WebAssembly.ts"
import type { Answer, Request } from "./Protocol.ts"

let loaded: { readonly memory: Memory; readonly instance: Instance } | undefined

const load = ({ image, module, symbols }: Extract<Request, { readonly kind: "load" }>): Answer => {
  try {
    const memory = new host.Memory({ initial: image.length / 65_536, maximum: 65_536 })
    new Uint8Array(memory.buffer).set(image)
    loaded = { memory, instance: new host.Instance(new host.Module(module), { env: { memory, ...symbols } }) }
    return { kind: "loaded" }
  } catch (cause) {
    return { kind: "refused", detail: cause instanceof Error ? cause.message : String(cause) }
  }
}

const answer = (request: Request): Answer => {
  if (request.kind === "load") return load(request)
  const kernel = loaded?.instance.exports["kernel"]
  if (loaded === undefined || typeof kernel !== "function") return { kind: "refused", detail: "nothing is loaded" }
  try {
    if (request.kind === "check") {
      for (const call of request.calls) kernel(...call)
      return { kind: "checked", memory: Uint8Array.from(new Uint8Array(loaded.memory.buffer)) }
    }
    const { calls, iterations } = request
    const begin = performance.now()
    for (let round = 0; round < iterations; round++) kernel(...(calls[round % calls.length] ?? []))
    return { kind: "timed", nanoseconds: Math.max(1, (performance.now() - begin) * 1e6) }
  } catch (cause) {
    return { kind: "trap", detail: cause instanceof Error ? cause.message : String(cause) }
  }
}

parentPort?.on("message", (request: Request) => {
  const made = answer(request)
  const { buffer } = made.kind === "checked" ? made.memory : new Uint8Array()
  parentPort?.postMessage(made, buffer instanceof ArrayBuffer ? [buffer] : [])
})
