/**
 * Runners: the workers of a build in which candidates run: kept and used again, and ended with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Runner } from "./Runner.ts"

export interface Runners {
  /** A worker until the scope ends; a new one where all are busy. */
  readonly take: Effect.Effect<Runner, never, Scope.Scope>
  /** Starts so many that nobody waits for: a worker takes a while to start. */
  readonly start: (count: number) => Effect.Effect<void>
}

export const make: Effect.Effect<Runners, never, Scope.Scope> = Effect.gen(function* () {
  const idle: Array<Runner> = []
  const all = new Set<Runner>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const worker of all) worker.end()
    })
  )
  const open = (): Runner => {
    const made = new Runner()
    all.add(made)
    return made
  }
  const acquire = Effect.sync(() => {
    for (let worker = idle.pop(); worker !== undefined; worker = idle.pop()) if (!worker.ended) return worker
    return open()
  })
  const release = (worker: Runner): Effect.Effect<void> =>
    Effect.sync(() => {
      if (worker.ended) all.delete(worker)
      else idle.push(worker)
    })
  return {
    take: Effect.acquireRelease(acquire, release),
    start: (count) =>
      Effect.sync(() => {
        while (idle.length < count) idle.push(open())
      })
  }
})
