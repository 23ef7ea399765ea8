/**
 * A lock between processes: a file that only one can make. It names its holder, who touches it every few seconds. It is
 * taken over when its holder is a dead process of this machine, or has not touched it for long. Locks save double work
 * and nothing more: what they guard is safe without them, so a lock that cannot be had is done without.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"

/** Milliseconds. */
const TOUCH_EVERY = 5_000
/** Milliseconds: six missed touches. */
const STALE_AFTER = 30_000
/** Milliseconds between two looks at a lock that somebody holds. */
const LOOK_EVERY = 100

type Files = FileSystem.FileSystem
const holder = `${hostname()} ${process.pid}`

/** Whether the text names a process of this machine that is gone. */
const isDead = (text: string): boolean => {
  const [host, pid] = text.trim().split(" ")
  if (host !== hostname() || pid === undefined || !/^[0-9]+$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

type Attempt = "held" | "busy" | "impossible"

const attempt = (files: Files, path: string): Effect.Effect<Attempt> =>
  files.writeFileString(path, holder, { flag: "wx" }).pipe(
    Effect.as<Attempt>("held"),
    Effect.catch((error) => Effect.succeed<Attempt>(error.reason._tag === "AlreadyExists" ? "busy" : "impossible"))
  )

/** Moves a dead holder's lock out of the way. Of several that try, the rename lets one win; the others look again. */
const clearStale = (files: Files, path: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { mtime } = yield* files.stat(path)
    const untouched = Option.isSome(mtime) && Date.now() - mtime.value.getTime() >= STALE_AFTER
    if (!untouched && !isDead(yield* files.readFileString(path))) return
    const aside = `${path}.${randomUUID()}`
    yield* files.rename(path, aside)
    yield* files.remove(aside, { force: true })
  }).pipe(Effect.ignore)

const keepFresh = (files: Files, path: string) =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep(TOUCH_EVERY),
      Effect.suspend(() => Effect.ignore(files.utimes(path, new Date(), new Date())))
    )
  )

const holding = <A, E, R>(files: Files, path: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.scoped(Effect.andThen(Effect.forkScoped(keepFresh(files, path)), effect)).pipe(
    Effect.ensuring(Effect.ignore(files.remove(path, { force: true })))
  )

/** Runs `effect` under the lock, or not at all when somebody holds it. */
export const tryWith = <A, E, R>(
  files: Files,
  path: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* clearStale(files, path)
      if ((yield* attempt(files, path)) !== "held") return Option.none()
      return Option.some(yield* holding(files, path, restore(effect)))
    })
  )

/** Waits for the lock, then runs `effect`; runs it without a lock where none can be made. */
export const waitWith = <A, E, R>(
  files: Files,
  path: string,
  effect: (waited: boolean) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      let waited = false
      for (;;) {
        const outcome = yield* attempt(files, path)
        if (outcome === "held") return yield* holding(files, path, restore(Effect.suspend(() => effect(waited))))
        if (outcome === "impossible") return yield* restore(effect(waited))
        waited = true
        yield* clearStale(files, path)
        yield* restore(Effect.sleep(LOOK_EVERY))
      }
    })
  )
