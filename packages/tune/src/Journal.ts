/**
 * Journal: what was measured, kept: a file of entries, one a line, that only ever grows.
 *
 * A killed process leaves at most one line that is cut; reading passes over it, and the next append starts a line of its
 * own. So nothing is ever removed or moved, several processes may append at the same time (each append is one write at
 * the end), and files of several machines are combined by putting them together.
 *
 * What was appended survives `kill -9` at once, since the system has it. It survives a power failure as soon as `append`
 * returns: each append is synced. An append is a race's outcome, tens of milliseconds of measuring, so the sync costs little.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { dirname } from "node:path"
import * as Entry from "./Entry.ts"
import * as FileError from "./FileError.ts"

export interface JournalService {
  /** The file, or what it is called. */
  readonly name: string
  /** All entries that there are now. */
  readonly read: Effect.Effect<
    { readonly entries: ReadonlyArray<Entry.Entry>; readonly damaged: ReadonlyArray<Entry.Damage> },
    FileError.FileError
  >
  /** Adds entries at the end: all of them or, when the machine stops meanwhile, the first ones. */
  readonly append: (entries: ReadonlyArray<Entry.Entry>) => Effect.Effect<void, FileError.FileError>
}

export class Journal extends Context.Service<Journal, JournalService>()("@anneal/tune/Journal") {}

/** Kept as long as the process lives. */
export const layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, () => {
  const all: Array<Entry.Entry> = []
  return {
    name: "memory",
    read: Effect.sync(() => ({ entries: [...all], damaged: [] })),
    append: (entries) => Effect.sync(() => void all.push(...entries))
  }
})

const NEWLINE = "\n".charCodeAt(0)

/** Whether the file ends in the middle of a line. */
const isCut = (file: FileSystem.File) =>
  Effect.gen(function* () {
    const { size } = yield* file.stat
    if (Number(size) === 0) return false
    const last = new Uint8Array(1)
    yield* file.read(last, { position: BigInt(size) - 1n })
    return last[0] !== NEWLINE
  })

/** A journal in a file, which is made when something is first kept in it. A file that is there and can't be read fails. */
export const layerFile = (path: string): Layer.Layer<Journal, FileError.FileError, FileSystem.FileSystem> =>
  Layer.effect(
    Journal,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const inTurn = yield* Semaphore.make(1)
      const read = files.readFileString(path).pipe(
        Effect.catchIf(
          (error) => error.reason._tag === "NotFound",
          () => Effect.succeed("")
        ),
        Effect.map(Entry.parseAll),
        Effect.mapError(FileError.from("read", path))
      )
      yield* read
      const append: JournalService["append"] = (entries) =>
        Effect.gen(function* () {
          yield* files.makeDirectory(dirname(path), { recursive: true })
          const file = yield* files.open(path, { flag: "a+" })
          const start = (yield* isCut(file)) ? "\n" : ""
          const text = start + entries.map((entry) => `${Entry.format(entry)}\n`).join("")
          yield* file.writeAll(new TextEncoder().encode(text))
          yield* file.sync
        }).pipe(
          Effect.scoped,
          Effect.mapError(FileError.from("write", path)),
          Effect.when(Effect.sync(() => entries.length > 0)),
          Semaphore.withPermits(inTurn, 1),
          // Half an append is never left behind by an interruption.
          Effect.uninterruptible,
          Effect.asVoid
        )
      return { name: path, read, append }
    })
  )
