/**
 * A `Driver` without a device: it keeps the books (what is alive, who depends on whom, what is ordered before what) and
 * refuses what the real one would refuse or, worse, would run into. See RecordingDevice.ts.
 */
import { CudaError, Hazard, refuse } from "../CudaError.ts"
import type { DeviceInfo } from "../DeviceInfo.ts"
import type { Driver, Handle, LaunchShape, Parameters, Wait } from "../Driver.ts"
import * as Ordering from "../Ordering.ts"
import type { Entry, KernelSignature } from "../RecordingDevice.ts"

type Kind =
  | "context"
  | "stream"
  | "event"
  | "pool"
  | "buffer"
  | "pinned memory"
  | "module"
  | "function"
  | "launch"
  | "graph"
  | "graph executable"

/** One access of a work, before it has a stream and a time. */
interface Touch {
  readonly object: Handle
  readonly start: number
  readonly end: number
  readonly reads: boolean
  readonly writes: boolean
}

interface Work {
  readonly what: string
  readonly touches: ReadonlyArray<Touch>
  /** Modules: they must be alive, nothing more. */
  readonly needs: ReadonlyArray<Handle>
}

interface Capture {
  readonly origin: Handle
  readonly streams: Array<Handle>
  readonly works: Array<{ work: Work; kernel: string | undefined }>
  readonly history: Map<Handle, Array<Ordering.Access>>
}

interface Common {
  readonly id: Handle
  readonly context: Handle
  readonly parents: ReadonlyArray<Handle>
  children: number
}
type Subject = Common &
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
    | { readonly kind: "graph"; readonly capture: Capture }
    | {
        readonly kind: "graph executable"
        readonly works: Array<{ work: Work; kernel: string | undefined }>
        history: Array<Ordering.Access>
      }
  )
type Of<K extends Kind> = Extract<Subject, { readonly kind: K }>

export interface RecordingOptions {
  readonly devices: ReadonlyArray<DeviceInfo>
  readonly kernels: Readonly<Record<string, KernelSignature>> | undefined
  readonly checkUninitialised: boolean
}

export interface RecordingState {
  readonly driver: Driver
  readonly log: Array<Entry>
  readonly peakBytes: (ordinal: number) => number
  readonly liveObjects: () => ReadonlyArray<string>
}

const three = (extent: readonly [number, number, number]): string => extent.join("×")
const product = (extent: readonly [number, number, number]): number => extent[0] * extent[1] * extent[2]

