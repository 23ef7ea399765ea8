/**
 * Decides by a lock where it says something, by another tuner elsewhere. What is in the lock is never measured again.
 */
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Event from "@anneal/tune/Event"
import * as Lock from "@anneal/tune/Lock"
import * as LockDiff from "@anneal/tune/LockDiff"
import * as Effect from "effect/Effect"

/** What keeps a lock's decisions from being used for what is built now; empty: nothing. */
export const otherThings = (lock: Lock.Lock, here: Lock.Header): ReadonlyArray<string> =>
  LockDiff.diff({ ...lock, decisions: [] }, { ...here, features: here.features.toSorted(), decisions: [] }).flatMap(
    (difference) =>
      difference._tag === "Header" ? [`${difference.field} ${difference.before}, not ${difference.after}`] : []
  )

/** The candidate that the lock names, among those offered. */
const lockedIn = (entries: ReadonlyMap<string, Lock.LockEntry>, choice: Tuner.Choice): Tuner.Candidate | undefined => {
  const entry = entries.get(choice.key)
  if (entry === undefined) return undefined
  const wanted = Tuner.identify({ name: entry.candidate, config: entry.config })
  return choice.candidates.find((candidate) => Tuner.identify(candidate) === wanted)
}

/** `file`: what the lock is called in findings. */
export const make = (
  lock: Lock.Lock,
  file: string,
  here: Lock.Header,
  inner: Tuner.TunerService
): Tuner.TunerService => {
  const others = otherThings(lock, here)
  const entries = others.length === 0 ? Lock.byKey(lock) : new Map<string, Lock.LockEntry>()
  return {
    name: `lock, then ${inner.name}`,
    identity:
      inner.identity === undefined
        ? undefined
        : { name: "lock-first", version: 1, config: { lock: Lock.digest(lock), inner: { ...inner.identity } } },
    decide: (space) =>
      Effect.gen(function* () {
        if (others.length > 0)
          yield* Diagnostic.report({
            severity: "warning",
            code: "lock-of-other-target",
            message: `${file} is for ${others.join("; ")}: none of its decisions is used`,
            action: "the new lock will take its place; keep a copy of the old one if you need it"
          })
        const locked = new Map<string, Tuner.Candidate>()
        const gone: Array<string> = []
        for (const choice of space) {
          const candidate = lockedIn(entries, choice)
          if (candidate !== undefined) locked.set(choice.key, candidate)
          else if (entries.has(choice.key)) gone.push(choice.node)
        }
        if (gone.length > 0)
          yield* Diagnostic.report({
            severity: "warning",
            code: "locked-kernel-not-offered",
            message: `${file} names kernels for ${gone.join(", ")} that the target does not offer: decided anew`,
            action: "build with the anneal that wrote the lock to use them"
          })
        const open = space.filter(({ key }) => !locked.has(key))
        for (const { key, node } of space) {
          const candidate = locked.get(key)
          if (candidate !== undefined)
            yield* Event.tell({ _tag: "Decided", key, node, candidate: Tuner.identify(candidate), why: "locked" })
        }
        const decided = new Map(
          open.length === 0 ? [] : (yield* inner.decide(open)).map(({ candidate, key }) => [key, candidate] as const)
        )
        return space.flatMap(({ key }) => {
          const candidate = locked.get(key) ?? decided.get(key)
          return candidate === undefined ? [] : [{ key, candidate }]
        })
      })
  }
}
