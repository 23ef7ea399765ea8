/**
 * LockFile: a lock on disk. It is written whole (`WholeFile`): whoever reads it finds the old one or the new one.
 */
import * as WholeFile from "@anneal/pipeline/WholeFile"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { dirname } from "node:path"
import * as FileError from "./FileError.ts"
import * as Lock from "./Lock.ts"

export const read = (
  path: string
): Effect.Effect<Lock.Lock, FileError.FileError | Lock.LockError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(files.readFileString(path), FileError.from("read", path))
    return yield* Effect.fromResult(Lock.parse(text, path))
  })

export const write = (path: string, lock: Lock.Lock): Effect.Effect<void, FileError.FileError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    yield* files.makeDirectory(dirname(path), { recursive: true })
    yield* WholeFile.sweep(path)
    yield* WholeFile.writeBytes(path, new TextEncoder().encode(Lock.format(lock)))
  }).pipe(Effect.mapError(FileError.from("write", path)))
