// How long builds take: without measuring, with a quick tuning, and again from the lock file. Each is the whole command,
// from the start of its process, without a cache.
import { join } from "node:path"
import type { Case } from "./Cases.ts"
import * as Engines from "./Engines.ts"

/** Milliseconds, or why there are none. */
export type Outcome = { readonly milliseconds: number } | { readonly error: string }

export interface BuildTimes {
  readonly model: string
  readonly heuristic: Outcome
  readonly quick: Outcome
  readonly frozen: Outcome
}

/** Most milliseconds of each. */
export const limits = { heuristic: 3000, quick: 30_000, frozen: 1500 } as const

export const time = (folder: string, one: Case, target: ReadonlyArray<string>): BuildTimes => {
  const lock = join(folder, `${one.model}.lock.json`)
  const build = (name: string, options: ReadonlyArray<string>): Outcome =>
    Engines.build(folder, `${one.model}-${name}`, one.file, [...target, ...options])
  return {
    model: one.model,
    heuristic: build("heuristic", ["--tune", "none"]),
    quick: build("quick", ["--tune", "quick", "--lock", lock]),
    frozen: build("frozen", ["--lock", lock, "--frozen"])
  }
}
