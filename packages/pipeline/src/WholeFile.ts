/**
 * WholeFile: files that appear under their path all at once: written beside it, synced, renamed into place. A process that is
 * killed, or a disk that is full, leaves what was there before.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import { randomUUID } from "node:crypto"
import { basename, dirname, join } from "node:path"

/** Why a file's operation failed, as far as users can do something about it. */
export type Trouble = "Full" | "Permission" | "Missing" | "Io"

export const troubleOf = (error: PlatformError): Trouble => {
  const { _tag: tag, cause } = error.reason
  const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  if (code === "ENOSPC" || code === "EDQUOT") return "Full"
  if (tag === "PermissionDenied" || code === "EACCES" || code === "EROFS") return "Permission"
  return tag === "NotFound" ? "Missing" : "Io"
}

/** The same in words, for who wanted a file written. */
export const explain = (error: PlatformError): string => {
  switch (troubleOf(error)) {
    case "Full":
      return "the disk is full; nothing was left behind"
    case "Permission":
      return "permission denied"
    case "Missing":
      return "there is no such folder"
    case "Io":
      return error.message
  }
}

/** The place of a draft: beside the file, hidden. A process that was killed may leave one. */
export const draftOf = (path: string): string => join(dirname(path), `.${basename(path)}.${randomUUID()}${draftEnding}`)
export const draftEnding = ".partial"

/** Milliseconds after which a draft that nobody has touched is a dead process's. */
const ABANDONED = 3_600_000

/** Removes the drafts of a file that processes left which died while they wrote it. What cannot be removed stays. */
export const sweep = (path: string): Effect.Effect<void, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const folder = dirname(path)
    const now = yield* Clock.currentTimeMillis
    for (const name of yield* files.readDirectory(folder)) {
      if (!name.startsWith(`.${basename(path)}.`) || !name.endsWith(draftEnding)) continue
      const draft = join(folder, name)
      const { mtime } = yield* files.stat(draft)
      if (Option.isSome(mtime) && now - mtime.value.getTime() > ABANDONED) yield* files.remove(draft, { force: true })
    }
  }).pipe(Effect.ignore)

/** What `fill` writes; its own failures come through. `draft` must be on the disk of `path`. */
export const write = <E, R>(
  path: string,
  fill: (file: FileSystem.File) => Effect.Effect<void, E, R>,
  draft: string = draftOf(path)
): Effect.Effect<void, E | PlatformError, R | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const filled = Effect.scoped(
      Effect.gen(function* () {
        const file = yield* files.open(draft, { flag: "wx" })
        yield* fill(file)
        yield* file.sync
      })
    )
    yield* Effect.onError(Effect.andThen(filled, files.rename(draft, path)), () =>
      Effect.ignore(files.remove(draft, { force: true }))
    )
  })

export const writeBytes = (
  path: string,
  bytes: Uint8Array,
  draft?: string
): Effect.Effect<void, PlatformError, FileSystem.FileSystem> => write(path, (file) => file.writeAll(bytes), draft)
