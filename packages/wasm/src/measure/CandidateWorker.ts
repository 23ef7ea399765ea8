/**
 * CandidateWorker: the worker in which candidates run: what they do wrong ends here, and what does not end is ended from
 * outside.
 */
import { parentPort } from "node:worker_threads"
import type { Instance, Memory, Module } from "../WebAssembly.ts"
import { host } from "../WebAssembly.ts"
import * as Footprint from "./Footprint.ts"
import type { Answer, Call, Check, Content, Findings, Request, SizedCheck } from "./Protocol.ts"

type Requested<K extends Request["kind"]> = Extract<Request, { readonly kind: K }>

interface Loaded {
  readonly module: Module
  readonly memory: Memory
  /** Of the memory's pages, those that are used. */
  readonly pages: number
  readonly instance: Instance
  placed: Footprint.Placed
}

let loaded: Loaded | undefined

const detailOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const instantiate = (module: Module, memory: Memory, pages: number, symbols: SizedCheck["symbols"]): Loaded => {
  const instance = new host.Instance(module, { env: { memory, ...symbols } })
  return { module, memory, pages, instance, placed: { pieces: [], fill: 0 } }
}

const pageBytes = 65_536

/** Looked up each time: a kernel that lets memory grow leaves another buffer. */
const bytesOf = ({ memory, pages }: Loaded): Uint8Array => new Uint8Array(memory.buffer, 0, pages * pageBytes)

const load = ({ module, pages, symbols }: Requested<"load">): Answer => {
  // The memory before may be as large as this one, and nothing needs it any more.
  loaded = undefined
  try {
    const memory = new host.Memory({ initial: pages, maximum: 65_536 })
    loaded = instantiate(new host.Module(module), memory, pages, symbols)
    return { kind: "ready" }
  } catch (cause) {
    return { kind: "refused", detail: detailOf(cause) }
  }
}

const check = (of: Loaded, run: (call: Call) => void, { footprint, orders, whole }: Check): Answer => {
  const { placed } = of
  const bytes = (): Uint8Array => bytesOf(of)
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

const place = (into: Loaded, placed: Footprint.Placed): void => {
  into.placed = placed
  Footprint.place(bytesOf(into), placed)
}

/** One check after another, until the code stops by itself. */
const examine = <C extends Check & Content>(checks: ReadonlyArray<C>, into: (one: C) => Loaded): Answer => {
  const answers: Array<Answer> = []
  for (const one of checks) {
    try {
      const made = into(one)
      const kernel = made.instance.exports["kernel"]
      if (typeof kernel !== "function") return { kind: "refused", detail: "nothing is loaded" }
      place(made, one)
      answers.push(check(made, (call) => void kernel(...call), one))
    } catch (cause) {
      answers.push({ kind: "trap", detail: detailOf(cause) })
      break
    }
  }
  return { kind: "examined", answers }
}

/** At each of the sizes, in as much of the memory as they need: a memory costs a millisecond. */
const atSize =
  ({ memory, module }: Loaded) =>
  ({ pages, symbols }: SizedCheck): Loaded => {
    const there = memory.buffer.byteLength / pageBytes
    if (there < pages) memory.grow(pages - there)
    return instantiate(module, memory, pages, symbols)
  }

const answer = (request: Request): Answer => {
  if (request.kind === "load") return load(request)
  const kernel = loaded?.instance.exports["kernel"]
  if (loaded === undefined || typeof kernel !== "function") return { kind: "refused", detail: "nothing is loaded" }
  if (request.kind === "place") {
    place(loaded, request)
    return { kind: "ready" }
  }
  const here = loaded
  if (request.kind === "check") return examine(request.checks, () => here)
  if (request.kind === "sizes") return examine(request.checks, atSize(here))
  try {
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
  const all = made.kind === "examined" ? made.answers : [made]
  const copies = all.flatMap((one) => (one.kind === "checked" ? one.results : []))
  parentPort?.postMessage(
    made,
    copies.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []))
  )
})
