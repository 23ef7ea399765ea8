/**
 * LockMerge: two locks as one: everything that either decides. Where they decide differently, nobody knows which is right:
 * all such places are listed, and nothing is merged, unless it is said which one to prefer.
 */
import * as Lock from "./Lock.ts"
import * as LockDiff from "./LockDiff.ts"

export type Conflict = Extract<LockDiff.Difference, { readonly _tag: "Header" | "Changed" }>

export type Merged =
  | { readonly _tag: "Merged"; readonly lock: Lock.Lock }
  | { readonly _tag: "Conflicts"; readonly conflicts: ReadonlyArray<Conflict> }

const isConflict = (difference: LockDiff.Difference): difference is Conflict =>
  difference._tag === "Header" || difference._tag === "Changed"

const union = (a: Lock.LockEntry | undefined, b: Lock.LockEntry): Lock.LockEntry =>
  a === undefined ? b : { ...b, nodes: [...a.nodes, ...b.nodes] }

/**
 * The union of two locks. `prefer` settles decisions that differ; locks of another target, features or generator are
 * never merged: their decisions are for other things.
 */
export const merge = (a: Lock.Lock, b: Lock.Lock, options: { readonly prefer?: "a" | "b" } = {}): Merged => {
  const conflicts = LockDiff.diff(a, b).filter(isConflict)
  const open = options.prefer === undefined ? conflicts : conflicts.filter(({ _tag }) => _tag === "Header")
  if (open.length > 0) return { _tag: "Conflicts", conflicts: open }
  const [under, over] = options.prefer === "a" ? [b, a] : [a, b]
  const below = Lock.byKey(under)
  const entries = [...under.decisions, ...over.decisions.map((entry) => union(below.get(entry.key), entry))]
  return { _tag: "Merged", lock: Lock.make(a, entries) }
}

/** One line a conflict. */
export const format = (conflicts: ReadonlyArray<Conflict>): string => LockDiff.format(conflicts)
