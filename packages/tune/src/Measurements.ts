/**
 * Measurements: what a journal's entries say here. A timing counts on a machine of the same fingerprint; a rejection
 * counts everywhere, except that a hang may be the machine's fault and a refusal its lack of a feature.
 */
import type { Inputs } from "@anneal/pipeline/Measurer"
import * as Tuner from "@anneal/pipeline/Tuner"
import type { Entry, RejectionEntry } from "./Entry.ts"
import * as Machine from "./Machine.ts"
import type { Timing } from "./Timing.ts"

/** Where, and of what, measurements are asked for. */
export interface Scope {
  readonly machine: Machine.Machine
  readonly generator: string
  readonly inputs: Inputs
}

export interface Measurements {
  readonly timings: (key: string, candidate: Pick<Tuner.Candidate, "name" | "config">) => ReadonlyArray<Timing>
  readonly rejection: (key: string, candidate: Pick<Tuner.Candidate, "name" | "config">) => RejectionEntry | undefined
  /** Takes in what was just measured. */
  readonly add: (entries: ReadonlyArray<Entry>) => void
}

const counts = (entry: Entry, scope: Scope, here: string): boolean => {
  if (entry.generator !== scope.generator) return false
  if (entry.kind === "timing")
    return entry.timing.inputs === scope.inputs && Machine.fingerprint(entry.machine) === here
  if (entry.reason === "Hang") return Machine.fingerprint(entry.machine) === here
  if (entry.reason === "Refused") return entry.machine.features.join() === scope.machine.features.join()
  return true
}

export const make = (entries: ReadonlyArray<Entry>, scope: Scope): Measurements => {
  const here = Machine.fingerprint(scope.machine)
  const timings = new Map<string, Array<Timing>>()
  const rejections = new Map<string, RejectionEntry>()
  const place = (key: string, candidate: Pick<Tuner.Candidate, "name" | "config">) =>
    `${key} ${Tuner.identify(candidate)}`
  const add = (more: ReadonlyArray<Entry>) => {
    for (const entry of more) {
      if (!counts(entry, scope, here)) continue
      const at = place(entry.key, entry.candidate)
      if (entry.kind === "rejection") rejections.set(at, rejections.get(at) ?? entry)
      else timings.set(at, [...(timings.get(at) ?? []), entry.timing])
    }
  }
  add(entries)
  return {
    add,
    timings: (key, candidate) => timings.get(place(key, candidate)) ?? [],
    rejection: (key, candidate) => rejections.get(place(key, candidate))
  }
}
