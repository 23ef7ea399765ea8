/**
 * MachineTurn: whose turn it is to time on a machine, among its processes: what two of them time at once is the other's
 * noise. Checks need no turn.
 *
 * A file that names its holder, in the folder for temporary files; one of a process that died is taken over. Where none can
 * be made, nobody waits.
 */
import * as StoreLock from "@anneal/pipeline/StoreLock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Runs an effect when it is this process's turn. */
export type Take = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Default: always. */
export const MachineTurn = Context.Reference<Take>("@anneal/tune/MachineTurn", {
  defaultValue: () => (effect) => effect
})

/** One for each user: another's file could not be taken over. */
const place = (): string => join(tmpdir(), `anneal-timing-${process.getuid?.() ?? 0}.lock`)

/** Turns by a file. */
export const byFile = (path: string = place()): Effect.Effect<Take, never, FileSystem.FileSystem> =>
  Effect.map(
    FileSystem.FileSystem,
    (files): Take =>
      (effect) =>
        StoreLock.waitWith(files, path, () => effect)
  )