export const make = (options: RecordingOptions): RecordingState => {
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

  // --- Launches ------------------------------------------------------------------------------------------------------

  const workOf = (launch: Of<"launch">, doing: string): { work: Work; name: string } => {
    const fn = take("function", launch.fn, doing)
    const module = take("module", fn.module, doing)
    const touches: Array<Touch> = []
    for (const parameter of [...launch.parameters.buffers, ...launch.parameters.maps]) {
      const memory = take("buffer", parameter.buffer, doing)
      if (parameter.bytes > 0)
        touches.push({
          object: memory.id,
          start: parameter.offset,
          end: parameter.offset + parameter.bytes,
          reads: parameter.access !== "write",
          writes: parameter.access !== "read"
        })
    }
    for (const [index, a] of touches.entries())
      for (const b of touches.slice(index + 1))
        if (
          a.object === b.object &&
          (a.writes || b.writes) &&
          Ordering.overlaps(a, b) &&
          !(a.start === b.start && a.end === b.end)
        )
          throw hazard(
            "overlap",
            `launch the kernel ${fn.name}`,
            `two of its arguments overlap in part in ${nameOf(subjects.get(a.object))}: bytes ${a.start} to ${a.end} and ${b.start} to ${b.end}`
          )
    return { work: { what: `kernel ${fn.name}`, touches: mergeEqual(touches), needs: [module.id] }, name: fn.name }
  }
  // In place: the same range read by one argument and written by another is one access of the kernel.
  const mergeEqual = (touches: ReadonlyArray<Touch>): ReadonlyArray<Touch> => {
    const merged = new Map<string, Touch>()
    for (const touch of touches) {
      const key = `${touch.object} ${touch.start} ${touch.end}`
      const before = merged.get(key)
      merged.set(
        key,
        before === undefined
          ? touch
          : { ...touch, reads: touch.reads || before.reads, writes: touch.writes || before.writes }
      )
    }
    return [...merged.values()]
  }
  const checkParameters = (fn: Of<"function">, parameters: Parameters, doing: string): void => {
    if (fn.parameterBytes !== undefined && parameters.block.byteLength !== fn.parameterBytes)
      throw refuse(
        "ANNEAL_BAD_ARGUMENT",
        doing,
        `the kernel ${fn.name} takes ${fn.parameterBytes} bytes of parameters, got ${parameters.block.byteLength}`
      )
    for (const parameter of [...parameters.buffers, ...parameters.maps]) {
      const memory = take("buffer", parameter.buffer, doing)
      sameDevice(memory, fn, doing)
      inside(memory.bytes, "a buffer", parameter.offset, parameter.bytes, doing)
    }
  }
  const checkShape = (launch: Of<"launch">): void => {
    const fn = take("function", launch.fn, "launch a kernel")
    const context = take("context", launch.context, "launch a kernel")
    const limits = options.devices[context.ordinal]?.attributes
    const { grid, block, cluster, sharedBytes } = launch.shape
    const doing = `launch the kernel ${fn.name} (grid ${three(grid)}, block ${three(block)}, cluster ${three(cluster)}, ${sharedBytes} bytes of shared memory)`
    const no = (why: string): CudaError => refuse("CUDA_ERROR_INVALID_VALUE", doing, why)
    if (limits !== undefined && product(block) > limits.maxThreadsPerBlock)
      throw no(`more than ${limits.maxThreadsPerBlock} threads in a block`)
    if (sharedBytes > fn.sharedLimit)
      throw no(`more than the kernel's ${fn.sharedLimit} bytes of dynamic shared memory`)
    if (product(cluster) > fn.clusterLimit) throw no(`a cluster of more than ${fn.clusterLimit} blocks`)
    if (product(cluster) > 1 && limits?.clusterLaunch !== 1) throw no("this device has no clusters")
    if (grid.some((size, axis) => size % (cluster[axis] ?? 1) !== 0))
      throw no("the grid is not a multiple of the cluster")
    if (grid[1] > 65535 || grid[2] > 65535) throw no("more than 65,535 blocks in y or z")
  }

  // --- Copies ----------------------------------------------------------------------------------------------------------

  const pinnedRange = (handle: Handle, offset: number, bytes: number, doing: string): Of<"pinned memory"> => {
    const pinned = take("pinned memory", handle, doing)
    if (pinned.buffer.byteLength !== pinned.bytes)
      throw refuse(
        "ANNEAL_STALE_HANDLE",
        doing,
        "the ArrayBuffer of this page-locked memory was transferred, resized or detached"
      )
    inside(pinned.bytes, "page-locked memory", offset, bytes, doing)
    return pinned
  }
  const memoryRange = (handle: Handle, offset: number, bytes: number, doing: string): Of<"buffer"> => {
    const memory = take("buffer", handle, doing)
    inside(memory.bytes, "a buffer", offset, bytes, doing)
    return memory
  }
  const touch = (object: Handle, offset: number, bytes: number, reads: boolean): Touch => ({
    object,
    start: offset,
    end: offset + bytes,
    reads,
    writes: !reads
  })

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

  const driver: Driver = {
    kind: "recording",
    describe: (ordinal) => {
      const info = options.devices[ordinal]
      if (info === undefined)
        throw refuse("CUDA_ERROR_INVALID_DEVICE", `find device ${ordinal}`, "there is no such device")
      return info
    },
    openContext: async (ordinal) => {
      if (options.devices[ordinal] === undefined)
        throw refuse("CUDA_ERROR_INVALID_DEVICE", `open device ${ordinal}`, "there is no such device")
      return add({ ...fresh(0), kind: "context", ordinal, used: 0, peak: 0 })
    },
    closeContext: (context) => remove(take("context", context, "close a device"), "close a device"),
    memoryInfo: (handle) => {
      const context = take("context", handle, "read the free device memory")
      const total = options.devices[context.ordinal]?.totalBytes ?? 0
      return { free: total - context.used, total }
    },
    createStream: (context) => {
      take("context", context, "create a stream")
      return add({ ...fresh(context, context), kind: "stream", clock: new Map(), time: 0, capture: undefined })
    },
    destroyStream: (handle) => {
      const stream = take("stream", handle, "destroy a stream")
      if (stream.capture !== undefined) throw refuse("ANNEAL_BUSY", "destroy a stream", "the stream is being captured")
      if ((host.get(handle) ?? 0) < stream.time)
        throw refuse("ANNEAL_BUSY", "destroy a stream", "the stream still has work: wait for it first")
      remove(stream, "destroy a stream")
    },
    streamIdle: (handle) => {
      const stream = take("stream", handle, "ask whether a stream is idle")
      Ordering.merge(host, stream.clock)
      return true
    },
    waitStream: (handle) => {
      const stream = take("stream", handle, "wait for a stream")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", "wait for a stream", "the stream is being captured: nothing of it runs yet")
      return finished(stream.clock)
    },
    settled: (handle) => {
      const subject = subjects.get(handle)
      if (subject === undefined)
        throw refuse(
          "ANNEAL_STALE_HANDLE",
          "wait until the device has finished with an object",
          "the object is not alive"
        )
      const clock: Ordering.Clock = new Map()
      if ("history" in subject)
        for (const access of subject.history) {
          const stream = subjects.get(access.stream)
          // The stream's whole clock: waiting for a work waits for what it waited for.
          if (stream?.kind === "stream") Ordering.merge(clock, stream.clock)
        }
      return finished(clock)
    },
    cancelWait: () => false,
    createEvent: (context, timing) => {
      take("context", context, "create an event")
      return add({ ...fresh(context, context), kind: "event", timing, recorded: undefined, capture: undefined, at: 0 })
    },
    destroyEvent: (handle) => remove(take("event", handle, "destroy an event"), "destroy an event"),
    recordEvent: (handle, streamHandle) => {
      const event = take("event", handle, "record an event")
      const stream = take("stream", streamHandle, "record an event")
      sameDevice(event, stream, "record an event")
      Ordering.merge(stream.clock, host)
      event.recorded = new Map(stream.clock)
      event.capture = stream.capture
      event.at = ++ticks
      log.push({ _tag: "Record", event: handle, stream: streamHandle })
    },
    waitEvent: (streamHandle, handle) => {
      const stream = take("stream", streamHandle, "make a stream wait for an event")
      const event = take("event", handle, "make a stream wait for an event")
      sameDevice(stream, event, "make a stream wait for an event")
      if (event.recorded !== undefined) Ordering.merge(stream.clock, event.recorded)
      if (event.capture !== undefined && stream.capture === undefined) {
        stream.capture = event.capture
        event.capture.streams.push(stream.id)
      }
      log.push({ _tag: "Wait", stream: streamHandle, event: handle })
    },
    eventDone: (handle) => {
      const event = take("event", handle, "ask whether an event has happened")
      if (event.recorded !== undefined) Ordering.merge(host, event.recorded)
      return true
    },
    elapsed: (startHandle, endHandle) => {
      const start = take("event", startHandle, "read the time between two events")
      const end = take("event", endHandle, "read the time between two events")
      if (!start.timing || !end.timing)
        throw refuse("ANNEAL_BAD_ARGUMENT", "read the time between two events", "both events must be made with timing")
      if (start.recorded === undefined || end.recorded === undefined)
        throw refuse("CUDA_ERROR_INVALID_HANDLE", "read the time between two events", "one of them was never recorded")
      return (end.at - start.at) / 1000
    },
    createPool: (context) => {
      take("context", context, "create a memory pool")
      return add({ ...fresh(context, context), kind: "pool", used: 0 })
    },
    destroyPool: (handle) => remove(take("pool", handle, "destroy a memory pool"), "destroy a memory pool"),
    poolInfo: (handle) => {
      const subject = subjects.get(handle)
      const used = subject?.kind === "context" ? subject.used : take("pool", handle, "read a memory pool's use").used
      return { reserved: used, used }
    },
    trimPool: (handle) => {
      if (subjects.get(handle)?.kind !== "context") take("pool", handle, "trim a memory pool")
    },
    allocate: (contextHandle, bytes, label) => {
      const context = take("context", contextHandle, "allocate device memory")
      positive(bytes, "allocate device memory")
      charge(context, bytes, `allocate ${bytes} bytes`)
      return newBuffer(fresh(contextHandle, contextHandle), bytes, label, "plain", 0)
    },
    allocateOn: (streamHandle, bytes, poolHandle, label) => {
      const doing = "allocate device memory in stream order"
      const stream = take("stream", streamHandle, doing)
      positive(bytes, doing)
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", doing, "the stream is being captured: allocate before the capture begins")
      const pool = poolHandle === 0 ? undefined : take("pool", poolHandle, doing)
      if (pool !== undefined) sameDevice(pool, stream, doing)
      charge(take("context", stream.context, doing), bytes, `allocate ${bytes} bytes in stream order`)
      if (pool !== undefined) pool.used += bytes
      const parents = poolHandle === 0 ? [streamHandle] : [streamHandle, poolHandle]
      const handle = newBuffer(fresh(stream.context, ...parents), bytes, label, "stream", poolHandle)
      const { time } = advance(stream)
      // It exists from here in the stream's order: a use on another stream must be ordered after this.
      take("buffer", handle, doing).history.push({
        stream: stream.id,
        time,
        start: 0,
        end: bytes,
        writes: true,
        what: "its allocation"
      })
      return handle
    },
    allocateGuarded: (contextHandle, bytes, _atEnd, alignment, label) => {
      const doing = "allocate device memory between guard pages"
      const context = take("context", contextHandle, doing)
      positive(bytes, doing)
      if (alignment < 1 || (alignment & (alignment - 1)) !== 0)
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "alignment must be a power of two")
      charge(context, bytes, `allocate ${bytes} bytes between guard pages`)
      return newBuffer(fresh(contextHandle, contextHandle), bytes, label, "guarded", 0)
    },
    free: (handle) => {
      const memory = take("buffer", handle, "free device memory")
      const doing = `free ${memory.bytes} bytes`
      if (memory.origin === "plain" || memory.origin === "guarded") requireOver(memory, doing)
      if (memory.origin === "stream") {
        const owner = take("stream", memory.parents[0] ?? 0, doing)
        if (owner.capture !== undefined)
          throw refuse("ANNEAL_BUSY", doing, "its stream is being captured: free it after the capture has ended")
        for (const access of memory.history) {
          const user = subjects.get(access.stream)
          if (user?.kind === "stream") Ordering.merge(owner.clock, user.clock)
        }
        advance(owner)
        if (memory.pool !== 0) take("pool", memory.pool, doing).used -= memory.bytes
      }
      remove(memory, doing)
      if (memory.origin !== "global") take("context", memory.context, doing).used -= memory.bytes
      log.push({ _tag: "Free", buffer: handle, bytes: memory.bytes, label: memory.label })
    },
    address: (handle) => BigInt(take("buffer", handle, "read a buffer's address").address),
    allocatePinned: async (context, bytes) => {
      take("context", context, "allocate page-locked memory")
      positive(bytes, "allocate page-locked memory")
      const buffer = new ArrayBuffer(bytes)
      return {
        handle: add({ ...fresh(context, context), kind: "pinned memory", buffer, bytes, ours: true, history: [] }),
        buffer
      }
    },
    registerPinned: async (context, buffer) => {
      take("context", context, "page-lock an ArrayBuffer")
      if (buffer.byteLength === 0)
        throw refuse("ANNEAL_BAD_ARGUMENT", "page-lock an ArrayBuffer", "the ArrayBuffer is empty or detached")
      for (const subject of subjects.values())
        if (subject.kind === "pinned memory" && subject.buffer === buffer)
          throw refuse(
            "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
            `page-lock ${buffer.byteLength} bytes`,
            "it is page-locked already"
          )
      return add({
        ...fresh(context, context),
        kind: "pinned memory",
        buffer,
        bytes: buffer.byteLength,
        ours: false,
        history: []
      })
    },
    freePinned: (handle) => {
      const pinned = take("pinned memory", handle, "free page-locked memory")
      requireOver(pinned, "free page-locked memory")
      remove(pinned, "free page-locked memory")
      if (pinned.ours && !pinned.buffer.detached) pinned.buffer.transfer(0)
    },
    copyToDevice: (s, to, toOffset, from, fromOffset, bytes) => {
      const doing = "copy to the device"
      const stream = take("stream", s, doing)
      const memory = memoryRange(to, toOffset, bytes, doing)
      const pinned = pinnedRange(from, fromOffset, bytes, doing)
      sameDevice(memory, stream, doing)
      sameDevice(pinned, stream, doing)
      if (bytes === 0) return
      const touches = [touch(to, toOffset, bytes, false), touch(from, fromOffset, bytes, true)]
      submit(stream, { what: doing, touches, needs: [] }, { _tag: "Copy", way: "toDevice", stream: s, from, to, bytes })
    },
    copyToHost: (s, to, toOffset, from, fromOffset, bytes) => {
      const doing = "copy to the host"
      const stream = take("stream", s, doing)
      const pinned = pinnedRange(to, toOffset, bytes, doing)
      const memory = memoryRange(from, fromOffset, bytes, doing)
      sameDevice(memory, stream, doing)
      sameDevice(pinned, stream, doing)
      if (bytes === 0) return
      const touches = [touch(to, toOffset, bytes, false), touch(from, fromOffset, bytes, true)]
      submit(stream, { what: doing, touches, needs: [] }, { _tag: "Copy", way: "toHost", stream: s, from, to, bytes })
    },
    copyOnDevice: (s, to, toOffset, from, fromOffset, bytes) => {
      const doing = "copy on the device"
      const stream = take("stream", s, doing)
      const destination = memoryRange(to, toOffset, bytes, doing)
      const source = memoryRange(from, fromOffset, bytes, doing)
      sameDevice(destination, stream, doing)
      sameDevice(source, stream, doing)
      if (bytes === 0) return
      if (to === from && toOffset < fromOffset + bytes && fromOffset < toOffset + bytes)
        throw refuse("ANNEAL_OUT_OF_RANGE", doing, "the two ranges overlap: the result would be undefined")
      const touches = [touch(from, fromOffset, bytes, true), touch(to, toOffset, bytes, false)]
      submit(stream, { what: doing, touches, needs: [] }, { _tag: "Copy", way: "onDevice", stream: s, from, to, bytes })
    },
    write: (s, to, offset, data) => {
      const doing = "write a few bytes to the device"
      const stream = take("stream", s, doing)
      if (data.byteLength > 65536)
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "more than 65,536 bytes: copy from page-locked memory instead")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", doing, "the stream is being captured: copy from page-locked memory instead")
      sameDevice(memoryRange(to, offset, data.byteLength, doing), stream, doing)
      if (data.byteLength === 0) return
      const touches = [touch(to, offset, data.byteLength, false)]
      submit(
        stream,
        { what: doing, touches, needs: [] },
        { _tag: "Copy", way: "toDevice", stream: s, from: 0, to, bytes: data.byteLength }
      )
    },
    fill: (s, to, offset, count, value, width) => {
      const doing = "fill device memory"
      const stream = take("stream", s, doing)
      if (width !== 1 && width !== 2 && width !== 4)
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "width must be 1, 2 or 4 bytes")
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width))
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "value does not fit into the element's width")
      if (offset % width !== 0) throw refuse("ANNEAL_BAD_ARGUMENT", doing, "offset must be a multiple of width")
      sameDevice(memoryRange(to, offset, count * width, doing), stream, doing)
      if (count === 0) return
      submit(
        stream,
        { what: doing, touches: [touch(to, offset, count * width, false)], needs: [] },
        { _tag: "Fill", stream: s, buffer: to, offset, bytes: count * width, value }
      )
    },
    loadModule: async (context, image) => {
      take("context", context, "load a module")
      if (image.byteLength === 0) throw refuse("ANNEAL_BAD_ARGUMENT", "load a module", "the image is empty")
      const handle = add({ ...fresh(context, context), kind: "module", functions: [], history: [] })
      log.push({ _tag: "Load", module: handle, bytes: image.byteLength })
      return { handle, log: "" }
    },
    unloadModule: (handle) => {
      const module = take("module", handle, "unload a module")
      requireOver(module, "unload a module")
      remove(module, "unload a module")
      for (const fn of module.functions) subjects.delete(fn)
    },
    getFunction: (moduleHandle, name) => {
      const module = take("module", moduleHandle, "find a kernel")
      const signature = options.kernels?.[name]
      if (options.kernels !== undefined && signature === undefined)
        throw refuse("CUDA_ERROR_NOT_FOUND", `find the kernel ${name}`, "the module has no such kernel")
      const parameters = signature?.parameters
      const end = parameters?.at(-1)
      const handle = add({
        ...fresh(module.context),
        kind: "function",
        name,
        module: moduleHandle,
        sharedLimit: 49152,
        clusterLimit: 8,
        parameterBytes: parameters === undefined ? undefined : end === undefined ? 0 : end[0] + end[1]
      })
      module.functions.push(handle)
      return {
        handle,
        parameters,
        attributes: {
          maxThreadsPerBlock: 1024,
          staticSharedBytes: 0,
          constantBytes: 0,
          localBytes: 0,
          registers: -1,
          ptxVersion: -1,
          binaryVersion: -1
        }
      }
    },
    getGlobal: (moduleHandle, name) => {
      const module = take("module", moduleHandle, "find a module's global")
      const bytes = options.kernels?.[name]?.globalBytes
      if (bytes === undefined)
        throw refuse("CUDA_ERROR_NOT_FOUND", `find the global ${name}`, "the module has no such global")
      const handle = newBuffer(fresh(module.context, moduleHandle), bytes, name, "global", 0)
      const memory = take("buffer", handle, "find a module's global")
      memory.written = [{ start: 0, end: bytes }]
      return { handle, bytes }
    },
    setFunctionAttribute: (handle, attribute, value) => {
      const fn = take("function", handle, "set a kernel's attribute")
      const context = take("context", fn.context, "set a kernel's attribute")
      const most = options.devices[context.ordinal]?.attributes.sharedBytesPerBlockOptIn ?? 0
      if (attribute === 8) {
        if (value > most)
          throw refuse(
            "CUDA_ERROR_INVALID_VALUE",
            `set an attribute of the kernel ${fn.name}`,
            `the device allows ${most} bytes of shared memory`
          )
        fn.sharedLimit = value
      } else if (attribute === 14) fn.clusterLimit = value === 1 ? 16 : 8
    },
    occupancy: (handle) => {
      const launch = take("launch", handle, "ask for a kernel's occupancy")
      const context = take("context", launch.context, "ask for a kernel's occupancy")
      const limits = options.devices[context.ordinal]?.attributes
      const threads = (limits?.maxThreadsPerMultiprocessor ?? 0) / product(launch.shape.block)
      const shared =
        launch.shape.sharedBytes === 0
          ? Infinity
          : (limits?.sharedBytesPerMultiprocessor ?? 0) / (launch.shape.sharedBytes + 1024)
      return {
        blocksPerMultiprocessor: Math.floor(Math.min(threads, shared, limits?.maxBlocksPerMultiprocessor ?? 0)),
        clusters: 0
      }
    },
    prepareLaunch: (handle, shape, parameters) => {
      const doing = "prepare a launch"
      const fn = take("function", handle, doing)
      if ([...shape.grid, ...shape.block, ...shape.cluster].some((size) => !Number.isInteger(size) || size < 1))
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "grid, block and cluster sizes must be at least 1")
      checkParameters(fn, parameters, doing)
      return add({ ...fresh(fn.context, fn.context), kind: "launch", fn: handle, shape, parameters })
    },
    updateLaunch: (handle, parameters) => {
      const launch = take("launch", handle, "change a launch's parameters")
      checkParameters(
        take("function", launch.fn, "change a launch's parameters"),
        parameters,
        "change a launch's parameters"
      )
      launch.parameters = parameters
    },
    destroyLaunch: (handle) => remove(take("launch", handle, "release a launch"), "release a launch"),
    launch: (handle, streamHandle) => {
      const launch = take("launch", handle, "launch a kernel")
      const stream = take("stream", streamHandle, "launch a kernel")
      sameDevice(launch, stream, "launch a kernel")
      const { work, name } = workOf(launch, "launch a kernel")
      checkShape(launch)
      const { grid, block, cluster, sharedBytes } = launch.shape
      submit(
        stream,
        work,
        {
          _tag: "Launch",
          stream: streamHandle,
          kernel: name,
          grid,
          block,
          cluster,
          sharedBytes,
          captured: stream.capture !== undefined
        },
        name
      )
    },
    beginCapture: (handle) => {
      const stream = take("stream", handle, "begin a capture")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", "begin a capture", "the stream is already being captured")
      stream.capture = { origin: handle, streams: [handle], works: [], history: new Map() }
    },
    endCapture: (handle) => {
      const stream = take("stream", handle, "end a capture")
      const { capture } = stream
      if (capture === undefined)
        throw refuse("ANNEAL_BAD_ARGUMENT", "end a capture", "the stream is not being captured")
      if (capture.origin !== handle)
        throw refuse("ANNEAL_BAD_ARGUMENT", "end a capture", "end the capture on the stream on which it began")
      const unjoined = capture.streams.find((joined) => {
        const other = subjects.get(joined)
        return other?.kind === "stream" && (stream.clock.get(joined) ?? 0) < other.time
      })
      for (const joined of capture.streams) {
        const other = subjects.get(joined)
        if (other?.kind === "stream") other.capture = undefined
      }
      for (const subject of subjects.values())
        if (subject.kind === "event" && subject.capture === capture) subject.capture = undefined
      if (unjoined !== undefined)
        throw refuse(
          "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
          "end a capture",
          "a stream that joined the capture was not ordered before its end"
        )
      const graph = add({ ...fresh(stream.context, stream.context), kind: "graph", capture })
      log.push({ _tag: "Graph", graph, nodes: capture.works.length })
      const kernels = capture.works.flatMap(({ kernel }) =>
        kernel === undefined ? [] : [{ name: kernel, updatable: true }]
      )
      return { handle: graph, nodes: capture.works.length, kernels }
    },
    destroyGraph: (handle) => remove(take("graph", handle, "destroy a graph"), "destroy a graph"),
    instantiate: (handle) => {
      const graph = take("graph", handle, "instantiate a graph")
      for (const { work } of graph.capture.works)
        for (const object of [...work.touches.map((one) => one.object), ...work.needs])
          if (!subjects.has(object))
            throw refuse(
              "ANNEAL_STALE_HANDLE",
              "instantiate a graph",
              "a buffer or module that the graph uses has been released"
            )
      return add({
        ...fresh(graph.context, handle),
        kind: "graph executable",
        works: [...graph.capture.works],
        history: []
      })
    },
    destroyExecutable: (handle) => {
      const executable = take("graph executable", handle, "destroy an instantiated graph")
      requireOver(executable, "destroy an instantiated graph")
      remove(executable, "destroy an instantiated graph")
    },
    uploadGraph: (handle, streamHandle) =>
      sameDevice(
        take("graph executable", handle, "upload a graph"),
        take("stream", streamHandle, "upload a graph"),
        "upload a graph"
      ),
    updateKernelNode: (handle, index, launchHandle) => {
      const doing = "update a graph's kernel node"
      const executable = take("graph executable", handle, doing)
      const launch = take("launch", launchHandle, doing)
      sameDevice(executable, launch, doing)
      const places = executable.works.flatMap(({ kernel }, place) => (kernel === undefined ? [] : [place]))
      const place = places[index]
      if (place === undefined)
        throw refuse("ANNEAL_OUT_OF_RANGE", doing, `kernel ${index} of a graph of ${places.length}`)
      const { work, name } = workOf(launch, doing)
      checkShape(launch)
      executable.works[place] = { work, kernel: name }
    },
    replay: (handle, streamHandle) => {
      const executable = take("graph executable", handle, "replay a graph")
      const stream = take("stream", streamHandle, "replay a graph")
      sameDevice(executable, stream, "replay a graph")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", "replay a graph", "the stream is being captured: replay on another one")
      const { time, clock } = advance(stream)
      for (const { work } of executable.works) apply(stream, work, time, clock)
      apply(stream, { what: "a replay", touches: [], needs: [handle] }, time, clock)
      log.push({ _tag: "Replay", executable: handle, stream: streamHandle, nodes: executable.works.length })
    },
    statistics: () => {
      const counts: Record<string, number> = {}
      for (const subject of subjects.values()) counts[subject.kind] = (counts[subject.kind] ?? 0) + 1
      return counts
    }
  }
  return {
    driver,
    log,
    peakBytes: (ordinal) => peaks.get(ordinal) ?? 0,
    liveObjects: () =>
      [...subjects.values()].filter((subject) => subject.kind !== "context" && subject.kind !== "function").map(nameOf)
  }
}
