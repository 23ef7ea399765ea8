/**
 * Source: where the bytes of an engine are while it is read: in memory, or in a file of which only what is asked for is read.
 *
 *   ofBytes(bytes)             views, no copies
 *   ofDescriptor(fd, length)   each read is one from the file, into memory of the caller's where that is given
 */
import { readSync } from "node:fs"
import { refuse } from "./EngineError.ts"

export interface Source {
  readonly byteLength: number
  /** Whether what was read once is the same for good. */
  readonly stays: boolean
  /** Bytes from `begin` up to `end`: a view, or a copy of what the file holds. */
  readonly read: (begin: number, end: number) => Uint8Array
  /** Fills `to` with the bytes from `begin` on. */
  readonly readInto: (begin: number, to: Uint8Array) => void
}

export const ofBytes = (bytes: Uint8Array): Source => ({
  byteLength: bytes.length,
  stays: true,
  read: (begin, end) => bytes.subarray(begin, end),
  readInto: (begin, to) => to.set(bytes.subarray(begin, begin + to.length))
})

/** Bytes of one read; the system's calls take less than 2 GiB. */
const STEP = 2 ** 30

/** `file`: what it is called in messages. Throws `EngineError` where the file has become shorter, or cannot be read. */
export const ofDescriptor = (descriptor: number, byteLength: number, file: string): Source => {
  const readInto: Source["readInto"] = (begin, to) => {
    for (let filled = 0; filled < to.length;) {
      const got = step(descriptor, to, filled, begin + filled, file)
      if (got === 0)
        refuse("Truncated", file, `bytes ${begin}..${begin + to.length}`, `the file ends at byte ${begin + filled} now`)
      filled += got
    }
  }
  return {
    byteLength,
    stays: false,
    readInto,
    read: (begin, end) => {
      const bytes = new Uint8Array(end - begin)
      readInto(begin, bytes)
      return bytes
    }
  }
}

const step = (descriptor: number, to: Uint8Array, filled: number, begin: number, file: string): number => {
  try {
    return readSync(descriptor, to, filled, Math.min(STEP, to.length - filled), begin)
  } catch (cause) {
    return refuse(
      "Io",
      file,
      `bytes ${begin}..${begin + to.length - filled}`,
      cause instanceof Error ? cause.message : String(cause),
      "Check the disk; an engine that is read from its file is open as long as the scope that it was loaded in"
    )
  }
}
