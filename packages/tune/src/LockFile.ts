/**
 * LockFile: a lock on disk. It is written beside, synced and renamed into place: whoever reads it finds the old one or the new one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { randomUUID } from "node:crypto"
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
    const draft = `${path}.${randomUUID()}`
    const place = Effect.gen(function* () {
      yield* files.makeDirectory(dirname(path), { recursive: true })
      const file = yield* files.open(draft, { flag: "wx" })
      yield* file.writeAll(new TextEncoder().encode(Lock.format(lock)))
      yield* file.sync
    })
    yield* Effect.andThen(Effect.scoped(place), files.rename(draft, path)).pipe(
      Effect.onError(() => Effect.ignore(files.remove(draft, { force: true }))),
      Effect.mapError(FileError.from("write", path))
    )
  })
