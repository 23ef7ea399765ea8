/**
 * The recording device's books: every object that is alive, what depends on what, what is ordered before what, and the log.
 */
import { CudaError, Hazard, refuse } from "../../CudaError.ts"
import type { DeviceInfo } from "../../DeviceInfo.ts"
import type { Handle, LaunchShape, Parameters, Wait } from "../../Driver.ts"
import * as Ordering from "../../Ordering.ts"
import type { Entry, KernelSignature } from "../../RecordingDevice.ts"

export type Kind =
  | "context"
  | "stream"
  | "event"
  | "pool"
  | "buffer"
  | "pinned memory"
  | "module"
  | "function"
  | "launch"
  | "product"
  | "graph"
  | "graph executable"

/** One access of a work, before it has a stream and a time. */
export interface Touch {
  readonly object: Handle
  readonly start: number
  readonly end: number
  readonly reads: boolean
  readonly writes: boolean
}

export interface Work {
  readonly what: string
  readonly touches: ReadonlyArray<Touch>
  /** Modules: they must be alive, nothing more. */
  readonly needs: ReadonlyArray<Handle>
}

export interface Capture {
  readonly origin: Handle
  readonly streams: Array<Handle>
  readonly works: Array<{ work: Work; kernel: string | undefined }>
  readonly history: Map<Handle, Array<Ordering.Access>>
}

export interface Common {
  readonly id: Handle
  readonly context: Handle
  readonly parents: ReadonlyArray<Handle>
  children: number
}
export type Subject = Common &
  (
    | { readonly kind: "context"; readonly ordinal: number; used: number; peak: number }
    | { readonly kind: "stream"; readonly clock: Ordering.Clock; time: number; capture: Capture | undefined }
    | {
        readonly kind: "event"
        readonly timing: boolean
        recorded: Ordering.Clock | undefined
        capture: Capture | undefined
        at: number
      }
    | { readonly kind: "pool"; used: number }
    | {
        readonly kind: "buffer"
        readonly bytes: number
        readonly address: number
        readonly label: string
        readonly origin: "plain" | "stream" | "guarded" | "global"
        readonly pool: Handle
        history: Array<Ordering.Access>
        written: Ordering.Ranges
      }
    | {
        readonly kind: "pinned memory"
        readonly buffer: ArrayBuffer
        readonly bytes: number
        readonly ours: boolean
        history: Array<Ordering.Access>
      }
    | { readonly kind: "module"; readonly functions: Array<Handle>; history: Array<Ordering.Access> }
    | {
        readonly kind: "function"
        readonly name: string
        readonly module: Handle
        sharedLimit: number
        clusterLimit: number
        readonly parameterBytes: number | undefined
      }
    | { readonly kind: "launch"; readonly fn: Handle; readonly shape: LaunchShape; parameters: Parameters }
    | {
        readonly kind: "product"
        /** Of A, B, D and the bias. */
        readonly bytes: readonly [number, number, number, number]
        readonly workspaceBytes: ReadonlyArray<number>
        history: Array<Ordering.Access>
      }
    | { readonly kind: "graph"; readonly capture: Capture }
    | {
        readonly kind: "graph executable"
        readonly works: Array<{ work: Work; kernel: string | undefined }>
        history: Array<Ordering.Access>
      }
  )
export type Of<K extends Kind> = Extract<Subject, { readonly kind: K }>

export interface RecordingOptions {
  readonly devices: ReadonlyArray<DeviceInfo>
  readonly kernels: Readonly<Record<string, KernelSignature>> | undefined
  readonly checkUninitialised: boolean
}

