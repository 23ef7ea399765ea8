/**
 * LockedTuner: decides what a lock says, and nothing else. Measures nothing: for frozen builds, and for builds of an engine
 * for another machine. What the lock does not settle fails, all of it at once.
 */
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Event from "./Event.ts"
import * as Lock from "./Lock.ts"
import * as Space from "./Space.ts"

/** A lock for something else than what is built. */
const otherTarget = (lock: Lock.Lock, here: Lock.Header): ReadonlyArray<string> => {
  const features = here.features.toSorted()
  return [
    ...(lock.target === here.target ? [] : [`target ${lock.target}, not ${here.target}`]),
    ...(lock.features.join() === features.join()
      ? []
      : [`features ${lock.features.join(" ")}, not ${features.join(" ")}`]),
    ...(lock.generator === here.generator ? [] : [`generator ${lock.generator}, not ${here.generator}`])
  ]
}

const missOf = (
  choice: Tuner.Choice,
  entry: Lock.LockEntry | undefined
): { readonly candidate: Tuner.Candidate } | { readonly miss: Tuner.Miss } => {
  const { key, node, candidates } = choice
  if (entry === undefined) {
    return { miss: { reason: "Absent", key, node, detail: `the lock has no decision for ${key}` } }
  }
  const locked = Tuner.identify({ name: entry.candidate, config: entry.config })
  const candidate = candidates.find((one) => Tuner.identify(one) === locked)
  if (candidate !== undefined) return { candidate }
  const detail = `the lock says ${locked}, which is none of the ${candidates.length} candidates that the target offers`
  return { miss: { reason: "NotOffered", key, node, detail } }
}

/** What a lock settles of a space, and what it does not. */
const settle = (lock: Lock.Lock, here: Lock.Header | undefined, choices: ReadonlyArray<Tuner.Choice>) => {
  const others = here === undefined ? [] : otherTarget(lock, here)
  const entries = Lock.byKey(lock)
  const misses: Array<Tuner.Miss> = []
  const decided = new Map<string, Tuner.Candidate>()
  for (const choice of choices) {
    const { key, node } = choice
    if (others.length > 0) {
      misses.push({ reason: "OtherTarget", key, node, detail: `the lock is for ${others.join("; ")}` })
      continue
    }
    const found = missOf(choice, entries.get(key))
    if ("miss" in found) misses.push(found.miss)
    else decided.set(key, found.candidate)
  }
  return { misses, decided }
}

const choicesOf = (space: ReadonlyArray<Tuner.Choice>) =>
  Effect.suspend(() => {
    const { groups, problems } = Space.group(space)
    if (problems.length > 0) return Effect.fail(new Tuner.TunerError({ problems }))
    return Effect.succeed(groups.map(({ choice }) => choice))
  })

const tell = (choices: ReadonlyArray<Tuner.Choice>, decided: ReadonlyMap<string, Tuner.Candidate>) =>
  Effect.forEach(
    choices,
    ({ key, node }) => {
      const candidate = decided.get(key)
      if (candidate === undefined) return Effect.void
      return Event.tell({ _tag: "Decided", key, node, candidate: Tuner.identify(candidate), why: "locked" })
    },
    { discard: true }
  )

const decide =
  (lock: Lock.Lock, here: Lock.Header | undefined): Tuner.TunerService["decide"] =>
  (space) =>
    Effect.gen(function* () {
      const choices = yield* choicesOf(space)
      const { misses, decided } = settle(lock, here, choices)
      if (misses.length > 0) return yield* new Tuner.LockMiss({ misses })
      yield* tell(choices, decided)
      return Space.spread(space, decided)
    })

/** Decides by a lock. `here`: what is built, to be held against what the lock is for. */
export const layer = (lock: Lock.Lock, here?: Lock.Header): Layer.Layer<Tuner.Tuner> =>
  Layer.succeed(Tuner.Tuner, {
    name: "locked",
    identity: { name: "locked", version: 1, config: { lock: Lock.digest(lock) } },
    decide: decide(lock, here)
  })

/** Decides by a lock what the lock settles, and leaves the rest to the tuner that there is. */
export const layerFirst = (lock: Lock.Lock, here?: Lock.Header): Layer.Layer<Tuner.Tuner, never, Tuner.Tuner> =>
  Layer.effect(
    Tuner.Tuner,
    Effect.map(Tuner.Tuner, (tuner) => {
      const rest: Tuner.TunerService["decide"] = (space) =>
        Effect.gen(function* () {
          const choices = yield* choicesOf(space)
          const { decided } = settle(lock, here, choices)
          yield* tell(choices, decided)
          const open = space.filter(({ key }) => !decided.has(key))
          const others = open.length === 0 ? [] : yield* tuner.decide(open)
          return Space.spread(space, new Map([...decided, ...others.map((one) => [one.key, one.candidate] as const)]))
        })
      const identity = tuner.identity && {
        name: "locked first",
        version: 1,
        config: { lock: Lock.digest(lock), rest: { ...tuner.identity } }
      }
      return { name: `locked, then ${tuner.name}`, identity, decide: rest }
    })
  )
