/**
 * Memory, copies and fills of the recording device.
 */
import { refuse } from "../../CudaError.ts"
import type { Driver, Handle } from "../../Driver.ts"
import * as Ordering from "../../Ordering.ts"
import type { Books, Of, Touch } from "./Books.ts"

type Methods = Pick<
  Driver,
  | "createPool"
  | "destroyPool"
  | "poolInfo"
  | "trimPool"
  | "allocate"
  | "allocateOn"
  | "allocateGuarded"
  | "free"
  | "address"
  | "allocatePinned"
  | "registerPinned"
  | "freePinned"
  | "copyToDevice"
  | "copyToHost"
  | "copyOnDevice"
  | "write"
  | "fill"
>

export const make = (books: Books): Methods => {
  const {
    subjects,
    log,
    take,
    fresh,
    add,
    remove,
    sameDevice,
    charge,
    inside,
    advance,
    submit,
    requireOver,
    newBuffer,
    positive
  } = books

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

  return {
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
    }
  }
}