export const make = (options: RecordingOptions) => {
  const subjects = new Map<Handle, Subject>()
  const log: Array<Entry> = []
  const host: Ordering.Clock = new Map()
  const peaks = new Map<number, number>()
  let nextHandle = 1
  let nextAddress = 0x7f00_0000_0000
  let ticks = 0

  // --- The table ---------------------------------------------------------------------------------------------------

  const take = <K extends Kind>(kind: K, handle: Handle, doing: string): Of<K> => {
    const found = subjects.get(handle)
    if (found === undefined)
      throw refuse(
        "ANNEAL_STALE_HANDLE",
        doing,
        `the ${kind} (handle ${handle}) is not alive: it was released, or never existed`
      )
    if (!isKind(found, kind)) throw refuse("ANNEAL_WRONG_KIND", doing, `expected a ${kind}, got a ${found.kind}`)
    return found
  }
  const isKind = <K extends Kind>(subject: Subject, kind: K): subject is Of<K> => subject.kind === kind
  const fresh = (context: Handle, ...parents: ReadonlyArray<Handle>): Common => {
    for (const parent of parents) {
      const found = subjects.get(parent)
      if (found !== undefined) found.children++
    }
    return { id: nextHandle++, context, parents, children: 0 }
  }
  const add = (subject: Subject): Handle => {
    subjects.set(subject.id, subject)
    return subject.id
  }
  const remove = (subject: Subject, doing: string): void => {
    if (subject.children > 0)
      throw refuse(
        "ANNEAL_HAS_CHILDREN",
        doing,
        `this ${subject.kind} still has ${subject.children} live object(s) made from it: release those first`
      )
    for (const parent of subject.parents) {
      const found = subjects.get(parent)
      if (found !== undefined) found.children--
    }
    subjects.delete(subject.id)
  }
  const sameDevice = (a: Subject, b: Subject, doing: string): void => {
    if (a.context === b.context) return
    const ordinal = (subject: Subject): string => {
      const context = subjects.get(subject.context)
      return context?.kind === "context" ? String(context.ordinal) : "?"
    }
    throw refuse(
      "ANNEAL_WRONG_DEVICE",
      doing,
      `the ${a.kind} belongs to device ${ordinal(a)}, the ${b.kind} to device ${ordinal(b)}, or to another opening of it`
    )
  }
  const charge = (context: Of<"context">, bytes: number, doing: string): void => {
    const total = options.devices[context.ordinal]?.totalBytes ?? 0
    if (context.used + bytes > total)
      throw refuse(
        "CUDA_ERROR_OUT_OF_MEMORY",
        doing,
        `out of memory: ${total - context.used} of ${total} bytes are free`
      )
    context.used += bytes
    context.peak = Math.max(context.peak, context.used)
    peaks.set(context.ordinal, Math.max(peaks.get(context.ordinal) ?? 0, context.peak))
  }

  // --- Accesses and order ------------------------------------------------------------------------------------------

  const inside = (size: number, what: string, offset: number, bytes: number, doing: string): void => {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(bytes) || offset < 0 || bytes < 0)
      throw refuse("ANNEAL_BAD_ARGUMENT", doing, "offsets and lengths must be integers from 0 to 2^53 - 1")
    if (offset + bytes > size)
      throw refuse("ANNEAL_OUT_OF_RANGE", doing, `bytes ${offset} to ${offset + bytes} of ${what} of ${size} bytes`)
  }
  const hazard = (kind: "race" | "overlap" | "uninitialised", doing: string, description: string): CudaError =>
    new CudaError({ doing, description, code: "ANNEAL_HAZARD", call: "", reason: Hazard.make({ kind }) })
  const nameOf = (subject: Subject | undefined): string =>
    subject === undefined
      ? "something"
      : subject.kind === "buffer" && subject.label !== ""
        ? `buffer "${subject.label}"`
        : `${subject.kind} ${subject.id}`

  const apply = (stream: Of<"stream">, work: Work, time: number, clock: Ordering.Clock): void => {
    for (const touch of work.touches) {
      const subject = subjects.get(touch.object)
      if (subject === undefined || !("history" in subject))
        throw refuse("ANNEAL_STALE_HANDLE", work.what, "a buffer or module that it uses has been released")
      const access = {
        stream: stream.id,
        time,
        start: touch.start,
        end: touch.end,
        writes: touch.writes,
        what: work.what
      }
      const other = Ordering.conflict(subject.history, access, clock)
      if (other !== undefined)
        throw hazard(
          "race",
          work.what,
          `bytes ${touch.start} to ${touch.end} of ${nameOf(subject)}: nothing orders it after "${other.what}" on another stream`
        )
      if (subject.kind === "buffer") {
        const gap =
          touch.reads && options.checkUninitialised
            ? Ordering.firstGap(subject.written, touch.start, touch.end)
            : undefined
        if (gap !== undefined)
          throw hazard(
            "uninitialised",
            work.what,
            `reads bytes ${gap.start} to ${gap.end} of ${nameOf(subject)}, which nothing has written`
          )
        if (touch.writes) subject.written = Ordering.withRange(subject.written, touch.start, touch.end)
      }
      subject.history = Ordering.remember(subject.history, access, clock)
    }
    for (const needed of work.needs) {
      const subject = subjects.get(needed)
      if (subject === undefined || !("history" in subject))
        throw refuse("ANNEAL_STALE_HANDLE", work.what, "a buffer or module that it uses has been released")
      subject.history = Ordering.remember(
        subject.history,
        { stream: stream.id, time, start: 0, end: 1, writes: false, what: work.what },
        clock
      )
    }
  }
  const advance = (stream: Of<"stream">): { time: number; clock: Ordering.Clock } => {
    Ordering.merge(stream.clock, host)
    const time = ++stream.time
    stream.clock.set(stream.id, time)
    return { time, clock: stream.clock }
  }
  const submit = (stream: Of<"stream">, work: Work, entry: Entry, kernel?: string): void => {
    const { time, clock } = advance(stream)
    if (stream.capture === undefined) apply(stream, work, time, clock)
    else {
      for (const touch of work.touches) {
        const history = stream.capture.history.get(touch.object) ?? []
        const access = {
          stream: stream.id,
          time,
          start: touch.start,
          end: touch.end,
          writes: touch.writes,
          what: work.what
        }
        const other = Ordering.conflict(history, access, clock)
        if (other !== undefined)
          throw hazard(
            "race",
            work.what,
            `bytes ${touch.start} to ${touch.end} of ${nameOf(subjects.get(touch.object))}: nothing orders it after "${other.what}" in the graph`
          )
        stream.capture.history.set(touch.object, Ordering.remember(history, access, clock))
      }
      stream.capture.works.push({ work, kernel })
    }
    log.push(entry)
  }
  const requireOver = (subject: Subject & { history: Array<Ordering.Access> }, doing: string): void => {
    const open = subject.history.find((access) => !Ordering.isBefore(access, host) && subjects.has(access.stream))
    if (open !== undefined)
      throw refuse(
        "ANNEAL_BUSY",
        doing,
        `the device may still be using this ${subject.kind} ("${open.what}"): wait until it has settled`
      )
  }
  const finished = (clock: ReadonlyMap<number, number>): Wait => {
    const reached = new Map(clock)
    return {
      id: 0,
      done: Promise.resolve().then(() => {
        Ordering.merge(host, reached)
        return true
      })
    }
  }
  const newBuffer = (
    common: Common,
    bytes: number,
    label: string,
    origin: Of<"buffer">["origin"],
    pool: Handle
  ): Handle => {
    const address = nextAddress
    nextAddress += Math.ceil(bytes / 256) * 256 + 4096
    log.push({ _tag: "Allocate", buffer: common.id, bytes, label, origin })
    return add({ ...common, kind: "buffer", bytes, address, label, origin, pool, history: [], written: [] })
  }
  const positive = (bytes: number, doing: string): void => {
    if (!Number.isSafeInteger(bytes) || bytes < 1)
      throw refuse("ANNEAL_BAD_ARGUMENT", doing, "bytes must be an integer of at least 1")
  }
  /** A point in time for events: each is later than the one before. */
  const tick = (): number => ++ticks
  return {
    options,
    subjects,
    log,
    host,
    peaks,
    take,
    isKind,
    fresh,
    add,
    remove,
    sameDevice,
    charge,
    inside,
    hazard,
    nameOf,
    apply,
    advance,
    submit,
    requireOver,
    finished,
    newBuffer,
    positive,
    tick
  }
}

export type Books = ReturnType<typeof make>
