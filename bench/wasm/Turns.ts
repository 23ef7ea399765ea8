// Times several contestants against each other: each in a process of its own, asked in turns (A B C A B C …), in several
// rounds of fresh processes. The ratio of two contestants is the median of the ratios of neighbouring turns, so that a
// change of the clock, or a busy neighbour, moves both sides of it. In a turn, all that compute on one thread run on the same
// core, and the next turn is on the next core.
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Contestant } from "./Contestant.ts"
import { flags } from "./Contestant.ts"
import type { Call, Footprint, Loaded, Reply, Request, Tensors } from "./Protocol.ts"
import * as SameCore from "./SameCore.ts"

export interface Protocol {
  /** Rounds of fresh processes. */
  readonly rounds: number
  /** Turns of each contestant in a round. */
  readonly turns: number
  /** Least length of a turn and of the warm-up before the first, in milliseconds. */
  readonly turn: number
  readonly warmUp: number
}

export const standard: Protocol = { rounds: 3, turns: 10, turn: 40, warmUp: 400 }

/** What a contestant did, over all rounds. */
export interface Record {
  readonly contestant: Contestant
  /** The first reason why it could not be timed. */
  error: string | undefined
  version: string | undefined
  /** By call, by turn (of all rounds, in order): milliseconds of each run. Turns with equal places were neighbours. */
  readonly turns: Map<Call, Array<Float64Array>>
  readonly loads: Array<Loaded>
  readonly footprints: Array<Footprint>
  /** Of the subject's `probes`, in their order; measured in the first round. */
  readonly probed: Array<Tensors>
  /** Whether every turn was on the core of the others' turn; false with several threads. */
  sameCore: boolean
}

interface Worker {
  readonly process: number | undefined
  readonly ask: (request: Request) => Promise<Reply>
  readonly stop: () => Promise<void>
}

const start = (contestant: Contestant): Worker => {
  const child = fork(fileURLToPath(new URL("Worker.ts", import.meta.url)), [contestant.library], {
    execArgv: [...flags(contestant)],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"]
  })
  let complaint = ""
  child.stderr?.on("data", (text: Buffer) => void (complaint = (complaint + text.toString()).slice(-2000)))
  let settle: ((reply: Reply) => void) | undefined
  const reply = (value: Reply): void => {
    settle?.(value)
    settle = undefined
  }
  child.on("message", reply)
  const ended = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      reply({ _tag: "failed", detail: error.message })
      resolve()
    })
    child.on("exit", (code, signal) => {
      const last = complaint.trim().split("\n").at(-1) ?? ""
      reply({ _tag: "failed", detail: `its process ended with ${signal ?? `code ${code}`}${last && `: ${last}`}` })
      resolve()
    })
  })
  let gone = false
  void ended.then(() => (gone = true))
  return {
    process: child.pid,
    ask: (request) =>
      new Promise((resolve) => {
        if (gone) return resolve({ _tag: "failed", detail: "its process has ended" })
        settle = resolve
        child.send(request)
      }),
    stop: async () => {
      child.kill("SIGKILL")
      await ended
    }
  }
}

/** What is timed: a model as each library takes it, and what must come out. */
export interface Subject {
  /** The file that a contestant loads; an error's text where there is none. */
  readonly file: (contestant: Contestant) => { readonly path: string } | { readonly error: string }
  readonly inputs: Tensors
  /** What is wrong with the outputs, if anything. */
  readonly verdict: (outputs: Tensors, contestant: Contestant) => string | undefined
  /** Inputs beyond those that are timed, whose outputs are kept. */
  readonly probes?: ReadonlyArray<Tensors>
}

/** Loads a contestant and checks what it computes. Gives the process, or notes why there is none. */
const enter = async (record: Record, subject: Subject): Promise<Worker | undefined> => {
  const { contestant } = record
  const file = subject.file(contestant)
  if ("error" in file) {
    record.error ??= file.error
    return undefined
  }
  const worker = start(contestant)
  const loaded = await worker.ask({
    _tag: "load",
    file: file.path,
    inputs: subject.inputs,
    threads: contestant.threads
  })
  const problem =
    loaded._tag === "loaded"
      ? subject.verdict(loaded.outputs, contestant)
      : loaded._tag === "failed"
        ? loaded.detail
        : "it gave no answer"
  if (loaded._tag !== "loaded" || problem !== undefined) {
    record.error ??= problem
    await worker.stop()
    return undefined
  }
  if (record.probed.length === 0)
    for (const inputs of subject.probes ?? []) {
      const reply = await worker.ask({ _tag: "infer", inputs })
      if (reply._tag === "inferred") record.probed.push(reply.outputs)
      else record.error ??= reply._tag === "failed" ? reply.detail : "it gave no answer"
    }
  record.version = loaded.version
  record.loads.push({ ...loaded, outputs: {} })
  return worker
}

const timed = async (worker: Worker, call: Call, milliseconds: number): Promise<Float64Array | string> => {
  const reply = await worker.ask({ _tag: "turn", call, milliseconds, atLeast: 3 })
  return reply._tag === "timed" ? reply.times : reply._tag === "failed" ? reply.detail : "it gave no answer"
}

const round = async (records: ReadonlyArray<Record>, subject: Subject, protocol: Protocol): Promise<void> => {
  const entered: Array<{ readonly record: Record; readonly worker: Worker; readonly calls: ReadonlyArray<Call> }> = []
  try {
    for (const record of records) {
      const worker = await enter(record, subject)
      if (worker !== undefined) entered.push({ record, worker, calls: record.loads.at(-1)?.calls ?? [] })
    }
    for (const { calls, record, worker } of entered)
      for (const call of calls) {
        const warm = await timed(worker, call, protocol.warmUp)
        if (typeof warm === "string") record.error ??= warm
      }
    for (let turn = 0; turn < protocol.turns; turn++)
      for (const { calls, record, worker } of entered) {
        if (record.sameCore) record.sameCore = worker.process !== undefined && SameCore.pin(worker.process, turn)
        for (const call of calls) {
          const times = await timed(worker, call, protocol.turn)
          if (typeof times === "string") record.error ??= times
          else record.turns.set(call, [...(record.turns.get(call) ?? []), times])
        }
      }
    for (const { record, worker } of entered) {
      const reply = await worker.ask({ _tag: "footprint" })
      if (reply._tag === "footprint") record.footprints.push(reply.footprint)
    }
  } finally {
    for (const { worker } of entered) await worker.stop()
  }
}

/** Times all contestants on one subject. A contestant that cannot run is in the result, with why. */
export const time = async (
  contestants: ReadonlyArray<Contestant>,
  subject: Subject,
  protocol: Protocol
): Promise<ReadonlyArray<Record>> => {
  const records = contestants.map((contestant): Record => ({
    contestant,
    error: undefined,
    version: undefined,
    turns: new Map(),
    loads: [],
    footprints: [],
    probed: [],
    sameCore: contestant.threads === 1
  }))
  for (let count = 0; count < protocol.rounds; count++) await round(records, subject, protocol)
  return records
}
