/**
 * Devices, streams, events and waits of the recording device. Work is over as soon as somebody has waited for it.
 */
import { refuse } from "../../CudaError.ts"
import type { Driver } from "../../Driver.ts"
import * as Ordering from "../../Ordering.ts"
import type { Books } from "./Books.ts"

type Methods = Pick<
  Driver,
  | "describe"
  | "openContext"
  | "closeContext"
  | "memoryInfo"
  | "createStream"
  | "destroyStream"
  | "streamIdle"
  | "waitStream"
  | "settled"
  | "cancelWait"
  | "createEvent"
  | "destroyEvent"
  | "recordEvent"
  | "waitEvent"
  | "eventDone"
  | "elapsed"
  | "statistics"
>

export const make = (books: Books): Methods => {
  const { fresh, subjects, log, host, take, add, remove, sameDevice, finished, tick, options } = books
  return {
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
      event.at = tick()
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
    statistics: () => {
      const counts: Record<string, number> = {}
      for (const subject of subjects.values()) counts[subject.kind] = (counts[subject.kind] ?? 0) + 1
      return counts
    }
  }
}
