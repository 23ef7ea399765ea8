/**
 * Source: where the bytes of an engine are while it is read: in memory, or in a file of which only what is asked for is read.
 *
 *   ofBytes(bytes)             views, no copies
 *   ofDescriptor(fd, length)   each read is one from the file
 */
import { readSync } from "node:fs"
import { refuse } from "./EngineError.ts"

export interface Source {
  readonly byteLength: number
  /** Whether what was read once is the same for good. */
  readonly stays: boolean
  /** Shows the bytes from `begin` up to `end` in order, in pieces: `bytes` holds until the next. */
  readonly pieces: (begin: number, end: number, visit: (bytes: Uint8Array, at: number) => void) => void
}

/** Bytes from `begin` up to `end`: a view on a source that is in memory, or a copy of what the file holds. */
export const read = (source: Source, begin: number, end: number): Uint8Array => {
  let bytes: Uint8Array | undefined
  source.pieces(begin, end, (piece, at) => {
    if (source.stays && piece.length === end - begin) bytes = piece
    else (bytes ??= new Uint8Array(end - begin)).set(piece, at)
  })
  return bytes ?? new Uint8Array()
}

export const ofBytes = (bytes: Uint8Array): Source => ({
  byteLength: bytes.length,
  stays: true,
  pieces: (begin, end, visit) => visit(bytes.subarray(begin, end), 0)
})

/**
 * Bytes of one read. They go through a small window that stays in the cache, and from there to where they are wanted: to let
 * the system write to pages that nobody has touched costs more than the copy.
 */
const windowBytes = 2 ** 17

/** `file`: what it is called in messages. Throws `EngineError` where the file has become shorter, or cannot be read. */
export const ofDescriptor = (descriptor: number, byteLength: number, file: string): Source => {
  let window: Uint8Array | undefined
  return {
    byteLength,
    stays: false,
    pieces: (begin, end, visit) => {
      window ??= new Uint8Array(Math.min(windowBytes, byteLength))
      for (let at = begin; at < end;) {
        const got = step(descriptor, window, at, Math.min(window.length, end - at), file)
        if (got === 0) refuse("Truncated", file, `bytes ${begin}..${end}`, `the file ends at byte ${at} now`)
        visit(window.subarray(0, got), at - begin)
        at += got
      }
    }
  }
}

const step = (descriptor: number, to: Uint8Array, begin: number, length: number, file: string): number => {
  try {
    return readSync(descriptor, to, 0, length, begin)
  } catch (cause) {
    return refuse(
      "Io",
      file,
      `bytes ${begin}..${begin + length}`,
      cause instanceof Error ? cause.message : String(cause),
      "Check the disk; an engine that is read from its file is open as long as the scope that it was loaded in"
    )
  }
}
