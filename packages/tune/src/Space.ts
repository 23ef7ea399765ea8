/**
 * Space: the choices of a build, each key once: what is decided for one region holds for all that have its key.
 */
import * as Tuner from "@anneal/pipeline/Tuner"

export interface Group {
  /** The first choice with this key, with all of the weight. */
  readonly choice: Tuner.Choice
  readonly weight: number
}

export interface Grouped {
  readonly groups: ReadonlyArray<Group>
  readonly problems: ReadonlyArray<Tuner.Problem>
}

/** Where nothing is said of a choice's weight: what it is predicted to cost. */
const weightOf = ({ weight, candidates }: Tuner.Choice): number =>
  Math.max(0, weight ?? Math.min(...candidates.map(({ cost }) => cost ?? 1)))

const offer = ({ candidates }: Tuner.Choice): string => candidates.map(Tuner.identify).toSorted().join("\n")

/** Equal keys as one, in the order of the space; what can't be decided at all. */
export const group = (space: ReadonlyArray<Tuner.Choice>): Grouped => {
  const byKey = new Map<string, { readonly choice: Tuner.Choice; weight: number; readonly offer: string }>()
  const problems: Array<Tuner.Problem> = []
  for (const choice of space) {
    if (choice.candidates.length === 0) {
      problems.push(Tuner.noCandidate(choice))
      continue
    }
    const known = byKey.get(choice.key)
    if (known === undefined) {
      byKey.set(choice.key, { choice, weight: weightOf(choice), offer: offer(choice) })
    } else if (known.offer === offer(choice)) {
      known.weight += weightOf(choice)
    } else {
      const detail = `it has the key of ${known.choice.node}, but other candidates: the target's keys leave something out`
      problems.push({ reason: "Ambiguous", key: choice.key, node: choice.node, detail })
    }
  }
  return { groups: [...byKey.values()].map(({ choice, weight }) => ({ choice, weight })), problems }
}

/** Where time is best spent first. */
export const heaviestFirst = (groups: ReadonlyArray<Group>): ReadonlyArray<Group> =>
  groups.toSorted((a, b) => b.weight - a.weight || (a.choice.key < b.choice.key ? -1 : 1))

/** One decision a choice, in the choices' order. */
export const spread = (
  space: ReadonlyArray<Tuner.Choice>,
  decided: ReadonlyMap<string, Tuner.Candidate>
): ReadonlyArray<Tuner.Decision> =>
  space.flatMap(({ key }) => {
    const candidate = decided.get(key)
    return candidate === undefined ? [] : [{ key, candidate }]
  })
