/**
 * CandidateWorker: the worker in which candidates run: what they do wrong ends here, and what does not end is ended from
 * outside.
 */
import { parentPort } from "node:worker_threads"
import type { Instance, Memory } from "../WebAssembly.ts"
import { host } from "../WebAssembly.ts"
import * as Footprint from "./Footprint.ts"
import type { Answer, Call, Findings, Request } from "./Protocol.ts"

type Requested<K extends Request["kind"]> = Extract<Request, { readonly kind: K }>

interface Loaded {
  readonly memory: Memory
  readonly instance: Instance
  placed: Footprint.Placed
}

let loaded: Loaded | undefined

const detailOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const load = ({ module, pages, symbols }: Requested<"load">): Answer => {
  // The memory before may be as large as this one, and nothing needs it any more.
  loaded = undefined
  try {
    const memory = new host.Memory({ initial: pages, maximum: 65_536 })
    loaded = {
      memory,
      instance: new host.Instance(new host.Module(module), { env: { memory, ...symbols } }),
      placed: { pieces: [], fill: 0 }
    }
    return { kind: "ready" }
  } catch (cause) {
    return { kind: "refused", detail: detailOf(cause) }
  }
}

const check = (
  { memory, placed }: Loaded,
  run: (call: Call) => void,
  { footprint, orders, whole }: Requested<"check">
): Answer => {
  // Looked up each time: a kernel that lets memory grow leaves another buffer.
  const bytes = (): Uint8Array => new Uint8Array(memory.buffer)
  run(whole)
  const results = Footprint.results(bytes(), footprint)
  const checked = (findings: Findings): Answer => ({ kind: "checked", results, findings })
  const stray = Footprint.stray(bytes(), placed, footprint)
  if (stray !== undefined) return checked({ stray })
  const unwritten = Footprint.unwritten(bytes(), placed, footprint)
  const seen: Findings = unwritten === undefined ? {} : { unwritten }
  for (const parts of orders) {
    Footprint.restore(bytes(), placed, footprint)
    try {
      for (const part of parts) {
        Footprint.clearScratch(bytes(), placed, footprint)
        run(part)
      }
    } catch (cause) {
      return checked({ ...seen, trap: detailOf(cause) })
    }
    const different = Footprint.different(bytes(), results, footprint) ?? Footprint.stray(bytes(), placed, footprint)
    if (different !== undefined) return checked({ ...seen, different })
  }
  return checked(seen)
}

const answer = (request: Request): Answer => {
  if (request.kind === "load") return load(request)
  const kernel = loaded?.instance.exports["kernel"]
  if (loaded === undefined || typeof kernel !== "function") return { kind: "refused", detail: "nothing is loaded" }
  if (request.kind === "place") {
    loaded.placed = request
    Footprint.place(new Uint8Array(loaded.memory.buffer), loaded.placed)
    return { kind: "ready" }
  }
  try {
    if (request.kind === "check") return check(loaded, (call) => void kernel(...call), request)
    const { calls, iterations } = request
    const begin = performance.now()
    for (let round = 0; round < iterations; round++) kernel(...(calls[round % calls.length] ?? []))
    return { kind: "timed", nanoseconds: Math.max(1, (performance.now() - begin) * 1e6) }
  } catch (cause) {
    return { kind: "trap", detail: detailOf(cause) }
  }
}

parentPort?.on("message", (request: Request) => {
  const made = answer(request)
  const copies = made.kind === "checked" ? made.results : []
  parentPort?.postMessage(
    made,
    copies.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []))
  )
})
