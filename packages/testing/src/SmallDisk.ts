/**
 * SmallDisk: a file system whose disk is full after so many bytes. What still fits of a write is written, as a real disk does.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"

const full = PlatformError.systemError({
  _tag: "Unknown",
  module: "FileSystem",
  method: "writeAll",
  cause: Object.assign(new Error("no space left on device"), { code: "ENOSPC" })
})

/** Over `files`; `capacity`: bytes that may be written through opened files, all together. */
export const over = (files: FileSystem.FileSystem, capacity: number): FileSystem.FileSystem => {
  let left = capacity
  return {
    ...files,
    open: (path, options) =>
      Effect.map(files.open(path, options), (file) => ({
        [FileSystem.FileTypeId]: FileSystem.FileTypeId,
        stat: file.stat,
        sync: file.sync,
        seek: (offset: bigint, from: FileSystem.SeekMode) => file.seek(offset, from),
        read: (buffer: Uint8Array, at?: FileSystem.File.ReadOptions) => file.read(buffer, at),
        readAlloc: (size: number, at?: FileSystem.File.ReadOptions) => file.readAlloc(size, at),
        truncate: (length?: number) => file.truncate(length),
        write: (buffer: Uint8Array) =>
          Effect.suspend(() => {
            const fits = buffer.subarray(0, left)
            left -= fits.length
            return fits.length === 0 && buffer.length > 0 ? Effect.fail(full) : file.write(fits)
          }),
        writeAll: (bytes: Uint8Array) =>
          Effect.suspend(() => {
            if (bytes.length <= left) {
              left -= bytes.length
              return file.writeAll(bytes)
            }
            const fits = bytes.subarray(0, left)
            left = 0
            return Effect.andThen(file.writeAll(fits), Effect.fail(full))
          })
      }))
  }
}

export const layer = (capacity: number): Layer.Layer<FileSystem.FileSystem, never, FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (files) => over(files, capacity))
  )
