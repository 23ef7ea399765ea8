/**
 * LockDiff: what differs between two locks.
 *
 *   ~ /fc1, /fc2: gemm {"mr":4,"nr":8} → gemm {"mr":6,"nr":8}
 */
import * as Key from "@anneal/pipeline/Key"
import * as Lock from "./Lock.ts"

export type Difference =
  | { readonly _tag: "Header"; readonly field: keyof Lock.Header; readonly before: string; readonly after: string }
  | { readonly _tag: "Added"; readonly key: string; readonly after: Lock.LockEntry }
  | { readonly _tag: "Removed"; readonly key: string; readonly before: Lock.LockEntry }
  | { readonly _tag: "Changed"; readonly key: string; readonly before: Lock.LockEntry; readonly after: Lock.LockEntry }
  /** The decision is the same, the regions that it is for are others. */
  | { readonly _tag: "Nodes"; readonly key: string; readonly before: Lock.LockEntry; readonly after: Lock.LockEntry }

const fields: ReadonlyArray<keyof Lock.Header> = ["target", "features", "generator"]
const textOf = (value: string | ReadonlyArray<string>) => (typeof value === "string" ? value : value.join(" "))

/** What is decided by an entry, as text: `gemm {"mr":6}`. */
export const tactic = ({ candidate, config }: Lock.LockEntry): string => `${candidate} ${Key.canonical(config)}`

const compare = (
  key: string,
  before: Lock.LockEntry | undefined,
  after: Lock.LockEntry | undefined
): ReadonlyArray<Difference> => {
  if (before === undefined) return after === undefined ? [] : [{ _tag: "Added", key, after }]
  if (after === undefined) return [{ _tag: "Removed", key, before }]
  if (tactic(before) !== tactic(after)) return [{ _tag: "Changed", key, before, after }]
  return before.nodes.join("\n") === after.nodes.join("\n") ? [] : [{ _tag: "Nodes", key, before, after }]
}

/** Header first, then by key; empty for equal locks, and only for those. */
export const diff = (a: Lock.Lock, b: Lock.Lock): ReadonlyArray<Difference> => {
  const header = fields.flatMap((field): ReadonlyArray<Difference> => {
    const [before, after] = [textOf(a[field]), textOf(b[field])]
    return before === after ? [] : [{ _tag: "Header", field, before, after }]
  })
  const [left, right] = [Lock.byKey(a), Lock.byKey(b)]
  const keys = [...new Set([...left.keys(), ...right.keys()])].toSorted()
  return [...header, ...keys.flatMap((key) => compare(key, left.get(key), right.get(key)))]
}

const placeOf = ({ key, nodes }: Lock.LockEntry) => (nodes.length === 0 ? key : nodes.join(", "))

const line = (difference: Difference): string => {
  switch (difference._tag) {
    case "Header":
      return `~ ${difference.field}: ${difference.before} → ${difference.after}`
    case "Added":
      return `+ ${placeOf(difference.after)}: ${tactic(difference.after)}`
    case "Removed":
      return `- ${placeOf(difference.before)}: ${tactic(difference.before)}`
    case "Changed":
      return `~ ${placeOf(difference.after)}: ${tactic(difference.before)} → ${tactic(difference.after)}`
    case "Nodes":
      return `~ ${difference.key}: decides ${placeOf(difference.before)} → ${placeOf(difference.after)}`
  }
}

/** One line a difference. */
export const format = (differences: ReadonlyArray<Difference>): string =>
  differences.length === 0 ? "no difference" : differences.map(line).join("\n")
